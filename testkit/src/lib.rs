//! testkit

mod database;
pub mod process;
mod scripted;

pub use database::TestDatabase;
pub use scripted::{Chat, Received, Script, ScriptedServer, Stagecraft, Wrote};
