//! A backup that is brought back under living runners.

use std::time::Duration;

use serde_json::json;
use shared::State;
use tokio::time::sleep;

use super::{Cycle, now_ms, since};
use crate::{
    checker::{Found, Leeway, ask, records},
    server::Server,
};

/// How long a runner may take to see that the database does not know its claim: it looks twice a
/// second, and needs a connection first.
const NOTICED_WITHIN: Duration = Duration::from_millis(2_500);

/// What docs/operations.md has done to a backup: a claim made after it has a number that no runner
/// has from before.
const NEW_CLAIMS: &str =
    "UPDATE benchmark SET fence = fence + 1000000 WHERE finished_at_ms IS NULL";
const PAUSE: &str = "INSERT INTO control VALUES ('', 0)";

/// E23: a backup is taken while benchmarks run, they go on, and it is brought back. What runners
/// hold that the backup does not know, they stop; what they measured counts for nothing. Every
/// other time the queue is paused in it, so that it shows who sends without a claim.
pub(super) async fn restore(cycle: &mut Cycle<'_>, server: &Server) -> anyhow::Result<()> {
    let is_paused = cycle.nth % 2 == 1;
    let ids = cycle.submit_to(&[0, 1, 2, 0, 1, 2], &json!({"duration": 4})).await?;
    let wait = cycle.ms(0, 2_500);
    sleep(wait).await;
    let url = cycle.yard.database.url().to_owned();
    let backup = server.dump(&url).await?;
    let wait = cycle.ms(300, 4_000);
    sleep(wait).await;
    let then = format!("RESET search_path; {NEW_CLAIMS}; {}", if is_paused { PAUSE } else { "" });
    server.restore(&url, &backup, &then).await?;
    let restored_at = now_ms();
    cycle.tally.count(if is_paused { "paused" } else { "not paused" });
    if is_paused {
        sleep(NOTICED_WITHIN).await;
        let sent = sent_without_claim(cycle, &ids).await?;
        sleep(Duration::from_secs(1)).await;
        for (id, requests) in sent_without_claim(cycle, &ids).await? {
            if sent.iter().any(|(before, count)| *before == id && *count != requests) {
                let told = format!("I2: benchmark {id} is queued in the backup and under load");
                cycle.tally.violation(&told);
            }
        }
        ask(cycle.yard, "DELETE FROM control").await?;
    }
    let leeway = Leeway { is_restored: true, ..Leeway::default() };
    let found = cycle.settle(&ids, leeway).await?;
    of_their_last_claim(cycle, &found, restored_at);
    Ok(())
}

/// Of each benchmark that is queued, how many requests its target has had.
async fn sent_without_claim(cycle: &Cycle<'_>, ids: &[i64]) -> anyhow::Result<Vec<(i64, u64)>> {
    let callers = cycle.yard.callers().await;
    let queued = records(cycle.yard, ids).await?;
    let queued = queued.iter().filter(|record| record.status == State::Queued);
    let sent = queued.map(|record| {
        let of_it = callers.iter().filter(|call| i64::try_from(call.benchmark) == Ok(record.id));
        (record.id, of_it.map(|call| call.requests).sum())
    });
    Ok(sent.collect())
}

/// I5: the figures are those of the claim that the database knows, and of no earlier one, whatever
/// number that had.
fn of_their_last_claim(cycle: &mut Cycle<'_>, found: &Found, restored_at: i64) {
    for record in found.records.iter().filter(|record| record.status == State::Completed) {
        let claimed = record.events.iter().rfind(|event| event.to == State::Running);
        let began = record.report.as_ref().and_then(|report| {
            let began: jiff::Timestamp = report["window"]["started_at"].as_str()?.parse().ok()?;
            Some(began.as_millisecond())
        });
        let (Some(claimed), Some(began)) = (claimed, began) else {
            cycle.tally.violation(&format!("benchmark {} has no claim or report", record.id));
            continue;
        };
        if claimed.at_ms > restored_at {
            cycle.tally.count("claimed again");
            cycle.tally.took("claimed after", since(restored_at, claimed.at_ms));
        }
        if began + 5 < claimed.at_ms {
            let told = format!(
                "I5: benchmark {} has figures from {began}, and was claimed at {}",
                record.id, claimed.at_ms
            );
            cycle.tally.violation(&told);
        }
    }
}
