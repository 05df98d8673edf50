//! What the logger did so far.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// A reading of the logger's counters; all count entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Waiting in memory.
    pub queued: u64,
    /// In the database.
    pub written: u64,
    /// Lost: there was no room, or the database refused the very row.
    pub dropped: u64,
    /// Put into the spool so far; those that the database has meanwhile are also counted as written.
    pub spooled: u64,
    /// Not written, because the database had them already.
    pub repeated: u64,
    /// How often a thread of the logger had to be restarted.
    pub restarts: u64,
    /// Can events be written, as far as the last attempt showed?
    pub connected: bool,
}

/// The counters themselves, shared between the handle and the threads.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) spooled: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) connected: AtomicBool,
}
