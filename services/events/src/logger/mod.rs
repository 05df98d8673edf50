//! The way into the database, for a process that must not wait for it.
//!
//! ```text
//! whoever reports --try_send--> bounded queue --> one writing thread --> transactions of up to 500 entries
//!                                                        \-- database away --> spool, taken over later
//! ```
//! The queue is bounded by count and by bytes, the spool by bytes. A database that is locked, missing
//! or full costs nobody but this thread: it looks for it every second, and what comes meanwhile waits
//! on disk, where a kill cannot reach it. What fits nowhere is dropped and counted.

mod batch;
mod counters;
mod handle;
mod spool;
mod thread;

pub use counters::Counters;
pub use handle::{Known, Logger};

use std::hash::{DefaultHasher, Hash, Hasher};

/// A key in eight bytes, for a gate that must remember many. The same within one process only.
#[must_use]
pub fn fingerprint(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
