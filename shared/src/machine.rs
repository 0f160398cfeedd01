//! The life of a benchmark as arithmetic: what each thing that can happen makes of it.
//!
//! Pure: whoever asks brings the time along. The database does the same in SQL, with locks and
//! triggers; tests walk both side by side and hold them together.

use crate::State;

/// How often a run that never began to send load is tried with another runner.
pub const MOST_CLAIMS: i32 = 3;

/// What of a benchmark decides what may happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    /// Where it stands.
    pub state: State,
    /// Grows with every claim and with every loss; who writes must name it.
    pub fence: i64,
    /// How many runners have taken it up and not given it back.
    pub claims: i32,
    /// Whether load may have left: the point of no return.
    pub load_started: bool,
    /// Until when its runner may be silent; exactly where a runner holds it.
    pub lease_until_ms: Option<i64>,
    /// Until when it may wait; none: for ever.
    pub queued_deadline_ms: Option<i64>,
}

/// Something that happens to a benchmark. Times are unix milliseconds of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A runner takes it up, for as long as it says so again within `ttl_ms`.
    Claim {
        /// When.
        now_ms: i64,
        /// How long a lease lasts.
        ttl_ms: i64,
    },
    /// Its runner says that it lives.
    Renew {
        /// The runner's fence.
        fence: i64,
        /// When.
        now_ms: i64,
        /// How long a lease lasts.
        ttl_ms: i64,
    },
    /// Its runner is about to send the first request.
    LoadStarts {
        /// The runner's fence.
        fence: i64,
        /// When.
        now_ms: i64,
    },
    /// Its runner has ended it.
    Finish {
        /// The runner's fence.
        fence: i64,
        /// How, if nobody had asked to cancel.
        to: State,
    },
    /// Its runner stops and has sent nothing.
    GiveBack {
        /// The runner's fence.
        fence: i64,
    },
    /// Somebody asks to cancel.
    Cancel,
    /// Somebody looks whether its lease ran out.
    Expire {
        /// When.
        now_ms: i64,
        /// How long after its end a lease is let be.
        grace_ms: i64,
    },
    /// Somebody looks whether it has waited for too long.
    TimeOut {
        /// When.
        now_ms: i64,
    },
}

/// Why something cannot happen; the benchmark stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Illegal {
    /// Another claim, or none, holds it.
    #[error("it is not held by that claim")]
    NotHeld,
    /// It is to end, not to begin or to wait.
    #[error("somebody asked to cancel")]
    CancelRequested,
    /// What was sent cannot be taken back.
    #[error("load has been sent")]
    LoadStarted,
    /// It ended otherwise.
    #[error("it is over: {0}")]
    Over(State),
    /// A run does not end so.
    #[error("a run does not end as {0}")]
    NotAnEnding(State),
    /// Nothing is due.
    #[error("not now")]
    NotDue,
}

impl Job {
    /// A benchmark that was just accepted.
    pub const fn new() -> Self {
        Self {
            state: State::Queued,
            fence: 0,
            claims: 0,
            load_started: false,
            lease_until_ms: None,
            queued_deadline_ms: None,
        }
    }

    /// Whether its runner may go on, by the fence that its claim gave it.
    const fn is_held_by(&self, fence: i64) -> bool {
        self.fence == fence && matches!(self.state, State::Running | State::Cancelling)
    }

    const fn over(self, state: State) -> Self {
        Self { state, lease_until_ms: None, ..self }
    }
}

impl Default for Job {
    fn default() -> Self {
        Self::new()
    }
}

/// What becomes of `job` when `event` happens to it. What was done already may be done again.
pub fn next(job: &Job, event: Event) -> Result<Job, Illegal> {
    let job = *job;
    match event {
        Event::Claim { now_ms, ttl_ms } => {
            let overdue = job.queued_deadline_ms.is_some_and(|deadline| deadline <= now_ms);
            if job.state != State::Queued || overdue {
                return Err(Illegal::NotDue);
            }
            Ok(Job {
                state: State::Running,
                fence: job.fence + 1,
                claims: job.claims + 1,
                lease_until_ms: Some(now_ms + ttl_ms),
                ..job
            })
        }
        Event::Renew { fence, now_ms, ttl_ms } => {
            held(&job, fence)?;
            Ok(Job { lease_until_ms: Some(now_ms + ttl_ms), ..job })
        }
        Event::LoadStarts { fence, now_ms } => {
            held(&job, fence)?;
            if job.lease_until_ms.is_none_or(|until| until < now_ms) {
                return Err(Illegal::NotHeld);
            }
            if job.state == State::Cancelling {
                return Err(Illegal::CancelRequested);
            }
            Ok(Job { load_started: true, ..job })
        }
        Event::Finish { fence, to } => finish(job, fence, to),
        Event::GiveBack { fence } => {
            held(&job, fence)?;
            if job.load_started {
                return Err(Illegal::LoadStarted);
            }
            if job.state == State::Cancelling {
                return Err(Illegal::CancelRequested);
            }
            // Being given back is not having failed.
            Ok(Job { claims: job.claims - 1, ..job.over(State::Queued) })
        }
        Event::Cancel => match job.state {
            State::Queued => Ok(job.over(State::Cancelled)),
            State::Running => Ok(Job { state: State::Cancelling, ..job }),
            State::Cancelling | State::Cancelled => Ok(job),
            over => Err(Illegal::Over(over)),
        },
        Event::Expire { now_ms, grace_ms } => {
            if job.lease_until_ms.is_none_or(|until| until >= now_ms - grace_ms) {
                return Err(Illegal::NotDue);
            }
            let to = match job.state {
                State::Cancelling => State::Cancelled,
                State::Running if !job.load_started && job.claims < MOST_CLAIMS => State::Queued,
                State::Running => State::Lost,
                _ => return Err(Illegal::NotDue),
            };
            // From here on, nothing its old runner writes has any effect.
            Ok(Job { fence: job.fence + 1, ..job.over(to) })
        }
        Event::TimeOut { now_ms } => {
            let overdue = job.queued_deadline_ms.is_some_and(|deadline| deadline <= now_ms);
            if job.state != State::Queued || !overdue {
                return Err(Illegal::NotDue);
            }
            Ok(job.over(State::TimedOut))
        }
    }
}

