//! Telling all threads to end, wherever they wait.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::os::bell::Bell;

/// The wish that they end, and the news that one has failed. All copies are one.
#[derive(Debug, Clone)]
pub struct Stop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bell: Bell,
    deadline: OnceLock<Instant>,
    failed: Bell,
    has_failed: AtomicBool,
}

impl Stop {
    /// Nobody is to end yet.
    ///
    /// # Errors
    /// Those of eventfd(2).
    pub fn new() -> io::Result<Stop> {
        Ok(Stop(Arc::new(Inner {
            bell: Bell::new()?,
            deadline: OnceLock::new(),
            failed: Bell::new()?,
            has_failed: AtomicBool::new(false),
        })))
    }

    /// All are to end: what was written by now may still be delivered, for so long.
    pub fn ring(&self, patience: Duration) {
        let _ = self.0.deadline.set(Instant::now() + patience); // the first wish counts
        self.0.bell.ring();
    }

    /// Until when, if all are to end.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline.get().copied()
    }

    /// Is readable when all are to end.
    pub fn bell(&self) -> &Bell {
        &self.0.bell
    }

    /// A thread has failed.
    pub fn fail(&self) {
        self.0.has_failed.store(true, Ordering::Release);
        self.0.failed.ring();
    }

    /// Whether one has.
    pub fn has_failed(&self) -> bool {
        self.0.has_failed.load(Ordering::Acquire)
    }

    /// Is readable when one has.
    pub fn failed(&self) -> &Bell {
        &self.0.failed
    }
}
