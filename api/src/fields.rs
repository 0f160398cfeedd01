//! What a request carries, from its query, its form or its JSON object, as the flat fields that
//! the contract is read from.
//!
//! Nothing here knows what a field means: names and values go to `shared::request` as they came.
//! Here is refused what cannot be read at all: bad encodings, a name given twice, too much.

use std::{collections::btree_map::Entry, fmt, time::Duration};

use poem::{FromRequest, Request, RequestBody, error::ReadBodyError, http::header};
use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::Value;
use shared::{
    FieldError,
    request::{Field, Fields, Kind as FieldKind},
};

use crate::problem::{ApiError, Kind};

/// Largest body accepted, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 256 * 1024;
/// Deepest nesting of JSON accepted.
const MAX_JSON_DEPTH: usize = 32;
/// Longest time a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Fields from query, form and JSON; what the body says wins.
#[derive(Debug)]
pub(crate) struct Given(pub(crate) Fields);

/// Fields from a JSON object alone.
#[derive(Debug)]
pub(crate) struct GivenJson(pub(crate) Fields);

/// Fields from the query alone.
#[derive(Debug)]
pub(crate) struct GivenQuery(pub(crate) Fields);

impl<'a> FromRequest<'a> for Given {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let mut fields = in_query(request)?;
        let content = read(request, body).await?;
        if !content.is_empty() {
            fields.extend(match media_type(request).as_deref() {
                Some(FORM) => pairs(&content, "the form")?,
                Some(JSON) => object(&content)?,
                other => return Err(unsupported(other, &[JSON, FORM]).into()),
            });
        }
        Ok(Self(fields))
    }
}

impl<'a> FromRequest<'a> for GivenJson {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        if let Some(name) = in_query(request)?.keys().next() {
            let detail = format!("{} belongs into the JSON body here, not the query", shown(name));
            return Err(ApiError::told(Kind::MALFORMED, detail).into());
        }
        match media_type(request).as_deref() {
            Some(JSON) => Ok(Self(object(&read(request, body).await?)?)),
            other => Err(unsupported(other, &[JSON]).into()),
        }
    }
}

impl<'a> FromRequest<'a> for GivenQuery {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(in_query(request)?))
    }
}

fn in_query(request: &Request) -> Result<Fields, ApiError> {
    pairs(request.uri().query().unwrap_or_default().as_bytes(), "the query")
}

async fn read(request: &Request, body: &mut RequestBody) -> Result<Vec<u8>, ApiError> {
    let too_large = || {
        let detail = format!("the body must be at most {MAX_BODY_BYTES} bytes long");
        ApiError::told(Kind::TOO_LARGE, detail)
    };
    let announced = request.header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if announced.is_some_and(|length: usize| length > MAX_BODY_BYTES) {
        return Err(too_large());
    }
    let Ok(body) = body.take() else { return Ok(Vec::new()) };
    match tokio::time::timeout(BODY_TIME, body.into_bytes_limit(MAX_BODY_BYTES)).await {
        Ok(Ok(content)) => Ok(content.into()),
        Ok(Err(ReadBodyError::PayloadTooLarge)) => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::told(Kind::MALFORMED, "the body broke off")),
        Err(_) => {
            let detail = format!("the body must arrive within {} s", BODY_TIME.as_secs());
            Err(ApiError::told(Kind::TIMEOUT, detail))
        }
    }
}

fn media_type(request: &Request) -> Option<String> {
    let essence = request.content_type()?.split(';').next()?;
    Some(essence.trim().to_ascii_lowercase())
}

fn unsupported(given: Option<&str>, known: &[&str]) -> ApiError {
    let given = given.map_or("nothing".to_owned(), shown);
    let detail = format!("the content type must be {}, not {given}", known.join(" or "));
    ApiError::told(Kind::MEDIA_TYPE, detail)
}

/// `name=value&…`, percent-encoded UTF-8.
fn pairs(encoded: &[u8], place: &str) -> Result<Fields, ApiError> {
    let mut fields = Fields::new();
    for pair in encoded.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = (&pair[..equals], pair.get(equals + 1..).unwrap_or_default());
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            return Err(ApiError::told(Kind::MALFORMED, format!("{place} is not UTF-8")));
        };
        match fields.entry(name) {
            Entry::Vacant(entry) => entry.insert(Value::String(value)),
            Entry::Occupied(entry) => {
                let detail = format!("{} is given twice in {place}", shown(entry.key()));
                return Err(ApiError::told(Kind::MALFORMED, detail));
            }
        };
    }
    Ok(fields)
}

