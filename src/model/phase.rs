//! What an instance is doing, and what is remembered about it.
//!
//! ```text
//!              Start                       Ready, or alive long enough
//!   Stopped ---------> (spawn) -> Starting ------------------------> Online
//!      ^                  ^          |  |                               |
//!      |                  |          |  +--- Exited, by itself ---------+
//!      |           due    |          |                                  v
//!      |                  +------------------------------------- BackingOff
//!      |                             | Stop, Restart, memory,           |
//!      |                             v not ready in time                | given up, or policy says no
//!      +----- Exited ----------- Stopping --- Exited ---> (spawn)       v
//!      +--------------------------------------------------- Stop --- Failed
//! ```
//!
//! Three things are kept apart: the *goal* (what the operator wants), the *phase* (what is), and the *why* of
//! the last end. When wishes compete: a stop outranks a restart, a restart outranks back-off, and a memory
//! limit or a missing readiness never outranks a stop that is under way.

use serde::{Deserialize, Serialize};

use super::end::{End, Why};
use super::moment::Moment;

/// What the operator wants; survives crash and reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// It shall run.
    #[default]
    Up,
    /// It shall not.
    Down,
}

/// One living process and what identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Counted from 1 over the life of the service, never reused: it names the run's FIFOs and cgroup.
    pub number: u64,
    /// The main process.
    pub pid: i32,
    /// Its start time in clock ticks, field 22 of /proc/PID/stat: with the boot id this identifies it.
    pub ticks: u64,
    /// When it was started.
    pub started: Moment,
}

/// What an instance is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing runs, and nothing shall.
    #[default]
    Stopped,
    /// Nothing runs although it should: given up, or the policy says that this ending is final.
    Failed,
    /// The machine asked for a spawn and waits for the answer.
    Spawning {
        /// It was asked to stop meanwhile.
        stop: bool,
    },
    /// It runs but is not ready yet.
    Starting {
        /// The process.
        run: Run,
        /// When patience ends: alive long enough, or not ready in time.
        deadline: Moment,
    },
    /// It runs and is ready.
    Online {
        /// The process.
        run: Run,
    },
    /// It was asked to end.
    Stopping {
        /// The process.
        run: Run,
        /// When SIGKILL follows.
        kill_at: Moment,
        /// SIGKILL was sent.
        forced: bool,
        /// Why it was asked.
        why: Why,
        /// What comes after.
        then: Then,
    },
    /// It waits for its next start.
    BackingOff {
        /// When that is.
        until: Moment,
    },
}

/// What follows a requested end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Nothing.
    Stay,
    /// A new start, at once.
    Start,
    /// A new start after the restart rule's delay: the end counts as a failure.
    BackOff,
}

/// The state shown to people and scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Running, not ready yet.
    Starting,
    /// Running and ready.
    Online,
    /// Asked to end.
    Stopping,
    /// Not running, as wanted.
    Stopped,
    /// Waiting for the next start.
    BackingOff,
    /// As backing-off, after [`CRASH_LOOP`] unstable starts in a row.
    CrashLoop,
    /// Not running, and not going to by itself.
    Failed,
}

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Online => "online",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
            State::BackingOff => "backing-off",
            State::CrashLoop => "crash-loop",
            State::Failed => "failed",
        }
    }
}

/// Unstable starts in a row after which a service is said to be in a crash loop.
pub const CRASH_LOOP: u32 = 5;

/// Everything the machine remembers of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Instance {
    /// What it is doing.
    pub phase: Phase,
    /// The number of the latest run.
    #[serde(default)]
    pub runs: u64,
    /// Starts that nobody asked for, since the last start on request.
    #[serde(default)]
    pub restarts: u64,
    /// Starts in a row that did not become stable.
    #[serde(default)]
    pub unstable: u32,
    /// The last restart that waited for nothing.
    #[serde(default)]
    pub last_immediate: Option<Moment>,
    /// How the latest finished run ended.
    #[serde(default)]
    pub last_end: Option<End>,
}

impl Instance {
    /// The state to show.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Stopped => State::Stopped,
            Phase::Failed => State::Failed,
            Phase::Spawning { .. } | Phase::Starting { .. } => State::Starting,
            Phase::Online { .. } => State::Online,
            Phase::Stopping { .. } => State::Stopping,
            Phase::BackingOff { .. } if self.unstable >= CRASH_LOOP => State::CrashLoop,
            Phase::BackingOff { .. } => State::BackingOff,
        }
    }

    /// The living process, if there is one.
    pub fn run(&self) -> Option<Run> {
        match &self.phase {
            Phase::Starting { run, .. } | Phase::Online { run } | Phase::Stopping { run, .. } => Some(*run),
            Phase::Stopped | Phase::Failed | Phase::Spawning { .. } | Phase::BackingOff { .. } => None,
        }
    }

    /// When the machine wants to be asked again, even if nothing happens before.
    pub fn deadline(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Starting { deadline, .. } => Some(*deadline),
            Phase::Stopping { kill_at, forced: false, .. } => Some(*kill_at),
            Phase::BackingOff { until } => Some(*until),
            Phase::Stopping { .. }
            | Phase::Stopped
            | Phase::Failed
            | Phase::Spawning { .. }
            | Phase::Online { .. } => None,
        }
    }
}
