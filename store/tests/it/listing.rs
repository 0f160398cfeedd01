//! Pages, filters, order.

use shared::request::{Edit, Fields};
use shared::{BenchmarkId, Progress, State};
use store::{Sort, Wanted};

use crate::world::{World, ending, report, request, second, worlds};

async fn ids(world: &World, wanted: &Wanted) -> Vec<i64> {
    let page = world.store.list(wanted).await.unwrap();
    page.benchmarks.iter().map(|benchmark| benchmark.id.0).collect()
}

#[tokio::test]
async fn pages_follow_each_other_and_know_the_total() {
    for world in worlds().await {
        for _ in 0..5 {
            world.submit().await;
        }
        let page = |page| Wanted { page, limit: 2, ..Wanted::default() };
        assert_eq!(ids(&world, &page(1)).await, [5, 4]);
        assert_eq!(ids(&world, &page(2)).await, [3, 2]);
        assert_eq!(ids(&world, &page(3)).await, [1]);
        let beyond = world.store.list(&page(u64::MAX)).await.unwrap();
        assert_eq!((beyond.benchmarks.len(), beyond.total), (0, 5));
    }
}

#[tokio::test]
async fn filters_narrow_page_and_total_alike() {
    for world in worlds().await {
        for (model, url) in [("a", "http://1"), ("b", "http://2"), ("a", "http://3")] {
            world.store.create(request(&[("url", url), ("model", model)])).await.unwrap();
        }
        let held = world.claim("r").await.unwrap().held;
        world.store.load_starts(&held, "a").await.unwrap();
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        let marked: Fields = [("favorite".to_owned(), true.into())].into();
        world.store.edit(BenchmarkId(3), &Edit::parse(&marked).unwrap()).await.unwrap();

        let wanted = |states: &[State], model: Option<&str>, favorite| Wanted {
            states: states.to_vec(),
            model: model.map(str::to_owned),
            favorite,
            ..Wanted::default()
        };
        assert_eq!(ids(&world, &wanted(&[State::Completed], None, None)).await, [1]);
        assert_eq!(ids(&world, &wanted(&[State::Queued, State::Lost], None, None)).await, [3, 2]);
        assert_eq!(ids(&world, &wanted(&[], Some("a"), None)).await, [3, 1]);
        assert_eq!(ids(&world, &wanted(&[], Some("a' OR 1=1 --"), None)).await, [0; 0]);
        assert_eq!(ids(&world, &wanted(&[], None, Some(true))).await, [3]);
        assert_eq!(ids(&world, &wanted(&[], None, Some(false))).await, [2, 1]);
        let both = world.store.list(&wanted(&[State::Queued], Some("a"), Some(true))).await;
        assert_eq!(both.unwrap().total, 1);
    }
}

#[tokio::test]
async fn every_order_works_both_ways_and_equals_are_ordered_by_id() {
    for world in worlds().await {
        for (url, model, user, duration) in [
            ("http://1", "b", "30", "60"),
            ("http://2", "B", "10", "10"),
            ("http://3", "a", "30", "20"),
        ] {
            let fields = [("url", url), ("model", model), ("user", user), ("duration", duration)];
            world.store.create(request(&fields)).await.unwrap();
        }
        world.store.cancel(BenchmarkId(1)).await.unwrap();
        world.claim("r").await.unwrap();
        for (sort, ascending) in [
            (Sort::CreatedAt, [1, 2, 3]),
            (Sort::Id, [1, 2, 3]),
            (Sort::Model, [2, 3, 1]),
            (Sort::Status, [3, 2, 1]),
            (Sort::User, [2, 1, 3]),
            (Sort::Duration, [2, 3, 1]),
        ] {
            let wanted = |descending| Wanted { sort, descending, ..Wanted::default() };
            assert_eq!(ids(&world, &wanted(false)).await, ascending, "{sort:?}");
            let mut descending = ascending;
            descending.reverse();
            assert_eq!(ids(&world, &wanted(true)).await, descending, "{sort:?}");
            assert_eq!(sort.as_str().parse(), Ok(sort));
        }
        assert!("created_at".parse::<Sort>().unwrap_err().to_string().contains("createdAt"));
    }
}

#[tokio::test]
async fn a_page_has_what_is_measured_so_far() {
    for world in worlds().await {
        let held = world.loading().await;
        let measured = (&report(2), &[second(0)][..]);
        world.store.progress(&held, &Progress::default(), Some(measured)).await.unwrap();
        let page = world.store.list(&Wanted::default()).await.unwrap();
        assert_eq!(page.benchmarks, [world.get(held.id).await]);
        assert_eq!(page.benchmarks[0].report, Some(report(2)));
    }
}