const fn held(job: &Job, fence: i64) -> Result<(), Illegal> {
    if job.is_held_by(fence) { Ok(()) } else { Err(Illegal::NotHeld) }
}

fn finish(job: Job, fence: i64, to: State) -> Result<Job, Illegal> {
    use State::{Cancelled, Cancelling, Completed, Failed, Queued, TimedOut};

    if !matches!(to, Completed | Failed | Cancelled | TimedOut) {
        return Err(Illegal::NotAnEnding(to));
    }
    if job.fence != fence || job.state == Queued {
        return Err(Illegal::NotHeld);
    }
    Ok(match (job.state, to) {
        // A loss would have raised the fence: this is the same end told twice.
        (over, _) if over.is_terminal() => job,
        (Cancelling, _) => job.over(Cancelled),
        // Cancelled is only reached by way of cancelling.
        (_, Cancelled) => job.over(Failed),
        (_, to) => job.over(to),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    const NOW: i64 = 1_000_000;

    /// Every job that any sequence of events can make, and every change of state on the way.
    fn reachable() -> (HashSet<Job>, BTreeSet<(&'static str, &'static str)>) {
        let late = Job { queued_deadline_ms: Some(NOW - 1), ..Job::new() };
        let mut open = vec![Job::new(), late];
        let (mut seen, mut pairs) = (HashSet::new(), BTreeSet::new());
        while let Some(job) = open.pop() {
            if !seen.insert(job) {
                continue;
            }
            let silent = Job { lease_until_ms: job.lease_until_ms.map(|_| 0), ..job };
            for (from, event) in events(job.fence)
                .map(|event| (job, event))
                .chain(events(job.fence).map(|event| (silent, event)))
            {
                if let Ok(after) = next(&from, event) {
                    if from.state != after.state {
                        pairs.insert((from.state.as_str(), after.state.as_str()));
                    }
                    open.push(after);
                }
            }
        }
        (seen, pairs)
    }

    fn events(fence: i64) -> impl Iterator<Item = Event> {
        let finishes = State::ALL.map(|to| Event::Finish { fence, to });
        let others = [
            Event::Claim { now_ms: NOW, ttl_ms: 60_000 },
            Event::Renew { fence, now_ms: NOW, ttl_ms: 60_000 },
            Event::LoadStarts { fence, now_ms: NOW },
            Event::GiveBack { fence },
            Event::Cancel,
            Event::Expire { now_ms: NOW, grace_ms: 5_000 },
            Event::TimeOut { now_ms: NOW },
        ];
        // Giving back and taking up again goes on for ever: three rounds show all there is.
        finishes
            .into_iter()
            .chain(others)
            .filter(move |event| fence < 8 || !matches!(event, Event::Claim { .. }))
    }

    #[test]
    fn what_can_happen_is_what_the_table_of_states_allows_and_all_of_it() {
        let (_, pairs) = reachable();
        let all = State::ALL.iter().flat_map(|from| State::ALL.map(|to| (*from, to)));
        let table: BTreeSet<_> = all
            .filter(|(from, to)| from.may_become(*to))
            .map(|(from, to)| (from.as_str(), to.as_str()))
            .collect();
        assert_eq!(pairs, table);
    }

    #[test]
    fn whatever_happens_the_columns_fit_the_state() {
        let (jobs, _) = reachable();
        assert!(jobs.len() > 50);
        for job in jobs {
            let held = matches!(job.state, State::Running | State::Cancelling);
            assert_eq!(job.lease_until_ms.is_some(), held, "{job:?}");
            assert!(job.fence >= i64::from(job.claims) && job.claims <= MOST_CLAIMS, "{job:?}");
            assert!(!(job.state == State::Queued && job.load_started), "{job:?}");
        }
    }

    #[test]
    fn an_older_fence_changes_nothing_whatever_it_asks() {
        let (jobs, _) = reachable();
        for job in jobs {
            for fence in 0..job.fence {
                for event in events(fence) {
                    let names_it = !matches!(
                        event,
                        Event::Claim { .. }
                            | Event::Cancel
                            | Event::Expire { .. }
                            | Event::TimeOut { .. }
                    );
                    if names_it {
                        assert!(next(&job, event).is_err(), "{job:?} {event:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_follows_an_end() {
        let (jobs, _) = reachable();
        for job in jobs.into_iter().filter(|job| job.state.is_terminal()) {
            for event in events(job.fence) {
                assert!(
                    next(&job, event).is_ok_and(|after| after == job) || next(&job, event).is_err()
                );
            }
        }
    }
}
