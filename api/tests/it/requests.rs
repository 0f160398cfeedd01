//! The rows of a benchmark's requests, and its histograms, as a client gets them.

use std::{io::Seek as _, ops::Range};

use api::Settings;
use poem::http::Method;
use records::{About, GROUP_ROWS, Layout, Record, Tail, TextFormat, Writer};
use shared::report::{HistogramUnit, HistogramV2, Histograms};
use store::{Held, LeftRows, StoredRequests, requests_of};

use crate::{
    app::{Answer, TestApp, each, one},
    runs::Hand,
};

/// A file of `rows` requests, in the artifact store.
async fn stored(app: &TestApp, held: &Held, rows: u64) -> StoredRequests {
    stored_of(app, held, 0, 0..rows).await
}

/// The file of shard `shard`, with rows of these indexes.
async fn stored_of(app: &TestApp, held: &Held, shard: u32, rows: Range<u64>) -> StoredRequests {
    let mut file = tempfile::tempfile().unwrap();
    let mut writer = Writer::new(file.try_clone().unwrap(), &About::default(), false).unwrap();
    for index in rows.clone() {
        let message = (index == 1).then(|| "said \"no\", twice".to_owned());
        writer.push(Record { index, end_us: index * 10, message, ..Record::default() }).unwrap();
    }
    let bytes = writer.finish().unwrap().bytes;
    file.rewind().unwrap();
    let (artifacts, name) = (app.store.artifacts().unwrap(), requests_of(shard));
    let key = artifacts.put_rows(held, &name, file, bytes).await.unwrap();
    StoredRequests { key, rows: rows.end - rows.start, bytes }
}

async fn accepting(app: &TestApp, path: &str, accept: &str) -> Answer {
    app.send(Method::GET, path, |request| request.header("accept", accept)).await
}

#[tokio::test]
async fn rows_come_as_parquet_csv_or_jsonl() {
    for app in each(Settings::default()).await {
        let rows = GROUP_ROWS as u64 + 2;
        let hand = Hand::of(&app.store).await;
        let id = app.start_benchmark("a.example").await;
        let held = hand.take(id).await;
        let file = stored(&app, &held, rows).await;
        hand.complete_with(&held, Some(file.clone()), Histograms::new()).await;
        let links = app.get(&format!("/api/v1/benchmarks/{id}")).await.json["links"].clone();
        let path = links["requests"].as_str().unwrap();

        let parquet = app.get(path).await;
        assert_eq!(parquet.header("content-type"), Some("application/vnd.apache.parquet"));
        let name = format!("attachment; filename=\"benchmark-{id}-requests.parquet\"");
        assert_eq!(parquet.header("content-disposition"), Some(name.as_str()));
        assert_eq!(parquet.bytes.len() as u64, file.bytes);
        let Ok(Tail::Whole(layout)) = Layout::read(&parquet.bytes, file.bytes) else {
            panic!("the file is not what it was");
        };
        assert_eq!((layout.rows(), layout.groups()), (rows, 2));

        let csv = app.get(&format!("{path}?format=csv")).await;
        assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
        let lines: Vec<&str> = csv.text.lines().collect();
        assert_eq!(lines.len() as u64, rows + 1);
        assert!(lines[0].starts_with("index,user,nth,turn,intended_us,"), "{}", lines[0]);
        assert!(lines[2].contains("\"said \"\"no\"\", twice\""), "{}", lines[2]);
        assert!(lines[usize::try_from(rows).unwrap()].starts_with(&format!("{},", rows - 1)));
        assert_eq!(accepting(&app, path, "text/csv;q=1").await.text, csv.text);

        let jsonl = app.get(&format!("{path}?format=jsonl")).await;
        assert_eq!(jsonl.header("content-type"), Some("application/x-ndjson"));
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        assert!(jsonl.text.lines().map(read).zip(0..).all(|(row, at)| row["index"] == at));
        assert_eq!(jsonl.text.lines().count() as u64, rows);
        let asked = accepting(&app, &format!("{path}?format=jsonl"), "text/csv").await;
        assert_eq!(asked.text, jsonl.text, "the query goes first");
    }
}

/// A load that four runners made, the second of which has sent nothing: where its rows are, and their
/// indexes.
async fn shared_load(app: &TestApp) -> (String, Vec<u64>) {
    let many = GROUP_ROWS as u64 + 2;
    let hand = Hand::of(&app.store).await;
    let id = app.start_benchmark("a.example").await;
    let held = hand.take(id).await;
    let first = stored_of(app, &held, 0, 0..many).await;
    hand.complete_with(&held, Some(first), Histograms::new()).await;
    for (shard, rows) in [(2, many + 3..2 * many), (10, many..many + 3), (1, many..many)] {
        let file = stored_of(app, &held, shard, rows).await;
        let kept = app.store.keep_left_rows(&held, hand.id(), &requests_of(shard), file).await;
        assert_eq!(kept.unwrap(), LeftRows::Wanted);
    }
    let rows = (0..many).chain(many + 3..2 * many).chain(many..many + 3);
    (format!("/api/v1/benchmarks/{id}/requests"), rows.collect())
}

