//! What clients share the service by: how long targets are left alone, how much each may ask for,
//! how long what was measured is kept.

use std::time::Duration;

use crate::Aliases;

/// The rules of a process; those of one database should be the same everywhere. By default there are
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Names under which targets are known besides their own.
    pub aliases: Aliases,
    /// How long after a run its targets are left alone.
    pub cooldown: Duration,
    /// Most benchmarks of one owner that are queued or active; none: any number.
    pub quota_queued: Option<u32>,
    /// Most benchmarks that one owner submits in an hour; none: any number.
    pub quota_runs_per_hour: Option<u32>,
    /// How long what was measured by the second and by the request is kept; none: for ever.
    pub retain: Option<Duration>,
}
