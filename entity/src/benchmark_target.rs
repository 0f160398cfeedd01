//! The servers of a benchmark. Triggers write the first of them, and who is active or waits.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "benchmark_target")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub benchmark_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub target_key: String,
    /// Whether the benchmark is running or being cancelled.
    pub active: bool,
    /// At most one active row of each key, where it is set.
    pub exclusive: bool,
    /// Whether the benchmark is queued, and this is not the first of its targets.
    pub waits: bool,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
