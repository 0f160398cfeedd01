//! The readiness loop against its oracle: the same bytes must give the same sample.

mod answers;
mod faults;

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::json;
use shared::{
    Seed, Stops,
    report::FailureClass,
    request::{Defaults, Fields, NewBenchmark},
};
use target::{Egress, chunk::Usage};
use testkit::{Chat, Script, ScriptedServer};

use super::*;
use crate::{
    prompt::{Hub, Prompts},
    sample::{Outcome, Sample},
};

/// What a server does to one request.
struct Case {
    name: String,
    script: Script,
    /// The class it must land in; none: it completes.
    fails_as: Option<FailureClass>,
}

/// Of a sample, what the bytes alone decide.
#[derive(Debug, PartialEq)]
struct Digest {
    /// The failure, with what a target said where that is part of it; none: it completed.
    failure: Option<(FailureClass, String)>,
    /// Tokens of each token event, and where its text ends.
    events: Vec<(Option<u32>, u32)>,
    text: String,
    usage: Option<Usage>,
    finish_reason: Option<String>,
    saw_reasoning: bool,
    bare_choices: usize,
    /// Whether there was a head, an event, an answer.
    stamped: [bool; 3],
}

impl Digest {
    fn of(sample: &Sample) -> Self {
        let failure = match &sample.outcome {
            Outcome::Completed => None,
            Outcome::Failed(failure) => {
                let class = failure.class();
                let is_told = matches!(
                    class,
                    FailureClass::Http429
                        | FailureClass::Http4xx
                        | FailureClass::Http5xx
                        | FailureClass::StreamError
                        | FailureClass::Malformed
                        | FailureClass::TimeoutIdle
                );
                Some((class, if is_told { failure.to_string() } else { String::new() }))
            }
            Outcome::Cancelled => panic!("no case takes as long as the run"),
        };
        let events = sample.events.iter().map(|event| (event.tokens, event.text_end)).collect();
        Self {
            failure,
            events,
            text: sample.text.clone(),
            usage: sample.usage,
            finish_reason: sample.finish_reason.clone(),
            saw_reasoning: sample.saw_reasoning,
            bare_choices: sample.bare_choices_us.len(),
            stamped: [sample.head_us, sample.first_event_us, sample.first_answer_us]
                .map(|stamp| stamp.is_some()),
        }
    }
}

const SEED: u64 = 7;
const REQUESTS_PER_S: usize = 150;

/// The tag in front of each prompt, which no other request of the run has.
fn tag(text: &str) -> Option<&str> {
    let from = text.find('[')?;
    text.get(from..from + 18).filter(|tag| tag.ends_with(']'))
}

/// Sends one request a case, each on time whatever became of the others; the samples by case.
async fn samples(driver: Driver, cases: &[Case]) -> BTreeMap<usize, Sample> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let prompts = Prompts::embedded(SEED);
    let tag_of = |nth: usize| {
        let ask = prompts.ask(readiness::OPEN_LOOP_USER, nth as u64);
        tag(ask.said().first_text().expect("a text")).expect("a tag").to_owned()
    };
    let scripts: BTreeMap<String, Script> =
        cases.iter().enumerate().map(|(nth, case)| (tag_of(nth), case.script.clone())).collect();
    let probed = Chat::of(&["a", "b"]).usage(5, 2);
    let server = ScriptedServer::scripted()
        .on("GET /v1/models", probed.models())
        .with("POST /v1/chat/completions", move |request| {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let said = body.split("\"content\":\"").nth(1).unwrap_or_default();
            tag(said).and_then(|tag| scripts.get(tag)).cloned().unwrap_or_else(|| probed.script())
        })
        .start();

    let fields: Fields = serde_json::from_value(json!({
        "url": server.url(), "rate": REQUESTS_PER_S, "max_requests": cases.len(), "seed": SEED,
        "duration": cases.len() / REQUESTS_PER_S + 2, "grace": 20, "scrape": false,
        "timeout_first_token": 1.5, "timeout_idle": 1.5, "timeout_total": 3,
    }))
    .unwrap();
    let new =
        NewBenchmark::parse(&fields, &Defaults::default(), Seed::try_from(0).unwrap()).unwrap();
    let data_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let settings = Settings {
        egress: Egress::new(Egress::LOCAL, Vec::new()).unwrap(),
        hub: Hub::new(Hub::PUBLIC, None, &data_dir).unwrap(),
        data_dir,
        load_threads: Some(1),
        driver,
        runner: String::new(),
        shard: crate::arrival::Shard::WHOLE,
        label: String::new(),
    };
    let prepared = prepare(new.spec, None, &settings).await.unwrap();
    let load = prepared.spec.load.clone();
    let mut run = Arc::into_inner(prepared.run).unwrap();
    (run.keep_text, run.count_text) = (true, true);
    let origin = Instant::now() + RUN_UP;
    let (sender, incoming) = mpsc::channel();
    let stop = CancellationToken::new();
    let thread = LoadThread {
        index: 0,
        threads: 1,
        shard: crate::arrival::Shard::WHOLE,
        driver,
        room: Room::for_at_most(load.peak_users().get()),
        budget: Budget::of(load.max_requests().map(|most| most.get().into())),
        load,
        run: Arc::new(run),
        clock: Arc::new(Clock::starting_at(origin)),
        handicap: Handicap::default(),
        origin: origin.into(),
        live: Arc::new(Live::with(Brake::new(Stops::default(), origin, stop.clone()))),
        permit: Permit { deadline: Deadline::never(), stop: stop.clone() },
        stop,
        cut_off: CancellationToken::new(),
        samples: sender,
        duty: Crew::new(1).duty(0),
    };
    thread.start().await.unwrap();
    let case = |sample: &Sample| usize::try_from(sample.nth).unwrap();
    incoming.into_iter().flatten().map(|sample: Sample| (case(&sample), sample)).collect()
}

