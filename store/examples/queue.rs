//! What the queue itself bears, with nobody who makes load: so many benchmarks are accepted, claimed
//! and ended as the database and this crate allow.
//!
//!     scripts/measure-queue [RUNS [sqlite|postgres]]
//!
//! On SQLite, and on the PostgreSQL server that `TEST_POSTGRES_URL` names. Fifty targets, twelve
//! owners, and twelve runners with connections of their own, as in the chaos experiment E11. Behind them
//! lies a history: what is over stays where it is, and must cost those nothing that wait.

use std::{
    env,
    time::{Duration, Instant},
};

use entity::benchmark;
use sea_orm::{ConnectionTrait, Database, IdenStatic, Iterable};
use shared::{
    RunnerId, Seed, State,
    request::{Defaults, Fields, NewBenchmark},
};
use store::{Claim, Ending, Lease, Rules, Store, StoreError, Vault};
use testkit::TestDatabase;
use tokio::{task::JoinSet, time::sleep};

const TARGETS: usize = 50;
const OWNERS: usize = 12;
const RUNNERS: usize = 12;
/// Benchmarks that have ended before: of ten days, at 10,000 a day.
const HISTORY: usize = 100_000;
/// Clients that submit at the same time.
const SUBMITTING: usize = 8;
/// Claims of each runner that are timed while the queue is long.
const CLAIMS: usize = 40;
/// Of them, those for which PostgreSQL plans each statement anew.
const FIRST: usize = 6;
/// What a run takes meanwhile: far less than any.
const A_RUN: Duration = Duration::from_millis(250);
/// What a runner takes that measured nothing.
const MAX_USERS: u32 = 10_000;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let runs: usize = env::args().nth(1).map_or(Ok(10_000), |word| word.parse())?;
    if runs <= RUNNERS * CLAIMS {
        return Err(format!("RUNS must be more than {}, not {runs}", RUNNERS * CLAIMS).into());
    }
    let only = env::args().nth(2);
    for database in TestDatabase::each().await {
        let kind = if database.is_postgres() { "postgres" } else { "sqlite" };
        if only.as_ref().is_some_and(|only| only != kind) {
            continue;
        }
        println!("{kind}");
        measure(&database, runs).await?;
    }
    Ok(())
}

async fn measure(database: &TestDatabase, runs: usize) -> Outcome<()> {
    let first = open(database).await?;
    first.migrate().await?;
    remember(database, &first).await?;
    accept(&first, runs).await?;

    let begun = Instant::now();
    first.sweep().await?;
    println!("  a sweep of {runs} queued: {:.1} ms", ms(begun.elapsed()));

    let mut runners = JoinSet::new();
    for name in (0..RUNNERS).map(runner) {
        let store = open(database).await?;
        runners.spawn(async move {
            let mut took = Vec::new();
            while took.len() < CLAIMS {
                let begun = Instant::now();
                let claim = store.claim(&name, MAX_USERS).await?;
                took.push(begun.elapsed());
                sleep(A_RUN).await;
                if let Some(claim) = claim {
                    store.finish(&claim.held, nothing()).await?;
                }
            }
            Outcome::Ok(took)
        });
    }
    let (mut begin, mut then) = (Vec::new(), Vec::new());
    for took in runners.join_all().await {
        let mut took = took?;
        then.extend(took.split_off(FIRST));
        begin.extend(took);
    }
    tell(&format!("the first {FIRST} claims of each of {RUNNERS} runners"), begin);
    tell("their further claims", then);

    let begun = Instant::now();
    let mut runners = JoinSet::new();
    for name in (0..RUNNERS).map(runner) {
        let store = open(database).await?;
        runners.spawn(work_off(store, name));
    }
    let (mut ended, mut again) = (0, 0);
    for its in runners.join_all().await {
        let (its_ended, its_again) = its?;
        ended += its_ended;
        again += its_again;
    }
    tell_rate("claimed, begun and ended", ended, begun.elapsed());
    println!("  {again} times the database was too busy to answer, and was asked again");
    Ok(())
}

