//! The thread for the spool: what waits too long, or has no room to wait, goes to disk.
//!
//! It is a thread of its own because the one for the database may stand still for seconds, in a lock or in the repair
//! of a damaged file, while thousands of events come in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::backlog::Waiting;
use super::shared::{Shared, wait};
use super::voice::Topic;

/// How many entries go to disk together.
const BATCH: usize = 2_000;
/// Between two attempts to write a spool that cannot be written.
const RETRY: Duration = Duration::from_secs(1);
/// At the end there is no time for that.
const LAST_RETRY: Duration = Duration::from_millis(50);

pub(super) struct Spooler {
    shared: Arc<Shared>,
    hand: Vec<Waiting>,
}

impl Spooler {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, hand: Vec::new() }
    }

    /// Runs to the end; a defect in between costs nothing that it has in hand.
    pub(super) fn run_whatever_happens(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            if !self.hand.is_empty() {
                self.give_back();
            }
            self.shared.gauges.restarts.fetch_add(1, Ordering::Relaxed);
            self.shared.voice.complain(Topic::Defect, "the events spool met a defect and was started again");
            self.shared.rest(&self.shared.for_spooler, RETRY);
        }
    }

    fn run(&mut self) {
        while self.take() {
            if !self.put() {
                let time = if self.shared.is_ending() { LAST_RETRY } else { RETRY };
                self.shared.rest(&self.shared.for_spooler, time);
            }
        }
    }

    /// Waits until something must go to the spool. False: it is over.
    fn take(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        loop {
            let now = Instant::now();
            if state.is_over(now) {
                return false;
            }
            let hurried = state.spool_at_once();
            if let Some(taken) = state.backlog.take_for_spool(BATCH, now, hurried) {
                self.hand = taken;
                return true;
            }
            let due = state.backlog.spool_is_due_at(hurried).or(state.deadline);
            let time = due.map_or(Duration::MAX, |due| due.saturating_duration_since(now));
            state = wait(&shared.for_spooler, state, time);
        }
    }

    /// False: not all of it could be written.
    fn put(&mut self) -> bool {
        let appended = self.shared.spool().append(self.hand.iter().map(|waiting| &waiting.line));
        let safe = match &appended {
            Ok(appended) => appended.count,
            Err(_) => 0,
        };
        let rest = self.hand.split_off(safe);
        let is_whole = rest.is_empty();
        self.shared.gauges.spooled.fetch_add(safe as u64, Ordering::Relaxed);
        let mut state = self.shared.state();
        state.backlog.is_safe(&self.hand);
        state.backlog.give_back(rest);
        self.hand.clear();
        drop(state);
        // There is something to take over, or to take.
        self.shared.for_writer.notify_one();
        match appended {
            Ok(appended) => {
                if let Some(aside) = appended.set_aside {
                    self.shared.voice.tell(&format!(
                        "the spool of events could not be understood: it was set aside as {}, and a new one begun",
                        aside.display()
                    ));
                }
                if !is_whole {
                    self.complain("it is full");
                }
            }
            Err(error) => self.complain(&error.to_string()),
        }
        is_whole
    }

    fn complain(&self, why: &str) {
        let line = format!("events wait in memory: the spool cannot be written: {why}");
        self.shared.voice.complain(Topic::Spool, &line);
    }

    fn give_back(&mut self) {
        let hand = std::mem::take(&mut self.hand);
        self.shared.state().backlog.give_back(hand);
        self.shared.for_writer.notify_one();
    }
}
