//! The same request twice is one benchmark: a client that heard no answer may ask again.

use entity::idempotency;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set};
use shared::BenchmarkId;

use crate::StoreError;

/// How long a key is remembered.
const REMEMBERED_FOR_MS: i64 = 24 * 60 * 60 * 1_000;

/// A client's own word for its request.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    /// Who asks: nobody's key is another's.
    pub principal: String,
    /// The word.
    pub key: String,
    /// A digest of what is asked for.
    pub fingerprint: [u8; 32],
}

/// Takes `key` for what the transaction `c` is about to make. Some: it was taken before, for this
/// benchmark. Whoever takes it at the same time waits until `c` has ended.
///
/// # Errors
///
/// [`StoreError::KeyReused`] where it was taken for another request.
pub(crate) async fn take<C: ConnectionTrait>(
    c: &C,
    key: &IdempotencyKey,
    now_ms: i64,
) -> Result<Option<BenchmarkId>, StoreError> {
    let IdempotencyKey { principal, key: word, fingerprint } = key;
    idempotency::Entity::delete_many()
        .filter(idempotency::Column::Principal.eq(principal))
        .filter(idempotency::Column::Key.eq(word))
        .filter(idempotency::Column::ExpiresAtMs.lte(now_ms))
        .exec(c)
        .await?;
    let taken = idempotency::ActiveModel {
        principal: Set(principal.clone()),
        key: Set(word.clone()),
        fingerprint: Set(fingerprint.to_vec()),
        benchmark_id: Set(0),
        expires_at_ms: Set(now_ms + REMEMBERED_FOR_MS),
    };
    let columns = [idempotency::Column::Principal, idempotency::Column::Key];
    let inserted = idempotency::Entity::insert(taken)
        .on_conflict(OnConflict::columns(columns).do_nothing().to_owned())
        .exec_without_returning(c)
        .await?;
    if inserted == 1 {
        return Ok(None);
    }
    let known = idempotency::Entity::find_by_id((principal.clone(), word.clone())).one(c).await?;
    // It has just run out and been swept away: the client asks again.
    let known = known.ok_or(StoreError::NoAnswer)?;
    if known.fingerprint != fingerprint {
        return Err(StoreError::KeyReused(word.clone()));
    }
    Ok(Some(BenchmarkId(known.benchmark_id)))
}

/// Notes what came of the request that `key` was taken for.
pub(crate) async fn keep<C: ConnectionTrait>(
    c: &C,
    key: &IdempotencyKey,
    id: BenchmarkId,
) -> Result<(), StoreError> {
    let kept = idempotency::ActiveModel {
        principal: Set(key.principal.clone()),
        key: Set(key.key.clone()),
        benchmark_id: Set(id.0),
        ..Default::default()
    };
    idempotency::Entity::update(kept).exec(c).await?;
    Ok(())
}

/// Forgets keys that are older than a day; how many.
pub(crate) async fn prune<C: ConnectionTrait>(c: &C, now_ms: i64) -> Result<u64, StoreError> {
    let gone = idempotency::Entity::delete_many()
        .filter(idempotency::Column::ExpiresAtMs.lte(now_ms))
        .exec(c)
        .await?;
    Ok(gone.rows_affected)
}
