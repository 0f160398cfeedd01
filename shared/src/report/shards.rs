//! Who made a load together.

use serde::{Deserialize, Serialize};

/// One of several runners that made a load together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct ShardEnvironment {
    /// Which part of the load was its, from 0 on: the users and requests whose index leaves this
    /// remainder when it is divided by the number of shards.
    pub shard: u32,
    /// The runner's name.
    pub runner: String,
    /// Host name.
    pub host: String,
    /// Version of the program.
    pub version: String,
    /// Cores of the machine.
    pub cpus: u32,
    /// Load threads.
    pub load_threads: u32,
    /// By how much its beginning may be off the common instant, in milliseconds: half the shortest
    /// of some round trips to the database, by whose clock all begin.
    pub clock_error_ms: f64,
}
