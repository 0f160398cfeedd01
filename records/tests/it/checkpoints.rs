//! Files whose writer never came to the end: what was written of them and a checkpoint.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use records::Checkpoint;

use super::*;

/// A file that can be looked at while it is written.
#[derive(Clone, Default)]
pub(crate) struct Growing(Arc<Mutex<Vec<u8>>>);

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Growing {
    pub(crate) fn writer(&self, token_times: bool) -> Writer<Self> {
        let about = About { started_at: "2026-11-24T08:00:00Z".to_owned(), ..About::default() };
        Writer::new(self.clone(), &about, token_times).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// The whole file that `checkpoint` makes of what is there.
    pub(crate) fn mended(&self, checkpoint: &Checkpoint) -> Bytes {
        let mut bytes = self.bytes();
        bytes.truncate(checkpoint.length.try_into().unwrap());
        assert_eq!(bytes.len() as u64, checkpoint.length, "what counts of it is there");
        bytes.extend_from_slice(&checkpoint.tail);
        assert_eq!(bytes.len() as u64, checkpoint.whole_length());
        bytes.into()
    }
}

fn indexes(file: &Bytes) -> Vec<u64> {
    rows(file).iter().map(|row| row["index"].as_u64().unwrap()).collect()
}

#[test]
fn a_checkpoint_holds_the_rows_of_full_groups_and_of_the_one_that_is_not() {
    let file = Growing::default();
    let mut writer = file.writer(false);
    let mut checkpoints = Vec::new();
    let group = GROUP_ROWS as u64;
    for index in 0..2 * group + 2 {
        if [0, 1, group - 1, group, group + 1, 2 * group + 1].contains(&index) {
            checkpoints.push((index, writer.checkpoint().unwrap()));
        }
        writer.push(Record { index, ..whole() }).unwrap();
    }
    writer.finish().unwrap();
    for (written, checkpoint) in &checkpoints {
        assert_eq!(checkpoint.rows().unwrap(), *written);
        let mended = file.mended(checkpoint);
        let layout = layout(&mended);
        assert_eq!((layout.rows(), layout.groups() as u64), (*written, written.div_ceil(group)));
        assert_eq!(layout.about("started_at"), Some("2026-11-24T08:00:00Z"));
    }
    let (written, last) = checkpoints.pop().unwrap();
    assert!(indexes(&file.mended(&last)).into_iter().eq(0..written));
}

#[test]
fn checkpoints_leave_no_trace_in_the_file() {
    let (asked, alone) = (Growing::default(), Growing::default());
    let (mut writer, mut other) = (asked.writer(true), alone.writer(true));
    let long = Record { token_times_us: (0..60_000).collect(), ..whole() };
    for index in 0..20 {
        let checkpoint = writer.checkpoint().unwrap();
        assert_eq!(checkpoint.rows().unwrap(), index);
        writer.push(Record { index, ..long.clone() }).unwrap();
        other.push(Record { index, ..long.clone() }).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), other.finish().unwrap());
    assert!(asked.bytes() == alone.bytes());
}

#[test]
fn the_last_checkpoint_holds_of_a_file_that_was_ended_too() {
    let file = Growing::default();
    let mut writer = file.writer(false);
    writer.push(whole()).unwrap();
    let checkpoint = writer.checkpoint().unwrap();
    writer.finish().unwrap();
    assert_eq!(rows(&file.mended(&checkpoint)), rows(&file.bytes().into()));
}

#[test]
fn what_makes_no_file_of_ours_is_refused() {
    let file = Growing::default();
    let mut writer = file.writer(false);
    writer.push(whole()).unwrap();
    let good = writer.checkpoint().unwrap();
    let cut = Checkpoint { tail: good.tail.slice(..good.tail.len() - 1), ..good.clone() };
    let short = Checkpoint { tail: good.tail.slice(good.tail.len() - 20..), ..good.clone() };
    // its rows would lie behind its end
    let ahead = Checkpoint { length: 0, tail: good.tail.slice(good.tail.len() / 2..) };
    let empty = Checkpoint { tail: Bytes::new(), ..good.clone() };
    assert_eq!(good.rows().unwrap(), 1);
    for broken in [cut, short, ahead, empty] {
        assert!(broken.rows().is_err(), "{} bytes", broken.tail.len());
    }
}

pub(crate) fn any_record() -> impl Strategy<Value = Record> {
    let stamps = (any::<u32>(), any::<Option<u32>>(), any::<Option<u32>>());
    let words = (any::<Option<String>>(), any::<Option<String>>(), any::<bool>());
    let tokens = (proptest::collection::vec(any::<u32>(), 0..9), any::<Option<f32>>());
    (stamps, words, tokens).prop_map(|((end, sent, first), (message, reason, counted), tokens)| {
        let (times, tpot) = tokens;
        Record {
            end_us: end.into(),
            sent_us: sent.map(u64::from),
            first_token_us: first.map(u64::from),
            message,
            finish_reason: reason,
            counted,
            tpot_ms: tpot.filter(|tpot| tpot.is_finite()).map(f64::from),
            token_times_us: times.into_iter().map(u64::from).collect(),
            token_source: "usage",
            ..Record::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_checkpoint_of_any_rows_gives_exactly_those_until_then(
        batches in proptest::collection::vec(proptest::collection::vec(any_record(), 0..12), 0..6),
        token_times in any::<bool>(),
    ) {
        let file = Growing::default();
        let mut writer = file.writer(token_times);
        let mut so_far = Vec::new();
        let mut checkpoints = Vec::new();
        for batch in batches {
            for record in batch {
                so_far.push(record.clone());
                writer.push(record).unwrap();
            }
            checkpoints.push((so_far.clone(), writer.checkpoint().unwrap()));
        }
        // What came later does not matter to those before.
        for (expected, checkpoint) in checkpoints {
            let kept = Checkpoint::from_bytes(checkpoint.to_bytes());
            prop_assert_eq!(kept.as_ref(), Some(&checkpoint));
            prop_assert_eq!(checkpoint.rows().unwrap(), expected.len() as u64);
            prop_assert_eq!(rows(&file.mended(&checkpoint)), rows(&written(expected, token_times)));
        }
    }
}
