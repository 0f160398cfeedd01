use std::{
    io,
    sync::{Arc, Condvar, Mutex},
};

use super::*;
use crate::metrics::samples::sample;

/// A file whose disk answers only when it is let go.
#[derive(Clone, Default)]
struct Stuck(Arc<(Mutex<bool>, Condvar)>);

impl Stuck {
    fn let_go(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (is_free, freed) = &*self.0;
        let _free = freed.wait_while(is_free.lock().unwrap(), |is_free| !*is_free).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A full disk.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("no space left"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_cannot_keep_up_holds_nobody_up_and_what_is_left_out_is_counted() {
    let file = Stuck::default();
    let mut scribe = Scribe::writing(Box::new(file.clone()), None, About::default(), true, true);
    // Rows of 8 KB: some 8,000 may wait, and a row group of 500 goes to the disk at a time.
    let settled = sample(0, &(1..1_000).collect::<Vec<_>>()).settled();
    for _ in 0..20_000 {
        scribe.note(&settled, true);
    }
    let missing = scribe.missing;
    assert!((5_000..15_000).contains(&missing), "{missing}");
    file.let_go();
    let recorded = scribe.finish();
    assert_eq!((recorded.rows, recorded.missing), (20_000 - missing, missing));
    assert_eq!(recorded.error, None);
}

#[test]
fn a_full_disk_ends_the_writing_and_not_the_run() {
    let mut scribe = Scribe::writing(Box::new(Full), None, About::default(), true, false);
    let settled = sample(0, &[1, 2]).settled();
    for _ in 0..100_000 {
        scribe.note(&settled, true);
    }
    let error = scribe.finish().error.unwrap();
    assert!(error.contains("no space left"), "{error}");
}

#[test]
fn the_rows_of_all_shards_have_indexes_of_their_own() {
    let settled = sample(0, &[1, 2]).settled();
    let mut indexes = Vec::new();
    for shard in (0..3).filter_map(|index| Shard::new(index, 3)) {
        let scribe = Scribe::writing(Box::new(io::sink()), None, About::default(), true, false);
        let mut scribe = scribe.of_shard(shard);
        for _ in 0..4 {
            scribe.note(&settled, true);
        }
        indexes.extend(scribe.batch.iter().map(|row| row.index));
        assert!(scribe.batch.iter().all(|row| row.index % 3 == u64::from(shard.index())));
        scribe.finish();
    }
    indexes.sort_unstable();
    assert!(indexes.into_iter().eq(0..12));
}

/// A file in memory, to be looked at while it is written.
#[derive(Clone, Default)]
struct Growing(Arc<Mutex<Vec<u8>>>);

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn rows_of_a_slow_run_are_in_a_checkpoint_soon_and_nothing_new_needs_none() {
    let (told, heard) = sync_channel(100);
    let file = Growing::default();
    let checkpoints = Checkpoints {
        every: Duration::from_millis(20),
        keep: Box::new(move |checkpoint| told.send(checkpoint.clone()).unwrap()),
    };
    let mut scribe =
        Scribe::writing(Box::new(file.clone()), Some(checkpoints), About::default(), true, false);
    let settled = sample(0, &[1, 2]).settled();
    let patience = Duration::from_secs(30);
    for written in [1, 2] {
        scribe.note(&settled, true);
        scribe.pass_on();
        let checkpoint = heard.recv_timeout(patience).unwrap();
        assert_eq!(checkpoint.rows().unwrap(), written);
        assert!(file.0.lock().unwrap().len() as u64 >= checkpoint.length, "what counts is there");
        let more = heard.recv_timeout(Duration::from_millis(200));
        assert_eq!(more, Err(RecvTimeoutError::Timeout), "nothing is new");
    }
    // What nobody passed on is in the last one.
    scribe.note(&settled, true);
    let recorded = scribe.finish();
    assert_eq!((recorded.rows, recorded.error), (3, None));
    assert_eq!(heard.recv_timeout(patience).unwrap().rows().unwrap(), 3);
    assert_eq!(heard.recv_timeout(patience), Err(RecvTimeoutError::Disconnected));
}
