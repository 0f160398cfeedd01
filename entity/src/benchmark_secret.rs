//! The sealed key of a target; gone when the run has ended.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "benchmark_secret")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub benchmark_id: i64,
    /// Which master key sealed it.
    pub kid: String,
    pub nonce: Vec<u8>,
    /// Empty: it has expired.
    pub sealed: Vec<u8>,
    pub expires_at_ms: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
