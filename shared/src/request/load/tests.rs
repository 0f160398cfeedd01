use serde_json::{Value, json};

use super::OF_SOME;
use crate::{
    FieldError, Load, Seed,
    request::{Defaults, NewBenchmark},
};

fn parse(mut fields: Value) -> Result<Load, Vec<String>> {
    fields["url"] = "http://x.example".into();
    let fields = serde_json::from_value(fields).unwrap();
    match NewBenchmark::parse(&fields, &Defaults::default(), Seed::try_from(1).unwrap()) {
        Ok(new) => Ok(new.spec.load),
        Err(errors) => Err(errors.into_iter().map(|error| error.detail).collect()),
    }
}

#[test]
fn texts_and_numbers_ask_for_the_same_open_loop() {
    let as_json = parse(json!({"arrival": "gamma", "rate": 12.5, "cv": 2, "max_requests": 50,
        "max_concurrency": 8, "duration": 30}));
    let as_text =
        parse(json!({"arrival": "gamma", "rate": "12.5", "cv": "2", "max_requests": "50",
        "max_concurrency": "8", "duration": "30"}));
    let load = as_json.unwrap();
    assert_eq!(as_text.unwrap(), load);
    let Load::Gamma(gamma) = load else { panic!("{load:?}") };
    assert!((gamma.rate.get() - 12.5).abs() < 1e-9 && (gamma.cv.get() - 2.0).abs() < 1e-9);
    assert_eq!(gamma.limits.max_concurrency.unwrap().get(), 8);
    assert_eq!(gamma.limits.max_requests.unwrap().get(), 50);
    assert_eq!(gamma.limits.duration_s.get(), 30);
}

#[test]
fn a_shape_is_named_or_told_by_its_rate() {
    let kind = |fields| parse(fields).unwrap().kind();
    assert_eq!(kind(json!({})), "closed_loop");
    assert_eq!(kind(json!({"max_requests": 5, "arrival": null})), "closed_loop");
    assert_eq!(kind(json!({"rate": 5})), "constant");
    assert_eq!(kind(json!({"rate": 5, "arrival": "poisson"})), "poisson");
    assert_eq!(kind(json!({"stages": "8:5,9:5:linear", "stages_of": "users"})), "staged");
    assert_eq!(kind(json!({"max_requests": 5, "arrival": "all_at_once"})), "all_at_once");
    assert_eq!(kind(json!({"trace": "a/b.csv"})), "trace");
    assert_eq!(kind(json!({"trace": "b.csv", "arrival": "trace"})), "trace");
}

#[test]
fn fields_that_contradict_each_other_are_refused_by_name() {
    for (fields, said) in [
        (json!({"user": 5, "rate": 5}), "user cannot be given with rate; it is for closed_loop"),
        (json!({"rate": 5, "cv": 2}), "cv cannot be given with rate; it is for gamma"),
        (
            json!({"arrival": "poisson", "rate": 5, "cv": 2}),
            "cv cannot be given with arrival poisson; it is for gamma",
        ),
        (
            json!({"arrival": "closed_loop", "rate": 5}),
            "rate cannot be given with arrival closed_loop; it is for constant, poisson, gamma",
        ),
        (
            json!({"max_concurrency": 5}),
            "max_concurrency cannot be given with arrival closed_loop; it is for constant, poisson, gamma, all_at_once, staged, trace",
        ),
        (json!({"arrival": "poisson"}), "rate is required with arrival poisson: requests a second"),
        (
            json!({"arrival": "gamma", "rate": 1}),
            "cv is required with arrival gamma: the standard deviation / mean of the gaps between requests",
        ),
        (
            json!({"arrival": "all_at_once"}),
            "max_requests is required with arrival all_at_once: how many are sent",
        ),
        (
            json!({"arrival": "poison", "rate": 1}),
            "arrival must be one of closed_loop, constant, poisson, gamma, all_at_once, staged, trace, not `poison`",
        ),
        (
            json!({"stages": "10:5", "stages_of": "rate", "duration": 60}),
            "duration cannot be given with stages; it is for closed_loop, constant, poisson, gamma, all_at_once, trace",
        ),
        (
            json!({"stages": "10:5", "stages_of": "rate", "rate": 60}),
            "rate cannot be given with stages; it is for constant, poisson, gamma",
        ),
        (json!({"stages": "10:5"}), "stages_of is required with arrival staged: users or rate"),
        (
            json!({"stages": "10:5", "stages_of": "requests"}),
            "stages_of must be users or rate, not `requests`",
        ),
        (
            json!({"stages": "2.5:5", "stages_of": "users"}),
            "stages of users must have whole numbers of them",
        ),
        (
            json!({"stages": "2:5", "stages_of": "users", "max_concurrency": 5}),
            "max_concurrency cannot be given with stages of users, who are that limit",
        ),
        (json!({"stages": "0:5", "stages_of": "users"}), "stages must have a target above 0"),
        (
            json!({"arrival": "staged", "stages_of": "rate"}),
            "stages is required with arrival staged: `target:seconds`, with commas between them",
        ),
        (json!({"rate": 0}), "rate must be between 0.001 and 640000, not 0"),
        (json!({"rate": "NaN"}), "rate must be between 0.001 and 640000, not NaN"),
        (
            json!({"arrival": "gamma", "rate": 1, "cv": 11}),
            "cv must be between 0.01 and 10, not 11",
        ),
        (
            json!({"rate": 1, "max_concurrency": 640_001}),
            "max_concurrency must be between 1 and 640000, not 640001",
        ),
        (json!({"max_requests": 0}), "max_requests must be between 1 and 10000000, not 0"),
    ] {
        assert_eq!(parse(fields).unwrap_err(), [said]);
    }
}

