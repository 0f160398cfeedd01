use std::collections::HashSet;

use super::{hub::tests::unreachable_hub, *};

async fn load(source: &str, data_dir: &Path) -> Result<Prompts, PromptError> {
    let source = PromptSource::try_from(source.to_owned()).unwrap();
    Prompts::load(&source, data_dir, &unreachable_hub(data_dir)).await
}

#[test]
fn the_same_seed_user_and_number_give_the_same_prompt() {
    let prompts = Prompts::embedded();
    assert_eq!(prompts.prompt(7, 3, 5), Prompts::embedded().prompt(7, 3, 5));
    assert_ne!(prompts.prompt(7, 3, 5), prompts.prompt(8, 3, 5));
}

#[test]
fn no_two_requests_of_a_run_share_their_beginning() {
    let prompts = Prompts::of(vec!["the only one".to_owned()]).unwrap();
    let mut beginnings = HashSet::new();
    for (user, nth) in (0..100).flat_map(|user| (0..100).map(move |nth| (user, nth))) {
        let prompt = prompts.prompt(1, user, nth);
        assert!(prompt.ends_with("] the only one"), "{prompt}");
        assert!(beginnings.insert(prompt[..12].to_owned()), "{prompt}");
    }
    let other_run = (0..100).map(|nth| prompts.prompt(2, 0, nth)[..12].to_owned());
    assert!(other_run.into_iter().all(|beginning| !beginnings.contains(&beginning)));
}

#[test]
fn every_prompt_of_the_list_has_its_turn() {
    let list: Vec<String> = (0..50).map(|i| format!("p{i}")).collect();
    let prompts = Prompts::of(list).unwrap();
    let told = |nth| prompts.prompt(1, 0, nth).split_once(' ').unwrap().1.to_owned();
    assert_eq!((0..2_000).map(told).collect::<HashSet<_>>().len(), 50);
}

#[tokio::test]
async fn the_embedded_set_needs_neither_files_nor_the_hub() {
    let nowhere = Path::new("/nowhere/at/all");
    assert!(load("", nowhere).await.unwrap().count() >= 100);
    assert!(load("embedded", nowhere).await.unwrap().count() >= 100);
}

#[tokio::test]
async fn a_file_below_the_data_directory_is_loaded_or_says_why_not() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("chat.jsonl"), "{\"prompt\":\"a\"}\n{\"text\":\"b\"}\n")
        .unwrap();
    std::fs::write(dir.path().join("broken.jsonl"), "{\"prompt\":\"a\"}\nnonsense\n").unwrap();
    std::fs::write(dir.path().join("empty.jsonl"), "\n").unwrap();
    assert_eq!(load("chat.jsonl", dir.path()).await.unwrap().count(), 2);
    let error = async |source| load(source, dir.path()).await.unwrap_err();
    let broken = error("broken.jsonl").await.to_string();
    assert!(broken.starts_with("dataset: broken.jsonl, line 2 is not a JSON object: "), "{broken}");
    assert_eq!(error("empty.jsonl").await.to_string(), "dataset empty.jsonl holds no prompt");
    let missing = error("none.jsonl").await;
    assert_eq!(missing.reason().code, ReasonCode::Dataset);
    assert_eq!(missing.reason().detail, "dataset: there is no file `none.jsonl` below DATA_DIR");
}

#[tokio::test]
async fn a_dataset_of_an_unreachable_hub_is_a_clear_failure() {
    let dir = tempfile::tempdir().unwrap();
    let reason = load("mteb/banking77", dir.path()).await.unwrap_err().reason();
    assert_eq!(reason.code, ReasonCode::Dataset);
    assert!(reason.detail.starts_with("dataset: cannot reach http://127.0.0.1:"), "{reason:?}");
}
