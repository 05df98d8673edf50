//! The thread for the database: first what stands in the spool, then what waits in memory, in batches.
//!
//! It is the owner of the file, and so also the one who replaces it when it is damaged.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::backlog::{Waiting, Work};
use super::batch::{self, Outcome};
use super::handle::Known;
use super::open::{Left, Open};
use super::shared::Shared;
use super::voice::Topic;
use crate::create::{self, Seed};
use crate::error::{Doing, Error};
use crate::fingerprint::Fingerprint;
use crate::lock::Lock;
use crate::repair::{self, Doubt, Examined};
use crate::seen::{self, Seen};
use crate::{Entry, Trouble, suspect};

const BATCH: usize = 500;
/// How often a database that is away is looked for, and one that is there for notes of its readers.
const RETRY: Duration = Duration::from_secs(1);
/// How long to wait for others to stop writing, before the file is replaced or made.
const PATIENCE: Duration = Duration::from_secs(2);
/// A file that readers complain about again and again, and that is whole, is not looked through more often.
const EXAMINATIONS: Duration = Duration::from_secs(60);

pub(super) struct Writer {
    database: PathBuf,
    known: Option<SyncSender<Known>>,
    shared: Arc<Shared>,
    hand: Vec<Waiting>,
    open: Option<Open>,
    left: Left,
    /// How far which spool is in the database, in its words.
    mark: Option<String>,
    /// How often SQLite called this very file damaged since something was written last.
    damage_met: u32,
    doubt: Option<Doubt>,
    examined: Option<Instant>,
    /// It was told that the database is away.
    told: bool,
    /// A spool that cannot be read was left alone then.
    spool_left: Option<Instant>,
}

impl Writer {
    pub(super) fn new(database: PathBuf, known: SyncSender<Known>, shared: Arc<Shared>) -> Self {
        Self {
            database,
            known: Some(known),
            shared,
            hand: Vec::new(),
            open: None,
            left: Left::default(),
            mark: None,
            damage_met: 0,
            doubt: None,
            examined: None,
            told: false,
            spool_left: None,
        }
    }

