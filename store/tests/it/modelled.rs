//! Random walks by several runners, each step taken by the machine and by the database: they must
//! agree on every answer, row and event.
//!
//! `MODEL_STEPS` is how many steps there are on each database, `MODEL_SEED` what they derive from.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use shared::{BenchmarkId, State};
use store::Held;

use crate::model::{Call, Model, Seen, age, clear, perform, rows, setting};
use crate::world::{World, request, worlds};

/// Steps of a walk, at most.
const LONGEST_WALK: usize = 60;

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit(u8, Option<u8>),
    Claim(u8),
    Renew(u8),
    LoadStarts(u8),
    Finish(u8, u8),
    GiveBack(u8),
    Cancel(u8),
    Age(u8),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, proptest::option::weighted(0.3, 0..3u8))
            .prop_map(|(target, further)| Step::Submit(target, further)),
        6 => any::<u8>().prop_map(Step::Claim),
        1 => any::<u8>().prop_map(Step::Renew),
        4 => any::<u8>().prop_map(Step::LoadStarts),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(run, end)| Step::Finish(run, end)),
        2 => any::<u8>().prop_map(Step::GiveBack),
        2 => any::<u8>().prop_map(Step::Cancel),
        3 => any::<u8>().prop_map(Step::Age),
        3 => Just(Step::Sweep),
    ]
}

/// One database and the model beside it.
struct Walk<'a> {
    world: &'a World,
    model: Model,
    ids: Vec<BenchmarkId>,
    /// Every claim there ever was: old ones keep on being used.
    helds: Vec<Held>,
}

fn pick<T: Copy>(from: &[T], which: u8) -> Option<T> {
    (!from.is_empty()).then(|| from[usize::from(which) % from.len()])
}

impl Walk<'_> {
    async fn take(&mut self, step: Step) {
        let held = |which| pick(&self.helds, which);
        let call = match step {
            Step::Submit(target, further) => return self.submit(target, further).await,
            Step::Claim(runner) => return self.claim(runner).await,
            Step::Age(id) => {
                let Some(id) = pick(&self.ids, id) else { return };
                self.model.age(id);
                return age(self.world, id).await;
            }
            Step::Renew(run) => held(run).map(Call::Renew),
            Step::LoadStarts(run) => held(run).map(Call::LoadStarts),
            Step::Finish(run, end) => {
                let to = State::ALL[usize::from(end) % State::ALL.len()];
                held(run).map(|held| Call::Finish(held, to))
            }
            Step::GiveBack(run) => held(run).map(Call::GiveBack),
            Step::Cancel(id) => pick(&self.ids, id).map(Call::Cancel),
            Step::Sweep => Some(Call::Sweep),
        };
        let Some(call) = call else { return };
        let (seen, expected) =
            (perform(&self.world.store, "walker", call).await, self.model.call(call));
        assert_eq!(seen, expected, "{call:?}");
    }

    async fn submit(&mut self, target: u8, further: Option<u8>) {
        let url_of = |target: u8| format!("http://llm-{target}.example");
        let further = further.filter(|further| *further != target);
        let (url, urls) = (url_of(target), further.map(url_of));
        let mut fields = vec![("url", url.as_str())];
        fields.extend(urls.as_deref().map(|urls| ("urls", urls)));
        let id = self.world.store.create(request(&fields)).await.unwrap().id;
        self.model.submitted(id, [Some(target), further].into_iter().flatten());
        self.ids.push(id);
    }

    /// Which of those that may be claimed is claimed is a matter of order, not of the machine.
    async fn claim(&mut self, runner: u8) {
        let runner = format!("runner-{}", runner % 3);
        let claimed = perform(&self.world.store, &runner, Call::Claim).await;
        let Seen::Claimed(claimed) = claimed else { panic!("{claimed:?}") };
        match claimed {
            Some(held) => assert_eq!(self.model.claim(held.id), held),
            None => assert_eq!(self.model.claimable(), [0; 0], "somebody could be claimed"),
        }
        self.helds.extend(claimed);
    }
}

#[test]
fn the_machine_and_the_database_agree_on_every_step() {
    let steps = setting("MODEL_STEPS", 900);
    let seed = setting("MODEL_SEED", 1);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for world in runtime.block_on(worlds()) {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let cases = (steps / 45).max(1);
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, chance);
        let walks = proptest::collection::vec(step(), LONGEST_WALK / 2..=LONGEST_WALK);
        let reached = std::cell::RefCell::new(BTreeSet::new());
        let taken = std::cell::Cell::new(0);
        let outcome =
            runner.run(&walks, |walk| {
                runtime.block_on(async {
                    let (ids, helds) = (Vec::new(), Vec::new());
                    let mut beside = Walk { world: &world, model: Model::default(), ids, helds };
                    clear(&world).await;
                    for step in walk {
                        beside.take(step).await;
                        assert_eq!(rows(&world).await, beside.model.rows, "after {step:?}");
                        taken.set(taken.get() + 1);
                    }
                    for row in beside.model.rows.values() {
                        let told = row.events.iter();
                        reached.borrow_mut().extend(told.filter_map(|(from, to, _)| {
                            Some((from.as_ref()?.as_str(), to.as_str()))
                        }));
                    }
                });
                Ok(())
            });
        outcome.unwrap();
        let (taken, reached) = (taken.get(), reached.into_inner());
        println!("{:?}: {taken} steps, seed {seed}, {} pairs", world.backend(), reached.len());
        assert_eq!(reached.len(), 10, "not every change was reached: {reached:?}");
    }
}