#[test]
fn users_may_each_have_their_number_of_requests() {
    let load = parse(json!({"user": 4, "requests_per_user": "25", "max_requests": 90})).unwrap();
    let Load::ClosedLoop(closed) = &load else { panic!("{load:?}") };
    assert_eq!(closed.requests_per_user.unwrap().get(), 25);
    assert_eq!(closed.max_requests.unwrap().get(), 90);
    let json = serde_json::to_value(&load).unwrap();
    assert_eq!(serde_json::from_value::<Load>(json).unwrap(), load);
    for (fields, said) in [
        (json!({"requests_per_user": 0}), "requests_per_user must be between 1 and 1000000, not 0"),
        (
            json!({"rate": 5, "requests_per_user": 5}),
            "requests_per_user cannot be given with rate; it is for closed_loop",
        ),
        (
            json!({"stages": "2:5", "stages_of": "users", "requests_per_user": 5}),
            "requests_per_user cannot be given with stages; it is for closed_loop",
        ),
    ] {
        assert_eq!(parse(fields).unwrap_err(), [said]);
    }
}

/// The fields that `fields` are refused for, in order.
fn refused(mut fields: Value) -> Vec<String> {
    fields["url"] = "http://x.example".into();
    let fields = serde_json::from_value(fields).unwrap();
    let parsed = NewBenchmark::parse(&fields, &Defaults::default(), Seed::try_from(1).unwrap());
    let names = |errors: Vec<FieldError>| {
        errors.into_iter().map(|error| error.pointer.trim_start_matches('/').to_owned()).collect()
    };
    parsed.map_or_else(names, |_| Vec::new())
}

#[test]
fn every_field_of_another_shape_is_refused_by_its_name() {
    let shapes = [
        ("closed_loop", json!({"user": 2})),
        ("constant", json!({"rate": 2})),
        ("poisson", json!({"arrival": "poisson", "rate": 2})),
        ("gamma", json!({"arrival": "gamma", "rate": 2, "cv": 1})),
        ("all_at_once", json!({"arrival": "all_at_once", "max_requests": 2})),
        ("staged", json!({"stages": "2:2", "stages_of": "rate"})),
        ("trace", json!({"trace": "t.csv"})),
    ];
    let fields = [
        ("user", json!(2)),
        ("spawnrate", json!(2)),
        ("wait_min", json!(0)),
        ("wait_max", json!(1)),
        ("requests_per_user", json!(2)),
        ("rate", json!(2)),
        ("cv", json!(1)),
        ("max_concurrency", json!(2)),
        ("stages", json!("2:2")),
        ("stages_of", json!("rate")),
        ("duration", json!(9)),
        ("trace", json!("t.csv")),
        ("trace_format", json!("azure")),
        ("trace_speed", json!(2)),
        ("max_requests", json!(2)),
        ("grace", json!(2)),
    ];
    for (kind, shape) in &shapes {
        assert_eq!(refused(shape.clone()), Vec::<String>::new(), "{kind}");
        for (name, value) in &fields {
            let mut both = shape.clone();
            both["arrival"] = (*kind).into();
            both[name] = value.clone();
            let own = match *name {
                "max_requests" | "grace" => true,
                name => OF_SOME.iter().any(|(field, of)| {
                    *field == name && of.iter().any(|arrival| arrival.as_str() == *kind)
                }),
            };
            let expected: Vec<&str> = if own { Vec::new() } else { vec![name] };
            assert_eq!(refused(both), expected, "{name} with {kind}");
        }
    }
    assert_eq!(refused(json!({"stages": "", "stages_of": "rate"})), ["stages"]);
    assert_eq!(refused(json!({"trace": " "})), ["trace"]);
    assert_eq!(refused(json!({"arrival": "staged"})), ["stages", "stages_of"]);
    assert_eq!(refused(json!({"stages": "2:0", "stages_of": "rate"})), ["stages"]);
    assert_eq!(refused(json!({"arrival": "gamma"})), ["rate", "cv"]);
    assert_eq!(
        refused(json!({"user": 2, "rate": 2, "stages": "2:2"})),
        ["user", "rate", "stages_of"]
    );
}

