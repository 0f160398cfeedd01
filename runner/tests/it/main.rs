//! Runners as real processes, on both databases: what they do with the queue, and what is left when
//! they are killed, stopped, or meet a bad target.

mod crashes;
mod draining;
mod metrics;
mod queue;
mod recorded;
mod spooled;
mod targets;
mod traces;
mod yard;
