//! What is to be sent: where prompts come from, and how long they and their answers are.

use super::{Defaults, reader::Reader, valid};
use crate::{
    InvalidLengths, LengthMix, Load, Prefixes, PromptSource, StagesOf, Synthetic, TokenLength,
    TokenizerSource, Turns,
};

/// The fields that make prompts up.
const OF_SYNTHETIC: [&str; 5] =
    ["prompt_tokens", "output_tokens", "mix", "prefix_tokens", "prefix_count"];

/// What `output_tokens` says where each row has its own.
const DATASET: &str = "dataset";

impl Reader<'_> {
    /// Where prompts come from: what is named, else `synthetic` where a length is given.
    ///
    /// A trace has the lengths of its requests; those that it does not tell are of a list.
    pub(super) fn dataset(&mut self, defaults: &Defaults, load: &Load) -> PromptSource {
        let named: Option<PromptSource> = self.parsed("dataset");
        if matches!(load, Load::Trace(_)) {
            let own = "cannot be given with trace, whose rows have their own lengths";
            for name in OF_SYNTHETIC.into_iter().filter(|name| self.has(name)).collect::<Vec<_>>() {
                self.refuse(name, format!("{name} {own}"));
            }
            if named == Some(PromptSource::Synthetic) {
                self.refuse("dataset", format!("dataset synthetic {own}"));
            }
            let listed = |source: &PromptSource| *source != PromptSource::Synthetic;
            let source = named.unwrap_or_else(|| defaults.dataset.clone());
            return Some(source).filter(listed).unwrap_or(PromptSource::Embedded);
        }
        let lengths = ["prompt_tokens", "mix"].iter().any(|name| self.has(name));
        let source = match named {
            Some(source) => source,
            None if lengths && !self.has("dataset") => PromptSource::Synthetic,
            None => defaults.dataset.clone(),
        };
        if source != PromptSource::Synthetic {
            let whose =
                |name: &&str| self.has(name) && !(*name == "output_tokens" && self.says_dataset());
            for name in OF_SYNTHETIC.into_iter().filter(whose).collect::<Vec<_>>() {
                self.refuse(name, format!("{name} is for dataset synthetic, not {source}"));
            }
        }
        source
    }

    /// Turns of the conversations that users hold; none: they hold none.
    pub(super) fn turns(&mut self, load: &Load, source: &PromptSource) -> Option<Turns> {
        let turns: Turns = self.optional("turns").filter(|turns: &Turns| turns.get() > 1)?;
        let by_users = match load {
            Load::ClosedLoop(_) => true,
            Load::Staged(plan) => plan.of == StagesOf::Users,
            _ => false,
        };
        if !by_users {
            let why = format!(
                "turns cannot be above 1 with arrival {}: a user who waits for its answer must send the next turn, so it is for closed_loop and for stages of users",
                load.kind()
            );
            self.refuse("turns", why);
        }
        if *source == PromptSource::Embedded {
            let why = "turns cannot be above 1 with dataset embedded, which has single prompts; it is for synthetic and for data sets of conversations";
            self.refuse("turns", why.to_owned());
        }
        Some(turns)
    }

    fn says_dataset(&self) -> bool {
        self.text("output_tokens").as_deref() == Some(DATASET)
    }

    /// Whether answers may be as long as the rows of `source` say.
    pub(super) fn lengths_of_dataset(&mut self, source: &PromptSource) -> bool {
        if !self.says_dataset() {
            return false;
        }
        let rows = matches!(source, PromptSource::File(_) | PromptSource::Hub(_));
        if !rows {
            let why = format!(
                "output_tokens cannot be {DATASET} with dataset {source}: only the rows of a file or of a Hugging Face dataset have lengths of their own"
            );
            self.refuse("output_tokens", why);
        }
        rows
    }

    /// How prompts are made up; none: `source` has them.
    pub(super) fn synthetic(
        &mut self,
        source: &PromptSource,
        tokenizer: Option<&TokenizerSource>,
    ) -> Option<Synthetic> {
        if *source != PromptSource::Synthetic {
            return None;
        }
        if tokenizer.is_none() {
            let why = "tokenizer is required with dataset synthetic: it counts the prompts";
            self.refuse("tokenizer", why.to_owned());
        }
        let lengths = self.lengths()?;
        let prefixes = self.prefixes(&lengths);
        Some(Synthetic { lengths, prefixes })
    }

    fn lengths(&mut self) -> Option<LengthMix> {
        if self.has("mix") {
            for name in ["prompt_tokens", "output_tokens"] {
                if self.has(name) {
                    let why =
                        format!("{name} cannot be given with mix, which has it for each part");
                    self.refuse(name, why);
                }
            }
            return self.parsed("mix");
        }
        let Some(prompt) = self.text("prompt_tokens") else {
            let why = "prompt_tokens or mix is required with dataset synthetic";
            self.refuse("prompt_tokens", why.to_owned());
            return None;
        };
        let prompt = self.length("prompt_tokens", &prompt, TokenLength::of_prompt)?;
        let output = match self.text("output_tokens").filter(|_| !self.says_dataset()) {
            Some(output) => Some(self.length("output_tokens", &output, TokenLength::of_output)?),
            None => None,
        };
        Some(LengthMix::of(prompt, output))
    }

    fn length(
        &mut self,
        name: &'static str,
        written: &str,
        read: impl Fn(&'static str, &str) -> Result<TokenLength, InvalidLengths>,
    ) -> Option<TokenLength> {
        read(name, written).map_err(|refused| self.refuse(name, refused.to_string())).ok()
    }

    fn prefixes(&mut self, lengths: &LengthMix) -> Option<Prefixes> {
        if !self.has("prefix_tokens") {
            if self.has("prefix_count") {
                let why = "prefix_count needs prefix_tokens, the length of each";
                self.refuse("prefix_count", why.to_owned());
            }
            return None;
        }
        let prefixes = Prefixes {
            tokens: self.number("prefix_tokens", valid(1)),
            count: self.number("prefix_count", valid(1)),
        };
        let (tokens, fewest) = (prefixes.tokens.get(), lengths.fewest_prompt_tokens());
        if tokens >= fewest {
            self.refuse(
                "prefix_tokens",
                format!(
                    "prefix_tokens must be below the shortest prompt's tokens, but {tokens} >= {fewest}"
                ),
            );
        }
        Some(prefixes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Defaults, Fields, NewBenchmark, valid};
    use crate::{BenchmarkSpec, PromptSource};

    fn spec(mut fields: Value) -> Result<BenchmarkSpec, Vec<String>> {
        fields["url"] = "http://x.example".into();
        let fields: Fields = serde_json::from_value(fields).unwrap();
        match NewBenchmark::parse(&fields, &Defaults::default(), valid(7)) {
            Ok(new) => Ok(new.spec),
            Err(errors) => Err(errors.into_iter().map(|error| error.detail).collect()),
        }
    }

    #[test]
    fn a_length_alone_makes_prompts_synthetic() {
        let one = spec(json!({"tokenizer": "t.json", "prompt_tokens": 300})).unwrap();
        assert_eq!(one.dataset, PromptSource::Synthetic);
        assert_eq!(one.synthetic.as_ref().unwrap().lengths.to_string(), "100% 300");
        let all = json!({
            "dataset": "synthetic", "tokenizer": "t.json", "prompt_tokens": "uniform(90,110)",
            "output_tokens": "40", "prefix_tokens": 64, "prefix_count": "8"
        });
        let all = spec(all).unwrap();
        assert_eq!(
            serde_json::to_value(all.synthetic.as_ref().unwrap()).unwrap(),
            json!({"lengths": "100% uniform(90,110)/40", "prefixes": {"tokens": 64, "count": 8}})
        );
        let stored = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<BenchmarkSpec>(&stored).unwrap(), all);
        let mix = spec(json!({"tokenizer": "t.json", "mix": "70% 300/200, 30% 6000/400"})).unwrap();
        assert_eq!(mix.synthetic.unwrap().lengths.parts().len(), 2);
    }

    #[test]
    fn a_spec_without_it_is_stored_as_before() {
        let plain = serde_json::to_value(spec(json!({})).unwrap()).unwrap();
        assert!(plain.get("synthetic").is_none());
        assert_eq!(plain["dataset"], "embedded");
    }

    #[test]
    fn users_hold_conversations_where_they_wait_for_answers() {
        for load in [json!({}), json!({"stages": "5:5", "stages_of": "users"})] {
            let mut fields = load;
            (fields["turns"], fields["dataset"]) = (json!(3), json!("a.json"));
            let spec = spec(fields).unwrap();
            assert_eq!(spec.turns, Some(valid(3)));
            let stored = serde_json::to_value(&spec).unwrap();
            assert_eq!(serde_json::from_value::<BenchmarkSpec>(stored).unwrap(), spec);
        }
        let one = spec(json!({"turns": 1, "rate": 5})).unwrap();
        assert!(one.turns.is_none() && serde_json::to_value(one).unwrap().get("turns").is_none());
    }

    #[test]
    fn answers_may_be_as_long_as_the_rows_say() {
        let fields = json!({"dataset": "chat.json", "output_tokens": "dataset"});
        let own = spec(fields).unwrap();
        assert!(own.output.of_dataset && own.synthetic.is_none());
        let stored = serde_json::to_value(&own).unwrap();
        assert_eq!(serde_json::from_value::<BenchmarkSpec>(stored).unwrap(), own);
        let plain = serde_json::to_value(spec(json!({})).unwrap()).unwrap();
        assert!(plain["output"].get("of_dataset").is_none());
        for fields in [
            json!({"output_tokens": "dataset"}),
            json!({"output_tokens": "dataset", "prompt_tokens": 9, "tokenizer": "t.json"}),
        ] {
            let refused = spec(fields).unwrap_err();
            assert!(refused[0].starts_with("output_tokens cannot be dataset with"), "{refused:?}");
            assert_eq!(refused.len(), 1);
        }
        assert_eq!(
            spec(json!({"endpoint": "embeddings", "dataset": "a.csv", "output_tokens": "dataset"}))
                .unwrap_err(),
            ["output_tokens cannot be given with endpoint embeddings"]
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        for (fields, said) in [
            (
                json!({"dataset": "synthetic", "tokenizer": "t.json"}),
                "prompt_tokens or mix is required with dataset synthetic",
            ),
            (
                json!({"prompt_tokens": 9}),
                "tokenizer is required with dataset synthetic: it counts the prompts",
            ),
            (
                json!({"dataset": "a.jsonl", "prompt_tokens": 9}),
                "prompt_tokens is for dataset synthetic, not a.jsonl",
            ),
            (json!({"output_tokens": 9}), "output_tokens is for dataset synthetic, not embedded"),
            (
                json!({"tokenizer": "t.json", "prompt_tokens": 9, "mix": "100% 9"}),
                "prompt_tokens cannot be given with mix, which has it for each part",
            ),
            (
                json!({"tokenizer": "t.json", "mix": "50% 9"}),
                "the shares of mix must be 100 % together, not 50 %",
            ),
            (
                json!({"tokenizer": "t.json", "prompt_tokens": 9, "prefix_count": 2}),
                "prefix_count needs prefix_tokens, the length of each",
            ),
            (
                json!({"tokenizer": "t.json", "prompt_tokens": "uniform(5,9)", "prefix_tokens": 5}),
                "prefix_tokens must be below the shortest prompt's tokens, but 5 >= 5",
            ),
            (
                json!({"turns": 2}),
                "turns cannot be above 1 with dataset embedded, which has single prompts; it is for synthetic and for data sets of conversations",
            ),
            (
                json!({"turns": 101, "dataset": "a.json"}),
                "turns must be between 1 and 100, not 101",
            ),
            (
                json!({"turns": 2, "dataset": "a.json", "endpoint": "embeddings"}),
                "turns cannot be given with endpoint embeddings",
            ),
            (
                json!({"turns": 2, "dataset": "a.json", "rate": 5}),
                "turns cannot be above 1 with arrival constant: a user who waits for its answer must send the next turn, so it is for closed_loop and for stages of users",
            ),
            (
                json!({"turns": 2, "dataset": "a.json", "stages": "5:5", "stages_of": "rate"}),
                "turns cannot be above 1 with arrival staged: a user who waits for its answer must send the next turn, so it is for closed_loop and for stages of users",
            ),
            (
                json!({"tokenizer": "t.json", "prompt_tokens": 0}),
                "prompt_tokens must be between 1 and 262144 tokens, not 0",
            ),
        ] {
            assert_eq!(spec(fields).unwrap_err(), [said]);
        }
    }
}