#[test]
fn a_trace_is_a_file_below_the_data_directory_at_a_speed() {
    let load = parse(json!({"trace": "azure/code.csv", "trace_speed": "2.5", "max_requests": 9}));
    let load = load.unwrap();
    let Load::Trace(replay) = &load else { panic!("{load:?}") };
    assert_eq!(replay.trace.as_str(), "azure/code.csv");
    assert_eq!((replay.format, replay.speed.get()), (None, 2.5));
    assert_eq!((load.duration().get(), load.peak_users().get()), (3_600, 9), "it ends by itself");
    let stored = serde_json::to_value(&load).unwrap();
    assert_eq!(stored["kind"], "trace");
    assert_eq!(serde_json::from_value::<Load>(stored).unwrap(), load);
    let named = parse(json!({"trace": "t", "trace_format": "burstgpt", "duration": 30})).unwrap();
    assert_eq!(serde_json::to_value(&named).unwrap()["format"], "burstgpt");
    assert_eq!((named.duration().get(), named.peak_users().get()), (30, 10_000));
    assert!(
        serde_json::from_value::<Load>(json!({"kind": "trace", "trace": "../t", "format": null,
        "speed": 1.0, "duration_s": 1, "grace_s": 0.0}))
        .is_err()
    );
}

#[test]
fn what_contradicts_a_trace_is_refused_by_name() {
    for (fields, said) in [
        (
            json!({"trace": "t.csv", "rate": 5}),
            "rate cannot be given with trace; it is for constant, poisson, gamma",
        ),
        (
            json!({"trace": "t.csv", "user": 5}),
            "user cannot be given with trace; it is for closed_loop",
        ),
        (
            json!({"trace": "t.csv", "stages": "2:2"}),
            "stages cannot be given with trace; it is for staged",
        ),
        (
            json!({"trace": "t.csv", "arrival": "poisson", "rate": 2}),
            "trace cannot be given with arrival poisson; it is for trace",
        ),
        (
            json!({"trace_speed": 2}),
            "trace_speed cannot be given with arrival closed_loop; it is for trace",
        ),
        (
            json!({"arrival": "trace"}),
            "trace is required with arrival trace: a path below DATA_DIR",
        ),
        (
            json!({"trace": "../t.csv"}),
            "trace must be a path below DATA_DIR, without `..` and not absolute: `../t.csv`",
        ),
        (
            json!({"trace": "/etc/passwd"}),
            "trace must be a path below DATA_DIR, without `..` and not absolute: `/etc/passwd`",
        ),
        (
            json!({"trace": "t.csv", "trace_format": "csv"}),
            "trace_format must be one of mooncake, azure, burstgpt, jsonl, not `csv`",
        ),
        (
            json!({"trace": "t.csv", "trace_speed": 0}),
            "trace_speed must be between 0.01 and 1000, not 0",
        ),
        (
            json!({"trace": "t.csv", "dataset": "synthetic"}),
            "dataset synthetic cannot be given with trace, whose rows have their own lengths",
        ),
    ] {
        assert_eq!(parse(fields).unwrap_err(), [said]);
    }
    for (name, value) in [
        ("prompt_tokens", json!(9)),
        ("output_tokens", json!(9)),
        ("mix", json!("100% 9")),
        ("prefix_tokens", json!(9)),
        ("prefix_count", json!(2)),
    ] {
        let mut fields = json!({"trace": "t.csv", "tokenizer": "t.json"});
        fields[name] = value;
        assert_eq!(refused(fields), [name]);
    }
    assert!(
        parse(json!({"trace": "t.csv", "dataset": "a.jsonl"})).is_ok(),
        "for rows without text"
    );
}
