//! The programs a test needs beside the one it is about.

use serde_json::Value;
use simulator::Stats;
use testkit::process::{Ended, Process, Program};

/// `llm-bench` with these words.
pub(crate) fn llm_bench<Word: AsRef<str>>(words: impl IntoIterator<Item = Word>) -> Program {
    Program::new("llm-bench").args(words)
}

/// A simulated LLM server of one's own.
pub(crate) struct Simulated {
    pub(crate) process: Process,
    pub(crate) url: String,
}

impl Simulated {
    pub(crate) async fn start(options: &[&str]) -> Self {
        // Quick, unless the test says otherwise.
        let mut words = vec!["simulate", "--port", "0"];
        for quick in [["--ttft-ms", "20"], ["--itl-ms", "5"]] {
            if !options.contains(&quick[0]) {
                words.extend(quick);
            }
        }
        words.extend(options);
        let mut process = llm_bench(words).spawn();
        let url = process.url("simulated LLM server").await;
        Self { process, url }
    }
}

/// A whole service of one's own.
pub(crate) struct Up {
    pub(crate) process: Process,
    pub(crate) url: String,
}

impl Up {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let mut program = llm_bench(["up", "--port", "0"]);
        for (name, value) in settings {
            program = program.env(name, value);
        }
        let mut process = program.spawn();
        let url = process.url("LLM Benchmark API at").await;
        process.answers(&format!("{url}/readyz")).await;
        Self { process, url }
    }
}

/// The JSON of a run that completed.
pub(crate) fn completed_json(ended: &Ended) -> Value {
    assert_eq!(ended.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    let printed: Value =
        serde_json::from_str(&ended.stdout).expect("stdout is JSON and nothing else");
    assert_eq!(printed["status"], "completed");
    printed
}

/// What a simulated server has counted.
pub(crate) async fn stats(simulated: &Simulated) -> Stats {
    let server = simulated.url.trim_end_matches("/v1");
    let body =
        testkit::process::get(&format!("{server}/stats")).await.expect("the server is there");
    serde_json::from_str(&body).expect("its counts")
}
