//! Load that changes over its time.

use serde::{Deserialize, Serialize};

use super::{DurationS, GraceS, MaxConcurrency, MaxRequests, Users, open::at_most};

bounded! {
    /// Users, or requests a second, that a stage has or comes to.
    StageTarget(f64) in 0.0..=640_000.0, "stages"
}
bounded! {
    /// Seconds of a stage.
    StageDurationS(u32) in 1..=3_600, "stages"
}

/// Stages, one after another.
///
/// As users it is a closed loop without waits: a user sends as long as the stage has room for it. As
/// a rate it is an open loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Staged {
    /// What the targets are.
    pub of: StagesOf,
    /// The stages.
    pub stages: Stages,
    /// Seconds that open requests get after the last stage.
    pub grace_s: GraceS,
    /// Requests open at once, those beyond being dropped; for a rate alone.
    pub max_concurrency: Option<MaxConcurrency>,
    /// Requests of the whole run; none: the stages alone end it.
    pub max_requests: Option<MaxRequests>,
}

/// What the targets of stages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum StagesOf {
    /// Virtual users.
    Users,
    /// Requests a second.
    Rate,
}

/// One stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Stage {
    /// Where it comes to, or what it holds.
    pub target: StageTarget,
    /// How long it lasts.
    pub duration_s: StageDurationS,
    /// How it gets there.
    pub shape: StageShape,
}

/// How a stage gets to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum StageShape {
    /// Evenly over its time, from the target of the stage before; the first one from 0.
    Linear,
    /// At once, and then it holds.
    Step,
}

/// Stages that make a load: at least one, not all 0, and together no longer than a run may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Stage>")]
pub struct Stages(Vec<Stage>);

#[cfg(feature = "openapi")]
openapi_as!(Stages, Vec<Stage>, |schema| {
    schema.min_items = Some(1);
    schema.max_items = Some(Stages::MOST);
});

/// A stage as the load runs through it: from one value evenly to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// Seconds from the start of the run to its own.
    pub from_s: f64,
    /// Its length in seconds.
    pub length_s: f64,
    /// Users or requests a second at its start.
    pub first: f64,
    /// The same at its end.
    pub last: f64,
}

impl Ramp {
    /// User-seconds, or requests, of all its time.
    pub fn area(self) -> f64 {
        f64::midpoint(self.first, self.last) * self.length_s
    }
}

/// Why stages make no load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStages {
    /// None, or too many.
    #[error("stages must be between 1 and {most} stages, not {0}", most = Stages::MOST)]
    Count(usize),
    /// Too long.
    #[error("stages must last at most {most} s together, not {0} s", most = DurationS::MAX)]
    TooLong(u64),
    /// No load at all.
    #[error("stages must have a target above 0")]
    Nothing,
    /// A text that is no stage.
    #[error(
        "stages must be written as `target:seconds` or `target:seconds:linear`, with commas between them; `{0}` is not"
    )]
    Unreadable(String),
    /// A number out of its limits.
    #[error(transparent)]
    OutOfRange(#[from] crate::OutOfRange),
}

impl Stages {
    /// Most stages.
    pub const MOST: usize = 100;

    /// Each stage as the load runs through it.
    pub fn ramps(&self) -> impl Iterator<Item = Ramp> {
        let mut from_s = 0.0;
        let mut before = 0.0;
        self.0.iter().map(move |stage| {
            let (last, length_s) = (stage.target.get(), f64::from(stage.duration_s.get()));
            let first = if stage.shape == StageShape::Linear { before } else { last };
            let ramp = Ramp { from_s, length_s, first, last };
            from_s += length_s;
            before = last;
            ramp
        })
    }

    /// The stages, in order.
    pub fn each(&self) -> &[Stage] {
        &self.0
    }

    /// The largest target.
    pub fn peak(&self) -> f64 {
        self.0.iter().map(|stage| stage.target.get()).fold(0.0, f64::max)
    }

    /// All of their time.
    pub fn duration(&self) -> DurationS {
        DurationS(self.0.iter().map(|stage| stage.duration_s.get()).sum())
    }
}

impl TryFrom<Vec<Stage>> for Stages {
    type Error = InvalidStages;

