//! What a service is doing, as keepers tell it and as the API and `--json` show it.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::end::End;
use crate::model::name::ServiceName;
use crate::model::phase::{Goal, State};

/// One service, now. Times are milliseconds, sizes bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Version of this shape.
    pub v: u32,
    /// Its name.
    pub name: ServiceName,
    /// Its compartment.
    pub compartment: String,
    /// Whether its work outranks all.
    pub critical: bool,
    /// What the operator wants.
    pub goal: Goal,
    /// What is.
    pub state: State,
    /// Main process, while there is one.
    pub pid: Option<i32>,
    /// Number of the latest run, counted from 1.
    pub run: u64,
    /// Since the main process was started.
    pub uptime_ms: Option<u64>,
    /// Starts that nobody asked for, since the last start on request.
    pub restarts: u64,
    /// Starts in a row that did not become stable.
    pub unstable: u32,
    /// Until the next start, while backing off.
    pub next_start_ms: Option<u64>,
    /// How the latest finished run ended, in one sentence.
    pub reason: Option<String>,
    /// What to do about it, where more is known than the reason.
    #[serde(default)]
    pub hint: Option<String>,
    /// The same in parts.
    pub last_end: Option<End>,
    /// Resident memory of the whole tree.
    pub memory_bytes: Option<u64>,
    /// The limit in force.
    pub memory_limit_bytes: Option<u64>,
    /// CPU of the whole tree since the last look, percent of one core.
    pub cpu_percent: Option<f64>,
    /// Processes in the tree.
    pub processes: Option<u32>,
    /// Sockets that dogwatch listens on for it.
    pub listen: Vec<SocketAddr>,
    /// argv.
    pub command: Vec<String>,
    /// Working folder.
    pub cwd: PathBuf,
    /// User it runs as; absent: dogwatch's own.
    pub user: Option<String>,
    /// File of its standard output.
    pub log_out: PathBuf,
    /// File of its standard error.
    pub log_error: PathBuf,
    /// Its keeper's process.
    pub keeper_pid: i32,
    /// Fingerprint of the entry it runs with.
    pub fingerprint: u64,
    /// Its entry in ecosystem.toml differs from what it runs with; filled in by the control plane.
    #[serde(default)]
    pub changed: bool,
    /// A memory limit was set on the command line and stands until the next restart from the file.
    #[serde(default)]
    pub limit_overridden: bool,
}

/// What became of a start or a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is online.
    Up,
    /// A run since then ended, or could not be started.
    Failed,
    /// Neither yet.
    NotYet,
}

impl ServiceStatus {
    /// Whether a start is over, when the runs up to `before` belong to the past (0: any run counts).
    #[must_use]
    pub fn settled(&self, before: u64) -> Settled {
        let ended_since =
            self.last_end.as_ref().is_some_and(|end| end.run > before && self.state != State::Starting);
        match self.state {
            State::Online if self.run > before => Settled::Up,
            State::Failed | State::BackingOff | State::CrashLoop if ended_since || self.run > before => {
                Settled::Failed
            }
            State::Stopped if self.goal == Goal::Down => Settled::Failed,
            State::Stopped if ended_since => Settled::Failed,
            _ if ended_since && self.run > before + 1 => Settled::Failed,
            _ => Settled::NotYet,
        }
    }
}