    /// Runs to the end; a defect in between costs the connection, not the batch and not the process.
    pub(super) fn run_whatever_happens(mut self) {
        self.know_what_is_spooled();
        while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            self.close();
            self.give_back();
            self.shared.gauges.restarts.fetch_add(1, Ordering::Relaxed);
            self.shared.voice.complain(Topic::Defect, "the events writer met a defect and was started again");
            self.shared.rest(&self.shared.for_writer, RETRY);
        }
    }

    fn run(&mut self) {
        loop {
            match self.work() {
                Ok(()) => self.is_back(),
                Err(error) => {
                    self.is_away(&error);
                    self.shared.rest(&self.shared.for_writer, RETRY);
                }
            }
            if self.shared.state().is_over(Instant::now()) {
                return;
            }
        }
    }

    /// Messages that stand in the spool were here before, too, whether or not the database can be asked.
    fn know_what_is_spooled(&self) {
        let now = u32::try_from(Timestamp::now().as_second()).unwrap_or(0);
        let mut spool = self.shared.spool();
        let mut done = 0;
        // One that is not there, or cannot be read, holds none; what is wrong with it is said when it is taken over.
        while let Ok(chunk) = spool.read(done, BATCH)
            && chunk.end > done
        {
            for key in chunk.entries.iter().filter_map(|entry| entry.key.as_deref()) {
                let _ = self.shared.seen.is_new(Fingerprint::of(key), now);
            }
            done = chunk.end;
        }
    }

    /// Does what there is to do, or waits a while for something.
    fn work(&mut self) -> Result<(), Error> {
        self.look_for_damage()?;
        // Also with nothing to write: the file is made, replaced files are noticed, known messages are loaded.
        drop(self.ready()?);
        self.look_for_spool();
        match self.shared.wait_for_work(BATCH, RETRY) {
            Work::TakeOver => self.take_over(),
            Work::Write => self.write(),
            Work::Later(_) => Ok(()),
        }
    }

    /// Sees to it that the file at the path is open, and stays there as long as the lock is held.
    fn ready(&mut self) -> Result<Lock, Error> {
        if let Some(open) = &self.open {
            let lock = Lock::shared(&self.database)?;
            if open.is_still_at(&self.database) {
                return Ok(lock);
            }
            self.damage_met = 0;
        }
        self.close();
        create::ensure(&self.database, self.left.wal, self.left.ids, PATIENCE)?;
        let lock = Lock::shared(&self.database)?;
        let open = Open::new(&self.database, &lock)?;
        self.load_known(&open.connection)?;
        self.open = Some(open);
        Ok(lock)
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.left = open.left();
        }
    }

    fn load_known(&mut self, connection: &Connection) -> Result<(), Error> {
        if let Some(known) = &self.known {
            load_seen(connection, &self.shared.seen)?;
            // Nobody waits for it any more when the service already ends.
            let _ = known.try_send(Known::All);
            self.known = None;
        }
        Ok(())
    }

    /// Brings what stands in the spool into the database, before anything newer.
    fn take_over(&mut self) -> Result<(), Error> {
        loop {
            match self.take_over_some() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(Failed::Database(error)) => return Err(error),
                Err(Failed::Spool(error)) => {
                    let line = format!("the spool of events cannot be used: {error}");
                    self.shared.voice.complain(Topic::Spool, &line);
                    // It stays where it is; what is new can be written all the same.
                    self.spool_left = Some(Instant::now());
                    self.shared.state().backlog.spool_is_empty();
                    return Ok(());
                }
            }
        }
    }

    /// True: there is more.
    fn take_over_some(&mut self) -> Result<bool, Failed> {
        let lock = self.ready()?;
        let shared = Arc::clone(&self.shared);
        let Some(open) = &mut self.open else { return Ok(false) };
        let transaction = batch::begin(&mut open.connection)?;
        let mut spool = shared.spool();
        let Some(name) = spool.name().map_err(Failed::Spool)? else {
            shared.state().backlog.spool_is_empty();
            return Ok(false);
        };
        let done = taken_over(&transaction, &name)?;
        let chunk = spool.read(done, BATCH).map_err(Failed::Spool)?;
        if chunk.entries.is_empty() && chunk.broken == 0 {
            spool.remove().map_err(Failed::Spool)?;
            shared.state().backlog.spool_is_empty();
            return Ok(false);
        }
        drop(spool);
        let mark = format!("{name}:{}", chunk.end);
        let outcome = batch::write(transaction, &chunk.entries, Some(&mark))?;
        open.is_really_at(&self.database)?;
        open.remember(outcome.ids, &lock);
        self.mark = Some(mark);
        self.shared.gauges.dropped.fetch_add(chunk.broken, Ordering::Relaxed);
        self.is_written(&outcome, chunk.entries.iter());
        Ok(true)
    }

    fn write(&mut self) -> Result<(), Error> {
        let lock = self.ready()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let transaction = batch::begin(&mut open.connection)?;
        let Some(taken) = self.shared.state().backlog.take_for_database(BATCH) else {
            return Ok(());
        };
        // Where it is found again, should something below meet a defect.
        self.hand = taken;
        let entries: Vec<Entry> = self.hand.iter().map(|waiting| waiting.line.entry()).collect();
        let written = batch::write(transaction, &entries, None);
        match written.and_then(|outcome| open.is_really_at(&self.database).map(|()| outcome)) {
            Ok(outcome) => {
                open.remember(outcome.ids, &lock);
                let hand = std::mem::take(&mut self.hand);
                self.is_written(&outcome, entries.iter());
                self.shared.state().backlog.is_safe(&hand);
                self.shared.for_spooler.notify_one();
                Ok(())
            }
            Err(error) => {
                self.give_back();
                Err(error)
            }
        }
    }

    fn is_written<'a>(&mut self, outcome: &Outcome, entries: impl Iterator<Item = &'a Entry>) {
        self.damage_met = 0;
        let gauges = &self.shared.gauges;
        gauges.written.fetch_add(outcome.written, Ordering::Relaxed);
        gauges.repeated.fetch_add(outcome.repeated, Ordering::Relaxed);
        gauges.dropped.fetch_add(outcome.refused, Ordering::Relaxed);
        for entry in entries {
            if let (Some(key), Some(first)) = (&entry.key, entry.events.first()) {
                let at = u32::try_from(first.at.as_second()).unwrap_or(0);
                self.shared.seen.is_written(Fingerprint::of(key), at);
            }
        }
    }

    fn give_back(&mut self) {
        if !self.hand.is_empty() {
            let hand = std::mem::take(&mut self.hand);
            self.shared.state().backlog.give_back(hand);
            self.shared.for_spooler.notify_one();
        }
    }

    /// A spool that could not be read is tried again from time to time.
    fn look_for_spool(&mut self) {
        if self.spool_left.is_some_and(|left| left.elapsed() >= 10 * RETRY) {
            self.spool_left = None;
            self.shared.state().backlog.spool_may_hold_something();
        }
    }

    /// Replaces the file if it is damaged, when there is a reason to think so.
    fn look_for_damage(&mut self) -> Result<(), Error> {
        let told = || suspect::is_marked(&self.database).then_some(Doubt::Told);
        let Some(doubt) = self.doubt.or_else(told) else {
            return Ok(());
        };
        if doubt == Doubt::Told && self.examined.is_some_and(|last| last.elapsed() < EXAMINATIONS) {
            return Ok(());
        }
        let alone = Lock::exclusive(&self.database, PATIENCE)?;
        if self.open.as_ref().is_some_and(|open| !open.is_still_at(&self.database)) {
            // Someone else was faster; `ready` opens what is there now.
            self.doubt = None;
            suspect::clear(&self.database);
            return Ok(());
        }
        if let Some(open) = &self.open {
            open.close_unchanged()?;
        }
        self.close();
        let memory = self.memory();
        let shared = Arc::clone(&self.shared);
        let stop = move || shared.state().is_over(Instant::now());
        let examined = repair::examine(&self.database, &alone, doubt, memory, stop)?;
        self.examined = Some(Instant::now());
        self.doubt = None;
        if let Examined::Replaced(replaced) = examined {
            self.damage_met = 0;
            self.examined = None;
            self.shared.voice.tell(&format!(
                "ALERT: the events database was damaged ({}). It was set aside, unchanged, as {}; events go to a new \
                 one, and what can be read of the old one is copied back",
                replaced.damage,
                replaced.aside.display()
            ));
            self.shared.state().salvage = true;
            self.shared.for_caretaker.notify_all();
        }
        Ok(())
    }

    /// What a new database must know even if nothing can be read of the old one.
    fn memory(&self) -> Seed {
        let now = u32::try_from(Timestamp::now().as_second()).unwrap_or(0);
        Seed { ids: self.left.ids, keys: self.shared.seen.written(now), spool: self.mark.clone() }
    }

    fn is_away(&mut self, error: &Error) {
        match error.trouble() {
            Trouble::Locked => {}
            Trouble::Corrupt => {
                self.damage_met += 1;
                // A look through all pages does not find everything; what SQLite meets again and again is there.
                self.doubt = Some(if self.damage_met == 1 { Doubt::Met } else { Doubt::Sure });
            }
            Trouble::TooSlow | Trouble::Unavailable => self.close(),
        }
        self.shared.gauges.connected.store(false, Ordering::Relaxed);
        self.shared.state().away = true;
        self.shared.for_spooler.notify_one();
        if let Some(known) = &self.known {
            // A second time there is no room, and no need.
            let _ = known.try_send(Known::NotYet);
        }
        let line = format!("events wait: {error}; trying again every second");
        self.told = self.told || self.shared.voice.complain(Topic::Away, &line);
    }

    fn is_back(&mut self) {
        self.shared.gauges.connected.store(true, Ordering::Relaxed);
        self.shared.state().away = false;
        if std::mem::take(&mut self.told) {
            self.shared.voice.tell("events are written again");
        }
    }
}

/// Who is to blame that the spool could not be taken over.
enum Failed {
    Database(Error),
    Spool(std::io::Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Database(error)
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

/// Takes the keys that the database knows and that are not too old.
fn load_seen(connection: &Connection, seen: &Seen) -> Result<(), Error> {
    const DOING: &str = "reading the known message ids";
    let oldest = Timestamp::now().as_second() - i64::from(seen::AGE);
    let mut statement =
        connection.prepare("SELECT key, at FROM dogwatch_seen WHERE at >= ?1").doing(DOING)?;
    let mut rows = statement.query([oldest]).doing(DOING)?;
    while let Some(row) = rows.next().doing(DOING)? {
        let key = Fingerprint::of_stored(row.get_ref(0).doing(DOING)?.as_str().unwrap_or_default());
        seen.is_written(key, u32::try_from(row.get::<_, i64>(1).doing(DOING)?).unwrap_or(0));
    }
    Ok(())
}
