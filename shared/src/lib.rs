//! The contract: whatever crosses a process boundary.
//!
//! What a client asks for ([`request`]), what that becomes ([`BenchmarkSpec`]), how a benchmark
//! lives ([`State`], [`Progress`]) and what is read in the end ([`Report`], [`Benchmark`]). No I/O,
//! no async, no clock: it must outlive every library around it.

#[cfg(feature = "openapi")]
#[macro_use]
mod openapi;
#[macro_use]
mod bounded;

pub mod benchmark;
mod call;
mod extra;
mod id;
mod labels;
mod lengths;
mod load;
pub mod machine;
mod margins;
mod on_lost;
mod problem;
mod progress;
mod prompts;
mod queue;
pub mod report;
pub mod request;
mod runner;
mod slo;
mod spec;
mod state;
mod stops;
mod synthetic;
mod target;
mod timestamp;
mod waiting;

pub use benchmark::Benchmark;
pub use bounded::OutOfRange;
pub use call::{Call, Endpoint, HttpVersion, UnknownEndpoint, UnknownHttpVersion};
pub use extra::{ExtraBody, ExtraHeaders, InvalidExtra};
pub use id::{BenchmarkId, RunnerId};
pub use labels::{InvalidLabels, Labels};
pub use lengths::{
    Bell, BellShape, InvalidLengths, LengthMix, MOST_PROMPT_TOKENS, MixPart, TokenLength,
};
pub use load::{
    AllAtOnce, ClosedLoop, Constant, DurationS, Gamma, GraceS, InvalidStages, Load,
    MOST_OF_A_RUNNER, MaxConcurrency, MaxRequests, OpenLimits, Poisson, Ramp, Replay, RequestRate,
    RequestsPerUser, SpawnRate, Stage, StageDurationS, StageShape, StageTarget, Staged, Stages,
    StagesOf, ThinkTimeS, TooLargePart, TraceFormat, TracePath, TraceSpeed, UnknownTraceFormat,
    Users, Variation,
};
pub use margins::{MarginS, Margins};
pub use on_lost::{OnLost, UnknownOnLost};
pub use problem::{FieldError, Problem};
pub use progress::{Phase, Progress};
pub use prompts::{InvalidSource, PromptSource, TokenizerSource};
pub use queue::{Aborted, InState, QueueState, TargetState, Unplaced};
pub use report::{Report, SecondRow};
pub use runner::{Capacity, Runner, RunnerState};
pub use slo::{Slo, SloMs, SloPreset, UnknownPreset};
pub use spec::{
    BenchmarkSpec, MaxTokens, MinTokens, Output, Runners, Sampling, Seed, Temperature, TimeoutS,
    Timeouts, TopP, Turns,
};
pub use state::{Reason, ReasonCode, State};
pub use stops::{MaxErrorRate, Stops};
pub use synthetic::{PrefixCount, PrefixTokens, Prefixes, Synthetic};
pub use target::{InvalidTarget, ModelName, TargetKey, TargetUrl};
pub use timestamp::Timestamp;
pub use waiting::{Priority, QueueTimeoutS, Waiting};
