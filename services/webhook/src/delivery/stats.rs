//! What was delivered so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters, all since the start.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Every request that was tried.
    pub(super) attempted: AtomicU64,
    /// Items that the platform accepted.
    pub(super) successful: AtomicU64,
    /// Items that were given up.
    pub(super) failed: AtomicU64,
    /// Requests that were not the first for their item.
    pub(super) retries: AtomicU64,
    /// Triggers of recipients that started nothing, because a sequence of theirs was running or waiting.
    pub(super) skipped: AtomicU64,
}

/// A reading of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatsRead {
    pub(crate) attempted: u64,
    pub(crate) successful: u64,
    pub(crate) failed: u64,
    pub(crate) retries: u64,
    pub(crate) skipped: u64,
}

impl Stats {
    pub(super) fn read(&self) -> StatsRead {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatsRead {
            attempted: read(&self.attempted),
            successful: read(&self.successful),
            failed: read(&self.failed),
            retries: read(&self.retries),
            skipped: read(&self.skipped),
        }
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
