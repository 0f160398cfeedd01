//! The prompts that come with the program: what people ask assistants, short to long.

/// Prompts, each on lines of its own, between lines of four percent signs.
const SET: &str = include_str!("embedded.txt");

/// Each prompt of the set.
pub(super) fn prompts() -> impl Iterator<Item = &'static str> {
    SET.split("\n%%%%\n").map(str::trim).filter(|prompt| !prompt.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_set_is_large_distinct_and_of_many_lengths() {
        let set: Vec<&str> = prompts().collect();
        assert!(set.len() >= 100, "{}", set.len());
        assert_eq!(set.iter().collect::<HashSet<_>>().len(), set.len());
        let words = |prompt: &&str| prompt.split_whitespace().count();
        assert!(set.iter().filter(|prompt| words(prompt) <= 10).count() >= 10);
        assert!(set.iter().filter(|prompt| words(prompt) >= 100).count() >= 10);
        assert!(set.iter().all(|prompt| !prompt.contains("%%")));
    }
}
