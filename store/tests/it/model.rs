//! The machine of `shared` beside the database: the same calls on both, and what each shows.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, Statement};
use shared::machine::{self, Illegal, Job};
use shared::{BenchmarkId, RunnerId, State};
use store::{Held, Renewal, Store, StoreError};

use crate::world::{World, ending};

/// The model's time. It stands still: leases run out when a test says so.
const NOW_MS: i64 = 1_000_000;
const TTL_MS: i64 = 60_000;
const GRACE_MS: i64 = 5_000;

/// A whole call of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Claim,
    Renew(Held),
    LoadStarts(Held),
    Finish(Held, State),
    GiveBack(Held),
    Cancel(BenchmarkId),
    Sweep,
}

/// What a call brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Done,
    Refused(Illegal),
    /// How it ended.
    Ended(State),
    /// Whether somebody asked to cancel.
    Renewed {
        cancel: bool,
    },
    Claimed(Option<Held>),
    /// What became of which.
    Swept(BTreeMap<i64, State>),
}

/// A change of state, as its event tells it: from, to, fence.
pub(crate) type Told = (Option<State>, State, i64);

/// A row and its events, or what the model has in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) job: Job,
    pub(crate) events: Vec<Told>,
}

/// Every benchmark as the machine has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) rows: BTreeMap<i64, Row>,
    targets: BTreeMap<i64, BTreeSet<u8>>,
}

impl Model {
    pub(crate) fn submitted(&mut self, id: BenchmarkId, targets: impl IntoIterator<Item = u8>) {
        let events = vec![(None, State::Queued, 0)];
        self.rows.insert(id.0, Row { job: Job::new(), events });
        self.targets.insert(id.0, targets.into_iter().collect());
    }

    /// Lets time have passed: the lease of `id` ran out long ago, its deadline has come.
    pub(crate) fn age(&mut self, id: BenchmarkId) {
        let Some(Row { job, .. }) = self.rows.get_mut(&id.0) else { return };
        match job.state {
            State::Queued => job.queued_deadline_ms = Some(1),
            _ => job.lease_until_ms = job.lease_until_ms.map(|_| 1),
        }
    }

    /// The benchmarks that a claim may take: due, and all their targets free.
    pub(crate) fn claimable(&self) -> Vec<i64> {
        let held = self.rows.iter().filter(|(_, row)| row.job.lease_until_ms.is_some());
        let busy: BTreeSet<u8> = held.flat_map(|(id, _)| &self.targets[id]).copied().collect();
        let due = self.rows.iter().filter(|(_, row)| machine::next(&row.job, claim()).is_ok());
        due.map(|(id, _)| *id).filter(|id| self.targets[id].is_disjoint(&busy)).collect()
    }

    pub(crate) fn call(&mut self, call: Call) -> Seen {
        use machine::Event;

        let one =
            |happened: Result<State, Illegal>| happened.map_or_else(Seen::Refused, |_| Seen::Done);
        match call {
            Call::Claim => {
                let taken = self.claimable().first().copied();
                Seen::Claimed(taken.map(|id| self.claim(BenchmarkId(id))))
            }
            Call::Renew(held) => {
                let event = Event::Renew { fence: held.fence, now_ms: NOW_MS, ttl_ms: TTL_MS };
                match self.happen(held.id, event) {
                    Ok(state) => Seen::Renewed { cancel: state == State::Cancelling },
                    Err(illegal) => Seen::Refused(illegal),
                }
            }
            Call::LoadStarts(held) => {
                let event = Event::LoadStarts { fence: held.fence, now_ms: NOW_MS };
                one(self.happen(held.id, event))
            }
            Call::Finish(held, to) => {
                let ended = self.happen(held.id, Event::Finish { fence: held.fence, to });
                ended.map_or_else(Seen::Refused, Seen::Ended)
            }
            Call::GiveBack(held) => {
                one(self.happen(held.id, Event::GiveBack { fence: held.fence }))
            }
            Call::Cancel(id) => one(self.happen(id, Event::Cancel)),
            Call::Sweep => {
                let mut swept = BTreeMap::new();
                for id in self.rows.keys().copied().collect::<Vec<_>>() {
                    let expire = Event::Expire { now_ms: NOW_MS, grace_ms: GRACE_MS };
                    for event in [expire, Event::TimeOut { now_ms: NOW_MS }] {
                        if let Ok(state) = self.happen(BenchmarkId(id), event) {
                            swept.insert(id, state);
                        }
                    }
                }
                Seen::Swept(swept)
            }
        }
    }

    /// Claims this one, which must be claimable.
    pub(crate) fn claim(&mut self, id: BenchmarkId) -> Held {
        assert!(self.claimable().contains(&id.0), "{id:?} may not be claimed: {self:#?}");
        self.happen(id, claim()).expect("what is claimable");
        Held { id, fence: self.rows[&id.0].job.fence }
    }

    fn happen(&mut self, id: BenchmarkId, event: machine::Event) -> Result<State, Illegal> {
        let row = self.rows.get_mut(&id.0).expect("a benchmark of this model");
        let after = machine::next(&row.job, event)?;
        if after.state != row.job.state {
            row.events.push((Some(row.job.state), after.state, after.fence));
        }
        row.job = after;
        Ok(after.state)
    }
}

