//! What the store promises, on each database there is.

mod cancelling;
mod claiming;
mod creating;
mod ending;
mod idempotent;
mod listing;
mod measured;
mod migrating;
mod secrets;
mod states;
mod sweeping;
mod tickets;
mod walking;
mod world;
