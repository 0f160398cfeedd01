//! Which load shape the fields of a request ask for, and which of them contradict each other.

use super::{
    Defaults,
    reader::{Reader, shown},
    valid,
};
use crate::{
    AllAtOnce, ClosedLoop, Constant, DurationS, FieldError, Gamma, GraceS, Load, OpenLimits,
    Poisson, RequestRate, ThinkTimeS, Variation,
};

/// What the field `arrival` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    ClosedLoop,
    Constant,
    Poisson,
    Gamma,
    AllAtOnce,
}

impl Arrival {
    const ALL: [Self; 5] =
        [Self::ClosedLoop, Self::Constant, Self::Poisson, Self::Gamma, Self::AllAtOnce];

    const fn as_str(self) -> &'static str {
        match self {
            Self::ClosedLoop => "closed_loop",
            Self::Constant => "constant",
            Self::Poisson => "poisson",
            Self::Gamma => "gamma",
            Self::AllAtOnce => "all_at_once",
        }
    }
}

/// The fields that are not for every load shape, and those that they are for.
const OF_SOME: &[(&str, &[Arrival])] = &[
    ("user", &[Arrival::ClosedLoop]),
    ("spawnrate", &[Arrival::ClosedLoop]),
    ("wait_min", &[Arrival::ClosedLoop]),
    ("wait_max", &[Arrival::ClosedLoop]),
    ("rate", &[Arrival::Constant, Arrival::Poisson, Arrival::Gamma]),
    ("cv", &[Arrival::Gamma]),
    ("max_concurrency", &[Arrival::Constant, Arrival::Poisson, Arrival::Gamma, Arrival::AllAtOnce]),
];

/// Reads the load shape. What is refused is noted, and something valid stands in for it.
pub(super) fn read(read: &mut Reader<'_>, defaults: &Defaults) -> Load {
    let arrival = arrival(read);
    let duration_s = read.number("duration", defaults.duration_s);
    let grace_s = read.number("grace", valid(30.0));
    match arrival {
        Arrival::ClosedLoop => closed_loop(read, defaults, duration_s, grace_s),
        Arrival::Constant => {
            let rate = rate(read, arrival);
            Load::Constant(Constant { rate, limits: limits(read, duration_s, grace_s) })
        }
        Arrival::Poisson => {
            let rate = rate(read, arrival);
            Load::Poisson(Poisson { rate, limits: limits(read, duration_s, grace_s) })
        }
        Arrival::Gamma => {
            let rate = rate(read, arrival);
            let what = "the standard deviation / mean of the gaps between requests";
            required(read, "cv", arrival, what);
            let cv: Variation = read.number("cv", valid(1.0));
            Load::Gamma(Gamma { rate, cv, limits: limits(read, duration_s, grace_s) })
        }
        Arrival::AllAtOnce => {
            required(read, "max_requests", arrival, "how many are sent");
            Load::AllAtOnce(AllAtOnce {
                requests: read.number("max_requests", valid(1)),
                duration_s,
                grace_s,
                max_concurrency: read.optional("max_concurrency"),
            })
        }
    }
}

/// The load shape that is asked for, by its name or by a field that only it has.
fn arrival(read: &mut Reader<'_>) -> Arrival {
    let named = read.text("arrival");
    let arrival = match &named {
        Some(word) => Arrival::ALL.into_iter().find(|arrival| arrival.as_str() == word),
        None if read.has("rate") => Some(Arrival::Constant),
        None => Some(Arrival::ClosedLoop),
    };
    let Some(arrival) = arrival else {
        let known = Arrival::ALL.map(Arrival::as_str).join(", ");
        let word = shown(&named.unwrap_or_default());
        read.refuse("arrival", format!("arrival must be one of {known}, not `{word}`"));
        return Arrival::ClosedLoop;
    };
    for (name, of) in OF_SOME {
        if read.has(name) && !of.contains(&arrival) {
            let of: Vec<_> = of.iter().map(|arrival| arrival.as_str()).collect();
            let with = match named {
                None if arrival == Arrival::Constant => "rate".to_owned(),
                _ => format!("arrival {}", arrival.as_str()),
            };
            let of = of.join(", ");
            read.refuse(name, format!("{name} cannot be given with {with}; it is for {of}"));
        }
    }
    arrival
}

fn closed_loop(
    read: &mut Reader<'_>,
    defaults: &Defaults,
    duration_s: DurationS,
    grace_s: GraceS,
) -> Load {
    let wait_min_s: ThinkTimeS = read.number("wait_min", valid(0.0));
    let wait_max_s: ThinkTimeS = read.number("wait_max", wait_min_s);
    read.ordered("wait_min", &wait_min_s.get(), "wait_max", &wait_max_s.get());
    Load::ClosedLoop(ClosedLoop {
        users: read.number("user", defaults.users),
        spawn_rate: read.number("spawnrate", defaults.spawn_rate),
        duration_s,
        wait_min_s,
        wait_max_s,
        grace_s,
        max_requests: read.optional("max_requests"),
    })
}

fn rate(read: &mut Reader<'_>, arrival: Arrival) -> RequestRate {
    required(read, "rate", arrival, "requests a second");
    read.number("rate", valid(1.0))
}

fn limits(read: &mut Reader<'_>, duration_s: DurationS, grace_s: GraceS) -> OpenLimits {
    OpenLimits {
        duration_s,
        grace_s,
        max_concurrency: read.optional("max_concurrency"),
        max_requests: read.optional("max_requests"),
    }
}

fn required(read: &mut Reader<'_>, name: &str, arrival: Arrival, what: &str) {
    if !read.has(name) {
        let arrival = arrival.as_str();
        let detail = format!("{name} is required with arrival {arrival}: {what}");
        read.errors.push(FieldError::new(name, detail));
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(kind(json!({"max_requests": 5, "arrival": "all_at_once"})), "all_at_once");
    }

    #[test]
    fn fields_that_contradict_each_other_are_refused_by_name() {
        for (fields, said) in [
            (
                json!({"user": 5, "rate": 5}),
                "user cannot be given with rate; it is for closed_loop",
            ),
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
                "max_concurrency cannot be given with arrival closed_loop; it is for constant, poisson, gamma, all_at_once",
            ),
            (
                json!({"arrival": "poisson"}),
                "rate is required with arrival poisson: requests a second",
            ),
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
                "arrival must be one of closed_loop, constant, poisson, gamma, all_at_once, not `poison`",
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
}