fn claim() -> machine::Event {
    machine::Event::Claim { now_ms: NOW_MS, ttl_ms: TTL_MS }
}

/// The same call, of the store.
pub(crate) async fn perform(store: &Store, runner: &str, call: Call) -> Seen {
    let one = |outcome: Result<(), StoreError>| match outcome {
        Ok(()) => Seen::Done,
        Err(error) => Seen::Refused(refusal(error)),
    };
    match call {
        Call::Claim => {
            let claimed = store.claim(&RunnerId(runner.to_owned()), 10_000).await.unwrap();
            Seen::Claimed(claimed.map(|claim| claim.held))
        }
        Call::Renew(held) => match store.renew(&held).await.unwrap() {
            Renewal::Lost => Seen::Refused(Illegal::NotHeld),
            renewal => Seen::Renewed { cancel: renewal == Renewal::CancelRequested },
        },
        Call::LoadStarts(held) => one(store.load_starts(&held, "tiny").await),
        Call::Finish(held, to) => match store.finish(&held, ending(to)).await {
            Ok(state) => Seen::Ended(state),
            Err(error) => Seen::Refused(refusal(error)),
        },
        Call::GiveBack(held) => one(store.give_back(&held).await),
        Call::Cancel(id) => one(store.cancel(id).await.map(drop)),
        Call::Sweep => {
            let swept = store.sweep().await.unwrap();
            let all = [
                (swept.lost, State::Lost),
                (swept.requeued, State::Queued),
                (swept.cancelled, State::Cancelled),
                (swept.timed_out, State::TimedOut),
            ];
            let all =
                all.into_iter().flat_map(|(ids, to)| ids.into_iter().map(move |id| (id.0, to)));
            Seen::Swept(all.collect())
        }
    }
}

fn refusal(error: StoreError) -> Illegal {
    match error {
        StoreError::Lost(_) => Illegal::NotHeld,
        StoreError::CancelRequested(_) => Illegal::CancelRequested,
        StoreError::LoadStarted(_) => Illegal::LoadStarted,
        StoreError::AlreadyOver { state, .. } => Illegal::Over(state),
        StoreError::NotAnEnding { to } => Illegal::NotAnEnding(to),
        error => panic!("no refusal of the machine: {error:?}"),
    }
}

/// Every row with its events, as the database has them.
pub(crate) async fn rows(world: &World) -> BTreeMap<i64, Row> {
    let ask = async |sql: &str| {
        let asked = Statement::from_string(world.backend(), sql);
        world.sql.query_all_raw(asked).await.unwrap()
    };
    let mut rows = BTreeMap::new();
    let benchmarks = "SELECT id, status, fence, CAST(claims AS BIGINT), \
         CAST(CASE WHEN load_started_at_ms IS NULL THEN 0 ELSE 1 END AS BIGINT), lease_until_ms, \
         queued_deadline_ms FROM benchmark";
    for row in ask(benchmarks).await {
        let number = |column: usize| row.try_get_by_index::<i64>(column).unwrap();
        let time = |column: usize| row.try_get_by_index::<Option<i64>>(column).unwrap();
        let status: String = row.try_get_by_index(1).unwrap();
        let job = Job {
            state: status.parse().unwrap(),
            fence: number(2),
            claims: i32::try_from(number(3)).unwrap(),
            load_started: number(4) == 1,
            // The database's clock runs: what counts is whether it ran out.
            lease_until_ms: time(5).map(|until| if until == 1 { 1 } else { NOW_MS + TTL_MS }),
            queued_deadline_ms: time(6),
        };
        rows.insert(number(0), Row { job, events: Vec::new() });
    }
    let events = "SELECT benchmark_id, from_status, to_status, fence FROM benchmark_event \
                  ORDER BY benchmark_id, seq";
    for row in ask(events).await {
        let id: i64 = row.try_get_by_index(0).unwrap();
        let from: Option<String> = row.try_get_by_index(1).unwrap();
        let to: String = row.try_get_by_index(2).unwrap();
        let told = (
            from.map(|word| word.parse().unwrap()),
            to.parse().unwrap(),
            row.try_get_by_index(3).unwrap(),
        );
        rows.get_mut(&id).expect("events belong to rows").events.push(told);
    }
    rows
}

/// The same for the database as [`Model::age`].
pub(crate) async fn age(world: &World, id: BenchmarkId) {
    let sql = format!(
        "UPDATE benchmark SET lease_until_ms = CASE WHEN lease_until_ms IS NULL THEN NULL ELSE 1 END, \
         queued_deadline_ms = CASE WHEN status = 'queued' THEN 1 ELSE queued_deadline_ms END \
         WHERE id = {id} AND finished_at_ms IS NULL"
    );
    world.execute(&sql).await.unwrap();
}

/// Forgets everything.
pub(crate) async fn clear(world: &World) {
    world.execute("DELETE FROM benchmark").await.unwrap();
    world.execute(&format!("DELETE FROM {}", world.jobs())).await.unwrap();
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u32) -> u32 {
    let given = std::env::var(name).ok().filter(|text| !text.is_empty());
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}
