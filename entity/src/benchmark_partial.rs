//! What was measured so far of a run that goes on; gone when it has ended.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "benchmark_partial")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub benchmark_id: i64,
    /// 0 where one runner drives the whole run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub shard: i32,
    pub fence: i64,
    /// Counts the writes.
    pub seq: i64,
    pub at_ms: i64,
    #[sea_orm(column_type = "JsonBinary")]
    pub report: Json,
    #[sea_orm(column_type = "JsonBinary")]
    pub series: Json,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
