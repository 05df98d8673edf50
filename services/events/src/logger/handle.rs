//! The side of the logger that everyone else holds.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::caretaker::Caretaker;
use super::counters::Counters;
use super::line::Line;
use super::shared::Shared;
use super::spool::Spool;
use super::spooler::Spooler;
use super::voice::{Topic, Voice};
use super::writer::Writer;
use crate::Entry;
use crate::fingerprint::Fingerprint;

/// What the logger tells of the messages that the database knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The database is away; they will be known when it is back.
    NotYet,
    /// [`Logger::is_new`] knows all of them. Comes once.
    All,
}

/// Takes events and never waits.
pub struct Logger {
    shared: Arc<Shared>,
    ended: Mutex<Receiver<()>>,
}

impl Logger {
    /// Starts the threads for the database, which may not exist yet, and for the spool, where events wait while the
    /// database is away. `report` is called with one line when something goes wrong or is well again; it must not wait
    /// for anything.
    ///
    /// The receiver gets one [`Known`] after the first attempt to open the database, and a second when
    /// the first was [`Known::NotYet`] and it could be opened later.
    ///
    /// # Errors
    /// When there are no threads to be had.
    pub fn start(database: PathBuf, spool: PathBuf, report: fn(&str)) -> io::Result<(Self, Receiver<Known>)> {
        let (known, known_receiver) = sync_channel(2);
        let (end, ended) = channel();
        let shared = Arc::new(Shared::new(Spool::new(spool), Voice::new(report)));
        let writer = Writer::new(database.clone(), known, Arc::clone(&shared));
        let spooler = Spooler::new(Arc::clone(&shared));
        let caretaker = Caretaker::new(database, Arc::clone(&shared));
        start_thread("events", &end, move || writer.run_whatever_happens())?;
        start_thread("events-spool", &end, move || spooler.run_whatever_happens())?;
        start_thread("events-care", &end, move || caretaker.run_whatever_happens())?;
        Ok((Self { shared, ended: Mutex::new(ended) }, known_receiver))
    }

    /// Takes an entry to be written soon. False: there was no room, it is lost and counted.
    pub fn log(&self, entry: &Entry) -> bool {
        let (line, now) = (Line::of(entry), Instant::now());
        let mut state = self.shared.state();
        let due = state.backlog.spool_is_due_at(false);
        let is_taken = state.backlog.push(line, now);
        let is_due_sooner = due != state.backlog.spool_is_due_at(false);
        drop(state);
        if is_taken {
            self.shared.for_writer.notify_one();
            if is_due_sooner {
                self.shared.for_spooler.notify_one();
            }
            return true;
        }
        let lost = self.shared.gauges.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        let line = format!(
            "events are lost, {lost} so far: neither the database nor the spool takes them, and memory is full"
        );
        self.shared.voice.complain(Topic::Lost, &line);
        false
    }

    /// True the first time a key comes: also not when the database knew it already.
    #[must_use]
    pub fn is_new(&self, key: &str) -> bool {
        let now = u32::try_from(Timestamp::now().as_second()).unwrap_or(0);
        self.shared.seen.is_new(Fingerprint::of(key), now)
    }

    /// The counters now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let queued = self.shared.state().backlog.len() as u64;
        let gauges = &self.shared.gauges;
        Counters {
            queued,
            written: gauges.written.load(Ordering::Relaxed),
            dropped: gauges.dropped.load(Ordering::Relaxed),
            spooled: gauges.spooled.load(Ordering::Relaxed),
            repeated: gauges.repeated.load(Ordering::Relaxed),
            restarts: gauges.restarts.load(Ordering::Relaxed),
            connected: gauges.connected.load(Ordering::Relaxed),
        }
    }

    /// Writes what waits, for `limit` at most. Returns how many entries had to be left.
    #[must_use]
    pub fn close(&self, limit: Duration) -> u64 {
        let deadline = Instant::now() + limit;
        self.shared.state().deadline = Some(deadline);
        self.shared.wake_all();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // The threads drop their ends when they are through; nothing is ever sent.
        let _ = ended.recv_timeout(limit + Duration::from_millis(200));
        self.shared.state().backlog.len() as u64
    }
}

fn start_thread(name: &str, end: &Sender<()>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let end = end.clone();
    std::thread::Builder::new().name(name.into()).spawn(move || {
        work();
        drop(end);
    })?;
    Ok(())
}
