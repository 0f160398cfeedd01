//! Runners as real processes, on both databases: what they do with the queue, and what is left when
//! they are killed, stopped, or meet a bad target.

mod capacity;
mod crashes;
mod draining;
mod metrics;
mod placing;
mod queue;
mod recorded;
mod shard_rows;
mod shards;
mod spooled;
mod targets;
mod traces;
mod yard;
