use serde_json::{Value, json};

use crate::{
    Load, Seed,
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
            "max_concurrency cannot be given with arrival closed_loop; it is for constant, poisson, gamma, all_at_once, staged",
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
            "arrival must be one of closed_loop, constant, poisson, gamma, all_at_once, staged, not `poison`",
        ),
        (
            json!({"stages": "10:5", "stages_of": "rate", "duration": 60}),
            "duration cannot be given with stages; it is for closed_loop, constant, poisson, gamma, all_at_once",
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
        (json!({"rate": 0}), "rate must be between 0.001 and 10000, not 0"),
        (json!({"rate": "NaN"}), "rate must be between 0.001 and 10000, not NaN"),
        (
            json!({"arrival": "gamma", "rate": 1, "cv": 11}),
            "cv must be between 0.01 and 10, not 11",
        ),
        (
            json!({"rate": 1, "max_concurrency": 10_001}),
            "max_concurrency must be between 1 and 10000, not 10001",
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
