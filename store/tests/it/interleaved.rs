//! A runner, a client and a sweeper at one benchmark: every order of their calls, and calls that
//! really meet.
//!
//! A call of the store is one transaction, so whatever meets must come out as one of the orders
//! one after the other. `MODEL_RACES` is how often each meeting is repeated.

use shared::{BenchmarkId, State};
use store::{Held, Store};
use tokio::task::JoinSet;

use crate::model::{Call, Model, Row, Seen, age, clear, perform, rows, setting};
use crate::world::{World, worlds};

/// Where a benchmark stands when they begin.
const BEGINNINGS: &[&[Before]] = &[
    &[],
    &[Before::Age],
    &[Before::Claim],
    &[Before::Claim, Before::Age],
    &[Before::Claim, Before::Load],
    &[Before::Claim, Before::Load, Before::Age],
    &[Before::Claim, Before::Cancel],
    &[Before::Claim, Before::Load, Before::Cancel, Before::Age],
];

#[derive(Clone, Copy, Debug)]
enum Before {
    Claim,
    Load,
    Cancel,
    /// Its deadline has come, or its lease has run out.
    Age,
}

/// A call of somebody who knows the benchmark and, if he runs it, its first claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Claim,
    Renew,
    LoadStarts,
    Finish,
    GiveBack,
    Cancel,
    Sweep,
}

const WORDS: [Word; 7] = [
    Word::Claim,
    Word::Renew,
    Word::LoadStarts,
    Word::Finish,
    Word::GiveBack,
    Word::Cancel,
    Word::Sweep,
];

impl Word {
    fn of(self, id: BenchmarkId) -> Call {
        let held = Held { id, fence: 1 };
        match self {
            Self::Claim => Call::Claim,
            Self::Renew => Call::Renew(held),
            Self::LoadStarts => Call::LoadStarts(held),
            Self::Finish => Call::Finish(held, State::Completed),
            Self::GiveBack => Call::GiveBack(held),
            Self::Cancel => Call::Cancel(id),
            Self::Sweep => Call::Sweep,
        }
    }
}

/// A new benchmark, alone in its world, brought to where they begin.
async fn begin(world: &World, beginning: &[Before]) -> (BenchmarkId, Model) {
    clear(world).await;
    let id = world.submit().await.id;
    let mut model = Model::default();
    model.submitted(id, [0]);
    for before in beginning {
        let word = match before {
            Before::Age => {
                model.age(id);
                age(world, id).await;
                continue;
            }
            Before::Claim => Word::Claim,
            Before::Load => Word::LoadStarts,
            Before::Cancel => Word::Cancel,
        };
        let call = word.of(id);
        assert_eq!(perform(&world.store, "runner-a", call).await, model.call(call));
    }
    (id, model)
}

/// Every way to shuffle these programs, each keeping its own order.
fn shuffles(programs: &[&[Word]]) -> Vec<Vec<Word>> {
    if programs.iter().all(|program| program.is_empty()) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, program) in programs.iter().enumerate() {
        let Some((first, rest)) = program.split_first() else { continue };
        let mut others = programs.to_vec();
        others[at] = rest;
        all.extend(shuffles(&others).into_iter().map(|mut after| {
            after.insert(0, *first);
            after
        }));
    }
    all
}

#[tokio::test]
async fn every_order_of_three_actors_comes_out_as_the_machine_says() {
    let runners: [&[Word]; 3] = [
        &[Word::LoadStarts, Word::Finish],
        &[Word::GiveBack, Word::Finish],
        &[Word::Renew, Word::LoadStarts],
    ];
    let (client, sweeper): (&[Word], &[Word]) = (&[Word::Cancel], &[Word::Sweep, Word::Claim]);
    for world in worlds().await {
        let mut orders = 0;
        for beginning in BEGINNINGS {
            for runner in runners {
                for order in shuffles(&[runner, client, sweeper]) {
                    let (id, mut model) = begin(&world, beginning).await;
                    for word in &order {
                        let call = word.of(id);
                        let seen = perform(&world.store, "runner-b", call).await;
                        assert_eq!(seen, model.call(call), "{beginning:?} {order:?} {word:?}");
                    }
                    assert_eq!(rows(&world).await, model.rows, "{beginning:?} {order:?}");
                    orders += 1;
                }
            }
        }
        // 5! / (2! 1! 2!) orders of each set of programs
        assert_eq!(orders, BEGINNINGS.len() * runners.len() * 30);
        println!("{:?}: {orders} orders", world.backend());
    }
}

/// What each of `words` brings and what is left, for every order.
fn serially(model: &Model, id: BenchmarkId, words: &[Word]) -> Vec<(Vec<Seen>, Row)> {
    let indices: Vec<usize> = (0..words.len()).collect();
    permutations(&indices)
        .into_iter()
        .map(|order| {
            let mut model = model.clone();
            let mut seen = vec![Seen::Done; words.len()];
            for at in order {
                seen[at] = model.call(words[at].of(id));
            }
            (seen, model.rows[&id.0].clone())
        })
        .collect()
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in of.iter().enumerate() {
        let mut rest = of.to_vec();
        rest.remove(at);
        all.extend(permutations(&rest).into_iter().map(|mut after| {
            after.insert(0, *first);
            after
        }));
    }
    all
}

/// Every two calls, and a runner's with two of the others.
fn meetings() -> Vec<Vec<Word>> {
    let mut all = Vec::new();
    for (at, one) in WORDS.iter().enumerate() {
        all.extend(WORDS[at..].iter().map(|other| vec![*one, *other]));
    }
    let others =
        [[Word::Cancel, Word::Sweep], [Word::Cancel, Word::Claim], [Word::Sweep, Word::Claim]];
    for one in [Word::Renew, Word::LoadStarts, Word::Finish, Word::GiveBack] {
        all.extend(others.iter().map(|[two, three]| vec![one, *two, *three]));
    }
    all.push(vec![Word::Cancel, Word::Sweep, Word::Claim]);
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_meet_come_out_as_one_of_their_orders() {
    let races = setting("MODEL_RACES", 1);
    for world in worlds().await {
        let mut stores: Vec<Store> = Vec::new();
        for _ in 0..3 {
            stores.push(world.another_store().await);
        }
        let mut met = 0;
        for beginning in BEGINNINGS {
            for words in meetings() {
                for _ in 0..races {
                    let (id, model) = begin(&world, beginning).await;
                    let mut meeting = JoinSet::new();
                    for (at, word) in words.iter().enumerate() {
                        let (store, call) = (stores[at].clone(), word.of(id));
                        meeting.spawn(async move {
                            (at, perform(&store, &format!("runner-{at}"), call).await)
                        });
                    }
                    let mut seen = meeting.join_all().await;
                    seen.sort_by_key(|(at, _)| *at);
                    let seen: Vec<Seen> = seen.into_iter().map(|(_, seen)| seen).collect();
                    let left = rows(&world).await.remove(&id.0).expect("the benchmark");
                    let came_out = (seen, left);
                    let orders = serially(&model, id, &words);
                    assert!(
                        orders.contains(&came_out),
                        "{beginning:?} {words:?}: {came_out:#?} is none of {orders:#?}"
                    );
                    met += 1;
                }
            }
        }
        println!("{:?}: {met} meetings", world.backend());
    }
}
