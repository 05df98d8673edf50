//! What is told of troubles: each kind at most once in ten seconds, however often it is met.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SILENCE: Duration = Duration::from_secs(10);

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// The database cannot be written.
    Away,
    /// The spool cannot be used.
    Spool,
    /// Events are lost.
    Lost,
    /// A thread met a defect.
    Defect,
    /// Damage and what was done about it.
    Damage,
}

const TOPICS: usize = 5;

pub(super) struct Voice {
    report: fn(&str),
    last: Mutex<[Option<Instant>; TOPICS]>,
}

impl Voice {
    pub(super) fn new(report: fn(&str)) -> Self {
        Self { report, last: Mutex::default() }
    }

    /// Tells it unless the same topic was told of a short while ago. True: it was told.
    pub(super) fn complain(&self, topic: Topic, line: &str) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = &mut last[topic as usize];
        if last.is_some_and(|last| last.elapsed() < SILENCE) {
            return false;
        }
        *last = Some(Instant::now());
        (self.report)(line);
        true
    }

    /// Tells it in any case: what happens once.
    pub(super) fn tell(&self, line: &str) {
        (self.report)(line);
    }
}