#[tokio::test]
async fn the_files_of_several_runners_come_as_one() {
    for app in each(Settings::default()).await {
        let (path, expected) = shared_load(&app).await;
        let parquet = app.get(&path).await;
        let length = parquet.bytes.len() as u64;
        let Ok(Tail::Whole(layout)) = Layout::read(&parquet.bytes, length) else {
            panic!("it is no file");
        };
        assert_eq!((layout.rows(), layout.groups()), (expected.len() as u64, 4));
        let mut as_text = TextFormat::Csv.head(&layout).unwrap();
        for group in 0..layout.groups() {
            let range = layout.range(group).unwrap();
            let (from, to) = (usize::try_from(range.start), usize::try_from(range.end));
            let bytes = parquet.bytes.slice(from.unwrap()..to.unwrap());
            as_text.extend(TextFormat::Csv.rows(&layout, group, bytes).unwrap());
        }

        let csv = app.get(&format!("{path}?format=csv")).await;
        assert!(csv.bytes == as_text, "Parquet and CSV have the same rows");
        let rows = csv.text.lines().skip(1).map(|line| line.split(',').next().unwrap());
        let rows: Vec<u64> = rows.map(|index| index.parse().unwrap()).collect();
        assert!(rows == expected, "one line of names, and the rows of each runner in turn");
        let jsonl = app.get(&format!("{path}?format=jsonl")).await;
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let rows = jsonl.text.lines().map(|line| read(line)["index"].as_u64().unwrap());
        assert!(rows.collect::<Vec<_>>() == expected);
    }
}

#[tokio::test]
async fn where_the_file_of_one_of_several_runners_is_gone_nothing_is_begun() {
    let app = one(Settings::default()).await;
    let (path, _) = shared_load(&app).await;
    let id = path.split('/').nth(4).unwrap();
    let gone = format!("benchmarks/{id}/run-1/requests-2.parquet");
    app.store.artifacts().unwrap().delete(&gone).await.unwrap();
    for format in ["parquet", "csv", "jsonl"] {
        let refused = app.get(&format!("{path}?format={format}")).await;
        refused.refuses(404, "the file is gone from the artifact store");
    }
}

#[tokio::test]
async fn who_has_no_rows_says_why() {
    let app = one(Settings::default()).await;
    let hand = Hand::of(&app.store).await;
    let id = app.start_benchmark("a.example").await;
    let path = format!("/api/v1/benchmarks/{id}/requests");
    let detail = format!("benchmark {id} is queued; its requests are kept when it is over");
    app.get(&path).await.refuses(404, &detail);
    let held = hand.take(id).await;
    let detail = format!("benchmark {id} is running; its requests are kept when it is over");
    app.get(&path).await.refuses(404, &detail);
    let histograms = format!("/api/v1/benchmarks/{id}/histograms");
    let detail = format!("benchmark {id} is running and has no histograms");
    app.get(&histograms).await.refuses(404, &detail);
    hand.fail(&held).await;
    app.get(&path).await.refuses(404, &format!("benchmark {id} sent no requests"));

    app.get("/api/v1/benchmarks/4711/requests").await.refuses(404, "no benchmark has the id 4711");
    let refused = app.get(&format!("{path}?format=xlsx")).await;
    refused.refuses(422, "format must be parquet, csv or jsonl, not `xlsx`");
    assert_eq!(refused.json["errors"][0]["pointer"], "/format");
}

#[tokio::test]
async fn a_file_that_is_gone_or_no_file_of_rows_is_a_problem_and_not_half_an_answer() {
    let app = one(Settings::default()).await;
    let hand = Hand::of(&app.store).await;
    let id = app.start_benchmark("a.example").await;
    let held = hand.take(id).await;
    let file = stored(&app, &held, 3).await;
    let shorter = StoredRequests { bytes: file.bytes - 5, ..file.clone() };
    hand.complete_with(&held, Some(shorter), Histograms::new()).await;
    let path = format!("/api/v1/benchmarks/{id}/requests?format=csv");
    app.get(&path).await.refuses(500, "the cause is in the server's log");
    app.store.artifacts().unwrap().delete(&file.key).await.unwrap();
    for path in [path.as_str(), path.split('?').next().unwrap()] {
        app.get(path).await.refuses(404, "the file is gone from the artifact store");
    }
}

#[tokio::test]
async fn histograms_come_with_their_units() {
    for app in each(Settings::default()).await {
        let histogram = HistogramV2 {
            unit: HistogramUnit::MilliTokensPerS,
            n: 1,
            sum: "18446744073709551616".to_owned(),
            sum_of_squares: "1".to_owned(),
            min: Some(1),
            max: Some(1),
            hdr_v2: "HISTF".to_owned(),
        };
        let hand = Hand::of(&app.store).await;
        let id = app.start_benchmark("a.example").await;
        let held = hand.take(id).await;
        let given = Histograms::from([("token_speed_per_s".to_owned(), histogram)]);
        hand.complete_with(&held, None, given).await;
        let told = app.get(&format!("/api/v1/benchmarks/{id}/histograms")).await;
        assert_eq!(told.json["id"], id);
        let told = &told.json["histograms"]["token_speed_per_s"];
        assert_eq!(told["unit"], "milli_tokens_per_s");
        assert_eq!(told["sum"], "18446744073709551616");
        assert_eq!(told["hdr_v2"], "HISTF");
        let rows = app.get(&format!("/api/v1/benchmarks/{id}/requests")).await;
        rows.refuses(404, &format!("no requests of benchmark {id} were kept"));
    }
}

#[tokio::test]
async fn not_too_many_downloads_at_once() {
    let app = one(Settings::default()).await;
    let hand = Hand::of(&app.store).await;
    let id = app.start_benchmark("a.example").await;
    let held = hand.take(id).await;
    let file = stored(&app, &held, 3).await;
    hand.complete_with(&held, Some(file), Histograms::new()).await;
    let path = format!("/api/v1/benchmarks/{id}/requests?format=csv");
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(app.client.get(path.as_str()).send().await);
    }
    let refused = app.get(&path).await;
    refused.refuses(429, "16 downloads of requests are under way; try again");
    assert_eq!(refused.header("retry-after"), Some("2"));
    drop(open);
    assert_eq!(app.get(&path).await.status, 200);
}
