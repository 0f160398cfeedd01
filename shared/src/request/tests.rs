use secrecy::ExposeSecret;
use serde_json::json;

use super::*;
use crate::Load;

fn fields(json: Value) -> Fields {
    serde_json::from_value(json).unwrap()
}

fn parse(json: Value) -> Result<NewBenchmark, Vec<FieldError>> {
    NewBenchmark::parse(&fields(json), &Defaults::default(), valid(7))
}

fn refusals(json: Value) -> Vec<String> {
    parse(json).unwrap_err().into_iter().map(|error| error.detail).collect()
}

#[test]
fn a_url_alone_gets_the_original_defaults() {
    let new = parse(json!({"url": "http://llm.example"})).unwrap();
    let Load::ClosedLoop(load) = &new.spec.load else { panic!("a closed loop") };
    assert_eq!((load.users.get(), load.spawn_rate.get(), load.duration_s.get()), (100, 100, 60));
    assert_eq!(new.spec.output.max_tokens.get(), 128);
    assert_eq!(new.spec.output.min_tokens.get(), 20);
    assert_eq!(new.spec.seed.get(), 7);
    assert!(new.api_key.is_none());
}

#[test]
fn without_a_url_and_without_a_default_nothing_is_asked_for() {
    assert_eq!(refusals(json!({"user": 1})), ["url is required: the target's base URL"]);
    assert_eq!(refusals(json!({"url": ""})), ["url is required: the target's base URL"]);
    let defaults = Defaults {
        url: Some("http://x.example".to_owned().try_into().unwrap()),
        ..Default::default()
    };
    let new = NewBenchmark::parse(&Fields::new(), &defaults, valid(1)).unwrap();
    assert_eq!(new.spec.url.given(), "http://x.example");
}

#[test]
fn texts_and_numbers_are_the_same_request() {
    let as_text =
        parse(json!({"url": "http://x.example", "user": "8", "favorite": "true", "grace": "1.5"}));
    let as_json =
        parse(json!({"url": "http://x.example", "user": 8, "favorite": true, "grace": 1.5}));
    let (as_text, as_json) = (as_text.unwrap(), as_json.unwrap());
    assert_eq!(as_text.spec, as_json.spec);
    assert!(as_text.favorite && as_json.favorite);
}

#[test]
fn every_number_out_of_its_limits_is_named_with_the_limit() {
    for (name, value, said) in [
        ("user", json!(0), "user must be between 1 and 640000, not 0"),
        ("user", json!(-1), "user must be between 1 and 640000, not -1"),
        ("user", json!("-1"), "user must be between 1 and 640000, not -1"),
        ("user", json!(640_001), "user must be between 1 and 640000, not 640001"),
        ("user", json!(1e30), "user must be between 1 and 640000, not 1e+30"),
        (
            "user",
            json!("99999999999999999999"),
            "user must be between 1 and 640000, not 99999999999999999999",
        ),
        ("user", json!(1.5), "user must be between 1 and 640000, not 1.5"),
        ("user", json!("many"), "user must be a whole number between 1 and 640000, not `many`"),
        ("user", json!([1]), "user must be a whole number between 1 and 640000, not `[1]`"),
        ("user", json!(""), "user must be a whole number between 1 and 640000, not ``"),
        ("spawnrate", json!(0), "spawnrate must be between 1 and 640000, not 0"),
        ("duration", json!(3601), "duration must be between 1 and 3600, not 3601"),
        ("grace", json!("NaN"), "grace must be between 0 and 600, not NaN"),
        ("timeout_idle", json!(0), "timeout_idle must be between 0.1 and 3600, not 0"),
        ("favorite", json!("maybe"), "favorite must be true or false, not `maybe`"),
    ] {
        assert_eq!(refusals(json!({"url": "http://x.example", name: value})), [said]);
    }
}

