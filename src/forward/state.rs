//! Tells everybody how a sink is: a small file in the run folder, replaced when it is news, but not too often.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::os::file;
use crate::wire::sinks::SinkState;

/// News that are only numbers come no oftener.
const PACE: Duration = Duration::from_millis(500);

/// The file.
#[derive(Debug)]
pub struct Teller {
    path: PathBuf,
    told: SinkState,
    at: Option<Instant>,
    /// There may be news that it was too early for.
    pending: bool,
}

impl Teller {
    /// Nothing has been told yet.
    pub fn new(path: PathBuf) -> Teller {
        Teller { path, told: SinkState::default(), at: None, pending: false }
    }

    /// Whether it is time for news. If not, it is remembered that there may be some.
    pub fn is_time(&mut self, now: Instant) -> bool {
        self.pending = self.at.is_some_and(|at| now < at + PACE);
        !self.pending
    }

    /// Until it is time for news that there may be.
    pub fn due(&self, now: Instant) -> Option<Duration> {
        let at = self.at.filter(|_| self.pending)?;
        Some((at + PACE).saturating_duration_since(now))
    }

    /// Tells it, if it is news. What cannot be told is told the next time.
    pub fn tell(&mut self, state: SinkState, now: Instant) {
        if state != self.told && file::replace(&self.path, &state.encode(), false).is_ok() {
            self.told = state;
        }
        (self.at, self.pending) = (Some(now), false);
    }
}
