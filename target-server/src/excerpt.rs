//! What a target said, made fit to be kept: short, printable, and without the key.
//!
//! Everything of a target that ends in an error, a reason or a report goes through here, because
//! some servers answer a refused key with the key itself, and because a NUL in a text is something
//! PostgreSQL does not store.

use secrecy::{ExposeSecret, SecretString};

/// Most bytes kept of a body that explains a failure.
pub const BODY_BYTES: usize = 2 * 1024;

/// What stands where a key stood.
const REDACTED: &str = "[api_key]";

/// The first `max_bytes` of `bytes` as text: broken UTF-8 and control characters (but for tab and
/// line ends) are replaced, blank ends cut off.
pub fn excerpt(bytes: &[u8], max_bytes: usize) -> String {
    let bytes = bytes.trim_ascii_start();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(max_bytes + 4)]);
    let printable = text.chars().map(|c| match c {
        '\n' | '\t' => c,
        '\r' => '\n',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    let mut kept = String::new();
    for c in printable {
        if kept.len() + c.len_utf8() > max_bytes {
            break;
        }
        kept.push(c);
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// `text` with every occurrence of `key` replaced, plain or as JSON writes it.
pub fn without_key(text: &str, key: Option<&SecretString>) -> String {
    spellings(key).iter().fold(text.to_owned(), |text, key| text.replace(key, REDACTED))
}

/// The first [`BODY_BYTES`] of a body that explains a failure, without the key.
///
/// - `whole`: false where more followed than `body` holds: the key may then be cut at its end,
///   and what looks like the key's beginning there is left out.
pub fn of_body(body: &[u8], whole: bool, key: Option<&SecretString>) -> String {
    let mut text = without_key(&String::from_utf8_lossy(body), key);
    if !whole {
        let begun = |key: &String| {
            (1..key.len())
                .rev()
                .find(|length| text.as_bytes().ends_with(&key.as_bytes()[..*length]))
        };
        if let Some(length) = spellings(key).iter().filter_map(begun).max() {
            text.truncate(text.floor_char_boundary(text.len() - length));
        }
    }
    excerpt(text.as_bytes(), BODY_BYTES)
}

/// The key as it is, and as JSON writes it where that differs.
fn spellings(key: Option<&SecretString>) -> Vec<String> {
    let Some(key) = key.map(ExposeSecret::expose_secret).filter(|key| !key.is_empty()) else {
        return Vec::new();
    };
    let quoted = serde_json::to_string(key).unwrap_or_default();
    let escaped = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let mut spellings = vec![key.to_owned()];
    if escaped != key && !escaped.is_empty() {
        spellings.push(escaped.to_owned());
    }
    spellings
}

/// Bytes of a body that [`of_body`] wants to see.
pub fn wanted_bytes(key: Option<&SecretString>) -> usize {
    BODY_BYTES + 2 * key.map_or(0, |key| key.expose_secret().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretString {
        SecretString::from("sk-\"canary\"-0123456789".to_owned())
    }

    #[test]
    fn an_excerpt_is_short_printable_text() {
        assert_eq!(excerpt(b"  \r\n<html>\0\x1b[1m\xff</html>\r\n ", 100), "<html>��[1m�</html>");
        assert_eq!(excerpt("äöü".as_bytes(), 5), "äö");
        assert_eq!(excerpt(b"\x00\x00\x00", 2), "", "a replacement takes three bytes");
        assert_eq!(excerpt(&[0xFF; 5_000], BODY_BYTES).len(), 2_046);
        assert_eq!(excerpt(b"", 10), "");
    }

    #[test]
    fn a_key_that_the_target_echoes_is_taken_out() {
        let told = "wrong key sk-\"canary\"-0123456789, {\"key\":\"sk-\\\"canary\\\"-0123456789\"}";
        let kept = without_key(told, Some(&key()));
        assert_eq!(kept, "wrong key [api_key], {\"key\":\"[api_key]\"}");
        assert_eq!(without_key(told, None), told);
    }

    #[test]
    fn a_key_cut_at_the_end_of_what_was_read_is_taken_out() {
        let whole = format!("{}sk-\"canary\"-0123456789 and more", "x".repeat(BODY_BYTES));
        for seen in BODY_BYTES..whole.len() {
            let kept = of_body(&whole.as_bytes()[..seen], false, Some(&key()));
            assert!(!kept.contains("sk-"), "{seen}: {kept}");
        }
        let echoed = "sk-\"canary\"-0123456789".repeat(200);
        for seen in 0..200 {
            let kept = of_body(&echoed.as_bytes()[..seen], false, Some(&key()));
            assert_eq!(kept, "[api_key]".repeat(seen / key().expose_secret().len()), "{seen}");
        }
    }
}
