//! Requests to cancel, on their way to the runner that must know at once.
//!
//! They are only hints that save waiting: the truth is the row's state, which every renewal of a
//! lease brings back.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use sea_orm::{ConnectionTrait, Statement};
use shared::BenchmarkId;
use sqlx::postgres::{PgListener, PgPool};

use crate::{Store, StoreError, clock};

/// PostgreSQL's channel; what it carries is an id and nothing else.
const CHANNEL: &str = "benchmark_control";

/// How long to wait before listening again after the connection was lost.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells other processes, when the transaction `c` is committed. SQLite has no such thing.
pub(crate) async fn notify<C: ConnectionTrait>(c: &C, id: BenchmarkId) -> Result<(), StoreError> {
    if clock::is_postgres(c) {
        let values = [CHANNEL.into(), id.to_string().into()];
        let sql = "SELECT pg_notify($1, $2)";
        let backend = c.get_database_backend();
        c.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}

impl Store {
    /// Tells this process.
    pub(crate) fn announce(&self, id: BenchmarkId) {
        // Nobody listens where no runner lives.
        let _ = self.inner.cancels.send(id);
    }

    /// Ids of benchmarks that somebody asked to cancel, as it happens; some come twice, none comes
    /// that belongs to no benchmark, and an outage may swallow one: see
    /// [`Store::cancel_requested`]. On SQLite only what this process was asked.
    pub fn cancellations(&self) -> BoxStream<'static, BenchmarkId> {
        let here = stream::unfold(self.inner.cancels.subscribe(), async |mut receiver| {
            use tokio::sync::broadcast::error::RecvError;
            loop {
                match receiver.recv().await {
                    Ok(id) => return Some((id, receiver)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        match self.inner.database.postgres() {
            Some(pool) => stream::select(here, elsewhere(pool.clone())).boxed(),
            None => here.boxed(),
        }
    }
}

fn elsewhere(pool: PgPool) -> impl futures::Stream<Item = BenchmarkId> + Send {
    stream::unfold((pool, None), async |(pool, mut listener): (PgPool, Option<PgListener>)| {
        loop {
            if pool.is_closed() {
                return None;
            }
            let heard = match &mut listener {
                Some(listener) => listener.recv().await,
                None => match listen(&pool).await {
                    Ok(listening) => {
                        listener = Some(listening);
                        continue;
                    }
                    Err(refused) => Err(refused),
                },
            };
            match heard {
                Ok(notification) => {
                    if let Ok(id) = notification.payload().parse() {
                        return Some((BenchmarkId(id), (pool, listener)));
                    }
                }
                Err(lost) => {
                    tracing::debug!(error = %lost, "not listening for requests to cancel");
                    listener = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

async fn listen(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
