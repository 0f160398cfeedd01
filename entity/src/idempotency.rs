//! Keys under which clients have submitted, so that the same request twice is one benchmark.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency")]
pub struct Model {
    /// Who submitted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub principal: String,
    /// The client's own word for its request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// A digest of what was asked for.
    pub fingerprint: Vec<u8>,
    /// What came of it. No foreign key: a deleted benchmark must not be made again.
    pub benchmark_id: i64,
    pub expires_at_ms: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
