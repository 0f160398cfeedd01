//! What one answer's bytes come to: pure, fed with bytes and their stamps.

use target::{
    chunk::{self, Message, Template, Usage},
    sse::Decoder,
};

use crate::{
    failure::RequestFailure,
    sample::{Micros, TokenEvent},
};

/// Most bytes of one SSE event.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes of a whole answer, beside what its length allows.
const MIN_ANSWER_CAP_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of an event that one token may take: long words, JSON around them, per-chunk usage.
const MAX_BYTES_PER_TOKEN: usize = 4 * 1024;

/// Most events without a token whose stamps are kept: a server may fill a stream with them.
const MAX_BARE_CHOICES: usize = 4_096;

/// One answer, as far as it has come.
pub(crate) struct Answer {
    decoder: Decoder,
    keep_text: bool,
    bytes_left: usize,
    counted_tokens: u64,
    last_token_read: u64,
    coalesced_read: u64,
    /// What this answer's plain events are moulded on.
    template: Option<Template>,
    pub(crate) first_event_us: Option<Micros>,
    pub(crate) first_answer_us: Option<Micros>,
    pub(crate) events: Vec<TokenEvent>,
    pub(crate) bare_choices_us: Vec<Micros>,
    pub(crate) text: String,
    pub(crate) usage: Option<Usage>,
    pub(crate) saw_reasoning: bool,
    pub(crate) finish_reason: Option<String>,
    pub(crate) done: bool,
    pub(crate) token_reads: u32,
    pub(crate) coalesced_reads: u32,
}

impl Answer {
    /// An answer of at most `max_tokens`; its text is kept where a tokenizer will read it.
    pub(crate) fn new(max_tokens: u32, keep_text: bool) -> Self {
        let cap = (max_tokens as usize).saturating_mul(MAX_BYTES_PER_TOKEN);
        Self {
            decoder: Decoder::new(MAX_EVENT_BYTES),
            keep_text,
            bytes_left: cap.max(MIN_ANSWER_CAP_BYTES),
            counted_tokens: 0,
            last_token_read: 0,
            coalesced_read: 0,
            template: None,
            first_event_us: None,
            first_answer_us: None,
            events: Vec::new(),
            bare_choices_us: Vec::new(),
            text: String::new(),
            usage: None,
            saw_reasoning: false,
            finish_reason: None,
            done: false,
            token_reads: 0,
            coalesced_reads: 0,
        }
    }

