//! A queue as long as it gets, everybody looking at it, and runners that work it off.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use super::Cycle;
use crate::{
    checker::{Leeway, ask},
    client::Client,
    process::memory_kib,
    yard::Yard,
};

const TARGETS: usize = 50;
const RUNNERS: usize = 12;
const OWNERS: usize = 12;
/// Clients that submit at the same time.
const SUBMITTING: usize = 8;
/// Of those who ask for a benchmark once a second, one in so many follows its events besides.
const ASKING_FOR_EACH_FOLLOWER: u64 = 5;
/// How often it is looked whether the queue is empty until the target is asked who came, before it
/// forgets.
const LOOKS_AT_QUEUE_FOR_ONE_AT_TARGET: u32 = 10;
/// Benchmarks that are looked at one by one in the end.
const LOOKED_AT: usize = 200;

/// Nobody yet but the APIs, which know each owner by a token.
pub(super) async fn prepare(yard: &mut Yard) {
    let tokens: Vec<_> = (0..OWNERS).map(token).collect();
    yard.settings.push(("API_TOKENS".to_owned(), tokens.join(",")));
    yard.settings.push(("METRICS_ADDRESS".to_owned(), "127.0.0.1:0".to_owned()));
    yard.client = Client::lasting(&token(0));
    yard.widen(TARGETS).await;
    yard.open(0).await;
}

fn token(owner: usize) -> String {
    format!("token-of-owner-{owner:02}")
}

/// E11 and E12: `runs` benchmarks of one request each are submitted; then twelve runners come, and
/// `clients` ask how it goes, each once a second, while others follow events.
pub(super) async fn pass(cycle: &mut Cycle<'_>, runs: usize, clients: u64) -> anyhow::Result<()> {
    let ids = enqueue(cycle, runs).await?;
    let audience = Audience::gather(cycle.yard, &ids, clients);
    let watching = tokio::spawn(most_memory(
        cycle.yard.apis.iter().map(|api| api.process.id()).collect(),
        Arc::clone(&audience.over),
    ));
    cycle.yard.hire(RUNNERS).await;
    let begun = Instant::now();
    let open = "SELECT count(*) FROM benchmark WHERE finished_at_ms IS NULL";
    for look in 0.. {
        let left: i64 = ask(cycle.yard, open).await?[0].try_get_by_index(0)?;
        if left == 0 {
            break;
        }
        if look % LOOKS_AT_QUEUE_FOR_ONE_AT_TARGET == 0 {
            cycle.yard.callers().await;
        }
        sleep(Duration::from_millis(500)).await;
    }
    rate(cycle, "worked off a second", runs, begun.elapsed());
    audience.leave(cycle).await;
    for kib in watching.await? {
        cycle.tally.figure("API's memory MiB", f64::from(u32::try_from(kib)?) / 1024.0);
    }
    claims(cycle).await?;
    all_ended_once(cycle).await?;
    fairness(cycle).await?;
    let step = (ids.len() / LOOKED_AT).max(1);
    let some: Vec<i64> = ids.iter().step_by(step).copied().collect();
    cycle.settle(&some, Leeway::default()).await?;
    Ok(())
}

async fn enqueue(cycle: &mut Cycle<'_>, runs: usize) -> anyhow::Result<Vec<i64>> {
    let clients: Vec<_> = (0..OWNERS).map(|owner| Client::lasting(&token(owner))).collect();
    let (apis, yard) = (cycle.yard.api_urls(), &*cycle.yard);
    let begun = Instant::now();
    let submitting = stream::iter((0..runs).map(|which| {
        let (client, target) = (clients[which % OWNERS].clone(), yard.target(which % TARGETS));
        let apis = vec![apis[which % apis.len()].clone()];
        let key = cycle.key(which);
        async move {
            let fields = json!({"user": 1, "duration": 1, "max_requests": 1});
            let asked = Instant::now();
            let (id, _) = client.submit(&apis, &target, fields, &key).await?;
            anyhow::Ok((id, asked.elapsed()))
        }
    }));
    let accepted: Vec<_> = submitting.buffer_unordered(SUBMITTING).collect().await;
    let took = begun.elapsed();
    let mut ids = Vec::new();
    for accepted in accepted {
        let (id, took) = accepted?;
        ids.push(id);
        cycle.tally.took("accepted", took.as_secs_f64() * 1e3);
    }
    rate(cycle, "accepted a second", runs, took);
    cycle.tally.benchmarks += u64::try_from(runs)?;
    Ok(ids)
}

