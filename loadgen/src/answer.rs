//! What one answer's bytes come to: pure, fed with bytes and their stamps.

use std::{cell::RefCell, rc::Rc};

use shared::{Call, Endpoint};
use target::{
    chunk::{self, Message, Moulded, Moulds, Reply, Token, Usage},
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

/// What an answer looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) endpoint: Endpoint,
    /// Whether it comes as events, or as one JSON body.
    pub(crate) streamed: bool,
}

impl From<&Call> for Form {
    fn from(call: &Call) -> Self {
        Self { endpoint: call.endpoint, streamed: call.stream }
    }
}

/// One answer, as far as it has come.
pub(crate) struct Answer {
    form: Form,
    decoder: Decoder,
    keep_text: bool,
    bytes_left: usize,
    counted_tokens: u64,
    last_token_read: u64,
    coalesced_read: u64,
    /// What events are moulded on, this answer's and others'.
    moulds: Rc<RefCell<Moulds>>,
    /// One of this answer's tokens, once there are two.
    token: Option<Token>,
    /// What has come of a body that is not streamed, and when the last of it came.
    body: (Vec<u8>, Micros),
    /// When an answer that was not streamed was there.
    pub(crate) whole_us: Option<Micros>,
    pub(crate) first_event_us: Option<Micros>,
    pub(crate) first_answer_us: Option<Micros>,
    pub(crate) events: Vec<TokenEvent>,
    pub(crate) bare_choices_us: Vec<Micros>,
    pub(crate) text: String,
    /// Where the last of its reasoning ends in `text`, in bytes.
    reasoned_to: usize,
    pub(crate) usage: Option<Usage>,
    pub(crate) saw_reasoning: bool,
    pub(crate) finish_reason: Option<String>,
    pub(crate) done: bool,
    pub(crate) token_reads: u32,
    pub(crate) coalesced_reads: u32,
}

