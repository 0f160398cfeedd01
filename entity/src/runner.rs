//! One row for each start of a runner process.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "runner")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub name: String,
    pub version: String,
    /// `active`, `draining` or `gone`.
    pub state: String,
    /// Most users it takes in one run.
    pub max_users: i32,
    /// What it found that it can bear.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub measured: Option<Json>,
    /// An object of names and values; none: no labels.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub labels: Option<Json>,
    pub booted_at_ms: i64,
    pub last_seen_ms: i64,
    /// When somebody asked it to take up nothing more.
    pub drain_requested_at_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
