//! The thread that writes the requests' rows, and what stands between it and the analyst.
//!
//! The analyst never waits for it while load is driven: samples would pile up behind. Rows that the
//! writer has not got to wait here, up to a limit; beyond it they are left out and counted.

use std::{
    collections::VecDeque,
    io::Write,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use records::{About, Checkpoint, Record, RecordsError, Writer, Written};
use shared::{Timestamp, report::Recorded};

use super::Prepared;
use crate::{arrival::Shard, metrics::Settled, record::record};

/// Rows that go to the writer at a time.
const BATCH_ROWS: usize = 256;
/// Batches that may be on their way to it.
const BATCHES: usize = 8;
/// Most bytes of rows that wait to be on their way.
const MOST_WAITING: usize = 64 * 1024 * 1024;
/// What a row weighs without its token times.
const ROW_BYTES: usize = 512;

/// What makes a whole file of the rows so far, for somebody who keeps it in case that their writer
/// dies.
pub(crate) struct Checkpoints {
    /// How often.
    pub(crate) every: Duration,
    /// Who keeps it.
    pub(crate) keep: Box<dyn FnMut(&Checkpoint) + Send>,
}

/// The analyst's end.
pub(super) struct Scribe {
    by_user: bool,
    token_times: bool,
    /// Of the next row.
    index: u64,
    /// From one row's index to the next: in between are those of the other shards.
    step: u64,
    missing: u64,
    batch: Vec<Record>,
    waiting: VecDeque<Vec<Record>>,
    waiting_bytes: usize,
    /// None: the writer has given up, and says why when asked.
    to_writer: Option<SyncSender<Vec<Record>>>,
    writer: JoinHandle<Result<Written, RecordsError>>,
}

impl Scribe {
    /// Starts the writer of the run `prepared`, whose origin is `started_at`.
    pub(super) fn start(
        file: Box<dyn Write + Send>,
        checkpoints: Option<Checkpoints>,
        prepared: &Prepared,
        started_at: Timestamp,
    ) -> Self {
        let environment = &prepared.environment;
        let about = About {
            started_at: started_at.to_string(),
            version: environment.version.clone(),
            model: environment.target.model.clone(),
            seed: environment.seed,
            spec_hash: environment.spec_hash.clone(),
        };
        let by_user = prepared.run.schedule.is_none();
        let scribe = Self::writing(file, checkpoints, about, by_user, prepared.spec.record_tokens);
        scribe.of_shard(prepared.shard)
    }

    fn writing(
        file: Box<dyn Write + Send>,
        checkpoints: Option<Checkpoints>,
        about: About,
        by_user: bool,
        token_times: bool,
    ) -> Self {
        let (to_writer, batches) = sync_channel(BATCHES);
        let writer = std::thread::Builder::new()
            .name("scribe".to_owned())
            .spawn(move || write(file, checkpoints, &about, token_times, &batches))
            .expect("the system starts a thread");
        Self {
            by_user,
            token_times,
            index: 0,
            step: 1,
            missing: 0,
            batch: Vec::with_capacity(BATCH_ROWS),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            to_writer: Some(to_writer),
            writer,
        }
    }

    /// The same writing the rows of a shard: no two of a load have the same index.
    fn of_shard(self, shard: Shard) -> Self {
        Self { index: shard.index().into(), step: shard.of().into(), ..self }
    }

    /// Takes a request that is over; `counted`: the report's latencies count it.
    pub(super) fn note(&mut self, settled: &Settled, counted: bool) {
        let index = self.index;
        self.index += self.step;
        if self.to_writer.is_none() {
            return;
        }
        if self.waiting_bytes > MOST_WAITING {
            self.hand_on();
            if self.waiting_bytes > MOST_WAITING {
                self.missing += 1;
                return;
            }
        }
        self.batch.push(record(settled, index, counted, self.by_user, self.token_times));
        if self.batch.len() >= BATCH_ROWS {
            self.set_aside();
            self.hand_on();
        }
    }

    /// Gives the writer what there is, however little: called about once a second, so that rows of
    /// a slow run do not wait here for others.
    pub(super) fn pass_on(&mut self) {
        if !self.batch.is_empty() && self.to_writer.is_some() {
            self.set_aside();
        }
        self.hand_on();
    }

    fn set_aside(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_ROWS));
        self.waiting_bytes += weight(&batch);
        self.waiting.push_back(batch);
    }

    /// Gives the writer what it takes without a wait.
    fn hand_on(&mut self) {
        let Some(to_writer) = &self.to_writer else { return };
        while let Some(batch) = self.waiting.pop_front() {
            let bytes = weight(&batch);
            match to_writer.try_send(batch) {
                Ok(()) => self.waiting_bytes -= bytes,
                Err(TrySendError::Full(batch)) => return self.waiting.push_front(batch),
                Err(TrySendError::Disconnected(_)) => {
                    (self.to_writer, self.waiting_bytes) = (None, 0);
                    self.waiting.clear();
                    return;
                }
            }
        }
    }

    /// Waits until all of it is written. Load is over.
    pub(super) fn finish(mut self) -> Recorded {
        self.set_aside();
        if let Some(to_writer) = self.to_writer.take() {
            for batch in self.waiting {
                if to_writer.send(batch).is_err() {
                    break;
                }
            }
        }
        match self.writer.join() {
            Ok(Ok(written)) => Recorded { rows: written.rows, missing: self.missing, error: None },
            Ok(Err(error)) => not_written(error.to_string()),
            Err(_) => not_written("the writer broke off".to_owned()),
        }
    }
}

fn not_written(error: String) -> Recorded {
    Recorded { rows: 0, missing: 0, error: Some(error) }
}

fn weight(batch: &[Record]) -> usize {
    batch.iter().map(|record| ROW_BYTES + record.token_times_us.len() * size_of::<u64>()).sum()
}

fn write(
    file: Box<dyn Write + Send>,
    checkpoints: Option<Checkpoints>,
    about: &About,
    token_times: bool,
    batches: &Receiver<Vec<Record>>,
) -> Result<Written, RecordsError> {
    let mut writer = Writer::new(file, about, token_times)?;
    match checkpoints {
        Some(checkpoints) => write_and_keep(&mut writer, checkpoints, batches)?,
        None => write_all(&mut writer, batches.iter().flatten())?,
    }
    writer.finish()
}

fn write_all(
    writer: &mut Writer<Box<dyn Write + Send>>,
    rows: impl IntoIterator<Item = Record>,
) -> Result<(), RecordsError> {
    rows.into_iter().try_for_each(|row| writer.push(row))
}

/// Writes what comes until nothing more does, with a checkpoint of it now and then, and of all of
/// it at the end.
fn write_and_keep(
    writer: &mut Writer<Box<dyn Write + Send>>,
    Checkpoints { every, mut keep }: Checkpoints,
    batches: &Receiver<Vec<Record>>,
) -> Result<(), RecordsError> {
    let mut is_new = false;
    let mut next = Instant::now() + every;
    loop {
        let is_over = match batches.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(batch) => {
                is_new = true;
                write_all(writer, batch)?;
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        if is_over || Instant::now() >= next {
            if is_new {
                keep(&writer.checkpoint()?);
            }
            is_new = false;
            next = Instant::now() + every;
        }
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
