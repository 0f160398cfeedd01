//! What the store promises, on each database there is.

mod cancelling;
mod chores;
mod claiming;
mod creating;
mod ending;
mod fairness;
mod gathering;
mod idempotent;
mod interleaved;
mod left;
mod listing;
mod measured;
mod migrating;
mod model;
mod modelled;
mod placing;
mod secrets;
mod several_targets;
mod shards;
mod sharing;
mod states;
mod sweeping;
mod tickets;
mod waiting;
mod walking;
mod world;
