//! What the database refuses by itself, whatever the code above it does.

use entity::benchmark;
use sea_orm::{ColumnTrait, ColumnType, IdenStatic, Iterable};
use shared::{BenchmarkId, State};

use crate::world::{World, ending, worlds};

/// Writes a state past the store, with everything that the checks want of it, so that only the
/// trigger is left to refuse it.
async fn force(world: &World, id: BenchmarkId, to: State) -> Result<(), String> {
    let lease = if matches!(to, State::Running | State::Cancelling) { "1" } else { "NULL" };
    let finished = if to.is_terminal() { "1" } else { "NULL" };
    let sql = format!(
        "UPDATE benchmark SET status = '{to}', lease_until_ms = {lease}, \
         finished_at_ms = {finished}, report = '{{}}' WHERE id = {id}"
    );
    match world.execute(&sql).await {
        Ok(1) => Ok(()),
        Ok(rows) => panic!("{rows} rows"),
        Err(refused) => Err(refused.to_string()),
    }
}

/// A row in `state`, brought there by legal steps.
async fn row_in(world: &World, state: State) -> BenchmarkId {
    let id = world.submit().await.id;
    let steps: &[State] = match state {
        State::Queued => &[],
        State::Running => &[State::Running],
        State::Cancelling => &[State::Running, State::Cancelling],
        State::Cancelled => &[State::Cancelled],
        State::TimedOut => &[State::TimedOut],
        State::Completed => &[State::Running, State::Completed],
        State::Failed => &[State::Running, State::Failed],
        State::Lost => &[State::Running, State::Lost],
    };
    for step in steps {
        force(world, id, *step).await.unwrap();
    }
    id
}

#[tokio::test]
async fn the_trigger_and_the_contract_know_the_same_transitions() {
    for world in worlds().await {
        let mut pairs = 0;
        for from in State::ALL {
            for to in State::ALL.into_iter().filter(|to| *to != from) {
                let id = row_in(&world, from).await;
                let outcome = force(&world, id, to).await;
                assert_eq!(outcome.is_ok(), from.may_become(to), "{from} -> {to}: {outcome:?}");
                pairs += 1;
            }
        }
        assert_eq!(pairs, 56);
    }
}

#[tokio::test]
async fn a_row_begins_as_queued() {
    for world in worlds().await {
        world.submit().await;
        let copied = "INSERT INTO benchmark (status, run_at_ms, target_key, url, model, tokenizer, \
                      dataset, users, spawnrate, duration_s, spec, created_at_ms, queued_at_ms, \
                      finished_at_ms) SELECT 'failed', 1, 'k', 'u', '', '', '', 1, 1, 1, spec, 1, \
                      1, 1 FROM benchmark";
        let refused = world.execute(copied).await.unwrap_err().to_string();
        assert!(refused.contains("begins as queued"), "{refused}");
    }
}

#[tokio::test]
async fn of_what_is_over_only_notes_and_favorite_change() {
    for world in worlds().await {
        let held = world.loading().await;
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        for column in benchmark::Column::iter() {
            let name = column.as_str();
            let other = match column.def().get_column_type() {
                _ if name == "status" => "'failed'".to_owned(),
                ColumnType::Boolean => format!("NOT \"{name}\""),
                ColumnType::JsonBinary => "'{\"forged\": 1}'".to_owned(),
                ColumnType::BigInteger | ColumnType::Integer => {
                    format!("coalesce(\"{name}\", 0) + 1")
                }
                _ => format!("coalesce(\"{name}\", '') || 'x'"),
            };
            let outcome =
                world.execute(&format!("UPDATE benchmark SET \"{name}\" = {other}")).await;
            if matches!(name, "notes" | "favorite" | "version") {
                outcome.unwrap();
            } else {
                let refused = outcome.expect_err(name).to_string();
                assert!(refused.contains("is over") || refused.contains("cannot"), "{refused}");
            }
        }
    }
}

#[tokio::test]
async fn the_past_cannot_be_written_anew() {
    for world in worlds().await {
        let held = world.loading().await;
        let back = world.execute("UPDATE benchmark SET fence = fence - 1").await.unwrap_err();
        assert!(back.to_string().contains("only grows"), "{back}");
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        for sql in
            ["UPDATE benchmark_event SET at_ms = 1", "UPDATE benchmark_series SET rows = '[]'"]
        {
            let refused = world.execute(sql).await.unwrap_err().to_string();
            assert!(refused.contains("do not change"), "{refused}");
        }
    }
}

#[tokio::test]
async fn the_checks_hold_states_and_columns_together() {
    for world in worlds().await {
        let id = world.submit().await.id;
        for wrong in [
            "status = 'done'",
            "status = 'running'",
            "lease_until_ms = 1",
            "status = 'cancelled'",
            "finished_at_ms = 1",
            "claims = 1",
            "priority = 11",
        ] {
            let outcome =
                world.execute(&format!("UPDATE benchmark SET {wrong} WHERE id = {id}")).await;
            assert!(outcome.is_err(), "{wrong}");
        }
    }
}
