//! The API over real databases, as its clients see it.

mod app;
mod contract;
mod following;
mod gate;
mod idempotency;
mod input;
mod life;
mod original;
mod process;
mod processes;
mod queue;
mod reading;
mod requests;
mod runs;
mod schema;
mod secrets;
mod targets;