#[test]
fn all_errors_are_told_at_once_and_unknown_fields_are_named() {
    let said = refusals(json!({"users": 1, "colour": "red", "user": 0}));
    assert_eq!(
        said,
        [
            "colour is no known field",
            "users is no known field; did you mean user?",
            "url is required: the target's base URL",
            "user must be between 1 and 640000, not 0",
        ]
    );
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let said = refusals(
        json!({"url": "http://x.example", "min_tokens": 9, "max_tokens": 8, "wait_min": 2, "wait_max": 1}),
    );
    assert_eq!(
        said,
        [
            "min_tokens must be at most max_tokens, but 9 > 8",
            "wait_min must be at most wait_max, but 2 > 1",
        ]
    );
    let short = parse(json!({"url": "http://x.example", "max_tokens": 5})).unwrap();
    assert_eq!(short.spec.output.min_tokens.get(), 5);
}

#[test]
fn a_key_is_read_and_never_shown() {
    let new = parse(json!({"url": "http://x.example", "api_key": "sk-canary"})).unwrap();
    assert_eq!(new.api_key.as_ref().unwrap().expose_secret(), "sk-canary");
    assert!(!format!("{new:?}").contains("canary"));
    let said = refusals(json!({"url": "http://x.example", "api_key": "canary with spaces"}));
    assert_eq!(said, ["api_key must be visible ASCII without spaces"]);
}

#[test]
fn a_spec_survives_the_database() {
    let spec =
        parse(json!({"url": "http://x.example/v1", "tokenizer": "t/tokenizer.json"})).unwrap().spec;
    let stored = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<BenchmarkSpec>(&stored).unwrap(), spec);
}

#[test]
fn an_edit_takes_notes_and_the_mark_and_nothing_else() {
    let edit = Edit::parse(&fields(json!({"favorite": "true"}))).unwrap();
    assert_eq!((edit.favorite, edit.notes), (Some(true), None));
    let cleared = Edit::parse(&fields(json!({"notes": ""}))).unwrap();
    assert_eq!(cleared.notes.as_deref(), Some(""));
    let refused = Edit::parse(&fields(json!({"fence": 3}))).unwrap_err();
    assert_eq!(refused[0].detail, "fence is no field of a benchmark that can be edited");
}

fn slo(mut fields: Value) -> Option<crate::Slo> {
    fields["url"] = "http://x.example".into();
    parse(fields).unwrap().spec.slo
}

#[test]
fn a_preset_gives_limits_and_what_is_given_beside_it_wins() {
    assert_eq!(slo(json!({})), None);
    let preset = slo(json!({"slo": "mlperf-llama2-70b-interactive"})).unwrap();
    let limits = |slo: &crate::Slo| {
        [slo.ttft_ms, slo.tpot_ms, slo.itl_ms, slo.e2e_ms].map(|limit| limit.map(crate::SloMs::get))
    };
    assert_eq!(limits(&preset), [Some(450.0), Some(40.0), None, None]);
    assert_eq!(preset.preset.as_deref(), Some("mlperf-llama2-70b-interactive"));
    let own = slo(
        json!({"slo": "mlperf-llama3.1-405b", "slo_tpot_ms": "50", "slo_itl_ms": 400, "slo_e2e_ms": 3_000}),
    );
    assert_eq!(limits(&own.unwrap()), [Some(6_000.0), Some(50.0), Some(400.0), Some(3_000.0)]);
    let alone = slo(json!({"slo_ttft_ms": 0.5})).unwrap();
    assert_eq!((limits(&alone), alone.preset), ([Some(0.5), None, None, None], None));
}

