//! testkit

mod database;
pub mod process;
mod scripted;
mod tls;

pub use database::TestDatabase;
pub use scripted::{Chat, Received, Script, ScriptedServer, Stagecraft, Wrote};
pub use tls::{TlsFront, run_again_trusting, trusted_ports};
