//! `llm-bench demo`: everything there is, once, in one process.
//!
//! The benchmark takes the way of all benchmarks: it is submitted through the REST API, queued in
//! the database, and taken up by the runner.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use shared::request::Fields;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    failure::Failure, follow, listen, run::conclude, server::Server, up::Service, watch::Watch,
};

/// How long the service may take to start.
const START: Duration = Duration::from_secs(30);

/// `llm-bench demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Virtual users
    #[arg(long, default_value_t = 32)]
    user: u32,
    /// Seconds in which requests are sent
    #[arg(long, default_value_t = 8)]
    duration: u32,
    /// Folder for the demo's own folder, `demo`
    #[arg(long, env = "DATA_DIR", default_value = "./data")]
    data_dir: PathBuf,
    #[command(flatten)]
    log: daemon::Log,
}

impl DemoArgs {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        self.log.start("error");
        let stop = daemon::shutdown_on_signal();
        let shutdown = CancellationToken::new();
        let model = simulator::Settings {
            model: "demo-llm".to_owned(),
            ttft_ms: 150.0,
            jitter: 0.2,
            ..simulator::Settings::default()
        };
        let (simulated, target) = listen("127.0.0.1", 0).await?;
        tokio::spawn(simulator::serve(model, simulated, shutdown.clone()));

        let mut service = Service::of_its_own()?;
        service.database.data_dir = self.data_dir.join("demo");
        // Far more than it asks for.
        service.runner.self_test = false;
        let data_dir = service.database.data_dir.clone();
        let (listener, address) = listen("127.0.0.1", 0).await?;
        let served = tokio::spawn(service.serve(listener, shutdown.clone()));
        let server = Server::own(&format!("http://{address}"))?;
        eprintln!("A simulated LLM server answers at http://{target}/v1,");
        eprintln!(
            "LLM Benchmark API at http://{address}, with its data in {}.",
            data_dir.display()
        );
        let served = ready(&server, served).await?;

        let asked = json!({
            "url": format!("http://{target}"),
            "user": self.user,
            "spawnrate": self.user,
            "duration": self.duration,
            "max_tokens": 64,
            "grace": 5,
            "notes": "demo",
        });
        let asked: Fields = serde_json::from_value(asked).map_err(|e| Failure::Other(e.into()))?;
        let submitted = server.submit(&asked).await?;
        let id = submitted.benchmark.id;
        eprintln!(
            "Benchmark {id} was submitted as any client would: POST /api/v1/benchmarks/run.\n"
        );
        let watch = Watch::new(submitted.benchmark.duration);
        let followed = follow::to_its_end(&server, submitted, watch, &stop).await?;
        let code = conclude(&followed, false);

        shutdown.cancel();
        served.await.map_err(|error| Failure::Other(error.into()))??;
        let me = std::env::args().next().unwrap_or_else(|| "llm-bench".to_owned());
        let data_dir = data_dir.display();
        eprintln!("\nWhere to go next:");
        eprintln!(
            "  your own server   {me} run --local --url http://localhost:8000 --user 16 --duration 30"
        );
        eprintln!("  the service       {me} up   then http://127.0.0.1:8000/docs");
        eprintln!("  this result       DATA_DIR={data_dir} {me} up   then {me} show {id}");
        Ok(code)
    }
}

/// Waits until the service can work, and gives its task back.
async fn ready(
    server: &Server,
    mut served: JoinHandle<anyhow::Result<()>>,
) -> Result<JoinHandle<anyhow::Result<()>>, Failure> {
    let asking = async {
        while !server.is_ready().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = asking => Ok(served),
        ended = &mut served => {
            ended.map_err(|error| Failure::Other(error.into()))??;
            Err(anyhow!("the service ended by itself").into())
        }
        () = tokio::time::sleep(START) => {
            Err(anyhow!("the service is not ready after {START:?}").into())
        }
    }
}
