//! The way into the database, for a process that must not wait for it.
//!
//! ```text
//!                              /--the thread for the database--> transactions of up to 500 entries
//! whoever reports --> backlog <                                        ^ taken over, in order, once
//!                              \--the thread for the spool-----> a file of JSON lines
//! ```
//! The backlog is in memory, bounded by count and by bytes; the spool is bounded by bytes. A database that is locked,
//! missing, damaged or full costs nobody but its own thread, which looks for it every second. Meanwhile the other
//! thread brings to disk what has waited for more than a moment, where a kill cannot reach it, or what has no room in
//! memory. What fits nowhere is dropped and counted. A third thread looks through the file from time to time and copies
//! back what can be read of a damaged one.
//!
//! Why two threads and one backlog, not a queue between them: only so the order is kept whatever fails. Each takes the
//! oldest entries, never both at a time, and gives back what it could not bring to safety; see `backlog`.

mod backlog;
mod batch;
mod caretaker;
mod counters;
mod handle;
mod line;
mod open;
mod shared;
mod spool;
mod spooler;
mod voice;
mod writer;

pub use counters::Counters;
pub use handle::{Known, Logger};
