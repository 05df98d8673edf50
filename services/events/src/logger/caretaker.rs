//! The thread that looks after the file: is it whole, and is there anything to be copied back from a damaged one?
//!
//! It replaces nothing itself. Like any reader it leaves a note when it finds damage, and the writer looks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::shared::{Shared, wait};
use super::voice::Topic;
use crate::integrity::{self, Finding};
use crate::salvage::{self, Pace, Progress};
use crate::{Error, suspect};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Larger files are looked through only when somebody asks for it.
const LARGEST: u64 = 1 << 30;
/// A check of that size on a slow disk.
const CHECK_TIME: Duration = Duration::from_secs(10 * 60);
/// Before what failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

pub(super) struct Caretaker {
    database: PathBuf,
    shared: Arc<Shared>,
    next_check: Instant,
    /// The last salvage is to be tried again.
    unfinished: bool,
}

impl Caretaker {
    pub(super) fn new(database: PathBuf, shared: Arc<Shared>) -> Self {
        Self { database, shared, next_check: Instant::now(), unfinished: false }
    }

    pub(super) fn run_whatever_happens(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            self.shared.gauges.restarts.fetch_add(1, Ordering::Relaxed);
            self.shared.voice.complain(Topic::Defect, "the care of the events database met a defect");
            self.shared.rest(&self.shared.for_caretaker, RETRY);
        }
    }

    fn run(&mut self) {
        while !self.shared.is_ending() {
            let mut again = self.next_check.saturating_duration_since(Instant::now());
            if again.is_zero() {
                again = DAY;
                self.next_check = Instant::now() + DAY;
                self.check();
            }
            let wanted = std::mem::take(&mut self.shared.state().salvage);
            if wanted || self.unfinished {
                self.unfinished = !self.salvage();
                again = if self.unfinished { again.min(RETRY) } else { again };
            }
            self.wait(again);
        }
    }

    /// Until then, or until there is something to be copied back.
    fn wait(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.shared.state();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.deadline.is_some() || state.salvage {
                return;
            }
            state = wait(&self.shared.for_caretaker, state, left);
        }
    }

    fn check(&self) {
        let length = std::fs::metadata(&self.database).map_or(0, |about| about.len());
        if length == 0 || length > LARGEST {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let found = integrity::check(&self.database, CHECK_TIME, move || shared.is_ending());
        // What cannot be opened is the writer's trouble, and told by it.
        if let Ok(Finding::Damaged(_)) = found {
            suspect::mark(&self.database);
        }
    }

    /// Copies back all that waits for it. False: it is to be tried again.
    fn salvage(&self) -> bool {
        for todo in salvage::todo(&self.database) {
            match salvage::run(&self.database, &todo, &mut |progress| self.pace(progress)) {
                Ok(Some(report)) => self.shared.voice.tell(&report.to_string()),
                Ok(None) => {}
                Err(Error::Stopped) => return true,
                Err(error) => {
                    let line = format!("copying back from {} waits: {error}", todo.damaged().display());
                    self.shared.voice.complain(Topic::Damage, &line);
                    return false;
                }
            }
        }
        true
    }

    /// A rest as long as the work before it: the writer has at least half of the time.
    fn pace(&self, progress: Progress) -> Pace {
        let Progress::Copying { busy, .. } = progress else { return Pace::GoOn };
        let is_ending = self.shared.rest(&self.shared.for_caretaker, busy);
        if is_ending { Pace::Stop } else { Pace::GoOn }
    }
}
