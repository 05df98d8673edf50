//! What a drill found, as `dogwatch drill --json` prints it; and what a drill leaves to its guard.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::name::ServiceName;

/// A whole drill. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this shape.
    pub v: u32,
    /// Version of dogwatch.
    pub version: String,
    /// When it began, since 1970.
    pub began_unix_ms: u64,
    /// On a dogwatch of its own, made for the drill and gone by now.
    pub scratch: bool,
    /// The service that had to go on, if the address that was asked is that of one.
    pub service: Option<ServiceName>,
    /// What was asked for, again and again.
    pub url: String,
    /// How often.
    pub requests_per_second: u32,
    /// After so long without an answer a request has failed.
    pub timeout_ms: u64,
    /// Whoever asked had a processor before all others; else times include its own waits for one.
    pub asked_first: bool,
    /// No fault broke the promise.
    pub kept: bool,
    /// One for each fault, in the order in which they were done; the first is the time before any.
    pub rows: Vec<Row>,
}

/// One fault and what it did to the requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name, as `--only` takes it.
    pub fault: String,
    /// What was done.
    pub what: String,
    /// When it was done, since the drill began.
    pub at_ms: f64,
    /// How long it was watched.
    pub lasted_ms: f64,
    /// Requests begun in this time.
    pub requests: u64,
    /// Of these, those that were not answered, or not well.
    pub failed: u64,
    /// Half of the answers took no longer; null without an answer.
    pub p50_ms: Option<f64>,
    /// 99 of 100 answers took no longer.
    pub p99_ms: Option<f64>,
    /// `p99_ms` divided by that of the first row; null for the first row itself.
    pub p99_ratio: Option<f64>,
    /// The slowest answer.
    pub max_ms: Option<f64>,
    /// Numbered log lines of this time; null where nobody numbers them.
    pub lines: Option<Lines>,
    /// Until another process did the work; null if none had to, or none did.
    pub recovery_ms: Option<f64>,
    /// A process was stopped, nobody took its place for so long, and it was let go again.
    pub let_go_after_ms: Option<f64>,
    /// What it comes to.
    pub verdict: Verdict,
    /// What happened, one sentence each.
    pub sentences: Vec<String>,
}

/// What a fault showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The service did not notice.
    Kept,
    /// It did.
    Broken,
    /// The fault could not be done here; the sentences say why.
    NotShown,
}

/// What became of numbered lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// Whole lines in the log.
    pub found: u64,
    /// Numbers that are missing.
    pub lost: u64,
    /// Lines whose number has come before.
    pub doubled: u64,
    /// Pieces that are no line.
    pub torn: u64,
}

/// What must be undone when the drill is over, however it ends. Each can be undone twice, or without need.
///
/// A line of JSON each, from a drill to its guard: two processes of one program, started one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// A process was stopped and shall go on, at the latest after this time.
    LetGo {
        /// `PID TICKS BOOT`, as in lock files.
        process: String,
        /// From when the guard has read this.
        within_ms: u64,
    },
    /// A throw-away service shall be no more.
    Retire {
        /// Of the dogwatch whose keeper it has.
        folders: Folders,
        /// Which one.
        name: ServiceName,
    },
    /// A dogwatch that was made for the drill shall be no more.
    TakeDown {
        /// Its home.
        home: PathBuf,
    },
    /// A file system that was mounted for the drill.
    Unmount {
        /// Where.
        at: PathBuf,
    },
    /// A folder that was made for the drill.
    Remove {
        /// Which one.
        folder: PathBuf,
    },
}

/// The folders of one dogwatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders {
    /// What lives as long as the boot.
    pub run: PathBuf,
    /// What survives a reboot.
    pub state: PathBuf,
    /// dogwatch's own log.
    pub log: PathBuf,
}

impl Lines {
    /// Whether every line is there, once and whole.
    pub fn is_clean(&self) -> bool {
        (self.lost, self.doubled, self.torn) == (0, 0, 0)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Lines) -> Lines {
        Lines {
            found: self.found + other.found,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            torn: self.torn + other.torn,
        }
    }
}