/// Percent-decoded text; none: the bytes are not UTF-8.
fn decoded(encoded: &[u8]) -> Option<String> {
    let hex = |at: usize| char::from(*encoded.get(at)?).to_digit(16);
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut at = 0;
    while let Some(byte) = encoded.get(at) {
        let escaped = if *byte == b'%' { hex(at + 1).zip(hex(at + 2)) } else { None };
        if let Some((high, low)) = escaped {
            bytes.push(u8::try_from(high * 16 + low).ok()?);
            at += 3;
        } else {
            bytes.push(if *byte == b'+' { b' ' } else { *byte });
            at += 1;
        }
    }
    String::from_utf8(bytes).ok()
}

/// A JSON object's members.
fn object(content: &[u8]) -> Result<Fields, ApiError> {
    let malformed = |detail: String| ApiError::told(Kind::MALFORMED, detail);
    let text =
        std::str::from_utf8(content).map_err(|_| malformed("the body is not UTF-8".into()))?;
    if depth(text) > MAX_JSON_DEPTH {
        return Err(malformed(format!("the body is nested deeper than {MAX_JSON_DEPTH} levels")));
    }
    if !text.trim_start().starts_with('{') {
        return Err(malformed("the body must be a JSON object".into()));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let members = reader.deserialize_map(Members).and_then(|fields| {
        reader.end()?;
        Ok(fields)
    });
    members.map_err(|error| malformed(format!("the body is no JSON that can be read: {error}")))
}

/// How deep brackets nest outside of strings; brackets that do not match are the parser's matter.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Reads members one by one: serde's own maps keep the last of two equal names in silence.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("{} is given twice", shown(&name))));
            }
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

/// A client's text as an error may repeat it.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(64).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Reads the parameters of a query that its own table describes.
pub(crate) struct Parameters<'a> {
    given: &'a Fields,
    table: &'static [Field],
    errors: Vec<FieldError>,
}

impl<'a> Parameters<'a> {
    pub(crate) fn new(given: &'a Fields, table: &'static [Field]) -> Self {
        let unknown = given.keys().filter(|name| table.iter().all(|field| field.name != *name));
        let errors = unknown.map(|name| {
            let name = shown(name);
            FieldError::new(&name, format!("{name} is no known parameter"))
        });
        Self { given, table, errors: errors.collect() }
    }

    /// The parameter's text; absent and empty are both none.
    pub(crate) fn text(&mut self, name: &str) -> Option<&'a str> {
        let text = self.given.get(name)?.as_str()?.trim();
        let field = self.table.iter().find(|field| field.name == name)?;
        match field.kind {
            FieldKind::Text { max_chars } if text.chars().count() > max_chars => {
                self.refuse(name, format!("{name} must be at most {max_chars} characters long"));
                None
            }
            _ => Some(text).filter(|text| !text.is_empty()),
        }
    }

    /// The parameter's number, within the table's limits.
    pub(crate) fn whole(&mut self, name: &str) -> Option<u32> {
        let text = self.text(name)?;
        let field = self.table.iter().find(|field| field.name == name)?;
        let FieldKind::Integer { min, max } = field.kind else { return None };
        match text.parse::<u32>() {
            Ok(number) if (min..=max).contains(&u64::from(number)) => Some(number),
            Err(_) if text.parse::<f64>().is_err() => {
                let limits = format!("a whole number between {min} and {max}");
                self.refuse(name, format!("{name} must be {limits}, not `{}`", shown(text)));
                None
            }
            _ => {
                let limits = format!("between {min} and {max}");
                self.refuse(name, format!("{name} must be {limits}, not {}", shown(text)));
                None
            }
        }
    }

    /// The parameter's yes or no.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => {
                self.refuse(name, format!("{name} must be true or false, not `{}`", shown(text)));
                None
            }
        }
    }

    pub(crate) fn refuse(&mut self, name: &str, detail: String) {
        self.errors.push(FieldError::new(name, detail));
    }

    /// All that was wrong.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors.into()) }
    }
}

#[cfg(test)]
mod tests;
