//! Which file of a dataset's repository prompts are read from.

use shared::PromptSource;

/// The file to read prompts from: of the test split, else of the validation split, else of any;
/// among those the best format; among those the first by name (of several shards, the first).
pub(super) fn best_file<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let rank = |name: &str| {
        let format = PromptSource::ENDINGS.iter().position(|ending| name.ends_with(ending))?;
        let inside = !name.contains(['\\', '\0']) && !name.starts_with('/');
        let plain = name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
        let (_, file) = name.rsplit_once('/').unwrap_or(("", name));
        let describes = ["dataset_infos", "package", "config", "metadata", "index", "state"];
        let is_data = !describes.iter().any(|word| file.starts_with(word));
        let has = |words: &[&str]| {
            let lower = name.to_ascii_lowercase();
            lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| words.contains(&part))
        };
        let split = match () {
            () if has(&["test"]) => 0,
            () if has(&["validation", "valid", "val", "dev"]) => 1,
            () => 2,
        };
        (inside && plain && is_data).then_some((split, format))
    };
    names.filter_map(|name| Some((rank(name)?, name))).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_split_is_read_in_the_best_format() {
        let best = |names: &[&'static str]| best_file(names.iter().copied());
        assert_eq!(best(&["train.jsonl", "test.csv", "test.jsonl"]), Some("test.jsonl"));
        let shards = ["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"];
        assert_eq!(best(&shards), Some(shards[1]));
        let shards = ["default/train/0001.parquet", "default/train/0000.parquet"];
        assert_eq!(best(&shards), Some(shards[1]));
        assert_eq!(best(&["latest.csv", "dev.csv"]), Some("dev.csv"), "`latest` is no test");
        let none = ["README.md", "dataset_infos.json", ".hidden/test.json", "/test.json"];
        assert_eq!(best(&none), None);
    }
}
