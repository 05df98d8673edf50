//! The side of the logger that everyone else holds.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::counters::{Counters, Gauges};
use super::thread;
use crate::Entry;

const QUEUE_ENTRIES: usize = 10_000;
const QUEUE_BYTES: usize = 16 << 20;

/// What waits in the queue.
pub(super) enum Message {
    Entry(Entry),
    /// Nothing to write: look at the deadline.
    Wake,
}

/// What the writing thread finds out about the keys that the database knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// The database is away; the keys come when it is back.
    NotYet,
    /// The [`fingerprint`](super::fingerprint)s of all of them, oldest first. Comes once.
    Keys(Vec<u64>),
}

/// Where events go.
pub(super) struct Places {
    pub(super) database: PathBuf,
    pub(super) spool: PathBuf,
}

/// What both sides look at.
pub(super) struct Shared {
    pub(super) gauges: Gauges,
    /// Until when to go on, once the end was asked for.
    pub(super) deadline: Mutex<Option<Instant>>,
    pub(super) deadline_set: Condvar,
}

/// Takes events and never waits.
pub struct Logger {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    ended: Mutex<Receiver<()>>,
}

impl Logger {
    /// Starts the writing thread for the database, which may not exist yet, and the spool, where
    /// events wait while the database is away. `report` is called from that thread with one line when
    /// something goes wrong or is well again.
    ///
    /// The receiver gets one [`Known`] after the first attempt to open the database, and a second when
    /// the first was [`Known::NotYet`] and it could be opened later.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(database: PathBuf, spool: PathBuf, report: fn(&str)) -> io::Result<(Self, Receiver<Known>)> {
        let (queue, messages) = sync_channel(QUEUE_ENTRIES);
        let (seen, seen_receiver) = sync_channel(2);
        let (end, ended) = sync_channel(1);
        let shared = Arc::new(Shared {
            gauges: Gauges::default(),
            deadline: Mutex::new(None),
            deadline_set: Condvar::new(),
        });
        let writer =
            thread::Writer::new(Places { database, spool }, messages, seen, Arc::clone(&shared), report);
        std::thread::Builder::new().name("events".into()).spawn(move || {
            writer.run_whatever_happens();
            drop(end);
        })?;
        Ok((Self { queue, shared, ended: Mutex::new(ended) }, seen_receiver))
    }

    /// Takes an entry to be written soon. False: there was no room, it is lost and counted.
    pub fn log(&self, entry: Entry) -> bool {
        let gauges = &self.shared.gauges;
        let weight = entry.weight();
        let bytes = gauges.queued_bytes.fetch_add(weight, Ordering::Relaxed);
        // Counted before it is sent, so that the thread never takes away what was not yet added.
        gauges.queued.fetch_add(1, Ordering::Relaxed);
        if bytes + weight <= QUEUE_BYTES && self.queue.try_send(Message::Entry(entry)).is_ok() {
            return true;
        }
        gauges.queued_bytes.fetch_sub(weight, Ordering::Relaxed);
        gauges.queued.fetch_sub(1, Ordering::Relaxed);
        gauges.dropped.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// The counters now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let gauges = &self.shared.gauges;
        Counters {
            queued: gauges.queued.load(Ordering::Relaxed),
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
        *self.shared.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.shared.deadline_set.notify_all();
        // A full queue keeps the thread awake anyway.
        let _ = self.queue.try_send(Message::Wake);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // The thread drops its end when it is through; nothing is ever sent.
        let _ = ended.recv_timeout(limit + Duration::from_millis(200));
        self.shared.gauges.queued.load(Ordering::Relaxed)
    }
}
