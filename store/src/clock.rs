//! The only clock that judges anything: the database's.
//!
//! Hosts disagree about the time; everything stored is stamped, and every lease is judged, by the
//! one clock that all of them share.

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::StoreError;

/// The clock as SQL: unix milliseconds.
pub(crate) const fn sql(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "(extract(epoch from clock_timestamp()) * 1000)::bigint",
        _ => "cast(round(unixepoch('subsec') * 1000) as integer)",
    }
}

/// Now, as an expression: unix milliseconds.
pub(crate) fn expr(backend: DbBackend) -> SimpleExpr {
    Expr::cust(sql(backend))
}

/// Now, read once: unix milliseconds. What a transaction writes carries one time.
///
/// Whatever holds a transaction up after this makes leases end earlier, never later.
pub(crate) async fn now<C: ConnectionTrait>(connection: &C) -> Result<i64, StoreError> {
    let backend = connection.get_database_backend();
    let asked = Statement::from_string(backend, format!("SELECT {} AS now_ms", sql(backend)));
    let row = connection.query_one_raw(asked).await?.ok_or(StoreError::NoAnswer)?;
    Ok(row.try_get("", "now_ms")?)
}

/// Now in unix microseconds; SQLite knows milliseconds only.
pub(crate) async fn now_us<C: ConnectionTrait>(connection: &C) -> Result<i64, StoreError> {
    let backend = connection.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => "SELECT (extract(epoch from clock_timestamp()) * 1e6)::bigint AS us",
        _ => "SELECT cast(round(unixepoch('subsec') * 1000) as integer) * 1000 AS us",
    };
    let row = connection.query_one_raw(Statement::from_string(backend, sql)).await?;
    Ok(row.ok_or(StoreError::NoAnswer)?.try_get("", "us")?)
}

/// Whether the database is PostgreSQL.
pub(crate) fn is_postgres<C: ConnectionTrait>(connection: &C) -> bool {
    connection.get_database_backend() == DbBackend::Postgres
}