#[test]
fn limits_that_cannot_be_meant_are_refused_by_name() {
    let said = |fields: Value| {
        let mut fields = fields;
        fields["url"] = "http://x.example".into();
        refusals(fields)
    };
    let unknown = said(json!({"slo": "fast"}));
    assert_eq!(unknown.len(), 1);
    assert!(unknown[0].starts_with("slo must be one of mlperf-llama2-70b, mlperf-"), "{unknown:?}");
    assert!(unknown[0].ends_with("mlperf-deepseek-r1-interactive, not `fast`"), "{unknown:?}");
    assert_eq!(
        said(json!({"slo_tpot_ms": 0})),
        ["slo_tpot_ms must be between 0.001 and 3600000, not 0"]
    );
    assert_eq!(
        said(json!({"slo_ttft_ms": 900, "slo_e2e_ms": 800})),
        ["slo_ttft_ms must be at most slo_e2e_ms, but 900 > 800"]
    );
    assert_eq!(
        said(json!({"duration": 10, "warmup": 6, "cooldown": 4})),
        ["warmup and cooldown must leave something of duration, but 6 + 4 >= 10"]
    );
    assert_eq!(said(json!({"warmup": 1.5})), ["warmup must be between 0 and 3600, not 1.5"]);
}

#[test]
fn every_preset_is_named_where_the_field_is_described() {
    let field = FIELDS.iter().find(|field| field.name == "slo").unwrap();
    for preset in crate::SloPreset::ALL {
        assert!(field.doc.contains(preset.name), "{}", preset.name);
        let known = crate::SloPreset::try_from(preset.name.to_owned());
        assert_eq!(known.as_ref(), Ok(preset));
    }
}

#[test]
fn a_spec_stored_before_there_were_limits_and_margins_still_reads() {
    let spec = parse(json!({"url": "http://x.example"})).unwrap().spec;
    let mut stored = serde_json::to_value(&spec).unwrap();
    for added in ["slo", "margins"] {
        assert!(stored.as_object_mut().unwrap().remove(added).is_some());
    }
    assert_eq!(serde_json::from_value::<BenchmarkSpec>(stored).unwrap(), spec);
}

#[test]
fn what_becomes_of_a_lost_run_is_in_its_spec_only_where_it_was_asked_for() {
    let on_lost = |word: &str| json!({"url": "http://x.example", "on_lost": word});
    for plain in [json!({"url": "http://x.example"}), on_lost("fail")] {
        let spec = parse(plain).unwrap().spec;
        assert!(serde_json::to_value(&spec).unwrap().get("on_lost").is_none());
    }
    let spec = parse(on_lost("rerun")).unwrap().spec;
    assert_eq!(serde_json::to_value(&spec).unwrap()["on_lost"], "rerun");
    assert_eq!(refusals(on_lost("again")), ["on_lost must be one of fail, rerun, not `again`"]);
}

#[test]
fn what_makes_two_requests_one_is_what_is_measured_and_where() {
    let written = |further: Value| {
        let mut asked = json!({"url": "http://x.example", "dedupe": true});
        asked.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        parse(asked).unwrap().dedupe
    };
    let plain = written(json!({}));
    assert!(plain.is_some());
    assert_eq!(written(json!({"dedupe": "false"})), None);
    assert_eq!(parse(json!({"url": "http://x.example"})).unwrap().dedupe, None);
    let same = json!({"url": "HTTP://X.example:80/v1/", "user": "100", "notes": "n", "priority": 4, "api_key": "k", "favorite": true});
    assert_eq!(written(same), plain);
    for other in [json!({"user": 5}), json!({"seed": 1}), json!({"labels": {"zone": "a"}})] {
        assert_ne!(written(other.clone()), plain, "{other}");
    }
    // Which one is drawn is of no matter where any will do.
    let drawn = |seed| {
        let given = serde_json::from_value(json!({"url": "http://x.example", "dedupe": true}));
        let seed = Seed::try_from(seed).unwrap();
        NewBenchmark::parse(&given.unwrap(), &Defaults::default(), seed).unwrap().dedupe
    };
    assert_eq!(drawn(1), drawn(2));
}

