//! The files that a benchmark has in the artifact store.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "benchmark_artifact")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub benchmark_id: i64,
    /// What it is: `requests`; of another runner's shard, `requests-1` and so on.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Its key in the store.
    pub key: String,
    /// How many rows it has.
    pub row_count: i64,
    /// Its length in bytes.
    pub byte_count: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
