use std::collections::HashSet;

use shared::{
    Seed, TokenizerSource,
    request::{Defaults, Fields, NewBenchmark},
};

use super::{
    hub::tests::unreachable_hub,
    tokenizer_tests::{bytes, pieces},
    *,
};

fn spec(source: &str, seed: u64) -> BenchmarkSpec {
    spec_of(serde_json::json!({"dataset": source}), seed)
}

pub(super) fn spec_of(mut fields: serde_json::Value, seed: u64) -> BenchmarkSpec {
    fields["url"] = "http://llm.example".into();
    let fields: Fields = serde_json::from_value(fields).unwrap();
    let seed = Seed::try_from(seed).unwrap();
    NewBenchmark::parse(&fields, &Defaults::default(), seed).unwrap().spec
}

async fn load(source: &str, data_dir: &Path) -> Result<Prompts, PromptError> {
    Prompts::load(&spec(source, 7), None, data_dir, &unreachable_hub(data_dir)).await
}

async fn embedded(seed: u64) -> Prompts {
    let nowhere = Path::new("/nowhere/at/all");
    Prompts::load(&spec("", seed), None, nowhere, &unreachable_hub(nowhere)).await.unwrap()
}

fn of(texts: &[String], seed: u64) -> Prompts {
    let list = texts.iter().map(|text| Conversation::text(text)).collect();
    Prompts::from(listed(list).unwrap(), &spec("", seed))
}

/// Prompts of one conversation, of which at most `turns` turns are held.
pub(super) fn dialogues(turns: u32, texts: &[&str]) -> Prompts {
    let prompts = Prompts::from(listed(vec![Conversation::texts(texts)]).unwrap(), &spec("", 7));
    Prompts { turns, ..prompts }
}

/// All texts of a request, in order.
pub(super) fn texts(ask: &Ask) -> Vec<String> {
    let messages = ask.clone().into_messages();
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts.filter_map(|part| part.text()).map(str::to_owned).collect()
}

fn text(ask: &Ask) -> &str {
    ask.said().first_text().unwrap()
}

#[tokio::test]
async fn the_same_seed_user_and_number_give_the_same_prompt() {
    assert_eq!(embedded(7).await.ask(3, 5), embedded(7).await.ask(3, 5));
    assert_ne!(embedded(7).await.ask(3, 5), embedded(8).await.ask(3, 5));
}

#[test]
fn no_two_requests_of_a_run_share_their_beginning() {
    let mut beginnings = HashSet::new();
    let prompts = of(&["the only one".to_owned()], 1);
    for (user, nth) in (0..100).flat_map(|user| (0..100).map(move |nth| (user, nth))) {
        let ask = prompts.ask(user, nth);
        assert!(text(&ask).ends_with("] the only one"), "{ask:?}");
        assert!(beginnings.insert(text(&ask)[..12].to_owned()), "{ask:?}");
    }
    let other = of(&["the only one".to_owned()], 2);
    assert!((0..100).all(|nth| !beginnings.contains(&text(&other.ask(0, nth))[..12])));
}

