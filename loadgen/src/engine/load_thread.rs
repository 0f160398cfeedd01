//! One thread that drives its share of the load, and watches itself.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use shared::Load;
use target::client::Clock;
use tokio::{
    sync::oneshot,
    task::LocalSet,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Handicap, Live, SharedConnections,
    deadline::Permit,
    kept::Kept,
    machine,
    open_loop::OpenLoop,
    prepare::{Driver, Run},
    readiness::{Crowd, Readiness, Share},
    room::{Budget, Room},
    sender::Sender,
    user::User,
};
use crate::{
    arrival::{Shard, ThinkTime, closed_loop::dealt_to, staged, start_us},
    exchange::{Exchanger, ReadLag, Wakes},
    metrics::Lag,
    sample::{Micros, Sample},
};

/// How often a load thread looks how late it is.
const TICK: Duration = Duration::from_millis(10);
/// Ticks between two comparisons of the clocks, and between two words to the analyst.
const TICKS_A_ROUND: u32 = 25;

/// What load threads tell of themselves.
pub(super) struct Crew(Vec<Arc<Mutex<Duty>>>);

/// What one load thread tells of itself.
#[derive(Default)]
pub(super) struct Duty {
    /// How long after the run's origin it began.
    pub(super) begun_late: Option<Duration>,
    /// How late its timer was.
    pub(super) loop_lag: Lag,
    /// How late it took up what had arrived.
    pub(super) reads: ReadLag,
    /// CPU time it has used since its start.
    pub(super) cpu: Option<Duration>,
}

impl Crew {
    pub(super) fn new(threads: u32) -> Self {
        Self((0..threads).map(|_| Arc::default()).collect())
    }

