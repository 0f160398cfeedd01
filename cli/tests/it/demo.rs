//! The README's first command.

use crate::running::llm_bench;

#[tokio::test]
async fn the_demo_prints_a_table_and_says_where_to_go() {
    let ended = llm_bench(["demo", "--user", "4", "--duration", "2"]).run().await;
    assert_eq!(ended.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    for words in ["Benchmark", "1, completed", "demo-llm", "TTFT first token, ms", "Validity"] {
        assert!(ended.stdout.contains(words), "no `{words}` in\n{}", ended.stdout);
    }
    assert!(ended.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ended.stdout);
    assert!(ended.stderr.contains("measuring") || ended.stderr.contains("starting users"));
    assert!(ended.stderr.contains("Where to go next"), "{}", ended.stderr);
}
