//! Quotas in headers, as draft-ietf-httpapi-ratelimit-headers has them.

use poem::http::HeaderValue;
use store::Quota;

/// `RateLimit-Policy` and `RateLimit`.
pub(crate) struct RateLimit {
    /// `"runs";q=20;w=3600`: how many there may be, in so many seconds or at once.
    pub(crate) policy: String,
    /// `"runs";r=19;t=1234`: how many more, and after how many seconds there are more.
    pub(crate) rest: String,
}

impl RateLimit {
    /// What `quotas` say; none where there are none.
    pub(crate) fn of(quotas: &[Quota]) -> Option<Self> {
        let list = |item: fn(&Quota) -> String| -> String {
            quotas.iter().map(item).collect::<Vec<_>>().join(", ")
        };
        (!quotas.is_empty()).then(|| Self { policy: list(policy), rest: list(rest) })
    }

    /// The headers, each with its value.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, HeaderValue)> {
        let both = [("ratelimit-policy", &self.policy), ("ratelimit", &self.rest)];
        both.into_iter()
            .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value).ok()?)))
    }
}

fn policy(quota: &Quota) -> String {
    let Quota { name, limit, window_s, .. } = quota;
    format!("\"{name}\";q={limit}{}", parameter("w", *window_s))
}

fn rest(quota: &Quota) -> String {
    let Quota { name, left, more_in_s, .. } = quota;
    format!("\"{name}\";r={left}{}", parameter("t", *more_in_s))
}

fn parameter(name: &str, seconds: Option<u64>) -> String {
    seconds.map(|seconds| format!(";{name}={seconds}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_quotas_share_a_header() {
        let runs =
            Quota { name: "runs", limit: 20, window_s: Some(3_600), left: 19, more_in_s: Some(9) };
        let queued = Quota { name: "queued", limit: 5, window_s: None, left: 2, more_in_s: None };
        let both = RateLimit::of(&[runs, queued]).unwrap();
        assert_eq!(both.policy, "\"runs\";q=20;w=3600, \"queued\";q=5");
        assert_eq!(both.rest, "\"runs\";r=19;t=9, \"queued\";r=2");
        assert!(RateLimit::of(&[]).is_none());
    }
}
