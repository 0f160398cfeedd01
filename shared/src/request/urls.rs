//! The further servers of a run, behind the one that `url` names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reader::Reader;
use crate::{BenchmarkSpec, TargetKey, TargetUrl};

const NAME: &str = "urls";

impl Reader<'_> {
    /// Base URLs of further servers of the same model, in their order: a list of texts, or one
    /// text with commas between them. `first` is what `url` names.
    pub(super) fn urls(&mut self, first: Option<&TargetUrl>) -> Vec<TargetUrl> {
        let Some(written) = self.written_urls() else { return Vec::new() };
        if written.len() > BenchmarkSpec::MAX_URLS {
            let (most, given) = (BenchmarkSpec::MAX_URLS, written.len());
            self.refuse(NAME, format!("{NAME} must be at most {most} URLs, not {given}"));
            return Vec::new();
        }
        let mut known: BTreeMap<TargetKey, String> = BTreeMap::new();
        known.extend(first.map(|first| (first.key(), "url".to_owned())));
        let mut urls = Vec::with_capacity(written.len());
        for (nth, text) in (1..).zip(written) {
            // What was written is not repeated: it may hold a password.
            match TargetUrl::try_from(text) {
                Ok(url) => match known.insert(url.key(), format!("number {nth}")) {
                    None => urls.push(url),
                    Some(same) => {
                        let twice = format!("number {nth} of {NAME} is the same server as {same}");
                        self.refuse(NAME, twice);
                    }
                },
                Err(invalid) => self.refuse(NAME, format!("number {nth} of {NAME}: {invalid}")),
            }
        }
        urls
    }

    fn written_urls(&mut self) -> Option<Vec<String>> {
        let written = match self.given.get(NAME)? {
            Value::Null => return None,
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) => Some(text.split(',').map(str::to_owned).collect()),
            Value::Array(values) => {
                values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        if written.is_none() {
            self.refuse(
                NAME,
                format!("{NAME} must be a list of texts, or a text with commas between URLs"),
            );
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        BenchmarkSpec, Seed, TargetUrl,
        request::{Defaults, Fields, NewBenchmark},
    };

    fn parse(urls: &Value) -> Result<BenchmarkSpec, String> {
        let fields: Fields =
            [("url".to_owned(), "http://a.example".into()), ("urls".to_owned(), urls.clone())]
                .into();
        let seed = Seed::try_from(7).unwrap();
        let parsed = NewBenchmark::parse(&fields, &Defaults::default(), seed);
        parsed.map(|new| new.spec).map_err(|errors| {
            let details: Vec<_> = errors.into_iter().map(|error| error.detail).collect();
            details.join("; ")
        })
    }

    #[test]
    fn a_list_and_a_text_name_the_same_servers_and_url_stays_the_first() {
        let listed = parse(&json!(["http://b.example/v1", "http://c.example:81"])).unwrap();
        let written = parse(&json!("http://b.example/v1, http://c.example:81")).unwrap();
        assert_eq!(listed, written);
        let given: Vec<_> = listed.targets().map(TargetUrl::given).collect();
        assert_eq!(given, ["http://a.example", "http://b.example/v1", "http://c.example:81"]);
        let stored = serde_json::to_string(&listed).unwrap();
        assert_eq!(serde_json::from_str::<BenchmarkSpec>(&stored).unwrap(), listed);
    }

    #[test]
    fn without_them_a_spec_is_written_as_ever() {
        for none in [json!(null), json!(""), json!([])] {
            let spec = parse(&none).unwrap();
            assert_eq!(spec.targets().count(), 1);
            assert!(serde_json::to_value(&spec).unwrap().get("urls").is_none());
        }
    }

    #[test]
    fn what_cannot_be_further_servers_is_refused_by_number() {
        let many: Vec<_> = (1..=65).map(|port| format!("http://b.example:{port}")).collect();
        for (urls, said) in [
            (json!({"b": 1}), "urls must be a list of texts, or a text with commas between URLs"),
            (json!([1]), "urls must be a list of texts, or a text with commas between URLs"),
            (json!(many), "urls must be at most 64 URLs, not 65"),
            (
                json!("http://b.example,ftp://c.example"),
                "number 2 of urls: url must start with http:// or https://, not ftp:",
            ),
            (
                json!(["http://b.example", "http://canary:canary@c.example"]),
                "number 2 of urls: url must not hold credentials; give the key as api_key",
            ),
            (
                json!(["http://b.example", "http://A.example:80/v1"]),
                "number 2 of urls is the same server as url",
            ),
            (
                json!("http://b.example,http://b.example/v1"),
                "number 2 of urls is the same server as number 1",
            ),
        ] {
            assert_eq!(parse(&urls).unwrap_err(), said);
        }
    }
}