#[test]
fn no_more_runners_are_asked_for_than_there_are_requests_at_once() {
    let runners = |mut fields: Value| {
        fields["url"] = "http://x.example".into();
        fields
    };
    let spec = |fields| parse(runners(fields)).unwrap().spec;
    let plain = serde_json::to_value(spec(json!({}))).unwrap();
    assert!(plain.get("runners").is_none());
    assert_eq!(serde_json::to_value(spec(json!({"runners": "4"}))).unwrap()["runners"], 4);
    for (fields, said) in [
        (json!({"runners": 65}), "runners must be between 1 and 64, not 65"),
        (
            json!({"runners": 3, "user": 2}),
            "runners must be at most the requests open at once (`user`, `max_concurrency`), which \
             are 2, not 3",
        ),
        (
            json!({"runners": 5, "rate": 10, "max_concurrency": 4}),
            "runners must be at most the requests open at once (`user`, `max_concurrency`), which \
             are 4, not 5",
        ),
    ] {
        assert_eq!(refusals(runners(fields)), [said]);
    }
}

#[test]
fn what_is_too_much_for_one_runner_takes_several_or_is_refused_by_name() {
    let with_url = |mut fields: Value| {
        fields["url"] = "http://x.example".into();
        fields
    };
    for (fields, takes) in [
        (json!({"user": 10_000, "runners": 1}), 1),
        (json!({"user": 640_000, "spawnrate": 640_000}), 64),
        (json!({"user": 20_000, "runners": 2}), 2),
        (json!({"user": 10_001}), 2),
        (json!({"stages": "5:5,30001:5", "stages_of": "users"}), 4),
        (json!({"rate": 20_000}), 2),
        (json!({"stages": "20000:9", "stages_of": "rate"}), 2),
        (json!({"rate": 640_000, "arrival": "poisson"}), 64),
        (json!({"rate": 20_000, "max_concurrency": 100, "runners": 2}), 1),
        (json!({"rate": 1_000, "max_concurrency": 15_000}), 2),
        (json!({"rate": 1, "max_concurrency": 15_000, "runners": 1}), 1),
        (json!({"arrival": "all_at_once", "max_requests": 50_000}), 1),
        (json!({"arrival": "all_at_once", "max_requests": 50_000, "max_concurrency": 50_000}), 5),
    ] {
        let spec = parse(with_url(fields.clone())).unwrap().spec;
        assert_eq!(spec.load.least_runners(), takes, "{fields}");
    }
    for (fields, said) in [
        (
            json!({"user": 20_000, "runners": 1}),
            "user must be at most 10000 for each runner, not 20000 for 1; ask for runners=2, or \
             leave runners out",
        ),
        (
            json!({"user": 640_000, "runners": 63}),
            "user must be at most 10000 for each runner, not 640000 for 63; ask for runners=64, or \
             leave runners out",
        ),
        (
            json!({"rate": 20_000.5, "max_concurrency": 100}),
            "rate must be at most 10000 for each runner, not 20000.5 for 1; ask for runners=3",
        ),
        (
            json!({"rate": 20_000, "runners": 1}),
            "rate must be at most 10000 for each runner, not 20000 for 1; ask for runners=2, or \
             leave runners out",
        ),
        (
            json!({"rate": 1_000, "max_concurrency": 15_000, "runners": 1}),
            "max_concurrency must be at most 10000 for each runner, not 15000 for 1; ask for \
             runners=2, or leave runners out",
        ),
        (
            json!({"stages": "5:5,30001:5", "stages_of": "users", "runners": 3}),
            "stages must be at most 10000 for each runner, not 30001 for 3; ask for runners=4, or \
             leave runners out",
        ),
    ] {
        assert_eq!(refusals(with_url(fields)), [said]);
    }
}

