//! What a simulated answer says: plain English words, about one token each for any tokenizer.

/// Plain ASCII without quotes or backslashes, so that it stands in JSON as it is.
const WORDS: &str = "time year people way day man thing woman life child world school state family \
    student group country problem hand part place case week company system program question work \
    government number night point home water room mother area money story fact month lot right \
    study book eye job word business issue side kind head house service friend father power hour \
    game line end member law car city community name president team minute idea kid body \
    information back parent face others level office door health person art war history party \
    result change morning reason research girl guy moment air teacher force education foot boy age \
    policy process music market sense nation plan college interest death experience effect use \
    class control field development role effort rate heart drug show leader light voice wife \
    police mind price report decision son view relationship town road arm difference value \
    building action season society tax director position player record paper space ground form \
    event official matter center couple site project activity star table need court oil situation \
    cost industry figure street image phone data picture practice piece land product doctor wall \
    patient worker news test movie north love step type attention film tree source hair hold \
    look series evidence century south success river";

/// Text of any run of tokens, as a slice.
#[derive(Debug)]
pub(crate) struct Words {
    /// Every word with a space before it, all of them over and over.
    text: String,
    /// Where each token begins, and where the last ends.
    starts: Vec<usize>,
    distinct: usize,
}

impl Words {
    /// Texts of up to `longest` tokens.
    pub(crate) fn new(longest: usize) -> Self {
        let distinct = WORDS.split_whitespace().count();
        let mut text = String::new();
        let mut starts = Vec::new();
        for word in WORDS.split_whitespace().cycle().take(distinct + longest) {
            starts.push(text.len());
            text.push(' ');
            text.push_str(word);
        }
        starts.push(text.len());
        Self { text, starts, distinct }
    }

    /// `tokens` tokens from the `from`-th word on; at most as many as `longest` was.
    pub(crate) fn run(&self, from: usize, tokens: usize) -> &str {
        let first = from % self.distinct;
        &self.text[self.starts[first]..self.starts[first + tokens]]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_are_distinct_and_stand_in_json_as_they_are() {
        let words: Vec<_> = WORDS.split_whitespace().collect();
        assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
        assert_eq!(serde_json::to_string(WORDS).unwrap().len(), WORDS.len() + 2);
    }

    #[test]
    fn a_run_goes_on_where_the_one_before_ended() {
        let words = Words::new(8);
        let end = words.distinct - 2;
        assert_eq!(words.run(end, 4), format!("{}{}", words.run(end, 2), words.run(end + 2, 2)));
    }
}