impl Answer {
    /// An answer of at most `max_tokens`; its text is kept where a tokenizer will read it.
    pub(crate) fn new(
        form: Form,
        max_tokens: u32,
        keep_text: bool,
        moulds: Rc<RefCell<Moulds>>,
    ) -> Self {
        let cap = (max_tokens as usize).saturating_mul(MAX_BYTES_PER_TOKEN);
        Self {
            form,
            decoder: Decoder::new(MAX_EVENT_BYTES),
            keep_text,
            bytes_left: cap.max(MIN_ANSWER_CAP_BYTES),
            counted_tokens: 0,
            last_token_read: 0,
            coalesced_read: 0,
            moulds,
            token: None,
            body: (Vec::new(), 0),
            whole_us: None,
            first_event_us: None,
            first_answer_us: None,
            events: Vec::new(),
            bare_choices_us: Vec::new(),
            text: String::new(),
            reasoned_to: 0,
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
        if !self.form.streamed {
            self.body.0.extend_from_slice(bytes);
            self.body.1 = at_us;
            return Ok(());
        }
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

    /// The answer has ended; `cause` is what broke it, where something did.
    ///
    /// # Errors
    ///
    /// `Truncated` without a `finish_reason` or `[DONE]`, `EmptyOutput` without a token event; what
    /// a whole body says that is no answer.
    pub(crate) fn end(
        &mut self,
        cause: Option<String>,
        at_us: Micros,
    ) -> Result<(), RequestFailure> {
        if !self.form.streamed {
            return match cause {
                Some(cause) => Err(RequestFailure::BrokenOff(cause)),
                None => self.end_whole(),
            };
        }
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

    /// Reads a body that was not streamed: its text is one event, at its last byte.
    fn end_whole(&mut self) -> Result<(), RequestFailure> {
        let (body, at_us) = std::mem::take(&mut self.body);
        let reply = chunk::whole(self.form.endpoint, &body);
        let answer = match reply.map_err(|bad| RequestFailure::Malformed(bad.to_string()))? {
            Reply::Answer(answer) => answer,
            Reply::Error(words) => return Err(RequestFailure::StreamError(words)),
        };
        self.whole_us = Some(at_us);
        self.usage = answer.usage;
        self.finish_reason = answer.finish_reason;
        self.done = true;
        if self.form.endpoint == Endpoint::Embeddings {
            return Ok(());
        }
        self.saw_reasoning = answer.reasoning.is_some();
        let reasoning = answer.reasoning.unwrap_or_default();
        self.reasoned_to = reasoning.len();
        let text = reasoning + &answer.text;
        if text.is_empty() {
            return Err(RequestFailure::EmptyOutput);
        }
        if self.keep_text {
            self.text = text;
        }
        let text_end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.events.push(TokenEvent { at_us, tokens: None, text_end });
        Ok(())
    }

    /// What the model answered, without its reasoning; empty where no text is kept.
    pub(crate) fn answer(&self) -> &str {
        self.text.get(self.reasoned_to..).unwrap_or_default()
    }

    /// Tokens that nobody saw coming: those of an answer that was not streamed.
    pub(crate) fn unstreamed_tokens(&self) -> usize {
        let counted = self.usage.map_or(self.events.len() as u64, |usage| usage.completion_tokens);
        self.whole_us.map_or(0, |_| usize::try_from(counted).unwrap_or(usize::MAX))
    }

    fn event(&mut self, data: &[u8], read: u64, at_us: Micros) -> Result<(), RequestFailure> {
        self.first_event_us.get_or_insert(at_us);
        if self.done {
            return Ok(());
        }
        if let Some(text) = self.token.as_ref().and_then(|token| token.next(data)) {
            self.token(text, None, read, at_us);
            return Ok(());
        }
        let moulds = Rc::clone(&self.moulds);
        if let Some(moulded) = moulds.borrow_mut().find(data) {
            self.moulded(data, &moulded, read, at_us);
            return Ok(());
        }
        let message = chunk::event(self.form.endpoint, data)
            .map_err(|bad| RequestFailure::Malformed(bad.to_string()))?;
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
        self.done |= delta.done;
        if matches!(self.form.endpoint, Endpoint::Chat | Endpoint::Completions) {
            moulds.borrow_mut().learn(data, &delta);
        }
        if delta.text.is_empty() {
            if delta.choices {
                self.note_bare_choice(at_us);
            }
            return Ok(());
        }
        if delta.answer {
            self.first_answer_us.get_or_insert(at_us);
        } else {
            self.saw_reasoning = true;
        }
        self.token(&delta.text, tokens, read, at_us);
        if !delta.answer {
            self.reasoned_to = self.text.len();
        }
        Ok(())
    }

    /// Takes an event that is like one before.
    fn moulded(&mut self, data: &[u8], moulded: &Moulded<'_, '_>, read: u64, at_us: Micros) {
        match *moulded {
            Moulded::Token(text) => {
                if !self.events.is_empty() {
                    self.token = Token::of(data, text);
                }
                self.first_answer_us.get_or_insert(at_us);
                self.token(text, None, read, at_us);
            }
            Moulded::Bare { choices, finish_reason } => {
                if let Some(reason) = finish_reason {
                    self.finish_reason = Some(reason.to_owned());
                }
                if choices {
                    self.note_bare_choice(at_us);
                }
            }
        }
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
    use shared::report::FailureClass;

    use super::*;

    const CHAT: Form = Form { endpoint: Endpoint::Chat, streamed: true };

    fn fresh(form: Form, max_tokens: u32, keep_text: bool) -> Answer {
        Answer::new(form, max_tokens, keep_text, Rc::default())
    }

    fn delta(json: &str) -> String {
        format!("data: {json}\n\n")
    }

    fn content(text: &str) -> String {
        delta(&format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#))
    }

    const FINISH: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;

    #[test]
    fn token_events_get_the_stamp_of_their_read() {
        let mut answer = fresh(CHAT, 128, true);
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
        let mut answer = fresh(CHAT, 128, false);
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
        let mut cut = fresh(CHAT, 128, false);
        cut.take(content("a").as_bytes(), 1, 1).unwrap();
        assert!(matches!(cut.end(None, 2), Err(RequestFailure::Truncated { events: 1, .. })));

        let mut finished_then_cut = fresh(CHAT, 128, false);
        finished_then_cut.take(content("a").as_bytes(), 1, 1).unwrap();
        finished_then_cut.take(delta(FINISH).as_bytes(), 2, 2).unwrap();
        assert!(finished_then_cut.end(None, 3).is_ok());

        let mut empty = fresh(CHAT, 128, false);
        empty.take(b"data: [DONE]\n\n", 1, 1).unwrap();
        assert!(matches!(empty.end(None, 2), Err(RequestFailure::EmptyOutput)));

        assert!(matches!(
            fresh(CHAT, 128, false).end(None, 1),
            Err(RequestFailure::Truncated { events: 0, .. })
        ));
    }

    #[test]
    fn an_error_object_and_what_is_no_json_end_the_answer() {
        let error = delta(r#"{"error":{"message":"out of memory"}}"#);
        let failure = fresh(CHAT, 1, false).take(error.as_bytes(), 1, 1).unwrap_err();
        assert!(
            matches!(&failure, RequestFailure::StreamError(words) if words.contains("out of memory"))
        );
        let failure = fresh(CHAT, 1, false).take(b"data: <html>\n\n", 1, 1).unwrap_err();
        assert!(matches!(failure, RequestFailure::Malformed(_)));
    }

    #[test]
    fn a_stream_that_never_ends_is_given_up() {
        let mut answer = fresh(CHAT, 1, false);
        let comment = vec![b':'; 1024 * 1024];
        let outcome = (0..64).try_for_each(|read| answer.take(&comment, read, read));
        assert!(matches!(outcome, Err(RequestFailure::Malformed(_))));
    }

    #[test]
    fn a_response_is_over_with_its_last_event() {
        let form = Form { endpoint: Endpoint::Responses, streamed: true };
        let mut answer = fresh(form, 128, true);
        let created = delta(r#"{"type":"response.created","response":{"status":"in_progress"}}"#);
        answer.take(format!("event: response.created\n{created}").as_bytes(), 1, 10).unwrap();
        for (text, at) in [("Hel", 20), ("lo", 30)] {
            let data = format!(r#"{{"type":"response.output_text.delta","delta":"{text}"}}"#);
            answer.take(delta(&data).as_bytes(), at, at).unwrap();
        }
        assert!(!answer.done);
        let completed = delta(
            r#"{"type":"response.completed","response":{"status":"completed","usage":{"input_tokens":9,"output_tokens":2}}}"#,
        );
        answer.take(completed.as_bytes(), 40, 40).unwrap();
        assert!(answer.done);
        answer.end(None, 50).unwrap();
        assert_eq!((&*answer.text, answer.finish_reason.as_deref()), ("Hello", Some("stop")));
        assert_eq!((answer.usage.unwrap().prompt_tokens, answer.first_event_us), (9, Some(10)));
        assert_eq!(answer.events.iter().map(|event| event.at_us).collect::<Vec<_>>(), [20, 30]);
    }

    fn whole(endpoint: Endpoint, body: &str) -> (Answer, Result<(), RequestFailure>) {
        let mut answer = fresh(Form { endpoint, streamed: false }, 128, true);
        let (first, second) = body.as_bytes().split_at(body.len() / 2);
        answer.take(first, 1, 10).unwrap();
        answer.take(second, 2, 20).unwrap();
        let outcome = answer.end(None, 99);
        (answer, outcome)
    }

    #[test]
    fn a_whole_answer_is_one_event_at_its_last_byte() {
        let body = r#"{"choices":[{"message":{"content":"Hello"},"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
        let (answer, outcome) = whole(Endpoint::Chat, body);
        outcome.unwrap();
        assert_eq!((answer.whole_us, answer.first_event_us), (Some(20), None));
        assert_eq!(answer.events, [TokenEvent { at_us: 20, tokens: None, text_end: 5 }]);
        assert_eq!((&*answer.text, answer.unstreamed_tokens()), ("Hello", 3));
        assert_eq!((answer.token_reads, answer.coalesced_reads), (0, 0));

        let (answer, outcome) = whole(
            Endpoint::Embeddings,
            r#"{"data":[{"embedding":[1]}],"usage":{"prompt_tokens":7}}"#,
        );
        outcome.unwrap();
        assert_eq!((answer.whole_us, answer.events.len()), (Some(20), 0));
        assert_eq!(answer.usage.unwrap().prompt_tokens, 7);
    }

    #[test]
    fn a_whole_body_that_is_no_answer_fails_by_what_it_is() {
        let class = |endpoint, body| whole(endpoint, body).1.unwrap_err().class();
        assert_eq!(class(Endpoint::Chat, "<html>"), FailureClass::Malformed);
        assert_eq!(class(Endpoint::Chat, "{}"), FailureClass::Malformed);
        let error = r#"{"error":{"message":"out of memory"}}"#;
        assert_eq!(class(Endpoint::Completions, error), FailureClass::StreamError);
        let empty = r#"{"choices":[{"text":"","finish_reason":"stop"}]}"#;
        assert_eq!(class(Endpoint::Completions, empty), FailureClass::EmptyOutput);
        assert_eq!(class(Endpoint::Embeddings, r#"{"data":[]}"#), FailureClass::Malformed);

        let mut cut = fresh(Form { endpoint: Endpoint::Chat, streamed: false }, 1, false);
        cut.take(b"{\"choices\":", 1, 1).unwrap();
        let failure = cut.end(Some("closed".to_owned()), 2).unwrap_err();
        assert_eq!(failure.class(), FailureClass::Truncated);
    }
}
