//! What each of several servers did with its share of the requests, so that a bad one is seen.

use serde::{Deserialize, Serialize};
use shared::{TargetUrl, report::TargetFigures};

use super::{histogram::Histogram, latency, settle::Settled, tally::Tally};

/// A server of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Server {
    /// Its base URL.
    pub url: TargetUrl,
    /// What it calls itself.
    pub name: Option<String>,
}

/// Each server's figures so far; none where there is but one, whose figures are the run's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Shares(Vec<Share>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Share {
    server: Server,
    tally: Tally,
    ttft: Histogram,
    e2e: Histogram,
}

impl Shares {
    pub(super) fn among(servers: impl Iterator<Item = Server>) -> Self {
        let share = |server| Share {
            server,
            tally: Tally::default(),
            ttft: Histogram::new(),
            e2e: Histogram::new(),
        };
        let shares: Vec<_> = servers.map(share).collect();
        Self(if shares.len() > 1 { shares } else { Vec::new() })
    }

    /// Takes one request, however it ended; `counts`: the latencies count it.
    pub(super) fn record(&mut self, settled: &Settled, counts: bool) {
        let Some(share) = self.0.get_mut(settled.sample.target as usize) else { return };
        share.tally.record(settled);
        if counts {
            let (ttft_us, e2e_us) = latency::ttft_and_e2e_us(&settled.sample);
            for (us, into) in [(ttft_us, &mut share.ttft), (e2e_us, &mut share.e2e)] {
                if let Some(us) = us {
                    into.record_us(us);
                }
            }
        }
    }

    /// Adds what `other` holds of the same servers.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(&other.0) {
            mine.tally.merge(&others.tally);
            mine.ttft.merge(&others.ttft);
            mine.e2e.merge(&others.e2e);
        }
    }

    pub(super) fn figures(&self) -> Vec<TargetFigures> {
        self.0.iter().map(Share::figures).collect()
    }
}

impl Share {
    fn figures(&self) -> TargetFigures {
        let requests = self.tally.requests();
        TargetFigures {
            url: self.server.url.clone(),
            server: self.server.name.clone(),
            started: requests.started,
            completed: requests.completed,
            failed: requests.failed,
            cancelled: requests.cancelled,
            error_rate: requests.error_rate,
            failures: self.tally.failures(),
            ttft_ms: self.ttft.distribution(),
            e2e_ms: self.e2e.distribution(),
            connections_opened: self.tally.connections_opened(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metrics::samples::{overloaded, sample},
        sample::Sample,
    };

    fn servers(count: usize) -> impl Iterator<Item = Server> {
        (1..=count).map(|nth| Server {
            url: format!("http://{nth}.example").try_into().unwrap(),
            name: None,
        })
    }

    fn to(target: u32, sample: Sample) -> Settled {
        Sample { target, ..sample }.settled()
    }

    #[test]
    fn each_server_answers_for_its_own_requests() {
        let mut shares = Shares::among(servers(2));
        shares.record(&to(0, sample(0, &[10, 30])), true);
        shares.record(&to(1, sample(0, &[400, 500])), true);
        shares.record(&to(1, sample(0, &[900, 950])), false);
        shares.record(&to(1, sample(0, &[]).failed(overloaded())), true);
        shares.record(&to(1, sample(0, &[10]).cancelled()), true);
        let [good, bad] = shares.figures().try_into().unwrap();
        assert_eq!((good.started, good.completed, good.failed), (1, 1, 0));
        assert_eq!((good.error_rate, good.failures.len()), (Some(0.0), 0));
        let (ttft, e2e) = (good.ttft_ms.unwrap(), good.e2e_ms.unwrap());
        assert_eq!((ttft.n, ttft.max, e2e.max), (1, 10.0, 30.0));
        assert_eq!((bad.started, bad.completed, bad.failed, bad.cancelled), (4, 2, 1, 1));
        assert_eq!(bad.failures[0].count, 1);
        let ttft = bad.ttft_ms.unwrap();
        assert_eq!((ttft.n, ttft.min, bad.url.given()), (1, 400.0, "http://2.example"));
    }

    #[test]
    fn one_server_has_no_figures_beside_the_runs() {
        let mut shares = Shares::among(servers(1));
        shares.record(&to(0, sample(0, &[10])), true);
        assert_eq!(shares.figures(), []);
    }
}
