use serde_json::json;

use super::*;
use crate::prompt::{hub::tests::unreachable_hub, words::candidates};

/// A tokenizer that knows two words, and cuts, pads and marks texts unless it is told not to.
fn words_json() -> String {
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[UNK]"
        },
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[SEP]", 3]
        },
        "decoder": null,
        "model": {
            "type": "WordLevel",
            "vocab": {"[UNK]": 0, "hello": 1, "world": 2, "[SEP]": 3},
            "unk_token": "[UNK]"
        }
    })
    .to_string()
}

/// The same, loaded.
pub(crate) fn words() -> Tokenizer {
    Tokenizer::read(words_json().as_bytes()).unwrap()
}

/// Byte-level BPE over single bytes, with one merge: every text can be written, most characters
/// beyond ASCII in several tokens.
fn bytes_json() -> String {
    // GPT-2's spelling of bytes: printable ones stand for themselves, the others follow from U+0100
    let printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100_u32..;
    let spelled = (0..256).map(|byte| if printable(byte) { byte } else { next.next().unwrap() });
    let mut vocab: serde_json::Map<String, serde_json::Value> = spelled
        .enumerate()
        .map(|(id, spelled)| (char::from_u32(spelled).unwrap().to_string(), json!(id)))
        .collect();
    vocab.insert("he".to_owned(), json!(256));
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": [["h", "e"]]}
    })
    .to_string()
}

/// The same, loaded.
pub(crate) fn bytes() -> Tokenizer {
    Tokenizer::read(bytes_json().as_bytes()).unwrap()
}

/// A hundred plain words as `SentencePiece` has them, and pairs of them that are one piece each.
/// Nothing splits a text before the model sees it.
pub(crate) fn pieces(joined: &[(&str, &str)]) -> Tokenizer {
    let words = candidates().take(100).map(|word| (format!("\u{2581}{word}"), -8.0));
    let joined = joined.iter().map(|(one, other)| (format!("\u{2581}{one}\u{2581}{other}"), -9.0));
    let vocab: Vec<_> =
        std::iter::once(("<unk>".to_owned(), 0.0)).chain(words).chain(joined).collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u{2581}"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"}
        ]},
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false}
    });
    Tokenizer::read(json.to_string().as_bytes()).unwrap()
}

#[test]
fn texts_are_counted_whole_and_without_special_tokens() {
    assert_eq!(words().count("hello world hello world hello"), Some(5));
    assert_eq!(words().count("hello nobody"), Some(2));
    assert_eq!(words().count(""), Some(0));
    assert_eq!(words().token_ends("hello world").unwrap(), [5, 11]);
}

#[test]
fn ends_are_in_bytes_and_tokens_of_one_character_share_its_end() {
    let tokenizer = bytes();
    assert_eq!(tokenizer.token_ends("heh").unwrap(), [2, 3]);
    assert_eq!(tokenizer.token_ends("h\u{1f600}e").unwrap(), [1, 5, 5, 5, 5, 6]);
    assert_eq!(tokenizer.count("h\u{1f600}e"), Some(6));
}

#[tokio::test]
async fn a_file_below_the_data_directory_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), words_json()).unwrap();
    std::fs::write(dir.path().join("broken.json"), "{}").unwrap();
    let load = async |path: &str| {
        let source = TokenizerSource::try_from(path.to_owned()).unwrap();
        Tokenizer::load(&source, dir.path(), &unreachable_hub(dir.path())).await
    };
    assert_eq!(load("tokenizer.json").await.unwrap().count("hello"), Some(1));
    let missing = load("none.json").await.unwrap_err();
    assert_eq!(missing.to_string(), "tokenizer: there is no file `none.json` below DATA_DIR");
    let broken = load("broken.json").await.unwrap_err();
    assert!(broken.to_string().starts_with("tokenizer broken.json is not a tokenizer.json: "));
    assert_eq!(broken.reason().code, ReasonCode::Tokenizer);
}
