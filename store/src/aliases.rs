//! Several names of one server, as its operator knows them.

use std::{collections::BTreeMap, str::FromStr};

use shared::TargetUrl;

use crate::rows;

/// Which names stand for which target: all of them together have one active run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases(BTreeMap<String, String>);

/// Aliases that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAliases {
    /// Not two URLs.
    #[error("`{0}` is not NAME=TARGET, two base URLs")]
    NotAPair(String),
    /// One of them is no target.
    #[error("`{0}` is no target: {1}")]
    NotATarget(String, String),
    /// It stands for two.
    #[error("`{0}` is named twice")]
    Twice(String),
    /// A name of a name.
    #[error("`{0}` is a name itself: all names are to stand for the same target")]
    Chained(String),
}

impl Aliases {
    /// What the server behind `url` is called where one active run per target is kept.
    pub(crate) fn key_of(&self, url: &TargetUrl) -> String {
        let key = rows::target_key(url);
        self.0.get(&key).cloned().unwrap_or(key)
    }
}

impl FromStr for Aliases {
    type Err = InvalidAliases;

    /// Reads `NAME=TARGET`, with commas between several.
    fn from_str(text: &str) -> Result<Self, InvalidAliases> {
        let mut aliases = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let not_a_pair = || InvalidAliases::NotAPair(pair.to_owned());
            let (name, target) = pair.split_once('=').ok_or_else(not_a_pair)?;
            let key = |url: &str| match TargetUrl::try_from(url.trim().to_owned()) {
                Ok(url) => Ok(rows::target_key(&url)),
                Err(why) => Err(InvalidAliases::NotATarget(url.trim().to_owned(), why.to_string())),
            };
            if aliases.insert(key(name)?, key(target)?).is_some() {
                return Err(InvalidAliases::Twice(name.trim().to_owned()));
            }
        }
        match aliases.values().find(|target| aliases.contains_key(*target)) {
            Some(name) => Err(InvalidAliases::Chained(name.clone())),
            None => Ok(Self(aliases)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(aliases: &str, url: &str) -> String {
        let aliases: Aliases = aliases.parse().unwrap();
        aliases.key_of(&TargetUrl::try_from(url.to_owned()).unwrap())
    }

    #[test]
    fn a_name_is_its_target_however_both_are_written() {
        let aliases =
            "HTTP://A.example=http://b.example:8000/v1/, http://c.example:80=http://b.example:8000";
        for name in [
            "http://a.example",
            "http://a.example:80/v1",
            "http://c.example",
            "http://b.example:8000",
        ] {
            assert_eq!(key(aliases, name), "http://b.example:8000", "{name}");
        }
        assert_eq!(key(aliases, "http://a.example:8000"), "http://a.example:8000");
        assert_eq!(key(" ", "http://a.example"), "http://a.example:80");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let told = |text: &str| text.parse::<Aliases>().unwrap_err().to_string();
        assert_eq!(told("http://a"), "`http://a` is not NAME=TARGET, two base URLs");
        assert!(told("http://a=ftp://b").starts_with("`ftp://b` is no target: "));
        assert_eq!(told("http://a=http://b,http://a:80=http://c"), "`http://a:80` is named twice");
        let chained = told("http://a=http://b,http://b=http://c");
        assert!(chained.starts_with("`http://b:80` is a name itself"), "{chained}");
        assert!(told("http://a=http://a").contains("is a name itself"));
    }
}
