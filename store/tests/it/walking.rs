//! Random walks through everything one can do to a few benchmarks, held against what must always
//! be true.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared::{BenchmarkId, Progress, RunnerId, State};
use store::{Held, StoreError};

use crate::world::{World, ending, report, request, second, worlds};

#[derive(Clone, Copy, Debug)]
enum Step {
    Create { target: u8, further: u8, key: bool },
    Claim,
    LoadStarts(u8),
    Progress(u8),
    Finish(u8, u8),
    GiveBack(u8),
    Cancel(u8),
    Delete(u8, bool),
    Expire(u8),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3u8, 0..6u8, any::<bool>())
            .prop_map(|(target, further, key)| Step::Create { target, further, key }),
        5 => Just(Step::Claim),
        4 => any::<u8>().prop_map(Step::LoadStarts),
        2 => any::<u8>().prop_map(Step::Progress),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(run, end)| Step::Finish(run, end)),
        1 => any::<u8>().prop_map(Step::GiveBack),
        2 => any::<u8>().prop_map(Step::Cancel),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(id, force)| Step::Delete(id, force)),
        2 => any::<u8>().prop_map(Step::Expire),
        2 => Just(Step::Sweep),
    ]
}

/// Every benchmark and every claim there ever was: old ones keep on being used.
#[derive(Default)]
struct Known {
    ids: Vec<BenchmarkId>,
    helds: Vec<Held>,
}

fn pick<T: Copy>(from: &[T], which: u8) -> Option<T> {
    (!from.is_empty()).then(|| from[usize::from(which) % from.len()])
}

async fn take(world: &World, known: &mut Known, step: Step) -> Result<(), StoreError> {
    let store = &world.store;
    match step {
        Step::Create { target, further, key } => {
            let url_of = |target: u8| format!("http://llm-{target}.example");
            let (url, urls) = (url_of(target), url_of(further));
            let mut fields = vec![("url", url.as_str())];
            fields.extend((further < 3 && further != target).then_some(("urls", urls.as_str())));
            fields.extend(key.then_some(("api_key", "sk-canary")));
            known.ids.push(store.create(request(&fields)).await?.id);
        }
        Step::Claim => {
            let claim = store.claim(&RunnerId("walker".into()), 10_000).await?;
            known.helds.extend(claim.map(|claim| claim.held));
        }
        Step::LoadStarts(run) => {
            if let Some(held) = pick(&known.helds, run) {
                store.load_starts(&held, "tiny").await?;
            }
        }
        Step::Progress(run) => {
            if let Some(held) = pick(&known.helds, run) {
                let measured = (&report(1), &[second(0)][..]);
                store.progress(&held, &Progress::default(), Some(measured)).await?;
            }
        }
        Step::Finish(run, end) => {
            if let Some(held) = pick(&known.helds, run) {
                let to = [State::Completed, State::Failed, State::TimedOut, State::Cancelled];
                store.finish(&held, ending(to[usize::from(end) % 4])).await?;
            }
        }
        Step::GiveBack(run) => {
            if let Some(held) = pick(&known.helds, run) {
                store.give_back(&held).await?;
            }
        }
        Step::Cancel(id) => {
            if let Some(id) = pick(&known.ids, id) {
                store.cancel(id).await?;
            }
        }
        Step::Delete(id, force) => {
            if let Some(id) = pick(&known.ids, id) {
                store.delete(id, force).await?;
            }
        }
        Step::Expire(id) => {
            if let Some(id) = pick(&known.ids, id) {
                let sql = format!(
                    "UPDATE benchmark SET lease_until_ms = 1 \
                     WHERE id = {id} AND lease_until_ms IS NOT NULL"
                );
                world.execute(&sql).await.unwrap();
            }
        }
        Step::Sweep => drop(store.sweep().await?),
    }
    Ok(())
}

/// What must be true after every step.
async fn hold(world: &World, known: &Known) {
    for id in &known.ids {
        let benchmark = match world.store.get(*id).await {
            Ok(benchmark) => benchmark,
            Err(StoreError::NotFound(_)) => continue,
            Err(error) => panic!("{error:?}"),
        };
        let history = world.history(*id).await;
        assert_eq!(history.first(), Some(&State::Queued));
        assert_eq!(history.last(), Some(&benchmark.status));
        for pair in history.windows(2) {
            assert!(pair[0].may_become(pair[1]), "{history:?}");
        }
        let events = world.store.events(*id, 0).await.unwrap();
        assert!(events.is_sorted_by_key(|event| event.fence), "{events:?}");
    }
    for broken in [
        "SELECT count(*) FROM (SELECT target_key FROM benchmark \
         WHERE status IN ('running', 'cancelling') GROUP BY target_key HAVING count(*) > 1) AS t",
        "SELECT count(*) FROM (SELECT benchmark_target.target_key FROM benchmark_target \
         JOIN benchmark ON id = benchmark_id WHERE status IN ('running', 'cancelling') \
         GROUP BY benchmark_target.target_key HAVING count(*) > 1) AS t",
        "SELECT count(*) FROM benchmark_target JOIN benchmark ON id = benchmark_id \
         WHERE active <> (status IN ('running', 'cancelling'))",
        "SELECT count(*) FROM benchmark_secret JOIN benchmark ON id = benchmark_id \
         WHERE finished_at_ms IS NOT NULL",
        "SELECT count(*) FROM benchmark_partial JOIN benchmark ON id = benchmark_id \
         WHERE lease_until_ms IS NULL",
        "SELECT count(*) FROM benchmark WHERE status = 'queued' AND load_started_at_ms IS NOT NULL",
        "SELECT count(*) FROM benchmark WHERE status = 'lost' AND load_started_at_ms IS NULL \
         AND claims < 3",
    ] {
        assert_eq!(world.count(broken).await, 0, "{broken}");
    }
}

#[test]
fn no_walk_breaks_what_must_be_true() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let walks = proptest::collection::vec(step(), 1..40);
    let config = Config { cases: 8, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&walks, |walk| {
        runtime.block_on(async {
            for world in worlds().await {
                let mut known = Known::default();
                for step in &walk {
                    // Our own refusals are fine: many steps come too late.
                    if let Err(StoreError::Database(refused)) =
                        take(&world, &mut known, *step).await
                    {
                        panic!("the code asked for what the database refuses: {refused}");
                    }
                    hold(&world, &known).await;
                }
            }
        });
        Ok(())
    });
    outcome.unwrap();
}
