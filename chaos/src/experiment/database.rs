//! A database server that dies, is restarted, or throws everybody out.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Cycle, since};
use crate::{
    checker::{Leeway, ask},
    server::Server,
};

/// E3: the server is killed, restarted, or ends all sessions, while benchmarks run.
pub(super) async fn kill(cycle: &mut Cycle<'_>, server: &Server) -> anyhow::Result<()> {
    let ids = cycle.submit(4, &json!({"duration": 3})).await?;
    let wait = cycle.ms(200, 2_000);
    tokio::time::sleep(wait).await;
    match cycle.nth % 3 {
        0 => {
            let down = cycle.ms(200, 5_000);
            server.kill()?;
            tokio::time::sleep(down).await;
            server.start()?;
            cycle.tally.count("killed");
        }
        1 => {
            server.restart()?;
            cycle.tally.count("restarted");
        }
        _ => {
            let storm = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                         WHERE pid <> pg_backend_pid() AND application_name = 'llm-bench'";
            for _ in 0..6 {
                ask(cycle.yard, storm).await?;
                let pause = cycle.ms(50, 300);
                tokio::time::sleep(pause).await;
            }
            cycle.tally.count("storms");
        }
    }
    back(cycle).await?;
    cycle.settle(&ids, Leeway::default()).await?;
    Ok(())
}

/// How long the APIs take until they say again that they are ready.
async fn back(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let up = Instant::now();
    for api in cycle.yard.api_urls() {
        let url = format!("{api}/readyz");
        while cycle.yard.client.get(&url).await.map_or(0, |said| said.status) != 200 {
            anyhow::ensure!(up.elapsed() < Duration::from_secs(10), "{url} is not back in 10 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let took = i64::try_from(up.elapsed().as_millis())?;
    cycle.tally.took("ready again", since(0, took));
    Ok(())
}
