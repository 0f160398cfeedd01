//! Row, event and ticket, all of them or none; edits and deletions.

use shared::request::{Edit, Fields};
use shared::{BenchmarkId, Phase, State};
use store::{Deletion, StoreError};

use crate::world::{ending, request, worlds};

fn edit(fields: &[(&str, &str)]) -> Edit {
    let fields: Fields =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    Edit::parse(&fields).unwrap()
}

#[tokio::test]
async fn a_new_benchmark_is_queued_with_event_and_ticket() {
    for world in worlds().await {
        let created = world
            .store
            .create(request(&[("url", "http://llm.example/v1"), ("notes", "n"), ("user", "7")]))
            .await
            .unwrap();
        assert_eq!((created.status, created.progress.phase), (State::Queued, Phase::Queued));
        assert_eq!((created.url.as_str(), created.user), ("http://llm.example/v1", 7));
        assert_eq!((created.notes.as_str(), created.model.as_str()), ("n", ""));
        assert_eq!(created.created_at, created.queued_at);
        assert!(!created.results.is_final && created.report.is_none());
        assert_eq!(world.get(created.id).await, created);

        let events = world.store.events(created.id, 0).await.unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].from, events[0].to), (None, State::Queued));
        assert_eq!((events[0].actor.as_str(), events[0].at), ("api", created.created_at));
        assert_eq!(world.store.events(created.id, 1).await.unwrap(), []);
        assert_eq!(world.tickets().await, 1);
    }
}

#[tokio::test]
async fn what_cannot_be_ticketed_is_not_accepted() {
    for world in worlds().await {
        let jobs = world.jobs();
        world.execute(&format!("ALTER TABLE {jobs} RENAME TO hidden")).await.unwrap();
        let refused = world.store.create(request(&[("url", "http://llm.example")])).await;
        assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
        for table in ["benchmark", "benchmark_event", "benchmark_secret"] {
            assert_eq!(world.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
    }
}

#[tokio::test]
async fn ids_count_up_and_are_never_used_again() {
    for world in worlds().await {
        let first = world.submit().await.id;
        assert_eq!(world.store.delete(first, true).await.unwrap(), Deletion::Deleted);
        assert!(world.submit().await.id > first);
    }
}

#[tokio::test]
async fn what_does_not_exist_says_so() {
    for world in worlds().await {
        let (store, id) = (&world.store, BenchmarkId(404));
        let refused = [
            store.get(id).await.map(drop),
            store.cancel(id).await.map(drop),
            store.delete(id, true).await.map(drop),
            store.edit(id, &Edit::default()).await.map(drop),
            store.events(id, 0).await.map(drop),
            store.timeseries(id).await.map(drop),
        ];
        for outcome in refused {
            assert!(matches!(outcome, Err(StoreError::NotFound(BenchmarkId(404)))), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn an_edit_changes_notes_and_mark_in_any_state_and_nothing_else() {
    for world in worlds().await {
        let held = world.loading().await;
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        let before = world.get(held.id).await;
        let wanted = edit(&[("notes", "good run"), ("favorite", "true"), ("user", "100")]);
        let edited = world.store.edit(held.id, &wanted).await.unwrap();
        assert_eq!((edited.notes.as_str(), edited.favorite), ("good run", true));
        assert_eq!(edited.report, before.report);

        let unmarked = world.store.edit(held.id, &edit(&[("favorite", "false")])).await.unwrap();
        assert_eq!((unmarked.notes.as_str(), unmarked.favorite), ("good run", false));

        let refused = world.store.edit(held.id, &edit(&[("user", "5"), ("notes", "no")])).await;
        let Err(StoreError::Immutable(fields)) = refused else { panic!("{refused:?}") };
        assert_eq!(fields[0].pointer, "/user");
        assert_eq!(world.get(held.id).await.notes, "good run");
    }
}

#[tokio::test]
async fn what_is_active_is_deleted_only_by_force() {
    for world in worlds().await {
        let held = world.running().await;
        let waiting = world.submit().await.id;
        for (id, stands) in [(held.id, State::Running), (waiting, State::Queued)] {
            let refused = world.store.delete(id, false).await;
            assert!(
                matches!(refused, Err(StoreError::Active { state, .. }) if state == stands),
                "{refused:?}"
            );
        }
        assert_eq!(world.store.delete(waiting, true).await.unwrap(), Deletion::Deleted);
        let asked = world.store.delete(held.id, true).await.unwrap();
        assert_eq!(asked, Deletion::CancelRequested);
        assert_eq!(world.status(held.id).await, State::Cancelling);
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        assert_eq!(world.store.delete(held.id, false).await.unwrap(), Deletion::Deleted);
        for table in ["benchmark", "benchmark_event", "benchmark_series", "benchmark_partial"] {
            assert_eq!(world.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
    }
}

#[tokio::test]
async fn a_very_long_target_can_be_kept_and_claimed() {
    for world in worlds().await {
        let url = format!("http://llm.example/{}", "ü".repeat(2_000));
        let other = format!("{url}/b");
        let [a, b, again] = [&url, &other, &url].map(|url| request(&[("url", url)]));
        let a = world.store.create(a).await.unwrap();
        let b = world.store.create(b).await.unwrap();
        world.store.create(again).await.unwrap();
        assert_eq!(world.claim("r").await.unwrap().held.id, a.id);
        assert_eq!(world.claim("r").await.unwrap().held.id, b.id);
        assert!(world.claim("r").await.is_none());
    }
}