    /// Takes the bytes of read number `read`, which arrived at `at_us`.
    ///
    /// # Errors
    ///
    /// `StreamError` and `Malformed`, once an event says so; the answer is over then.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        read: u64,
        at_us: Micros,
    ) -> Result<(), RequestFailure> {
        let Some(left) = self.bytes_left.checked_sub(bytes.len()) else {
            return Err(RequestFailure::Malformed(
                "more bytes than its tokens can need".to_owned(),
            ));
        };
        self.bytes_left = left;
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(0));
        let mut failure = None;
        let pushed = decoder.push(bytes, |data| {
            if failure.is_none() {
                failure = self.event(data, read, at_us).err();
            }
        });
        self.decoder = decoder;
        match (failure, pushed) {
            (Some(failure), _) => Err(failure),
            (None, Err(too_long)) => Err(RequestFailure::Malformed(too_long.to_string())),
            (None, Ok(())) => Ok(()),
        }
    }

    /// The stream has ended; `cause` is what broke it, where something did.
    ///
    /// # Errors
    ///
    /// `Truncated` without a `finish_reason` or `[DONE]`, `EmptyOutput` without a token event.
    pub(crate) fn end(
        &mut self,
        cause: Option<String>,
        at_us: Micros,
    ) -> Result<(), RequestFailure> {
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(0));
        let mut failure = None;
        decoder.finish(|data| {
            // What a stream leaves behind need not be whole: it may be cut anywhere.
            if let Err(told @ RequestFailure::StreamError(_)) = self.event(data, 0, at_us) {
                failure = Some(told);
            }
        });
        let is_over = self.done || (self.finish_reason.is_some() && cause.is_none());
        match failure {
            Some(failure) => Err(failure),
            None if !is_over => Err(RequestFailure::Truncated { events: self.events.len(), cause }),
            None if self.events.is_empty() => Err(RequestFailure::EmptyOutput),
            None => Ok(()),
        }
    }

    fn event(&mut self, data: &[u8], read: u64, at_us: Micros) -> Result<(), RequestFailure> {
        self.first_event_us.get_or_insert(at_us);
        if self.done {
            return Ok(());
        }
        if let Some(text) = self.template.as_ref().and_then(|template| template.text(data)) {
            self.first_answer_us.get_or_insert(at_us);
            self.token(text, None, read, at_us);
            return Ok(());
        }
        let message =
            chunk::read(data).map_err(|bad| RequestFailure::Malformed(bad.to_string()))?;
        let delta = match message {
            Message::Done => {
                self.done = true;
                return Ok(());
            }
            Message::Error(words) => return Err(RequestFailure::StreamError(words)),
            Message::Delta(delta) => delta,
        };
        if let Some(reason) = &delta.finish_reason {
            self.finish_reason = Some(reason.clone().into_owned());
        }
        let tokens = delta.usage.as_ref().and_then(|usage| {
            let new = usage.completion_tokens.saturating_sub(self.counted_tokens);
            self.counted_tokens = usage.completion_tokens;
            u32::try_from(new).ok().filter(|new| *new > 0)
        });
        if let Some(usage) = delta.usage {
            self.usage = Some(usage);
        }
        if delta.text.is_empty() {
            if delta.choices {
                self.note_bare_choice(at_us);
            }
            return Ok(());
        }
        if let Some(template) = Template::of(data, &delta) {
            self.template = Some(template);
        }
        if delta.answer {
            self.first_answer_us.get_or_insert(at_us);
        } else {
            self.saw_reasoning = true;
        }
        self.token(&delta.text, tokens, read, at_us);
        Ok(())
    }

    fn token(&mut self, text: &str, tokens: Option<u32>, read: u64, at_us: Micros) {
        if self.keep_text {
            self.text.push_str(text);
        }
        let text_end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.events.push(TokenEvent { at_us, tokens, text_end });
        self.note_read(read);
    }

    /// Keeps when an event with a choice but no token came.
    fn note_bare_choice(&mut self, at_us: Micros) {
        if self.bare_choices_us.len() < MAX_BARE_CHOICES {
            self.bare_choices_us.push(at_us);
        }
    }

    /// Counts the reads that brought tokens, and of them those that brought several events.
    fn note_read(&mut self, read: u64) {
        if read != self.last_token_read {
            self.last_token_read = read;
            self.token_reads += 1;
        } else if read != self.coalesced_read {
            self.coalesced_read = read;
            self.coalesced_reads += 1;
        }
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(json: &str) -> String {
        format!("data: {json}\n\n")
    }

    fn content(text: &str) -> String {
        delta(&format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#))
    }

    const FINISH: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;

    #[test]
    fn token_events_get_the_stamp_of_their_read() {
        let mut answer = Answer::new(128, true);
        let role = delta(r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#);
        answer.take(role.as_bytes(), 1, 10).unwrap();
        answer.take(content("Hel").as_bytes(), 2, 20).unwrap();
        answer.take(format!("{}{}", content("lo "), content("you")).as_bytes(), 3, 30).unwrap();
        answer.take(delta(FINISH).as_bytes(), 4, 40).unwrap();
        answer.end(None, 50).unwrap();
        assert_eq!(answer.first_event_us, Some(10));
        assert_eq!(answer.bare_choices_us, [10, 40]);
        assert_eq!(answer.events.iter().map(|event| event.at_us).collect::<Vec<_>>(), [20, 30, 30]);
        assert_eq!((answer.token_reads, answer.coalesced_reads), (2, 1));
        assert_eq!(answer.text, "Hello you");
        assert_eq!(answer.finish_reason.as_deref(), Some("length"));
    }

    #[test]
    fn cumulative_usage_in_chunks_gives_tokens_by_their_increments() {
        let mut answer = Answer::new(128, false);
        for (total, at) in [(2, 10), (5, 20)] {
            let chunk = format!(
                r#"{{"choices":[{{"delta":{{"content":"x"}}}}],"usage":{{"prompt_tokens":7,"completion_tokens":{total}}}}}"#
            );
            answer.take(delta(&chunk).as_bytes(), at, at).unwrap();
        }
        let tokens: Vec<_> = answer.events.iter().map(|event| event.tokens).collect();
        assert_eq!(tokens, [Some(2), Some(3)]);
        assert_eq!(answer.usage.unwrap().completion_tokens, 5);
    }

    #[test]
    fn an_end_without_a_word_is_truncated_and_one_without_a_token_empty() {
        let mut cut = Answer::new(128, false);
        cut.take(content("a").as_bytes(), 1, 1).unwrap();
        assert!(matches!(cut.end(None, 2), Err(RequestFailure::Truncated { events: 1, .. })));

        let mut finished_then_cut = Answer::new(128, false);
        finished_then_cut.take(content("a").as_bytes(), 1, 1).unwrap();
        finished_then_cut.take(delta(FINISH).as_bytes(), 2, 2).unwrap();
        assert!(finished_then_cut.end(None, 3).is_ok());

        let mut empty = Answer::new(128, false);
        empty.take(b"data: [DONE]\n\n", 1, 1).unwrap();
        assert!(matches!(empty.end(None, 2), Err(RequestFailure::EmptyOutput)));

        assert!(matches!(
            Answer::new(128, false).end(None, 1),
            Err(RequestFailure::Truncated { events: 0, .. })
        ));
    }

    #[test]
    fn an_error_object_and_what_is_no_json_end_the_answer() {
        let error = delta(r#"{"error":{"message":"out of memory"}}"#);
        let failure = Answer::new(1, false).take(error.as_bytes(), 1, 1).unwrap_err();
        assert!(
            matches!(&failure, RequestFailure::StreamError(words) if words.contains("out of memory"))
        );
        let failure = Answer::new(1, false).take(b"data: <html>\n\n", 1, 1).unwrap_err();
        assert!(matches!(failure, RequestFailure::Malformed(_)));
    }

    #[test]
    fn a_stream_that_never_ends_is_given_up() {
        let mut answer = Answer::new(1, false);
        let comment = vec![b':'; 1024 * 1024];
        let outcome = (0..64).try_for_each(|read| answer.take(&comment, read, read));
        assert!(matches!(outcome, Err(RequestFailure::Malformed(_))));
    }
}
