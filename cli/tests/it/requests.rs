//! The requests' rows, from a server and from a run without one.

use std::{fs, path::Path};

use serde_json::Value;

use crate::running::{Simulated, Up, completed_json, llm_bench};

const LOAD: [&str; 8] = ["--user", "4", "--spawnrate", "4", "--duration", "2", "--max-tokens", "8"];

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_local_run_keeps_a_row_for_each_request_in_the_format_its_file_is_named_for() {
    let simulated = Simulated::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["rows.jsonl", "rows.csv", "rows.parquet"] {
        let file = folder.path().join(name);
        let out = file.display().to_string();
        let ended = llm_bench(["run", "--local", "--json", "--url", &simulated.url])
            .args(LOAD)
            .args(["--requests", &out])
            .run()
            .await;
        let started = completed_json(&ended)["report"]["requests"]["started"].as_u64().unwrap();
        match name {
            "rows.jsonl" => {
                let rows = lines(&file);
                assert_eq!(rows.len() as u64, started);
                assert!(rows.iter().all(|row| row["output_tokens"] == 8));
            }
            "rows.csv" => {
                let text = fs::read_to_string(&file).unwrap();
                assert_eq!(text.lines().count() as u64, started + 1);
            }
            _ => assert!(fs::read(&file).unwrap().starts_with(b"PAR1")),
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
}

#[tokio::test]
async fn a_servers_rows_are_fetched_with_the_run_and_after_it() {
    let up = Up::start(&[]).await;
    let simulated = Simulated::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let with_run = folder.path().join("with.jsonl");
    let ended = llm_bench(["run", "--json", "--server", &up.url, "--url", &simulated.url])
        .args(LOAD)
        .args(["--requests", &with_run.display().to_string()])
        .run()
        .await;
    let started = completed_json(&ended)["report"]["requests"]["started"].as_u64().unwrap();
    assert_eq!(lines(&with_run).len() as u64, started);

    let fetch = ["requests", "1", "--server", &up.url];
    let after = folder.path().join("after.jsonl");
    let fetched = llm_bench(fetch).args(["--out", &after.display().to_string()]).run().await;
    assert_eq!(fetched.code(), Some(0), "{}", fetched.stderr);
    assert_eq!(fs::read(&after).unwrap(), fs::read(&with_run).unwrap());
    let printed = llm_bench(fetch).run().await;
    assert!(printed.stdout.starts_with("index,user,nth,"), "{}", printed.stdout);
    assert_eq!(printed.stdout.lines().count() as u64, started + 1);

    let none = llm_bench(["requests", "7", "--server", &up.url]).run().await;
    assert_eq!(none.code(), Some(2));
    assert!(none.stderr.contains("no benchmark has the id 7"), "{}", none.stderr);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_costs_no_run() {
    for (file, words) in [
        ("rows.xlsx", "rows.xlsx must end in .parquet, .csv or .jsonl"),
        ("nowhere/rows.csv", "cannot write nowhere/rows.csv"),
    ] {
        let words_of = ["run", "--local", "--url", "http://127.0.0.1:9", "--requests", file];
        let ended = llm_bench(words_of).run().await;
        assert_eq!(ended.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}
