//! The tables' history, for SQLite and PostgreSQL (14 or newer) alike.
//!
//! It imports nothing of ours: entities and the contract change, history does not. Times are unix
//! milliseconds by the database's clock and end in `_ms`.

#![expect(
    elided_lifetimes_in_paths,
    reason = "async-trait wants the trait's signature to the letter, which elides one"
)]

pub use sea_orm_migration::{MigratorTrait, SchemaManager};

use sea_orm_migration::{MigrationTrait, async_trait::async_trait};

mod m20261124_000001_tables;
mod m20261124_000002_triggers;
mod m20261124_000003_artifacts;
mod m20261124_000004_idempotency;
mod m20261124_000005_targets;
mod m20261124_000006_drain;
mod m20261124_000006_run_deadline;
mod m20261124_000007_sharing;
mod m20261124_000008_shards;
mod m20261124_000009_chores;
mod m20261124_000010_capacity;
mod m20261124_000010_labels;
mod m20261124_000011_shard_rows;
mod m20261129_000012_further_targets;
mod m20261129_000013_listed;
mod m20261129_000014_addresses;
mod m20261129_000015_dedupe;

/// Every migration, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261124_000001_tables::Migration),
            Box::new(m20261124_000002_triggers::Migration),
            Box::new(m20261124_000003_artifacts::Migration),
            Box::new(m20261124_000004_idempotency::Migration),
            Box::new(m20261124_000005_targets::Migration),
            Box::new(m20261124_000006_drain::Migration),
            Box::new(m20261124_000006_run_deadline::Migration),
            Box::new(m20261124_000007_sharing::Migration),
            Box::new(m20261124_000008_shards::Migration),
            Box::new(m20261124_000009_chores::Migration),
            Box::new(m20261124_000010_labels::Migration),
            Box::new(m20261124_000010_capacity::Migration),
            Box::new(m20261124_000011_shard_rows::Migration),
            Box::new(m20261129_000012_further_targets::Migration),
            Box::new(m20261129_000013_listed::Migration),
            Box::new(m20261129_000014_addresses::Migration),
            Box::new(m20261129_000015_dedupe::Migration),
        ]
    }
}
