//! How hard and how long a target is driven.
//!
//! A closed loop has users who each wait for their answer; an open loop sends when a request is
//! due, whatever has become of those before it. One file each.

mod all_at_once;
mod closed_loop;
mod constant;
mod gamma;
mod open;
mod part;
mod poisson;
mod replay;
mod staged;

use serde::{Deserialize, Serialize};

pub use self::{
    all_at_once::AllAtOnce,
    closed_loop::ClosedLoop,
    constant::Constant,
    gamma::Gamma,
    open::OpenLimits,
    part::{MOST_OF_A_RUNNER, TooLargePart},
    poisson::Poisson,
    replay::{Replay, TraceFormat, TracePath, TraceSpeed, UnknownTraceFormat},
    staged::{
        InvalidStages, Ramp, Stage, StageDurationS, StageShape, StageTarget, Staged, Stages,
        StagesOf,
    },
};

bounded! {
    /// Virtual users, each with at most one request open: streams held at once. As many as 64 runners
    /// make together.
    Users(u32) in 1..=640_000, "user"
}
bounded! {
    /// Users started a second, until all are there.
    SpawnRate(u32) in 1..=640_000, "spawnrate"
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
bounded! {
    /// Requests a second.
    RequestRate(f64) in 0.001..=640_000.0, "rate"
}
bounded! {
    /// Coefficient of variation of the gaps between requests: their standard deviation / mean.
    Variation(f64) in 0.01..=10.0, "cv"
}
bounded! {
    /// Requests open at once, beyond which one that is due is dropped.
    MaxConcurrency(u32) in 1..=640_000, "max_concurrency"
}
bounded! {
    /// Requests of a whole run, after which no more are due.
    MaxRequests(u32) in 1..=10_000_000, "max_requests"
}

bounded! {
    /// Requests of each user, after which it sends no more.
    RequestsPerUser(u32) in 1..=1_000_000, "requests_per_user"
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
    /// Requests are due at equal distances.
    Constant(Constant),
    /// Requests are due at random, each independent of the others.
    Poisson(Poisson),
    /// Requests are due at random, more evenly or more in bursts than those of Poisson.
    Gamma(Gamma),
    /// All requests are due at once.
    AllAtOnce(AllAtOnce),
    /// Users or a rate, changing stage by stage.
    Staged(Staged),
    /// Requests are due when those of a recorded load came.
    Trace(Replay),
}

impl Load {
    /// The word that its `kind` is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ClosedLoop(_) => "closed_loop",
            Self::Constant(_) => "constant",
            Self::Poisson(_) => "poisson",
            Self::Gamma(_) => "gamma",
            Self::AllAtOnce(_) => "all_at_once",
            Self::Staged(_) => "staged",
            Self::Trace(_) => "trace",
        }
    }

    /// The most requests that can be open at once. An open loop drops what is due beyond it.
    ///
    /// That is `max_concurrency`, where it was given; else the number of requests that can become
    /// due, up to the most of a runner for each that the rate takes. Of a trace that number is known
    /// where it is read.
    pub fn peak_users(&self) -> Users {
        match self {
            Self::ClosedLoop(closed) => closed.users,
            Self::Constant(load) => load.limits.peak(load.rate, 0.0),
            Self::Poisson(load) => load.limits.peak(load.rate, 1.0),
            Self::Gamma(load) => load.limits.peak(load.rate, load.cv.get()),
            Self::AllAtOnce(load) => open::at_most(load.requests.get(), load.max_concurrency, 0.0),
            Self::Staged(load) => load.peak_users(),
            Self::Trace(load) => load.peak(),
        }
    }

    /// Users started a second; 0 where there is no such rate.
    pub fn spawn_rate(&self) -> u32 {
        match self {
            Self::ClosedLoop(closed) => closed.spawn_rate.get(),
            _ => 0,
        }
    }

    /// Seconds in which requests are sent.
    pub fn duration(&self) -> DurationS {
        match self {
            Self::ClosedLoop(closed) => closed.duration_s,
            Self::AllAtOnce(load) => load.duration_s,
            Self::Staged(load) => load.stages.duration(),
            Self::Constant(Constant { limits, .. })
            | Self::Poisson(Poisson { limits, .. })
            | Self::Gamma(Gamma { limits, .. })
            | Self::Trace(Replay { limits, .. }) => limits.duration_s,
        }
    }

    /// Requests after which no more are sent; none: time alone ends the load.
    pub fn max_requests(&self) -> Option<MaxRequests> {
        match self {
            Self::ClosedLoop(closed) => closed.max_requests,
            Self::AllAtOnce(load) => Some(load.requests),
            Self::Staged(load) => load.max_requests,
            Self::Constant(Constant { limits, .. })
            | Self::Poisson(Poisson { limits, .. })
            | Self::Gamma(Gamma { limits, .. })
            | Self::Trace(Replay { limits, .. }) => limits.max_requests,
        }
    }

    /// Seconds that open requests get after that.
    pub fn grace(&self) -> GraceS {
        match self {
            Self::ClosedLoop(closed) => closed.grace_s,
            Self::AllAtOnce(load) => load.grace_s,
            Self::Staged(load) => load.grace_s,
            Self::Constant(Constant { limits, .. })
            | Self::Poisson(Poisson { limits, .. })
            | Self::Gamma(Gamma { limits, .. })
            | Self::Trace(Replay { limits, .. }) => limits.grace_s,
        }
    }
}

#[cfg(test)]
mod tests;
