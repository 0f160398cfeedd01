//! What bounds an open loop.

use serde::{Deserialize, Serialize};

use super::{
    DurationS, GraceS, MaxConcurrency, MaxRequests, RequestRate, Users,
    part::{MOST_OF_A_RUNNER, least_for},
};

/// What bounds an open loop: time, requests, and room.
///
/// No request is due from `duration_s` on, nor after `max_requests`; those still open at
/// `duration_s` get `grace_s` seconds and are then cancelled. One that is due while as many are open
/// as may be is dropped and counted, never sent later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct OpenLimits {
    /// Seconds from the start in which requests are due.
    pub duration_s: DurationS,
    /// Seconds that open requests get after that.
    pub grace_s: GraceS,
    /// Requests open at once; none: as many as become due, up to 10,000 for each 10,000 requests a
    /// second that are begun.
    pub max_concurrency: Option<MaxConcurrency>,
    /// Requests of the whole run; none: the duration alone ends it.
    pub max_requests: Option<MaxRequests>,
}

impl OpenLimits {
    /// The most requests open at once, of those due at `rate` with gaps of coefficient of variation
    /// `cv`: chance may give more than the mean, by six standard deviations at the most.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float saturates, and neither is negative"
    )]
    pub(super) fn peak(&self, rate: RequestRate, cv: f64) -> Users {
        let mean = rate.get() * f64::from(self.duration_s.get());
        let chance = if cv > 0.0 { 6.0 * (cv * mean.sqrt() + cv * cv) } else { 0.0 };
        let due = (mean + chance).ceil() as u32;
        let due = self.max_requests.map_or(due, |most| due.min(most.get()));
        at_most(due, self.max_concurrency, rate.get())
    }
}

/// `due` requests, as far as `max_concurrency` lets them be open; else the most of as many runners as
/// `rate`, in requests a second, takes.
pub(super) fn at_most(due: u32, max_concurrency: Option<MaxConcurrency>, rate: f64) -> Users {
    let most = max_concurrency
        .map_or_else(|| least_for(rate).saturating_mul(MOST_OF_A_RUNNER), MaxConcurrency::get);
    Users(due.clamp(Users::MIN, Users::MAX).min(most))
}