/// Makes the history, as copies of one benchmark.
async fn remember(database: &TestDatabase, store: &Store) -> Outcome<()> {
    let first = store.submit(request(&url_of(0)), "owner 0", None).await?.benchmark.id;
    let columns = benchmark::Column::iter()
        .filter(|column| !matches!(column, benchmark::Column::Id | benchmark::Column::TargetKey));
    let columns: Vec<_> = columns.map(|column| format!("\"{}\"", column.as_str())).collect();
    let columns = columns.join(", ");
    let statements = [
        format!(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {HISTORY}) \
             INSERT INTO benchmark (target_key, {columns}) SELECT 'http://llm.example:' || \
             (1000 + s.n % {TARGETS}), {columns} FROM benchmark CROSS JOIN s WHERE id = {first}"
        ),
        "UPDATE benchmark SET status = 'cancelled', started_at_ms = created_at_ms, \
         load_started_at_ms = created_at_ms, finished_at_ms = created_at_ms - 1000"
            .to_owned(),
    ];
    let sql = Database::connect(database.url()).await?;
    for statement in statements {
        sql.execute_unprepared(&statement).await?;
    }
    if database.is_postgres() {
        // As it does by itself, here at the worst time: it learns that nothing is ever queued.
        sql.execute_unprepared("VACUUM ANALYZE").await?;
    }
    println!("  {HISTORY} have ended before");
    Ok(())
}

fn url_of(target: usize) -> String {
    format!("http://llm.example:{}", 1_000 + target % TARGETS)
}

/// Submits so many benchmarks, one by one, as an API does for its clients.
async fn accept(store: &Store, runs: usize) -> Outcome<()> {
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..SUBMITTING {
        let store = store.clone();
        clients.spawn(async move {
            let mut took = Vec::new();
            for which in (client..runs).step_by(SUBMITTING) {
                let asked = request(&url_of(which));
                let begun = Instant::now();
                store.submit(asked, &format!("owner {}", which % OWNERS), None).await?;
                took.push(begun.elapsed());
            }
            Outcome::Ok(took)
        });
    }
    let mut took = Vec::new();
    for its in clients.join_all().await {
        took.extend(its?);
    }
    tell_rate("accepted", runs, begun.elapsed());
    tell(&format!("accepted, {SUBMITTING} at a time"), took);
    Ok(())
}

/// Claims and ends until nothing is left; how many, and how often the database was too busy.
async fn work_off(store: Store, name: RunnerId) -> Outcome<(usize, usize)> {
    let (mut ended, mut again) = (0, 0);
    // Where others have all targets for the moment there is nothing to claim, and soon there is.
    let mut found_at = Instant::now();
    while found_at.elapsed() < Duration::from_secs(1) {
        match work_next(&store, &name).await {
            Ok(true) => {
                ended += 1;
                found_at = Instant::now();
            }
            Ok(false) => sleep(Duration::from_millis(5)).await,
            // What it had claimed is the sweeper's; nobody waits for that here.
            Err(busy) if busy.is_outage() => {
                again += 1;
                found_at = Instant::now();
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((ended, again))
}

/// Claims and ends one; false where there is none.
async fn work_next(store: &Store, name: &RunnerId) -> Result<bool, StoreError> {
    let Some(Claim { held, .. }) = store.claim(name, MAX_USERS).await? else { return Ok(false) };
    store.load_starts(&held, "model").await?;
    store.finish(&held, nothing()).await?;
    Ok(true)
}

async fn open(database: &TestDatabase) -> Outcome<Store> {
    let store = Store::open(database.url(), Vault::none(), Lease::default()).await?;
    Ok(store.with_rules(Rules { cooldown: Duration::ZERO, ..Rules::default() }))
}

fn runner(nth: usize) -> RunnerId {
    RunnerId(format!("runner-{nth}"))
}

fn request(url: &str) -> NewBenchmark {
    let fields = Fields::from_iter([("url".to_owned(), url.into())]);
    let seed = Seed::try_from(7).expect("a seed");
    NewBenchmark::parse(&fields, &Defaults::default(), seed).expect("a request")
}

fn nothing() -> Ending {
    Ending {
        to: State::Failed,
        reason: None,
        report: None,
        series: Vec::new(),
        histograms: shared::report::Histograms::new(),
        requests: None,
    }
}

fn tell(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |percent: usize| ms(took[(took.len() - 1) * percent / 100]);
    let [p50, p99, max] = [50, 99, 100].map(at);
    println!("  {what}: p50 {p50:.1} p99 {p99:.1} max {max:.1} ms");
}

fn tell_rate(what: &str, count: usize, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
    let rate = count as f64 / took.as_secs_f64();
    println!("  {count} {what}: {rate:.0} a second");
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}
