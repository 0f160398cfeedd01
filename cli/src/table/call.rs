//! How the target is asked, in words.

use shared::{Call, Endpoint, HttpVersion};

/// What `call` says beside a plain streamed chat, in one line.
pub(super) fn words(call: &Call) -> String {
    let streamed = match (call.stream, call.endpoint) {
        (true, _) => ", streamed",
        (false, Endpoint::Embeddings) => "",
        (false, _) => ", not streamed",
    };
    let body = if call.extra_body.is_some() { ", extra body" } else { "" };
    let headers = if call.extra_headers.is_some() { ", extra headers" } else { "" };
    let http = match call.http_version {
        HttpVersion::Http1 => "",
        HttpVersion::Http2 => ", over HTTP/2",
    };
    format!("{}{streamed}{body}{headers}{http}", call.endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_in_a_line() {
        let said = |endpoint, stream| words(&Call { endpoint, stream, ..Call::default() });
        assert_eq!(said(Endpoint::Responses, true), "responses, streamed");
        assert_eq!(said(Endpoint::Chat, false), "chat, not streamed");
        assert_eq!(said(Endpoint::Embeddings, false), "embeddings");
        let multiplexed = Call { http_version: HttpVersion::Http2, ..Call::default() };
        assert_eq!(words(&multiplexed), "chat, streamed, over HTTP/2");
    }
}
