//! What the instrument finds that this machine bears.

use std::time::{Duration, Instant};

use loadgen::{Driver, Settings, capacity};

use super::settings;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_of_a_light_load_tells_what_twice_the_threads_bear() {
    let begun = Instant::now();
    let [one, many] = [1, 64].map(|threads| Settings {
        load_threads: Some(threads),
        // Whatever targets are allowed: this server is its own.
        egress: target::Egress::new("public", Vec::new()).expect("a policy"),
        ..settings(Driver::default())
    });
    let measured = capacity::measure(&one).await.expect("a measure");
    // A debug build on a busy machine at one end, and what no machine does at the other.
    assert!((0.3..1_000.0).contains(&measured.cpu_us_per_event), "{measured:?}");
    let events = 0.6e6 / measured.cpu_us_per_event;
    assert!((f64::from(measured.events_per_s) - events).abs() < 1.0, "{measured:?}");
    assert!(measured.streams >= 1 && measured.streams <= measured.events_per_s, "{measured:?}");
    // There are no more cores than there are, however many threads are asked for.
    let cores = std::thread::available_parallelism().expect("some cores").get();
    let many = capacity::measure(&many).await.expect("a measure");
    let all = f64::from(u32::try_from(cores).expect("few")) * 0.6e6 / many.cpu_us_per_event;
    assert!((f64::from(many.events_per_s) - all).abs() < 1.0, "{many:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_gives_up_the_measure_ends_its_load() {
    let threads = || std::fs::read_dir("/proc/self/task").expect("threads").count();
    let before = threads();
    let settings = settings(Driver::default());
    let measuring = capacity::measure(&settings);
    let given_up = tokio::time::timeout(Duration::from_millis(300), measuring).await;
    assert!(given_up.is_err(), "not done so soon");
    let begun = Instant::now();
    while threads() > before + 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "threads are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
