//! Chores: what has to be done every so often by one of all processes, whichever comes first.
//!
//! Nobody holds a chore. Whoever finds it due moves the time at which it is due next, in one
//! statement that only one of many can win, and does it. If he dies over it, another finds it due
//! at that time.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Statement, Value};

use crate::{StoreError, clock, milliseconds};

/// A row of `chore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chore {
    /// Looking for what time has brought about.
    Sweep,
    /// Throwing away what has been kept for long enough.
    Prune,
}

impl Chore {
    const fn word(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Prune => "prune",
        }
    }

    /// Takes the chore, if it is due: of all who ask within `every`, one. Judged by the database's
    /// clock; where that was put back, a chore that is due later than it can be is due now.
    pub(crate) async fn take<C: ConnectionTrait>(
        self,
        c: &C,
        every: Duration,
    ) -> Result<bool, StoreError> {
        let backend = c.get_database_backend();
        let now = clock::sql(backend);
        let sql = format!(
            "UPDATE chore SET due_at_ms = {now} + $2 \
             WHERE name = $1 AND (due_at_ms <= {now} OR due_at_ms > {now} + $2)"
        );
        let values: [Value; 2] = [self.word().into(), milliseconds(every).into()];
        let taken = c.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        Ok(taken.rows_affected() == 1)
    }
}
