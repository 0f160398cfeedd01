//! A load shape in words.

use shared::{
    AllAtOnce, ClosedLoop, Load, MaxConcurrency, MaxRequests, OpenLimits, Replay, StageShape,
    Staged, StagesOf, TraceSpeed,
};

use crate::figures::{count, decimal};

/// What `load` is, in one line.
pub(super) fn words(load: &Load) -> String {
    match load {
        Load::ClosedLoop(load) => closed_loop(load),
        Load::Constant(load) => {
            format!("{} requests a second{}", rate(load.rate.get()), limits(&load.limits))
        }
        Load::Poisson(load) => {
            let rate = rate(load.rate.get());
            format!("{rate} requests a second at random (Poisson){}", limits(&load.limits))
        }
        Load::Gamma(load) => {
            let (rate, cv) = (rate(load.rate.get()), load.cv.get());
            format!("{rate} requests a second at random (gamma, cv {cv}){}", limits(&load.limits))
        }
        Load::AllAtOnce(AllAtOnce { requests, max_concurrency, .. }) => {
            format!("{} requests at once{}", count(requests.get().into()), room(*max_concurrency))
        }
        Load::Staged(load) => staged(load),
        Load::Trace(load) => trace(load),
    }
}

fn closed_loop(load: &ClosedLoop) -> String {
    let (users, rate) = (u64::from(load.users.get()), u64::from(load.spawn_rate.get()));
    let each = match load.requests_per_user {
        Some(each) => format!(", {} requests each", count(each.get().into())),
        None => String::new(),
    };
    let most = format!("{}{each}", most(load.max_requests));
    let wait = match (load.wait_min_s.get(), load.wait_max_s.get()) {
        (_, 0.0) => String::new(),
        (min, max) => format!(", {min} to {max} s between requests"),
    };
    let (users, rate) = (count(users), count(rate));
    format!("{users} users, {rate} started a second, for {} s{most}{wait}", load.duration_s.get())
}

fn limits(limits: &OpenLimits) -> String {
    let most = most(limits.max_requests);
    format!(" for {} s{most}{}", limits.duration_s.get(), room(limits.max_concurrency))
}

fn staged(load: &Staged) -> String {
    const SHOWN: usize = 6;
    let stages = load.stages.each();
    let shown: Vec<_> = stages
        .iter()
        .take(SHOWN)
        .map(|stage| {
            let to = if stage.shape == StageShape::Linear { "to " } else { "" };
            format!("{to}{} for {} s", rate(stage.target.get()), stage.duration_s.get())
        })
        .collect();
    let of = match load.of {
        StagesOf::Users => "users",
        StagesOf::Rate => "requests a second",
    };
    let more = if stages.len() > SHOWN { ", …" } else { "" };
    let limits = format!("{}{}", most(load.max_requests), room(load.max_concurrency));
    format!("{of} in stages: {}{more}{limits}", shown.join(", "))
}

fn trace(load: &Replay) -> String {
    let Replay { trace, speed, limits: OpenLimits { duration_s, .. }, .. } = load;
    let speed = match *speed {
        TraceSpeed::AS_RECORDED => String::new(),
        speed => format!(" at {} times its speed", speed.get()),
    };
    let limits = format!("{}{}", most(load.limits.max_requests), room(load.limits.max_concurrency));
    format!("trace {trace}{speed} for up to {} s{limits}", count(duration_s.get().into()))
}

fn most(max_requests: Option<MaxRequests>) -> String {
    match max_requests {
        Some(most) => format!(", at most {} requests", count(most.get().into())),
        None => String::new(),
    }
}

fn room(max_concurrency: Option<MaxConcurrency>) -> String {
    match max_concurrency {
        Some(most) => format!(", room for {} at once", count(most.get().into())),
        None => String::new(),
    }
}

/// A rate without zeros that say nothing.
fn rate(per_s: f64) -> String {
    let written = decimal(per_s, 3);
    written.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_shape_is_told_in_a_line() {
        let said = |load: Value| words(&serde_json::from_value(load).unwrap());
        let open = |kind: &str, max_concurrency: Option<u32>, max_requests: Option<u32>| {
            json!({"kind": kind, "rate": 1_012.50, "cv": 2.5, "requests": 64, "duration_s": 30,
                "grace_s": 5.0, "max_concurrency": max_concurrency, "max_requests": max_requests})
        };
        assert_eq!(said(open("constant", None, None)), "1,012.5 requests a second for 30 s");
        assert_eq!(
            said(open("poisson", Some(8), Some(1_000))),
            "1,012.5 requests a second at random (Poisson) for 30 s, at most 1,000 requests, room for 8 at once"
        );
        assert_eq!(
            said(open("gamma", None, None)),
            "1,012.5 requests a second at random (gamma, cv 2.5) for 30 s"
        );
        assert_eq!(said(open("all_at_once", None, None)), "64 requests at once");
        let stages = json!([
            {"target": 10.0, "duration_s": 30, "shape": "step"},
            {"target": 50.0, "duration_s": 60, "shape": "linear"},
        ]);
        assert_eq!(
            said(json!({"kind": "staged", "of": "users", "stages": stages, "grace_s": 1.0,
                "max_concurrency": null, "max_requests": null})),
            "users in stages: 10 for 30 s, to 50 for 60 s"
        );
        assert_eq!(
            said(json!({"kind": "closed_loop", "users": 8, "spawn_rate": 2, "duration_s": 9,
                "wait_min_s": 0.5, "wait_max_s": 1.0, "grace_s": 1.0, "max_requests": 20})),
            "8 users, 2 started a second, for 9 s, at most 20 requests, 0.5 to 1 s between requests"
        );
        let trace = |speed: f64, most: Option<u32>| {
            said(json!({"kind": "trace", "trace": "a/b.csv", "format": null, "speed": speed,
                "duration_s": 3_600, "grace_s": 5.0, "max_concurrency": null, "max_requests": most}))
        };
        assert_eq!(trace(1.0, None), "trace a/b.csv for up to 3,600 s");
        assert_eq!(
            trace(2.5, Some(9)),
            "trace a/b.csv at 2.5 times its speed for up to 3,600 s, at most 9 requests"
        );
    }
}