    fn try_from(stages: Vec<Stage>) -> Result<Self, InvalidStages> {
        if stages.is_empty() || stages.len() > Self::MOST {
            return Err(InvalidStages::Count(stages.len()));
        }
        let length_s = stages.iter().map(|stage| u64::from(stage.duration_s.get())).sum();
        if length_s > u64::from(DurationS::MAX) {
            return Err(InvalidStages::TooLong(length_s));
        }
        if stages.iter().all(|stage| stage.target.get() <= 0.0) {
            return Err(InvalidStages::Nothing);
        }
        Ok(Self(stages))
    }
}

impl TryFrom<String> for Stages {
    type Error = InvalidStages;

    /// Reads `target:seconds` or `target:seconds:linear`, with commas between them.
    fn try_from(written: String) -> Result<Self, InvalidStages> {
        written.split(',').map(stage).collect::<Result<Vec<_>, _>>()?.try_into()
    }
}

fn stage(written: &str) -> Result<Stage, InvalidStages> {
    let unreadable = || InvalidStages::Unreadable(written.trim().chars().take(64).collect());
    let parts: Vec<&str> = written.split(':').map(str::trim).collect();
    let (target, duration_s, shape) = match parts[..] {
        [target, duration_s] | [target, duration_s, "step"] => {
            (target, duration_s, StageShape::Step)
        }
        [target, duration_s, "linear"] => (target, duration_s, StageShape::Linear),
        _ => return Err(unreadable()),
    };
    let target: f64 = target.parse().map_err(|_| unreadable())?;
    let duration_s: u32 = duration_s.parse().map_err(|_| unreadable())?;
    Ok(Stage { target: target.try_into()?, duration_s: duration_s.try_into()?, shape })
}

impl Staged {
    /// The most requests that can be open at once.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float saturates, and neither is negative"
    )]
    pub(super) fn peak_users(&self) -> Users {
        match self.of {
            StagesOf::Users => Users((self.stages.peak() as u32).max(Users::MIN)),
            StagesOf::Rate => {
                let due = self.stages.ramps().map(Ramp::area).sum::<f64>().ceil() as u32;
                let due = self.max_requests.map_or(due, |most| due.min(most.get()));
                at_most(due, self.max_concurrency, self.stages.peak())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(written: &str) -> Result<Stages, String> {
        Stages::try_from(written.to_owned()).map_err(|refused| refused.to_string())
    }

    #[test]
    fn stages_are_read_from_a_line() {
        let read = stages("10:30, 50.5:60:linear,0:5:step").unwrap();
        let ramps: Vec<_> =
            read.ramps().map(|ramp| (ramp.from_s, ramp.length_s, ramp.first, ramp.last)).collect();
        assert_eq!(
            ramps,
            [(0.0, 30.0, 10.0, 10.0), (30.0, 60.0, 10.0, 50.5), (90.0, 5.0, 0.0, 0.0)]
        );
        assert_eq!(read.duration().get(), 95);
        assert!((read.peak() - 50.5).abs() < 1e-9);
        let first = stages("8:4:linear").unwrap().ramps().next().unwrap();
        assert!(first.first.abs() < 1e-9, "the first comes from 0");
        let json = serde_json::to_value(&read).unwrap();
        assert_eq!(serde_json::from_value::<Stages>(json).unwrap(), read);
    }

    #[test]
    fn stages_that_make_no_load_say_why() {
        let how = "stages must be written as `target:seconds` or `target:seconds:linear`, with commas between them; ";
        for (written, said) in [
            ("10", format!("{how}`10` is not")),
            ("10:5:curved", format!("{how}`10:5:curved` is not")),
            ("10:5,", format!("{how}`` is not")),
            ("x:5", format!("{how}`x:5` is not")),
            ("10:1.5", format!("{how}`10:1.5` is not")),
            ("-1:5", "stages must be between 0 and 640000, not -1".to_owned()),
            ("10:0", "stages must be between 1 and 3600, not 0".to_owned()),
            ("NaN:5", "stages must be between 0 and 640000, not NaN".to_owned()),
            ("0:5", "stages must have a target above 0".to_owned()),
            ("1:3600,1:1", "stages must last at most 3600 s together, not 3601 s".to_owned()),
            (
                &vec!["1:1"; 101].join(","),
                "stages must be between 1 and 100 stages, not 101".to_owned(),
            ),
        ] {
            assert_eq!(stages(written).unwrap_err(), said);
        }
        assert!(serde_json::from_str::<Stages>("[]").is_err());
    }
}