    pub(super) fn duty(&self, index: u32) -> Arc<Mutex<Duty>> {
        Arc::clone(&self.0[index as usize])
    }

    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Duty>> {
        self.0.iter().map(|duty| duty.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A load thread before its start.
pub(super) struct LoadThread {
    pub(super) index: u32,
    pub(super) threads: u32,
    pub(super) shard: Shard,
    pub(super) driver: Driver,
    pub(super) handicap: Handicap,
    pub(super) load: Load,
    pub(super) run: Arc<Run>,
    pub(super) clock: Arc<Clock>,
    pub(super) origin: Instant,
    pub(super) live: Arc<Live>,
    pub(super) room: Arc<Room>,
    pub(super) budget: Arc<Budget>,
    pub(super) permit: Permit,
    pub(super) stop: CancellationToken,
    pub(super) cut_off: CancellationToken,
    pub(super) samples: mpsc::Sender<Vec<Sample>>,
    pub(super) duty: Arc<Mutex<Duty>>,
}

impl LoadThread {
    /// Starts the thread; the receiver hears when all its requests are over.
    pub(super) fn start(self) -> oneshot::Receiver<()> {
        let (done, is_done) = oneshot::channel();
        std::thread::Builder::new()
            .name(format!("load-{}", self.index))
            .spawn(move || {
                match self.driver {
                    Driver::Readiness => self.drive_by_readiness(),
                    Driver::Hyper => self.drive_by_hyper(),
                }
                let _ = done.send(());
            })
            .expect("the system starts a thread");
        is_done
    }

    fn drive_by_readiness(self) {
        std::thread::sleep(self.origin.saturating_duration_since(Instant::now()));
        begun(self.origin, &self.duty);
        let share = self.share();
        let exchanger = self.exchanger();
        let Self { run, room, budget, permit, stop, cut_off, samples, duty, .. } = self;
        let driver =
            Readiness { run, exchanger, room, budget, permit, stop, cut_off, samples, duty };
        if let Err(error) = driver.drive(share) {
            tracing::error!(%error, "a load thread ended early");
        }
    }

    fn drive_by_hyper(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system gives a runtime its files");
        LocalSet::new().block_on(&runtime, self.drive());
    }

    fn exchanger(&self) -> Exchanger {
        Exchanger {
            moulds: Rc::default(),
            clients: self.run.targets.each().iter().map(|it| Arc::clone(&it.client)).collect(),
            clock: Arc::clone(&self.clock),
            limits: self.run.limits,
            form: self.run.form,
            keep_text: self.run.keep_text,
            count_text: self.run.count_text,
            live: Arc::clone(&self.live),
            handicap: self.handicap,
            reads: RefCell::default(),
            wakes: Wakes::default(),
            shared: SharedConnections::to(self.run.targets.each().len(), self.run.sockets_each),
        }
    }

    async fn drive(self) {
        let exchanger = Rc::new(self.exchanger());
        let watch = tokio::task::spawn_local(watch(
            self.origin,
            Arc::clone(&self.clock),
            Rc::clone(&exchanger),
            Arc::clone(&self.duty),
        ));
        let sender = Rc::new(Sender {
            run: Arc::clone(&self.run),
            exchanger: Rc::clone(&exchanger),
            kept: RefCell::new(Kept::of(self.run.targets.each().len(), self.run.sockets_each)),
            origin: self.origin,
            budget: Arc::clone(&self.budget),
            permit: self.permit.clone(),
            stop: self.stop.clone(),
            cut_off: self.cut_off.clone(),
            samples: self.samples.clone(),
        });
        match self.share() {
            Share::Schedule(due) => {
                OpenLoop { sender, room: Arc::clone(&self.room) }.run(due).await;
            }
            Share::Users(crowd) => self.users(&sender, crowd).await,
        }
        watch.abort();
        report(&exchanger, &mut Lag::default(), &self.duty);
    }

    /// What this thread has to send.
    fn share(&self) -> Share {
        let slice = self.shard.slice(self.index, self.threads);
        if let Some(schedule) = &self.run.schedule {
            return Share::Schedule(Box::new(schedule.dealt_to(slice)));
        }
        let dealt = dealt_to(slice, self.load.peak_users().get());
        match &self.load {
            Load::Staged(plan) => {
                let users = dealt.map(|user| (user, staged::spells(&plan.stages, user)));
                Share::Users(Crowd { users: users.collect(), ..Crowd::default() })
            }
            Load::ClosedLoop(plan) => {
                let sending_us = Micros::from(plan.duration_s.get()) * 1_000_000;
                let from_us = |user| start_us(user, plan.spawn_rate.get());
                let users = dealt.map(|user| (user, vec![(from_us(user), sending_us)]));
                Share::Users(Crowd {
                    users: users.collect(),
                    think: ThinkTime::of(plan),
                    requests_each: plan.requests_per_user.map(|most| most.get().into()),
                })
            }
            // Every other shape has a schedule.
            _ => Share::Users(Crowd::default()),
        }
    }

    /// Lets this thread's share of the users live.
    async fn users(&self, sender: &Rc<Sender>, crowd: Crowd) {
        let Crowd { users, think, requests_each } = crowd;
        let users: Vec<_> = users
            .into_iter()
            .map(|(index, spells)| {
                let requests = requests_each;
                let user = User { index, spells, think, requests, sender: Rc::clone(sender) };
                tokio::task::spawn_local(user.live())
            })
            .collect();
        for user in users {
            if let Err(panicked) = user.await {
                tracing::error!(%panicked, "a virtual user ended early");
            }
        }
    }
}

/// Measures by how much this thread's timer is late, keeps the clocks together, and tells.
async fn watch(
    origin: Instant,
    clock: Arc<Clock>,
    exchanger: Rc<Exchanger>,
    duty: Arc<Mutex<Duty>>,
) {
    tokio::time::sleep_until(origin).await;
    begun(origin, &duty);
    let mut ticks = interval_at(origin, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut lag = Lag::default();
    for nth in 1_u32.. {
        let due = ticks.tick().await;
        lag.record_us(u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX));
        if nth.is_multiple_of(TICKS_A_ROUND) {
            clock.align();
            report(&exchanger, &mut lag, &duty);
        }
    }
}

/// Notes that a thread begins now that was to begin at `origin`.
fn begun(origin: Instant, duty: &Mutex<Duty>) {
    duty.lock().unwrap_or_else(PoisonError::into_inner).begun_late = Some(origin.elapsed());
}

/// Hands over what has been noted since the last time.
pub(super) fn report(exchanger: &Exchanger, loop_lag: &mut Lag, duty: &Mutex<Duty>) {
    let reads = std::mem::take(&mut *exchanger.reads.borrow_mut());
    let mut duty = duty.lock().unwrap_or_else(PoisonError::into_inner);
    duty.loop_lag.merge(&std::mem::take(loop_lag));
    duty.reads.merge(&reads);
    duty.cpu = machine::thread_cpu();
}