fn rate(cycle: &mut Cycle<'_>, what: &'static str, count: usize, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    cycle.tally.figure(what, count as f64 / took.as_secs_f64());
}

/// Those who look on.
struct Audience {
    over: Arc<AtomicBool>,
    asking: JoinSet<()>,
    /// How often each was cut off before the end.
    following: JoinSet<anyhow::Result<u32>>,
    /// Status and milliseconds of each answer.
    answers: Arc<Mutex<Vec<(u16, f64)>>>,
    /// What else they were told.
    failed: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Audience {
    fn gather(yard: &Yard, ids: &[i64], clients: u64) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let failed = Arc::new(Mutex::new(BTreeMap::new()));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let mut asking = JoinSet::new();
        for nth in 0..clients {
            let (client, apis) = (yard.client.clone(), yard.api_urls());
            let which = usize::try_from(nth).unwrap_or_default();
            let url = format!("{}/api/v1/benchmarks/{}", apis[which % 2], ids[which % ids.len()]);
            let (over, failed, answers) = (over.clone(), Arc::clone(&failed), answers.clone());
            asking.spawn(async move {
                sleep(Duration::from_millis(1_000 * nth / clients)).await;
                // Every other one keeps a copy, as a good client does.
                let (keeps_copy, mut copy) = (nth / 2 % 2 == 0, None);
                while !over.load(Relaxed) {
                    let asked = Instant::now();
                    match client.get_unless(&url, copy.clone()).await {
                        Ok(said) if matches!(said.status, 200 | 304) => {
                            let ms = asked.elapsed().as_secs_f64() * 1e3;
                            answers.lock().expect("nobody panics").push((said.status, ms));
                            copy = said.etag.filter(|_| keeps_copy);
                        }
                        other => {
                            let told = other.map(|said| said.status.to_string());
                            let told = told.unwrap_or_else(|error| format!("{error:#}"));
                            *failed.lock().expect("nobody panics").entry(told).or_default() += 1;
                        }
                    }
                    sleep(Duration::from_secs(1).saturating_sub(asked.elapsed())).await;
                }
            });
        }
        let mut following = JoinSet::new();
        let followers = usize::try_from(clients / ASKING_FOR_EACH_FOLLOWER).unwrap_or_default();
        for nth in 0..followers {
            let (client, apis) = (yard.client.clone(), yard.api_urls());
            // From all over the queue.
            let (api, id) = (apis[nth % 2].clone(), ids[nth * ids.len() / followers]);
            following.spawn(async move {
                // Whoever is cut off comes again, as a browser does.
                for cut_off in 0..100 {
                    match client.told(&api, id).await {
                        Ok(told) if told.last().is_some_and(|(_, last)| last == "completed") => {
                            return Ok(cut_off);
                        }
                        _ => sleep(Duration::from_secs(3)).await,
                    }
                }
                anyhow::bail!("benchmark {id} is never told to the end")
            });
        }
        Self { over, asking, following, answers, failed }
    }

    async fn leave(self, cycle: &mut Cycle<'_>) {
        self.over.store(true, Relaxed);
        self.asking.join_all().await;
        for followed in self.following.join_all().await {
            match followed {
                Ok(0) => cycle.tally.count("followed to the end"),
                Ok(_) => cycle.tally.count("followed to the end, cut off meanwhile"),
                Err(broken) => cycle.tally.violation(&format!("a stream of events: {broken:#}")),
            }
        }
        for (status, ms) in self.answers.lock().expect("nobody panics").drain(..) {
            let what = if status == 304 { "answered 304" } else { "answered 200" };
            cycle.tally.took(what, ms);
        }
        for (told, times) in self.failed.lock().expect("nobody panics").iter() {
            cycle.tally.violation(&format!("{times} requests of clients: {told}"));
        }
    }
}

/// The most memory that each of these processes had, in KiB.
async fn most_memory(processes: Vec<u32>, over: Arc<AtomicBool>) -> Vec<u64> {
    let mut most = vec![0; processes.len()];
    while !over.load(Relaxed) {
        for (most, process) in most.iter_mut().zip(&processes) {
            *most = memory_kib(*process).unwrap_or(0).max(*most);
        }
        sleep(Duration::from_millis(500)).await;
    }
    most
}

