//! The events database: one SQLite file that the webhook writes and the dashboards read.
//!
//! * [`Logger`] is the way in: a bounded queue and one writing thread, so that whoever reports an
//!   event never waits for a disk, a lock or a missing folder.
//! * [`Reader`] is the way out: a read-only connection that notices when the file was replaced.
//! * [`queries`] holds every question that is asked of the file, each with its type of answer.
//! * [`migrate`] brings a file of the original system up to date: nothing in it is changed, only
//!   indexes and tables of ours are added, so one can go back at any time.
//! * [`upkeep`] is what the file needs from time to time, and what the command `events` does.
//!
//! Rules for all who open the file: one writing connection per process, short transactions, no read
//! transaction held while waiting for something else, values always bound, never spliced into SQL.

mod connection;
mod error;
mod event;
mod file;
mod lock;
mod logger;
mod quarantine;
pub mod queries;
mod reader;
mod row;
mod schema;
pub mod upkeep;

pub use error::{Error, Trouble};
pub use event::{Entry, Kind, NewEvent, StoreText, Trigger};
pub use logger::{Counters, Known, Logger, fingerprint};
pub use reader::{Freshness, Reader};
pub use row::EventRow;
pub use rusqlite::Connection;
pub use schema::{VERSION, migrate};
