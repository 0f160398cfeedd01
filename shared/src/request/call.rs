//! How the target is to be asked.

use super::reader::Reader;
use crate::{Call, Endpoint, ExtraBody, ExtraHeaders, HttpVersion};

/// Fields about an answer's text; embeddings have none.
const OF_TEXTS: &[&str] =
    &["max_tokens", "min_tokens", "output_tokens", "ignore_eos", "temperature", "top_p", "turns"];

/// Limits of figures that only streamed answers have.
const OF_STREAMS: &[&str] = &["slo", "slo_ttft_ms", "slo_tpot_ms", "slo_itl_ms"];

impl Reader<'_> {
    /// The endpoint and how it is to answer.
    pub(super) fn call(&mut self) -> Call {
        let endpoint: Endpoint = self.parsed("endpoint").unwrap_or_default();
        let generates = endpoint != Endpoint::Embeddings;
        let stream = self.flag("stream", generates);
        if !generates {
            if stream {
                let detail =
                    "stream cannot be true with endpoint embeddings: they are not streamed";
                self.refuse("stream", detail.to_owned());
            }
            self.refuse_each(OF_TEXTS, "endpoint embeddings");
        }
        if !stream {
            let why = "stream=false: an answer that is not streamed has no token times";
            self.refuse_each(OF_STREAMS, why);
        }
        let extra_body = self.object::<ExtraBody>("extra_body");
        let extra_headers = self.object::<ExtraHeaders>("extra_headers");
        let http_version = self.http_version();
        Call { endpoint, stream, extra_body, extra_headers, http_version }
    }

    /// As text or, in JSON, as the number that it looks like.
    fn http_version(&mut self) -> HttpVersion {
        let Some(text) = self.text("http_version") else { return HttpVersion::default() };
        HttpVersion::try_from(text)
            .map_err(|refused| self.refuse("http_version", refused.to_string()))
            .unwrap_or_default()
    }

    fn refuse_each(&mut self, names: &[&str], with: &str) {
        for name in names {
            if self.text(name).is_some() {
                self.refuse(name, format!("{name} cannot be given with {with}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
