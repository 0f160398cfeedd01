//! What a server under test says of itself: its queue, its batch, its cache, from its `/metrics`.
//!
//! Read beside the load and never on its threads: a slow answer costs a reading, not a request.

mod exposition;
mod names;

use std::time::Duration;

use crate::Control;

/// How long the first look may take: a target without metrics shall not hold up a run.
const FOUND_WITHIN: Duration = Duration::from_secs(2);
/// How long a reading may take. A busy server answers late, and then its figures matter most.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// A server whose metrics are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// vLLM.
    Vllm,
    /// `SGLang`.
    Sglang,
    /// llama.cpp's server.
    LlamaCpp,
    /// Hugging Face's text-generation-inference.
    Tgi,
}

impl Server {
    /// What it is called in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::LlamaCpp => "llama.cpp",
            Self::Tgi => "tgi",
        }
    }
}

/// What a server said at one instant, summed over its engines; what it does not tell is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Requests that wait.
    pub queue: Option<f64>,
    /// Requests that are worked on.
    pub running: Option<f64>,
    /// Share of the KV cache that is used, 0 to 1; the mean over engines.
    pub kv_cache: Option<f64>,
    /// Prefix cache hits since its start.
    pub prefix_hits: Option<f64>,
    /// Prefix cache queries since its start.
    pub prefix_queries: Option<f64>,
    /// Share of hits, where the server makes it itself.
    pub hit_rate: Option<f64>,
}

/// A way to a target's metrics.
#[derive(Clone, Debug)]
pub struct Scrape {
    control: Control,
    server: Server,
}

impl Scrape {
    /// Looks once whether the target has metrics that are known. It asks where the load goes, with
    /// the load's key.
    pub async fn find(control: &Control) -> Option<Self> {
        let text = control.metrics(FOUND_WITHIN).await;
        let text = text.inspect_err(|error| tracing::debug!(%error, "no metrics")).ok()?;
        let (server, _) = names::read(&text)?;
        Some(Self { control: control.clone(), server })
    }

    /// Whose metrics these are.
    pub fn server(&self) -> Server {
        self.server
    }

    /// What the server says now; none: it does not answer, or says nothing that is known.
    pub async fn read(&self) -> Option<Gauges> {
        let text = self.control.metrics(READ_WITHIN).await;
        let text = text.inspect_err(|error| tracing::debug!(%error, "no metrics")).ok()?;
        let (_, gauges) = names::read(&text).filter(|(server, _)| *server == self.server)?;
        Some(gauges)
    }
}
