//! Reading one benchmark again and again: what has changed is seen at once, what has not is not sent.

use std::sync::Arc;

use api::Settings;
use futures::future::join_all;
use poem::http::{Method, header};
use shared::BenchmarkId;

use crate::{
    app::{Answer, TestApp, each},
    runs::Hand,
};

impl TestApp {
    /// Reads `path` with a copy that `validator` names.
    async fn get_unless(&self, path: &str, validator: &str) -> Answer {
        self.send(Method::GET, path, |request| request.header(header::IF_NONE_MATCH, validator))
            .await
    }
}

#[tokio::test]
async fn a_copy_is_current_until_anything_a_client_sees_has_changed() {
    for app in each(Settings::default()).await {
        let hand = Hand::of(&app.store).await;
        let id = app.start_benchmark("a.example").await;
        let path = format!("/api/v1/benchmarks/{id}");
        let mut seen = Vec::new();
        let mut held = None;
        for change in ["accepted", "edited", "taken", "told", "told again", "completed", "marked"] {
            match change {
                "edited" => {
                    let edited = app.send(Method::PATCH, &format!("{path}?notes=x"), |r| r).await;
                    assert_eq!(edited.status, 200);
                }
                "taken" => held = Some(hand.take(id).await),
                "told" => hand.tell(held.as_ref().unwrap(), 1.0).await,
                "told again" => hand.tell(held.as_ref().unwrap(), 2.0).await,
                "completed" => hand.complete(held.as_ref().unwrap()).await,
                "marked" => {
                    let marked =
                        app.send(Method::PATCH, &format!("{path}?favorite=1"), |r| r).await;
                    assert_eq!(marked.status, 200);
                }
                _ => {}
            }
            let read = app.get(&path).await;
            let etag = read.header("etag").expect("a validator").to_owned();
            assert!(!etag.starts_with("W/"), "{etag} is weak");
            assert_eq!(read.header("cache-control"), Some("private, no-cache"));
            assert!(!seen.contains(&etag), "{change}: {etag} again");
            for before in &seen {
                let again = app.get_unless(&path, before).await;
                assert_eq!((again.status, &again.json), (200, &read.json), "{change}");
            }
            // One of several, and as caches may write it.
            for validators in
                [etag.clone(), format!("\"other\", {etag}"), format!("W/{etag}"), "*".into()]
            {
                let again = app.get_unless(&path, &validators).await;
                assert_eq!(
                    (again.status, again.text.as_str()),
                    (304, ""),
                    "{change}: {validators}"
                );
                assert_eq!(again.header("etag"), Some(etag.as_str()));
                assert_eq!(again.header("retry-after"), read.header("retry-after"), "{change}");
            }
            let waited = app.get_unless(&format!("{path}?wait=1"), &etag).await;
            assert_eq!(waited.status, 304, "{change}");
            seen.push(etag);
        }
        let gone = app.send(Method::DELETE, &path, |request| request).await;
        assert_eq!(gone.status, 200);
        assert_eq!(app.get_unless(&path, seen.last().unwrap()).await.status, 404);
        assert_eq!(app.get(&path).await.status, 404);
    }
}

#[tokio::test]
async fn whoever_reads_sees_what_another_process_has_written_just_now() {
    for app in each(Settings::default()).await {
        let hand = Hand::of(&app.store).await;
        let id = app.start_benchmark("a.example").await;
        let path = format!("/api/v1/benchmarks/{id}");
        let held = hand.take(id).await;
        for seconds in 1..=20 {
            hand.tell(&held, f64::from(seconds)).await;
            let (one, other) = tokio::join!(app.get(&path), app.get(&path));
            for read in [one, other] {
                assert_eq!(read.json["progress"]["elapsed_s"], f64::from(seconds), "{}", read.text);
            }
        }
    }
}

#[tokio::test]
async fn many_who_read_at_once_get_each_what_they_asked_for() {
    for app in each(Settings::default()).await {
        let mut ids = Vec::new();
        for host in 0..8 {
            ids.push(app.start_benchmark(&format!("host{host}.example")).await);
        }
        app.store.delete(BenchmarkId(ids[3]), true).await.unwrap();
        let app = Arc::new(app);
        for _ in 0..3 {
            let reading = (0..200).map(|nth| {
                let (app, id) = (Arc::clone(&app), ids[nth % ids.len()]);
                async move { (id, app.get(&format!("/api/v1/benchmarks/{id}")).await) }
            });
            for (id, read) in join_all(reading).await {
                if id == ids[3] {
                    read.refuses(404, &format!("no benchmark has the id {id}"));
                } else {
                    assert_eq!((read.status, read.json["id"].as_i64()), (200, Some(id)));
                }
            }
        }
    }
}
