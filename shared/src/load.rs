//! How hard and how long a target is driven.

use serde::{Deserialize, Serialize};

bounded! {
    /// Virtual users, each with at most one request open: streams held at once.
    Users(u32) in 1..=10_000, "user"
}
bounded! {
    /// Users started a second, until all are there.
    SpawnRate(u32) in 1..=10_000, "spawnrate"
}
bounded! {
    /// Seconds from the first user's start in which requests are sent.
    DurationS(u32) in 1..=3_600, "duration"
}
bounded! {
    /// Seconds a user waits between the end of an answer and the next request.
    ThinkTimeS(f64) in 0.0..=600.0, "wait_min and wait_max"
}
bounded! {
    /// Seconds that open requests get after the last one was sent.
    GraceS(f64) in 0.0..=600.0, "grace"
}

/// The load shape: when requests are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "openapi",
    derive(poem_openapi::Union),
    oai(discriminator_name = "kind", rename_all = "snake_case")
)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Load {
    /// Each user sends its next request when its last has ended.
    ClosedLoop(ClosedLoop),
}

impl Load {
    /// The most requests that can be open at once.
    pub fn peak_users(&self) -> Users {
        match self {
            Self::ClosedLoop(closed) => closed.users,
        }
    }

    /// Seconds in which requests are sent.
    pub fn duration(&self) -> DurationS {
        match self {
            Self::ClosedLoop(closed) => closed.duration_s,
        }
    }
}

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
}
