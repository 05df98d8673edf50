//! What the threads of the logger and those who report share.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::backlog::{Backlog, Work};
use super::counters::Gauges;
use super::spool::Spool;
use super::voice::Voice;
use crate::seen::Seen;

/// Locks are taken in this order: `spool`, then `state`. Nobody touches a file while holding `state`.
pub(super) struct Shared {
    pub(super) gauges: Gauges,
    pub(super) seen: Seen,
    pub(super) voice: Voice,
    spool: Mutex<Spool>,
    state: Mutex<State>,
    /// Something changed that the thread for the database waits for …
    pub(super) for_writer: Condvar,
    /// … that for the spool …
    pub(super) for_spooler: Condvar,
    /// … and the caretaker.
    pub(super) for_caretaker: Condvar,
}

pub(super) struct State {
    pub(super) backlog: Backlog,
    /// Until when to go on, once the end was asked for.
    pub(super) deadline: Option<Instant>,
    /// The last attempt to write to the database failed.
    pub(super) away: bool,
    /// There may be rows to be copied back from a damaged file.
    pub(super) salvage: bool,
}

impl State {
    /// At the end nobody waits for a database that is away.
    pub(super) fn spool_at_once(&self) -> bool {
        self.away && self.deadline.is_some()
    }

    /// The end was asked for, and all is safe or the time is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| self.backlog.len() == 0 || deadline <= now)
    }
}

impl Shared {
    pub(super) fn new(spool: Spool, voice: Voice) -> Self {
        Self {
            gauges: Gauges::default(),
            seen: Seen::default(),
            voice,
            spool: Mutex::new(spool),
            state: Mutex::new(State { backlog: Backlog::new(), deadline: None, away: false, salvage: true }),
            for_writer: Condvar::new(),
            for_spooler: Condvar::new(),
            for_caretaker: Condvar::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes everybody: the end is asked for, or the order of things changed.
    pub(super) fn wake_all(&self) {
        self.for_writer.notify_all();
        self.for_spooler.notify_all();
        self.for_caretaker.notify_all();
    }

    /// Waits for work for the database, for `patience` at most.
    pub(super) fn wait_for_work(&self, batch: usize, patience: Duration) -> Work {
        let until = Instant::now() + patience;
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let work = state.backlog.work(batch, now, state.deadline.is_some());
            let Work::Later(at) = work else { return work };
            if now >= until || state.is_over(now) {
                return work;
            }
            let next = at.map_or(until, |at| at.min(until));
            state = wait(&self.for_writer, state, next.saturating_duration_since(now));
        }
    }

    /// Waits for `time`, less if the end is asked for meanwhile. True: the end was asked for.
    pub(super) fn rest(&self, on: &Condvar, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.state();
        let was_ending = state.deadline.is_some();
        loop {
            let now = Instant::now();
            let is_ending = state.deadline.is_some();
            if now >= until || is_ending != was_ending || state.is_over(now) {
                return is_ending;
            }
            state = wait(on, state, until.saturating_duration_since(now));
        }
    }

    /// Was the end asked for?
    pub(super) fn is_ending(&self) -> bool {
        self.state().deadline.is_some()
    }
}

pub(super) fn wait<'a>(on: &Condvar, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
    on.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
}