#[test]
fn every_prompt_of_the_list_has_its_turn() {
    let prompts = of(&(0..50).map(|i| format!("p{i}")).collect::<Vec<_>>(), 1);
    let told = |nth| text(&prompts.ask(0, nth)).split_once(' ').unwrap().1.to_owned();
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
    assert!(broken.starts_with("dataset: broken.jsonl, line 2 cannot be read: "), "{broken}");
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

async fn made_up(fields: serde_json::Value, seed: u64) -> Prompts {
    let mut fields = fields;
    fields["tokenizer"] = "t.json".into();
    let nowhere = Path::new("/nowhere/at/all");
    let spec = spec_of(fields, seed);
    let hub = unreachable_hub(nowhere);
    Prompts::load(&spec, Some(&pieces(&[])), nowhere, &hub).await.unwrap()
}

#[tokio::test]
async fn made_up_prompts_are_exactly_as_long_as_drawn_and_differ_from_their_first_words_on() {
    let tokenizer = pieces(&[]);
    let mix = serde_json::json!({"mix": "70% uniform(20,40)/9, 30% 600"});
    let prompts = made_up(mix.clone(), 7).await;
    let mut beginnings = HashSet::new();
    let (mut short, mut long) = (0, 0);
    for (user, nth) in (0..20).flat_map(|user| (0..20).map(move |nth| (user, nth))) {
        let ask = prompts.ask(user, nth);
        match (tokenizer.count(text(&ask)).unwrap(), ask.length.max_tokens) {
            (20..=40, 9) => short += 1,
            (600, 128) => long += 1,
            other => panic!("{other:?}"),
        }
        let beginning: Vec<&str> = text(&ask).split(' ').take(8).collect();
        assert!(beginnings.insert(beginning.join(" ")), "{ask:?}");
    }
    assert!((60..180).contains(&long) && short + long == 400, "{short} {long}");
    assert_eq!(made_up(mix.clone(), 7).await.ask(3, 4), prompts.ask(3, 4));
    assert_ne!(made_up(mix, 8).await.ask(3, 4), prompts.ask(3, 4));
}

#[tokio::test]
async fn prefixes_are_shared_by_as_many_as_there_are_and_part_of_the_length() {
    let tokenizer = pieces(&[]);
    let fields = serde_json::json!({"prompt_tokens": "uniform(33,50)", "prefix_tokens": 32, "prefix_count": 3});
    let prompts = made_up(fields, 7).await;
    let (mut prefixes, mut whole) = (HashSet::new(), HashSet::new());
    for nth in 0..200 {
        let ask = prompts.ask(0, nth);
        assert!((33..=50).contains(&tokenizer.count(text(&ask)).unwrap()));
        let prefix: Vec<&str> = text(&ask).split(' ').take(32).collect();
        assert_eq!(tokenizer.count(&prefix.join(" ")), Some(32));
        prefixes.insert(prefix.join(" "));
        whole.insert(text(&ask).to_owned());
    }
    assert_eq!(prefixes.len(), 3);
    assert!(whole.len() > 180, "what follows a prefix is a prompt's own: {}", whole.len());
}

#[tokio::test]
async fn a_tokenizer_that_cannot_count_by_words_ends_the_run_by_its_field() {
    let fields = serde_json::json!({"prompt_tokens": 9, "tokenizer": "t.json"});
    let nowhere = Path::new("/nowhere/at/all");
    let hub = unreachable_hub(nowhere);
    let refused = Prompts::load(&spec_of(fields, 1), Some(&bytes()), nowhere, &hub).await;
    let reason = refused.unwrap_err().reason();
    assert_eq!(reason.code, ReasonCode::Tokenizer);
    assert!(reason.detail.starts_with("tokenizer: it has 0 of the words "), "{}", reason.detail);
}

#[tokio::test]
#[ignore = "needs what scripts/real-llm/setup.sh sets up, in the directory REAL_LLM_DIR"]
async fn lengths_are_exact_by_the_tokenizer_of_a_real_model() {
    let dir = std::path::PathBuf::from(std::env::var("REAL_LLM_DIR").unwrap());
    let hub = unreachable_hub(&dir);
    let source = TokenizerSource::try_from("tokenizer/tokenizer.json".to_owned()).unwrap();
    let tokenizer = Tokenizer::load(&source, &dir, &hub).await.unwrap();
    for fields in [
        serde_json::json!({"prompt_tokens": 16}),
        serde_json::json!({"prompt_tokens": 128}),
        serde_json::json!({"prompt_tokens": 512, "prefix_tokens": 500, "prefix_count": 3}),
        serde_json::json!({"prompt_tokens": 2_000}),
        serde_json::json!({"mix": "70% uniform(1,300), 20% normal(512,128,64..2048), 10% 4000"}),
    ] {
        let mut fields = fields;
        fields["tokenizer"] = "t.json".into();
        let spec = spec_of(fields.clone(), 7);
        let prompts = Prompts::load(&spec, Some(&tokenizer), &dir, &hub).await.unwrap();
        let Source::MadeUp(made_up) = &prompts.source else { panic!("made up") };
        for nth in 0..300 {
            let made = made_up.make(7, 3, nth);
            assert_eq!(tokenizer.count(&made.text), Some(made.tokens.into()), "{fields} {nth}");
            let further = made_up.make_further(7, 3, nth);
            assert_eq!(
                tokenizer.count(&further.text),
                Some(further.tokens.into()),
                "{fields} {nth}"
            );
        }
    }
}
