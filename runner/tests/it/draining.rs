//! What SIGTERM does, step by step: nothing new is taken up, what sent no load is given back, what
//! is under way gets its time.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::{ReasonCode, RunnerState, State};
use tokio::net::TcpListener;

use crate::yard::{Yard, quick, simulate, stats};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run_is_completed_and_another_runner_takes_what_waits() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let runner = yard.runner().await;
        let running = yard.submit(&url, json!({"duration": 4})).await;
        yard.measured(running).await;
        runner.terminate();
        yard.until_runner(RunnerState::Draining).await;
        let waiting = yard.submit(&simulate(quick()).await, json!({})).await;

        let ended = runner.wait().await;
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        let running = yard.read(running).await;
        assert_eq!(running.status, State::Completed, "{:?}", running.reason);
        assert!(!running.results.partial);
        assert_eq!(yard.read(waiting).await.status, State::Queued);
        yard.until_runner(RunnerState::Gone).await;

        let _other = yard.runner().await;
        assert_eq!(yard.ended(waiting).await.status, State::Completed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_run_is_stopped_after_the_timeout_and_keeps_its_figures() {
    for yard in Yard::each().await {
        let runner = yard.runner_with(&[("DRAIN_TIMEOUT_S", "2")]).await;
        let id = yard.submit(&simulate(quick()).await, json!({"duration": 300})).await;
        yard.measured(id).await;
        let told = Instant::now();
        runner.terminate();
        let ended = runner.wait().await;
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(told.elapsed() >= Duration::from_secs(2), "{:?}", told.elapsed());

        let stopped = yard.read(id).await;
        assert_eq!(stopped.status, State::Failed);
        assert_eq!(stopped.reason.unwrap().code, ReasonCode::RunnerShutdown);
        assert!(stopped.results.partial && stopped.report.unwrap().requests.completed > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_asked_over_the_api_ends_with_its_run_however_long_that_takes() {
    for yard in Yard::each().await {
        let runner = yard.runner_with(&[("DRAIN_TIMEOUT_S", "0")]).await;
        let running = yard.submit(&simulate(quick()).await, json!({"duration": 5})).await;
        yard.measured(running).await;
        let id = yard.until_runner(RunnerState::Active).await.id;
        let asked = yard.store.drain(&id).await.unwrap();
        assert_eq!((asked.state, asked.benchmark), (RunnerState::Draining, Some(running)));
        let ended = runner.wait().await;
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("asked to drain"), "{}", ended.stderr);
        let running = yard.read(running).await;
        assert_eq!(running.status, State::Completed, "{:?}", running.reason);
        assert_eq!(yard.until_runner(RunnerState::Gone).await.id, id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_stops_the_run_now_and_its_end_is_stored() {
    for yard in Yard::each().await {
        let runner = yard.runner_with(&[("DRAIN_TIMEOUT_S", "3600")]).await;
        let id = yard.submit(&simulate(quick()).await, json!({"duration": 300})).await;
        yard.measured(id).await;
        runner.terminate();
        yard.until_runner(RunnerState::Draining).await;
        // The lease goes on: the run is nobody else's meanwhile.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(yard.read(id).await.status, State::Running);
        runner.terminate();
        let ended = runner.wait().await;
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);

        let stopped = yard.read(id).await;
        assert_eq!(stopped.reason.unwrap().code, ReasonCode::RunnerShutdown);
        assert!(stopped.report.unwrap().requests.completed > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_sent_no_load_is_given_back_at_once() {
    for yard in Yard::each().await {
        // Takes connections and says nothing: the run is being prepared for as long as that takes.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let runner = yard.runner_with(&[("DRAIN_TIMEOUT_S", "3600")]).await;
        let id = yard.submit(&url, json!({"timeout_connect": 60, "timeout_first_token": 60})).await;
        let _asked = silent.accept().await.unwrap();
        let told = Instant::now();
        runner.terminate();
        let ended = runner.wait().await;
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
        assert_eq!(yard.read(id).await.status, State::Queued);
        let events = yard.store.events(id, 0).await.unwrap();
        let back = events.last().unwrap();
        assert_eq!((back.from, back.to), (Some(State::Running), State::Queued));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_a_stream_of_runs_loses_and_repeats_none() {
    for yard in Yard::each().await {
        let mut runners = vec![yard.runner().await, yard.runner().await];
        let mut submitted = Vec::new();
        for nth in 0..24 {
            let url = simulate(quick()).await;
            submitted.push((yard.submit(&url, json!({})).await, url));
            tokio::time::sleep(Duration::from_millis(250)).await;
            if nth % 6 == 5 {
                let old = runners.remove(0);
                runners.push(yard.runner().await);
                old.terminate();
                let ended = old.wait().await;
                assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
            }
        }
        for (id, url) in &submitted {
            let benchmark = yard.ended(*id).await;
            assert_eq!(benchmark.status, State::Completed, "{id}: {:?}", benchmark.reason);
            let started = benchmark.report.unwrap().requests.started;
            // the load, and one small request of each try's probe
            let (sent, tries) = (stats(url).await.requests, yard.claims(*id).await as u64);
            assert!((started + 1..=started + tries).contains(&sent), "{id}: {sent}, {started}");
        }
    }
}
