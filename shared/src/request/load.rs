//! Which load shape the fields of a request ask for, and which of them contradict each other.

use super::{
    Defaults,
    reader::{Reader, shown},
    valid,
};
use crate::{
    AllAtOnce, ClosedLoop, Constant, DurationS, FieldError, Gamma, Load, OpenLimits, Poisson,
    Replay, RequestRate, Stage, Staged, Stages, StagesOf, ThinkTimeS, TraceFormat, TracePath,
    TraceSpeed, Variation,
};

/// What the field `arrival` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    ClosedLoop,
    Constant,
    Poisson,
    Gamma,
    AllAtOnce,
    Staged,
    Trace,
}

impl Arrival {
    const ALL: [Self; 7] = [
        Self::ClosedLoop,
        Self::Constant,
        Self::Poisson,
        Self::Gamma,
        Self::AllAtOnce,
        Self::Staged,
        Self::Trace,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::ClosedLoop => "closed_loop",
            Self::Constant => "constant",
            Self::Poisson => "poisson",
            Self::Gamma => "gamma",
            Self::AllAtOnce => "all_at_once",
            Self::Staged => "staged",
            Self::Trace => "trace",
        }
    }
}

/// The fields that are not for every load shape, and those that they are for.
const OF_SOME: &[(&str, &[Arrival])] = {
    use Arrival::{AllAtOnce, ClosedLoop, Constant, Gamma, Poisson, Staged, Trace};
    &[
        ("user", &[ClosedLoop]),
        ("spawnrate", &[ClosedLoop]),
        ("wait_min", &[ClosedLoop]),
        ("wait_max", &[ClosedLoop]),
        ("requests_per_user", &[ClosedLoop]),
        ("rate", &[Constant, Poisson, Gamma]),
        ("cv", &[Gamma]),
        ("max_concurrency", &[Constant, Poisson, Gamma, AllAtOnce, Staged, Trace]),
        ("stages", &[Staged]),
        ("stages_of", &[Staged]),
        ("duration", &[ClosedLoop, Constant, Poisson, Gamma, AllAtOnce, Trace]),
        ("trace", &[Trace]),
        ("trace_format", &[Trace]),
        ("trace_speed", &[Trace]),
    ]
};

/// Reads the load shape. What is refused is noted, and something valid stands in for it.
pub(super) fn read(read: &mut Reader<'_>, defaults: &Defaults) -> Load {
    let arrival = arrival(read);
    match arrival {
        Arrival::ClosedLoop => closed_loop(read, defaults),
        Arrival::Constant => {
            let rate = rate(read, arrival);
            Load::Constant(Constant { rate, limits: limits(read, defaults.duration_s) })
        }
        Arrival::Poisson => {
            let rate = rate(read, arrival);
            Load::Poisson(Poisson { rate, limits: limits(read, defaults.duration_s) })
        }
        Arrival::Gamma => {
            let rate = rate(read, arrival);
            let what = "the standard deviation / mean of the gaps between requests";
            required(read, "cv", arrival, what);
            let cv: Variation = read.number("cv", valid(1.0));
            Load::Gamma(Gamma { rate, cv, limits: limits(read, defaults.duration_s) })
        }
        Arrival::AllAtOnce => {
            required(read, "max_requests", arrival, "how many are sent");
            let OpenLimits { duration_s, grace_s, max_concurrency, max_requests } =
                limits(read, defaults.duration_s);
            let requests = max_requests.unwrap_or(valid(1));
            Load::AllAtOnce(AllAtOnce { requests, duration_s, grace_s, max_concurrency })
        }
        Arrival::Staged => staged(read, defaults),
        Arrival::Trace => trace(read),
    }
}

/// The load shape that is asked for, by its name or by a field that only it has.
fn arrival(read: &mut Reader<'_>) -> Arrival {
    let named = read.text("arrival");
    let arrival = match &named {
        Some(word) => Arrival::ALL.into_iter().find(|arrival| arrival.as_str() == word),
        None if read.has("trace") => Some(Arrival::Trace),
        None if read.has("stages") => Some(Arrival::Staged),
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
                None if arrival == Arrival::Staged => "stages".to_owned(),
                None if arrival == Arrival::Trace => "trace".to_owned(),
                _ => format!("arrival {}", arrival.as_str()),
            };
            let of = of.join(", ");
            read.refuse(name, format!("{name} cannot be given with {with}; it is for {of}"));
        }
    }
    arrival
}

