//! The writing thread: take a batch, write it, keep it until it is written, here or in the spool.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension};

use super::batch::{self, Outcome};
use super::fingerprint;
use super::handle::{Known, Message, Places, Shared};
use super::spool::Spool;
use crate::connection::open_writer;
use crate::error::{Doing, Error};
use crate::file::{self, FileId};
use crate::{Entry, Trouble, schema};

const BATCH: usize = 500;
/// How long a batch waits for company.
const COMPANY: Duration = Duration::from_millis(20);
/// How often a database that is away is looked for.
const RETRY: Duration = Duration::from_secs(1);
/// For how long it may be away before events go to the spool.
const PATIENCE: Duration = Duration::from_secs(1);
/// Shorter than for others: this thread keeps its batch and tries again, and must see the end coming.
const BUSY: Duration = Duration::from_millis(500);
const COMPLAINT: Duration = Duration::from_secs(10);
const SEEN_LIMIT: i64 = 200_000;

pub(super) struct Writer {
    database: PathBuf,
    spool: Spool,
    messages: Receiver<Message>,
    seen: Option<SyncSender<Known>>,
    shared: Arc<Shared>,
    report: fn(&str),
    pending: Vec<Entry>,
    open: Option<(Connection, FileId)>,
    /// Since when the database is away.
    away: Option<Instant>,
    complained: Option<Instant>,
}

