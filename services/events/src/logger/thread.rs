//! The writing thread: take a batch, write it, keep it until it is written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::batch;
use super::fingerprint;
use super::handle::{Message, Shared};
use crate::connection::open_writer;
use crate::error::{Doing, Error};
use crate::file::{self, FileId};
use crate::{Entry, schema};

const BATCH: usize = 500;
/// How long a batch waits for company.
const COMPANY: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_secs(1);
/// Shorter than for others: this thread keeps its batch and tries again, and must see the end coming.
const BUSY: Duration = Duration::from_millis(500);
const SEEN_LIMIT: i64 = 200_000;

pub(super) struct Writer {
    path: PathBuf,
    messages: Receiver<Message>,
    seen: Option<SyncSender<Vec<u64>>>,
    shared: Arc<Shared>,
    report: fn(&str),
    pending: Vec<Entry>,
    pending_bytes: usize,
    open: Option<(Connection, FileId)>,
    /// Whether the last report said that the database is away; none was made yet at start.
    told_away: bool,
}

enum Wait {
    Go,
    End,
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        messages: Receiver<Message>,
        seen: SyncSender<Vec<u64>>,
        shared: Arc<Shared>,
        report: fn(&str),
    ) -> Self {
        Self {
            path,
            messages,
            seen: Some(seen),
            shared,
            report,
            pending: Vec::new(),
            pending_bytes: 0,
            open: None,
            told_away: false,
        }
    }

    /// Runs to the end; a defect in between costs the connection, not the batch and not the process.
    pub(super) fn run_whatever_happens(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            self.open = None;
            self.shared.gauges.restarts.fetch_add(1, Ordering::Relaxed);
            (self.report)("the events writer met a defect and was started again");
            if let Wait::End = self.wait(RETRY) {
                return;
            }
        }
    }

    fn run(&mut self) {
        loop {
            let attempt = self.keep_open().and_then(|()| self.write());
            match attempt {
                Ok(()) => self.tell_back(),
                Err(error) => {
                    self.tell_away(&error);
                    let retry = if self.deadline().is_some() {
                        RETRY / 10
                    } else {
                        RETRY
                    };
                    match self.wait(retry) {
                        Wait::Go => continue,
                        Wait::End => return,
                    }
                }
            }
            if let Wait::End = self.collect() {
                return;
            }
        }
    }

    /// Opens the file, again if another one stands in its place.
    fn keep_open(&mut self) -> Result<(), Error> {
        if self
            .open
            .as_ref()
            .is_some_and(|(_, file)| file.is_still_at(&self.path))
        {
            return Ok(());
        }
        self.open = None;
        file::prepare(&self.path)?;
        let file = FileId::of(&self.path)?;
        let mut connection = open_writer(&self.path, BUSY)?;
        schema::migrate_with(&mut connection)?;
        if let Some(seen) = self.seen.take() {
            match known_keys(&connection) {
                // Nobody waits for it any more when the service already ends.
                Ok(keys) => drop(seen.try_send(keys)),
                Err(error) => {
                    self.seen = Some(seen);
                    return Err(error);
                }
            }
        }
        self.open = Some((connection, file));
        Ok(())
    }

    fn write(&mut self) -> Result<(), Error> {
        let Some((connection, _)) = &mut self.open else {
            return Ok(());
        };
        if self.pending.is_empty() {
            return Ok(());
        }
        let outcome = batch::write(connection, &self.pending).inspect_err(|error| {
            if error.trouble() != crate::Trouble::Locked {
                self.open = None;
            }
        })?;
        let gauges = &self.shared.gauges;
        gauges.written.fetch_add(outcome.written, Ordering::Relaxed);
        gauges.repeated.fetch_add(outcome.repeated, Ordering::Relaxed);
        gauges.dropped.fetch_add(outcome.refused, Ordering::Relaxed);
        gauges
            .queued
            .fetch_sub(self.pending.len() as u64, Ordering::Relaxed);
        gauges
            .queued_bytes
            .fetch_sub(self.pending_bytes, Ordering::Relaxed);
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }

    /// Fills the batch; while there is nothing to do it comes back once a second to look after the file.
    fn collect(&mut self) -> Wait {
        let ending = self.deadline().is_some();
        let first = if ending { Duration::ZERO } else { RETRY };
        match self.messages.recv_timeout(first) {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => return if ending { Wait::End } else { Wait::Go },
            Err(RecvTimeoutError::Disconnected) => return Wait::End,
        }
        let until = Instant::now() + COMPANY;
        while self.pending.len() < BATCH {
            let left = if ending {
                Duration::ZERO
            } else {
                until.saturating_duration_since(Instant::now())
            };
            match self.messages.recv_timeout(left) {
                Ok(message) => self.take(message),
                Err(_) => break,
            }
        }
        Wait::Go
    }

    fn take(&mut self, message: Message) {
        if let Message::Entry(entry) = message {
            self.pending_bytes += entry.weight();
            self.pending.push(entry);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        *self
            .shared
            .deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `time`, less if the end is asked for meanwhile.
    fn wait(&self, time: Duration) -> Wait {
        let deadline = self
            .shared
            .deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let was_set = deadline.is_some();
        let (deadline, _) = self
            .shared
            .deadline_set
            .wait_timeout_while(deadline, time, |deadline| deadline.is_some() == was_set)
            .unwrap_or_else(PoisonError::into_inner);
        match *deadline {
            Some(end) if Instant::now() >= end => Wait::End,
            _ => Wait::Go,
        }
    }

    fn tell_away(&mut self, error: &Error) {
        self.shared.gauges.connected.store(false, Ordering::Relaxed);
        if !self.told_away {
            self.told_away = true;
            (self.report)(&format!(
                "events wait in memory: {error}; trying again every second"
            ));
        }
    }

    fn tell_back(&mut self) {
        self.shared.gauges.connected.store(true, Ordering::Relaxed);
        if self.told_away {
            self.told_away = false;
            (self.report)("events are written again");
        }
    }
}

/// The newest keys the database knows.
fn known_keys(connection: &Connection) -> Result<Vec<u64>, Error> {
    const DOING: &str = "reading the known message ids";
    let mut statement = connection
        .prepare("SELECT key FROM (SELECT key, at FROM dogwatch_seen ORDER BY at DESC LIMIT ?1) ORDER BY at")
        .doing(DOING)?;
    let keys = statement
        .query_map([SEEN_LIMIT], |row| Ok(fingerprint(row.get_ref(0)?.as_str()?)))
        .doing(DOING)?;
    keys.collect::<Result<_, _>>().doing(DOING)
}
