//! The simulator over real connections, read by a plain HTTP client.

mod faults;
mod streams;
mod talk;