/// What to do after having waited.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl Writer {
    pub(super) fn new(
        places: Places,
        messages: Receiver<Message>,
        seen: SyncSender<Known>,
        shared: Arc<Shared>,
        report: fn(&str),
    ) -> Self {
        Self {
            database: places.database,
            spool: Spool::new(places.spool),
            messages,
            seen: Some(seen),
            shared,
            report,
            pending: Vec::new(),
            open: None,
            away: None,
            complained: None,
        }
    }

    /// Runs to the end; a defect in between costs the connection, not the batch and not the process.
    pub(super) fn run_whatever_happens(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            self.open = None;
            self.shared.gauges.restarts.fetch_add(1, Ordering::Relaxed);
            (self.report)("the events writer met a defect and was started again");
            if self.rest(RETRY) == Next::End {
                return;
            }
        }
    }

    fn run(&mut self) {
        loop {
            let next = match self.keep_open().and_then(|()| self.take_over()).and_then(|()| self.write()) {
                Ok(()) => {
                    self.is_back();
                    self.collect(RETRY)
                }
                Err(error) => {
                    self.is_away(&error);
                    self.hold_out()
                }
            };
            if next == Next::End {
                return;
            }
        }
    }

    /// Opens the file, again if another one stands in its place.
    fn keep_open(&mut self) -> Result<(), Error> {
        if self.open.as_ref().is_some_and(|(_, file)| file.is_still_at(&self.database)) {
            return Ok(());
        }
        self.open = None;
        file::prepare(&self.database)?;
        let file = FileId::of(&self.database)?;
        let mut connection = open_writer(&self.database, BUSY)?;
        schema::migrate_with(&mut connection)?;
        if let Some(seen) = &self.seen {
            // Nobody waits for it any more when the service already ends.
            let _ = seen.try_send(Known::Keys(known_keys(&connection)?));
            self.seen = None;
        }
        self.open = Some((connection, file));
        Ok(())
    }

    /// Brings what waits in the spool into the database, before anything newer.
    fn take_over(&mut self) -> Result<(), Error> {
        let Some((connection, _)) = &mut self.open else {
            return Ok(());
        };
        let name = match self.spool.name() {
            Ok(Some(name)) => name,
            Ok(None) => return Ok(()),
            // It stays where it is; what is new can be written all the same.
            Err(error) => {
                self.complain(&format!("the spool of events cannot be read: {error}"));
                return Ok(());
            }
        };
        let mut done = taken_over(connection, &name)?;
        loop {
            let chunk = match self.spool.read(done, BATCH) {
                Ok(chunk) if chunk.end > done => chunk,
                Ok(_) => break,
                Err(error) => {
                    self.complain(&format!("the spool of events cannot be read: {error}"));
                    return Ok(());
                }
            };
            done = chunk.end;
            let Some((connection, _)) = &mut self.open else {
                return Ok(());
            };
            let outcome = batch::write(connection, &chunk.entries, Some(&format!("{name}:{done}")))?;
            self.count(&outcome);
            self.shared.gauges.dropped.fetch_add(chunk.broken, Ordering::Relaxed);
        }
        if let Err(error) = self.spool.remove() {
            self.complain(&format!("the spool of events is in the database, but cannot be removed: {error}"));
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Error> {
        let Some((connection, _)) = &mut self.open else {
            return Ok(());
        };
        if self.pending.is_empty() {
            return Ok(());
        }
        let outcome = batch::write(connection, &self.pending, None)?;
        self.count(&outcome);
        self.let_go(self.pending.len());
        Ok(())
    }

    fn count(&self, outcome: &Outcome) {
        let gauges = &self.shared.gauges;
        gauges.written.fetch_add(outcome.written, Ordering::Relaxed);
        gauges.repeated.fetch_add(outcome.repeated, Ordering::Relaxed);
        gauges.dropped.fetch_add(outcome.refused, Ordering::Relaxed);
    }

    /// The first entries of the batch are safe elsewhere, or lost.
    fn let_go(&mut self, count: usize) {
        let bytes: usize = self.pending.drain(..count).map(|entry| entry.weight()).sum();
        let gauges = &self.shared.gauges;
        gauges.queued.fetch_sub(count as u64, Ordering::Relaxed);
        gauges.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Fills the batch, waiting up to `patience` for the first entry.
    fn collect(&mut self, patience: Duration) -> Next {
        let ending = self.deadline().is_some();
        let first = if ending { Duration::ZERO } else { patience };
        match self.messages.recv_timeout(first) {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) if !ending => return Next::GoOn,
            Err(_) => return Next::End,
        }
        let until = Instant::now() + COMPANY;
        while self.pending.len() < BATCH {
            let left = if ending { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) };
            match self.messages.recv_timeout(left) {
                Ok(message) => self.take(message),
                Err(_) => break,
            }
        }
        Next::GoOn
    }

    fn take(&mut self, message: Message) {
        if let Message::Entry(entry) = message {
            self.pending.push(entry);
        }
    }

    /// The database is away: for a short while the batch waits, then all goes to the spool, until it
    /// is time to look for the database again. At the end everything goes to the spool at once.
    fn hold_out(&mut self) -> Next {
        let until = Instant::now() + RETRY;
        loop {
            let end = self.deadline();
            if end.is_some() || self.away.is_some_and(|since| since.elapsed() >= PATIENCE) {
                self.move_to_spool();
            }
            let now = Instant::now();
            let left = until.saturating_duration_since(now);
            match end {
                Some(_) if self.pending.is_empty() => {
                    if self.collect(Duration::ZERO) == Next::End {
                        return Next::End;
                    }
                }
                Some(end) if now >= end => return Next::End,
                _ if left.is_zero() => return Next::GoOn,
                Some(_) => drop(self.rest(left.min(PATIENCE / 20))),
                None if self.pending.len() >= BATCH => drop(self.rest(left)),
                None => {
                    if self.collect(left) == Next::End {
                        self.move_to_spool();
                        return Next::End;
                    }
                }
            }
        }
    }

    fn move_to_spool(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        match self.spool.append(&self.pending) {
            Ok(count) => {
                self.shared.gauges.spooled.fetch_add(count as u64, Ordering::Relaxed);
                self.let_go(count);
                let lost = self.pending.len();
                if lost > 0 {
                    self.shared.gauges.dropped.fetch_add(lost as u64, Ordering::Relaxed);
                    self.let_go(lost);
                    self.complain(&format!("the spool of events is full: {lost} messages lost"));
                }
            }
            Err(error) => {
                self.complain(&format!("events wait in memory: the spool cannot be written: {error}"))
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        *self.shared.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `time`, less if the end is asked for meanwhile.
    fn rest(&self, time: Duration) -> Next {
        let deadline = self.shared.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        let was_set = deadline.is_some();
        let (deadline, _) = self
            .shared
            .deadline_set
            .wait_timeout_while(deadline, time, |deadline| deadline.is_some() == was_set)
            .unwrap_or_else(PoisonError::into_inner);
        match *deadline {
            Some(end) if Instant::now() >= end => Next::End,
            _ => Next::GoOn,
        }
    }

    fn is_away(&mut self, error: &Error) {
        if error.trouble() != Trouble::Locked {
            self.open = None;
        }
        self.shared.gauges.connected.store(false, Ordering::Relaxed);
        if self.away.is_none() {
            self.away = Some(Instant::now());
            if let Some(seen) = &self.seen {
                // A second time there is no room, and no need.
                let _ = seen.try_send(Known::NotYet);
            }
            (self.report)(&format!("events wait: {error}; trying again every second"));
        }
    }

    fn is_back(&mut self) {
        self.shared.gauges.connected.store(true, Ordering::Relaxed);
        if self.away.take().is_some() {
            (self.report)("events are written again");
        }
    }

    /// Tells of a trouble, once in a while.
    fn complain(&mut self, trouble: &str) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAINT) {
            self.complained = Some(Instant::now());
            (self.report)(trouble);
        }
    }
}

/// How far the spool of this name is in the database.
fn taken_over(connection: &Connection, name: &str) -> Result<u64, Error> {
    let mark: Option<String> = connection
        .query_row("SELECT value FROM dogwatch_meta WHERE key = 'spool'", [], |row| row.get(0))
        .optional()
        .doing("reading how far the spool was taken over")?;
    let offset = mark.as_deref().and_then(|mark| mark.split_once(':')).filter(|(known, _)| *known == name);
    Ok(offset.and_then(|(_, offset)| offset.parse().ok()).unwrap_or(0))
}

/// The newest keys the database knows.
fn known_keys(connection: &Connection) -> Result<Vec<u64>, Error> {
    const DOING: &str = "reading the known message ids";
    let mut statement = connection
        .prepare("SELECT key FROM (SELECT key, at FROM dogwatch_seen ORDER BY at DESC LIMIT ?1) ORDER BY at")
        .doing(DOING)?;
    let keys =
        statement.query_map([SEEN_LIMIT], |row| Ok(fingerprint(row.get_ref(0)?.as_str()?))).doing(DOING)?;
    keys.collect::<Result<_, _>>().doing(DOING)
}