/// How long a runner waits for a benchmark that is there, by what the runners tell.
async fn claims(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let mut within = BTreeMap::<String, u64>::new();
    for runner in &mut cycle.yard.runners {
        let url = runner.process.url("telling metrics on").await;
        let told = testkit::process::get(&url).await.unwrap_or_default();
        for line in told.lines() {
            let Some(rest) = line.strip_prefix("llm_bench_claim_seconds_bucket{le=\"") else {
                continue;
            };
            let Some((bound, count)) = rest.split_once("\"} ") else { continue };
            *within.entry(bound.to_owned()).or_default() += count.parse::<u64>()?;
        }
    }
    let all = within.get("+Inf").copied().unwrap_or(0);
    let mut bounds: Vec<(f64, u64)> =
        within.iter().filter_map(|(bound, count)| Some((bound.parse().ok()?, *count))).collect();
    bounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    for (what, share) in [("claim p50 below ms", 50), ("claim p99 below ms", 99)] {
        let bound = bounds.iter().find(|(_, count)| count * 100 >= all * share);
        cycle.tally.figure(what, bound.map_or(f64::INFINITY, |(bound, _)| bound * 1e3));
    }
    Ok(())
}

/// I1, I3 and I7 of all of them, by counting.
async fn all_ended_once(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    for (what, sql) in [
        ("did not complete", "SELECT count(*) FROM benchmark WHERE status <> 'completed'"),
        ("have a key left", "SELECT count(*) FROM benchmark_secret"),
        (
            "ended more than once",
            "SELECT count(*) FROM (SELECT benchmark_id FROM benchmark_event WHERE to_status = \
             'completed' GROUP BY benchmark_id HAVING count(*) > 1) AS twice",
        ),
    ] {
        let count: i64 = ask(cycle.yard, sql).await?[0].try_get_by_index(0)?;
        if count > 0 {
            cycle.tally.violation(&format!("{count} {what}"));
        }
    }
    let callers = cycle.yard.callers().await;
    let mut claims = BTreeMap::<u64, usize>::new();
    for caller in callers {
        *claims.entry(caller.benchmark).or_default() += 1;
    }
    let twice = claims.values().filter(|claims| **claims > 1).count();
    if twice > 0 {
        cycle.tally.violation(&format!("I2: {twice} sent load by several claims"));
    }
    Ok(())
}

/// Owners take turns: while all of them have something queued, whoever has nothing active is passed
/// over for no more turns than twice as many as there are owners.
///
/// Where runs take equally long, none has its n-th turn after more than twice as many as its share
/// would be, either. On SQLite they do not: processes poll for its one lock, and now and then one
/// waits ten times as long as a run takes. Its owner has fewer turns then, and no smaller share.
async fn fairness(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let events = "SELECT b.owner, e.to_status FROM benchmark_event e \
                  JOIN benchmark b ON b.id = e.benchmark_id WHERE e.to_status NOT IN ('queued', 'cancelling') \
                  ORDER BY e.at_ms, e.to_status = 'running', e.benchmark_id";
    let mut told = Vec::<(String, bool)>::new();
    for row in ask(cycle.yard, events).await? {
        told.push((row.try_get_by_index(0)?, row.try_get_by_index::<String>(1)? == "running"));
    }
    // At the end some have nothing left, and the others all the turns.
    told.truncate(told.len() * 8 / 10);
    let owners = f64::from(u32::try_from(OWNERS)?);
    let mut all: BTreeMap<&str, Turns> =
        told.iter().map(|(owner, _)| (owner.as_str(), Turns::default())).collect();
    let (mut nth, mut passed_over, mut wait) = (0.0, 0, 0.0_f64);
    for (of, begins) in &told {
        nth += f64::from(*begins);
        for (owner, its) in &mut all {
            match (owner == of, begins) {
                (true, true) => {
                    *its = Turns { active: its.active + 1, had: its.had + 1.0, passed_over: 0 };
                    if its.had >= 5.0 {
                        wait = wait.max(nth / (its.had * owners));
                    }
                }
                (true, false) => its.active -= 1,
                (false, true) if its.active == 0 => its.passed_over += 1,
                (false, _) => {}
            }
            passed_over = passed_over.max(its.passed_over);
        }
    }
    let count = all.len();
    let idle = f64::from(passed_over) / owners;
    cycle.tally.figure("longest wait by share", wait);
    cycle.tally.figure("of one with nothing active", idle);
    if count != OWNERS || idle > 2.0 || (cycle.yard.is_postgres() && wait > 2.0) {
        let told = format!("{count} owners, one waited {wait} shares, one without a run {idle}");
        cycle.tally.violation(&told);
    }
    Ok(())
}

/// What an owner had of the queue so far.
#[derive(Default)]
struct Turns {
    /// Runs that it has at this time.
    active: u32,
    had: f64,
    /// Turns of others since it had nothing active.
    passed_over: u32,
}
