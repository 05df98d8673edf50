//! The events database: one SQLite file that the webhook writes and the dashboards read.
//!
//! * [`Logger`] is the way in: bounded memory and threads behind it, so that whoever reports an
//!   event never waits for a disk, a lock or a missing folder.
//! * [`Reader`] is the way out: a read-only connection that notices when the file was replaced.
//! * [`queries`] holds every question that is asked of the file, each with its type of answer.
//! * [`migrate`] brings a file of the original system up to date: nothing in it is changed, only
//!   indexes and tables of ours are added, so one can go back at any time.
//! * [`upkeep`] is what the file needs from time to time, and what the command `events` does.
//! * [`repair`](repair()) is the answer to damage, which the writer gives by itself: the file is set aside, a new one
//!   goes on, and what can be read is copied back. [`diagnose`](diagnose()) tells what is the matter.
//!
//! Rules for all who open the file: one writing connection per process, short transactions, no read
//! transaction held while waiting for something else, values always bound, never spliced into SQL.

mod connection;
mod create;
mod diagnose;
mod error;
mod event;
mod file;
mod fingerprint;
mod ids;
mod integrity;
mod lock;
mod logger;
mod quarantine;
pub mod queries;
mod reader;
mod repair;
mod row;
mod salvage;
mod schema;
mod seen;
mod suspect;
pub mod upkeep;

pub use diagnose::{Diagnosis, diagnose};
pub use error::{Error, Trouble};
pub use event::{Delivered, DeliveryEnd, Entry, Kind, NewEvent, StoreText, Trigger};
pub use integrity::Damage;
pub use logger::{Counters, Known, Logger};
pub use reader::{Freshness, Reader};
pub use repair::{RepairOptions, RepairReport, repair};
pub use row::EventRow;
pub use rusqlite::Connection;
pub use salvage::{Pace, Progress, SalvageReport, TableReport};
pub use schema::{VERSION, migrate};
