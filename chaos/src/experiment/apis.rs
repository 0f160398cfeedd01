//! APIs that die while they are asked.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::json;

use super::Cycle;
use crate::checker::{Leeway, ask};

/// Requests of a cycle, at once.
const ASKED: usize = 12;

/// E2: an API is killed while clients wait for its answer; they ask again with the same key.
/// There are no runners: what was accepted is cancelled in the end.
pub(super) async fn kill(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let victim = cycle.below(2);
    // Everybody asks the one that dies first.
    let mut apis = cycle.yard.api_urls();
    apis.swap(0, victim);
    let (client, target) = (cycle.yard.client.clone(), cycle.yard.target(0));
    let keys: Vec<String> = (0..ASKED).map(|which| cycle.key(which)).collect();
    let delays: Vec<_> = keys.iter().map(|_| cycle.ms(0, 60)).collect();
    let asking = join_all(keys.iter().zip(delays).map(|(key, delay)| {
        let (client, apis, target) = (client.clone(), apis.clone(), target.clone());
        async move {
            tokio::time::sleep(delay).await;
            client.submit(&apis, &target, json!({"user": 1}), key).await
        }
    }));
    let wait = cycle.ms(0, 90);
    let process = &cycle.yard.apis[victim].process;
    let killing = async {
        tokio::time::sleep(wait).await;
        process.kill();
    };
    let (accepted, ()) = tokio::join!(asking, killing);
    cycle.yard.replace_api(victim).await;
    let mut ids = Vec::new();
    for (key, accepted) in keys.iter().zip(accepted) {
        let (id, tries) = accepted?;
        if tries > 1 {
            cycle.tally.count("asked again");
        }
        let sql = format!("SELECT id FROM benchmark WHERE notes = '{key}'");
        let rows = ask(cycle.yard, &sql).await?;
        let made: Vec<i64> =
            rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
        if made != [id] {
            let told = format!("I1: `{key}` was answered with {id} and made {made:?}");
            cycle.tally.violation(&told);
        }
        ids.push(id);
    }
    if ids.iter().collect::<BTreeSet<_>>().len() != ASKED {
        cycle.tally.violation(&format!("I1: two keys share a benchmark: {ids:?}"));
    }
    cycle.tally.benchmarks += u64::try_from(ids.len())?;
    let api = cycle.yard.apis[0].url.clone();
    for id in &ids {
        let url = format!("{api}/api/v1/benchmarks/{id}/cancel");
        let said = cycle.yard.client.post(&url, &json!({}), None).await?;
        anyhow::ensure!(said.status < 300, "cancel {id}: {} {}", said.status, said.text);
    }
    cycle.settle(&ids, Leeway::default()).await?;
    Ok(())
}
