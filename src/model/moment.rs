//! Points in time, passed in from the edges.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A reading of CLOCK_MONOTONIC in nanoseconds. It is the same for all processes of one boot, so it may
/// stand in a state record, and it never jumps with the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// This moment and `duration` later; stays at the end of time instead of overflowing.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Both clocks at once: the monotonic one for decisions, the wall clock only for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For every deadline and every decision.
    pub mono: Moment,
    /// Milliseconds since 1970, only ever shown.
    pub unix_ms: u64,
}
