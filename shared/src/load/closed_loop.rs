//! Users who wait for their answers.

use serde::{Deserialize, Serialize};

use super::{DurationS, GraceS, MaxRequests, RequestsPerUser, SpawnRate, ThinkTimeS, Users};

/// A closed loop, with Locust's meaning.
///
/// User `i` starts `i / spawn_rate` seconds after the first. From `duration_s` on no request is
/// sent; those still open get `grace_s` seconds and are then cancelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct ClosedLoop {
    /// Virtual users.
    pub users: Users,
    /// Users started a second.
    pub spawn_rate: SpawnRate,
    /// Seconds from the first user's start in which requests are sent.
    pub duration_s: DurationS,
    /// Shortest wait between two requests of a user, in seconds.
    pub wait_min_s: ThinkTimeS,
    /// Longest wait between two requests of a user, in seconds.
    pub wait_max_s: ThinkTimeS,
    /// Seconds that open requests get after the last one was sent.
    pub grace_s: GraceS,
    /// Requests of all users together, after which none is sent; none: the duration alone ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(skip_serializing_if_is_none))]
    pub max_requests: Option<MaxRequests>,
    /// Requests of each user, after which it sends no more; none: as many as there is time for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(skip_serializing_if_is_none))]
    pub requests_per_user: Option<RequestsPerUser>,
}