/// Both drivers make the same of every case, and what is expected.
async fn agree_on(cases: Vec<Case>) {
    let ours = samples(Driver::Readiness, &cases).await;
    let oracle = samples(Driver::Hyper, &cases).await;
    assert_eq!((ours.len(), oracle.len()), (cases.len(), cases.len()), "one sample a case");
    let mut wrong = Vec::new();
    for (nth, case) in cases.iter().enumerate() {
        let (ours, oracle) = (Digest::of(&ours[&nth]), Digest::of(&oracle[&nth]));
        let class = ours.failure.as_ref().map(|(class, _)| *class);
        if ours != oracle || class != case.fails_as {
            wrong.push(format!(
                "{}, expected {:?}:\n  ours   {ours:?}\n  oracle {oracle:?}",
                case.name, case.fails_as
            ));
        }
    }
    let (count, of) = (wrong.len(), cases.len());
    assert!(wrong.is_empty(), "{count} of {of} cases\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn both_drivers_read_every_dialect_the_same_however_it_is_framed_and_cut() {
    agree_on(answers::corpus()).await;
}

#[tokio::test]
async fn both_drivers_meet_every_fault_the_same() {
    agree_on(faults::corpus()).await;
}

/// What is left of a limit when it strikes: never too early, and soon.
#[tokio::test]
async fn each_timeout_strikes_at_its_time_on_both_drivers() {
    let ms = Duration::from_millis;
    let head = || Script::new().chunked_head();
    let case = |name: &str, script: Script, class| Case {
        name: name.to_owned(),
        script,
        fails_as: Some(class),
    };
    let drip = (0..80).fold(head(), |script, _| script.token("a").after(ms(50)));
    let dribble = (0..80).fold(head(), |script, _| script.sse(": ping\n\n").after(ms(50)));
    let cases = vec![
        case("no head", Script::new().stall(), FailureClass::TimeoutFirstToken),
        case("no token", head().after(ms(700)).stall(), FailureClass::TimeoutFirstToken),
        // bytes are no token
        case("comments only", dribble, FailureClass::TimeoutFirstToken),
        case(
            "no further byte",
            head().after(ms(400)).token("a").stall(),
            FailureClass::TimeoutIdle,
        ),
        case("no end", drip, FailureClass::TimeoutTotal),
    ];
    // from sending to the end, in ms
    let due = [1_500, 1_500, 1_500, 400 + 1_500, 3_000];
    for driver in [Driver::Readiness, Driver::Hyper] {
        let samples = samples(driver, &cases).await;
        for (nth, (case, due_ms)) in cases.iter().zip(due).enumerate() {
            let sample = &samples[&nth];
            let class = Digest::of(sample).failure.map(|(class, _)| class);
            assert_eq!(class, case.fails_as, "{driver:?}, {}", case.name);
            let took_ms = (sample.end_us - sample.sent_us.unwrap()) / 1_000;
            let is_in_time = (due_ms - 5..due_ms + 250).contains(&took_ms);
            assert!(is_in_time, "{driver:?}, {}: {took_ms} ms, not {due_ms}", case.name);
        }
    }
}
