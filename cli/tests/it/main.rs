//! `llm-bench` as a person meets it: real processes, real sockets, exit codes, what is printed.

mod bench;
mod demo;
mod interrupts;
mod queue;
mod refusals;
mod requests;
mod runners;
mod running;
