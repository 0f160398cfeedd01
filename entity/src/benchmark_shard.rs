//! Another runner's part of a load that several make together; there while their run goes on.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "benchmark_shard")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub benchmark_id: i64,
    /// From 1 on: 0 is that of the runner that holds the run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub shard: i32,
    /// The run's, when it was claimed.
    pub fence: i64,
    /// `waiting`, `preparing`, `ready`, `ended` or `failed`.
    pub status: String,
    /// Most requests open at once.
    pub users: i32,
    /// Who has it; none while it waits.
    pub runner_id: Option<String>,
    pub lease_until_ms: Option<i64>,
    /// When all begin, in unix microseconds by the database's clock; none: they do not yet.
    pub start_at_us: Option<i64>,
    /// Whether its runner is to stop at once and to tell what it measured.
    pub stop: bool,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub environment: Option<Json>,
    /// Why it failed.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub reason: Option<Json>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub progress: Option<Json>,
    /// Counts the writes of `figures`.
    pub figures_seq: i64,
    /// What it measured so far, in the instrument's own form.
    pub figures: Option<Vec<u8>>,
    /// Whether `figures` is all it will have measured: its load is over.
    pub measured: bool,
    /// Where its rows are, or why they are nowhere; none: that is not known yet.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub requests: Option<Json>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