fn closed_loop(read: &mut Reader<'_>, defaults: &Defaults) -> Load {
    let wait_min_s: ThinkTimeS = read.number("wait_min", valid(0.0));
    let wait_max_s: ThinkTimeS = read.number("wait_max", wait_min_s);
    read.ordered("wait_min", &wait_min_s.get(), "wait_max", &wait_max_s.get());
    Load::ClosedLoop(ClosedLoop {
        users: read.number("user", defaults.users),
        spawn_rate: read.number("spawnrate", defaults.spawn_rate),
        duration_s: read.number("duration", defaults.duration_s),
        wait_min_s,
        wait_max_s,
        grace_s: read.number("grace", valid(30.0)),
        max_requests: read.optional("max_requests"),
        requests_per_user: read.optional("requests_per_user"),
    })
}

fn staged(read: &mut Reader<'_>, defaults: &Defaults) -> Load {
    required(read, "stages", Arrival::Staged, "`target:seconds`, with commas between them");
    required(read, "stages_of", Arrival::Staged, "users or rate");
    let of = match read.text("stages_of").as_deref() {
        Some("users") => StagesOf::Users,
        Some("rate") | None => StagesOf::Rate,
        Some(other) => {
            let other = shown(other);
            read.refuse("stages_of", format!("stages_of must be users or rate, not `{other}`"));
            StagesOf::Rate
        }
    };
    let stages: Option<Stages> = read.parsed("stages");
    let limits = limits(read, defaults.duration_s);
    let OpenLimits { grace_s, max_concurrency, max_requests, .. } = limits;
    if of == StagesOf::Users {
        if max_concurrency.is_some() {
            let detail = "max_concurrency cannot be given with stages of users, who are that limit";
            read.refuse("max_concurrency", detail.to_owned());
        }
        let whole = |stage: &Stage| stage.target.get().fract() == 0.0;
        if stages.as_ref().is_some_and(|stages| !stages.each().iter().all(whole)) {
            read.refuse("stages", "stages of users must have whole numbers of them".to_owned());
        }
    }
    match stages {
        Some(stages) => Load::Staged(Staged { of, stages, grace_s, max_concurrency, max_requests }),
        // absent or refused, as is noted
        None => Load::Constant(Constant { rate: valid(1.0), limits }),
    }
}

fn trace(read: &mut Reader<'_>) -> Load {
    required(read, "trace", Arrival::Trace, "a path below DATA_DIR");
    let path: Option<TracePath> = read.parsed("trace");
    let format: Option<TraceFormat> = read.parsed("trace_format");
    let speed = read.number("trace_speed", TraceSpeed::AS_RECORDED);
    // A trace has its own end.
    let limits = limits(read, valid(DurationS::MAX));
    match path {
        Some(trace) => Load::Trace(Replay { trace, format, speed, limits }),
        // absent or refused, as is noted
        None => Load::Constant(Constant { rate: valid(1.0), limits }),
    }
}

fn rate(read: &mut Reader<'_>, arrival: Arrival) -> RequestRate {
    required(read, "rate", arrival, "requests a second");
    read.number("rate", valid(1.0))
}

fn limits(read: &mut Reader<'_>, duration_s: DurationS) -> OpenLimits {
    OpenLimits {
        duration_s: read.number("duration", duration_s),
        grace_s: read.number("grace", valid(30.0)),
        max_concurrency: read.optional("max_concurrency"),
        max_requests: read.optional("max_requests"),
    }
}

fn required(read: &mut Reader<'_>, name: &str, arrival: Arrival, what: &str) {
    if read.text(name).is_none() {
        let arrival = arrival.as_str();
        let detail = format!("{name} is required with arrival {arrival}: {what}");
        read.errors.push(FieldError::new(name, detail));
    }
}

#[cfg(test)]
mod tests;
