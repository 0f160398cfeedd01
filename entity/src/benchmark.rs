//! One row a benchmark: what was asked, where it stands, who holds it, what was measured.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "benchmark")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// A word of the state machine.
    pub status: String,
    pub reason_code: Option<String>,
    pub reason_detail: Option<String>,
    /// Counts the changes a client can see.
    pub version: i64,
    /// Higher goes first.
    pub priority: i32,
    /// Not to be claimed before.
    pub run_at_ms: i64,
    /// Not to be claimed after; then it has timed out.
    pub queued_deadline_ms: Option<i64>,
    /// Labels that its runner must have, an object of names and values; none: any runner will do.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub labels: Option<Json>,
    /// At most one active row of each, where `exclusive`.
    pub target_key: String,
    pub exclusive: bool,
    pub url: String,
    /// Empty until it is known.
    pub model: String,
    /// Empty: none.
    pub tokenizer: String,
    pub dataset: String,
    /// Requests open at once, at most.
    pub users: i32,
    /// Runners that make its load together; 0: as many as it takes.
    pub runners: i32,
    pub spawnrate: i32,
    pub duration_s: i32,
    #[sea_orm(column_type = "JsonBinary")]
    pub spec: Json,
    pub notes: String,
    pub favorite: bool,
    /// Grows with every claim and every loss; a write with an older one is refused.
    pub fence: i64,
    /// How often it was claimed and not given back.
    pub claims: i32,
    /// The runner that has or had it.
    pub runner_id: Option<String>,
    pub lease_until_ms: Option<i64>,
    /// The point of no return: from here on, requests may have reached the target.
    pub load_started_at_ms: Option<i64>,
    /// When it must be over; none before it sends load.
    pub run_deadline_ms: Option<i64>,
    pub cancel_requested_at_ms: Option<i64>,
    pub created_at_ms: i64,
    pub queued_at_ms: i64,
    pub started_at_ms: Option<i64>,
    pub finished_at_ms: Option<i64>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub progress: Option<Json>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub report: Option<Json>,
    /// Where its targets were when its load began, with commas between.
    pub addresses: Option<String>,
    /// Who submitted it.
    pub owner: String,
    /// A digest of what was asked for: while this one waits or runs, the owner has no other of it;
    /// none: there may be any number.
    pub dedupe: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