#[test]
fn what_stops_a_run_is_in_its_spec_only_where_it_was_asked_for() {
    let stops = |mut fields: Value| {
        fields["url"] = "http://x.example".into();
        parse(fields).map(|new| new.spec.stops)
    };
    assert_eq!(stops(json!({"stop_on_overload": "false"})).unwrap(), None);
    let plain = parse(json!({"url": "http://x.example"})).unwrap().spec;
    assert!(serde_json::to_value(&plain).unwrap().get("stops").is_none());
    let both = stops(json!({"max_error_rate": "0.05", "stop_on_overload": true})).unwrap().unwrap();
    assert!(both.on_overload && (both.max_error_rate.unwrap().get() - 0.05).abs() < 1e-9);
    for (value, said) in [
        (json!(1.5), "max_error_rate must be between 0 and 1, not 1.5"),
        (json!(-0.1), "max_error_rate must be between 0 and 1, not -0.1"),
        (json!("5%"), "max_error_rate must be a number between 0 and 1, not `5%`"),
    ] {
        assert_eq!(refusals(json!({"url": "http://x.example", "max_error_rate": value})), [said]);
    }
}

#[test]
fn how_it_waits_stands_beside_the_spec() {
    let plain = parse(json!({"url": "http://x.example"})).unwrap();
    assert_eq!(plain.waiting, crate::Waiting::default());
    let waits = json!({"url": "http://x.example", "priority": "-10", "run_at": "2026-01-31T12:00:00Z", "queue_timeout": 60});
    let waits = parse(waits).unwrap();
    assert_eq!(waits.spec, plain.spec);
    assert_eq!(waits.waiting.priority.get(), -10);
    assert_eq!(waits.waiting.queue_timeout_s.unwrap().get(), 60);
    assert_eq!(waits.waiting.run_at.unwrap().unix_ms(), 1_769_860_800_000);
    for seconds in [json!(1_769_860_800), json!("1769860800"), json!(1_769_860_800.000_4)] {
        let same = parse(json!({"url": "http://x.example", "run_at": seconds})).unwrap();
        assert_eq!(same.waiting.run_at, waits.waiting.run_at);
    }
    let time = |given: &str| {
        format!(
            "run_at must be an RFC 3339 time such as 2026-01-31T12:00:00Z, or unix seconds, \
             not `{given}`"
        )
    };
    for labels in [
        json!({"zone": "eu-1", "network": "lab"}),
        json!(r#"{"zone": "eu-1", "network": "lab"}"#),
        json!("network=lab, zone=eu-1"),
    ] {
        let placed = parse(json!({"url": "http://x.example", "labels": labels})).unwrap();
        assert_eq!(placed.waiting.labels.to_string(), "network=lab,zone=eu-1");
    }
    for none in [json!(null), json!(""), json!({})] {
        let any = parse(json!({"url": "http://x.example", "labels": none})).unwrap();
        assert!(any.waiting.labels.is_empty());
    }
    let value = "labels: the value of `zone` must be at most 63 letters, digits, `-`, `_` or `.`, \
                 with a letter or digit at both ends"
        .to_owned();
    for (name, value, said) in [
        ("priority", json!(11), "priority must be between -10 and 10, not 11".to_owned()),
        (
            "priority",
            json!("high"),
            "priority must be a whole number between -10 and 10, not `high`".to_owned(),
        ),
        (
            "queue_timeout",
            json!(0),
            "queue_timeout must be between 1 and 2592000, not 0".to_owned(),
        ),
        (
            "labels",
            json!("zone"),
            "labels are written as name=value with commas between them, and `zone` has no `=`"
                .to_owned(),
        ),
        ("labels", json!({"zone": "eu 1"}), value.clone()),
        ("labels", json!("zone=eu 1"), value),
        ("labels", json!(7), "labels must be a JSON object".to_owned()),
        ("run_at", json!("soon"), time("soon")),
        ("run_at", json!("2026-01-31T12:00:00"), time("2026-01-31T12:00:00")),
        ("run_at", json!(-1), time("-1")),
        ("run_at", json!(1e30), time("1e+30")),
        ("run_at", json!("NaN"), time("NaN")),
    ] {
        assert_eq!(refusals(json!({"url": "http://x.example", name: value})), [said]);
    }
}
