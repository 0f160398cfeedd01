//! What happened to a benchmark, in order; written in the transaction that made it so.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "benchmark_event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub benchmark_id: i64,
    /// From 1 up, without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub at_ms: i64,
    /// None: it was created.
    pub from_status: Option<String>,
    pub to_status: String,
    pub fence: i64,
    /// `api`, `sweeper`, or the id of a runner.
    pub actor: String,
    pub reason_code: Option<String>,
    pub reason_detail: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
