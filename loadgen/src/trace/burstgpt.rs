//! `BurstGPT`: CSV with `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`.
//!
//! Source: README of HPMLL/BurstGPT; release 2.0 has `Session ID` and `Elapsed time` too. Times are
//! seconds from the first day's midnight. Responses of 0 tokens are requests that failed when they
//! were recorded; they are sent like the others.

use super::{cells::shortened, columns::Layout, error::LineError, from_seconds};

pub(super) const LAYOUT: Layout = Layout {
    time: "Timestamp",
    input: "Request tokens",
    output: "Response tokens",
    at_us: |field, time| {
        let no_time = |_| LineError::NoTime { field, value: shortened(time) };
        from_seconds(field, time.parse().map_err(no_time)?)
    },
};
