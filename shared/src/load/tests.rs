use serde_json::{Value, json};

use super::*;

fn load(json: Value) -> Load {
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_closed_loop_stored_before_there_were_others_is_read_and_written_as_it_was() {
    let stored = json!({
        "kind": "closed_loop", "users": 32, "spawn_rate": 8, "duration_s": 60,
        "wait_min_s": 0.0, "wait_max_s": 0.0, "grace_s": 30.0
    });
    let read = load(stored.clone());
    assert_eq!(serde_json::to_value(&read).unwrap(), stored);
    assert_eq!((read.peak_users().get(), read.spawn_rate(), read.duration().get()), (32, 8, 60));
}

#[test]
fn each_shape_is_told_by_its_kind_and_survives_the_database() {
    let limits =
        json!({"duration_s": 30, "grace_s": 5.0, "max_concurrency": null, "max_requests": 9});
    for (kind, own) in [
        ("constant", json!({"rate": 2.5})),
        ("poisson", json!({"rate": 10.0})),
        ("gamma", json!({"rate": 10.0, "cv": 2.0})),
    ] {
        let mut written = json!({"kind": kind});
        for part in [&own, &limits] {
            written.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        let read = load(written.clone());
        assert_eq!(read.kind(), kind);
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }
    let burst = json!({
        "kind": "all_at_once", "requests": 64, "duration_s": 30, "grace_s": 5.0, "max_concurrency": null
    });
    assert_eq!(serde_json::to_value(load(burst.clone())).unwrap(), burst);
    assert!(serde_json::from_value::<Load>(json!({"kind": "constant", "rate": 0.0})).is_err());
}

#[test]
fn as_many_requests_can_be_open_as_become_due_unless_there_is_less_room() {
    let peak = |kind: &str, rate: f64, max_concurrency: Option<u32>, max_requests: Option<u32>| {
        let json = json!({
            "kind": kind, "rate": rate, "cv": 1.0, "duration_s": 100, "grace_s": 0.0,
            "max_concurrency": max_concurrency, "max_requests": max_requests
        });
        load(json).peak_users().get()
    };
    assert_eq!(peak("constant", 1.0, None, None), 100);
    assert_eq!(peak("constant", 0.001, None, None), 1);
    assert_eq!(peak("constant", 1.0, Some(7), None), 7);
    assert_eq!(peak("constant", 1.0, None, Some(40)), 40);
    assert_eq!(peak("constant", 1_000.0, None, None), 10_000);
    assert_eq!(peak("constant", 10_000.0, None, None), 10_000);
    assert_eq!(peak("constant", 10_000.5, None, None), 20_000);
    // 100 on average, and 6 x (10 + 1) by chance
    assert_eq!(peak("poisson", 1.0, None, None), 166);
    assert_eq!(peak("gamma", 1.0, None, None), 166);
}
