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
//! While one run replaces another without a gap there is a second process beside that of the phase ([`Beside`]):
//!
//! ```text
//!   Online, run 3 -- Reload --> Online, run 3, beside it run 4 Starting
//!                                  |          |                |
//!                      run 3 ended |          | run 4 is ready | run 4 ended, or is not ready in time
//!                                  v          v                v
//!        Starting, run 4, alone again    Online, run 4,    Online, run 3, beside it run 4 Failing until it is gone
//!                                        beside it run 3 Draining until it is gone
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

/// The second process, while one run replaces another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beside {
    /// The machine asked for the spawn of the next run and waits for the answer.
    Spawning {
        /// Why the old run shall be replaced.
        why: Why,
    },
    /// The next run is not ready yet; the old one serves.
    Starting {
        /// The process.
        run: Run,
        /// When patience ends: alive long enough, or not ready in time.
        deadline: Moment,
        /// Why the old run shall be replaced.
        why: Why,
    },
    /// The next run shall not take over; the old one goes on.
    Failing {
        /// The process.
        run: Run,
        /// SIGKILL was sent.
        forced: bool,
        /// Why it shall not.
        why: Why,
    },
    /// The next run has taken over; the old one finishes what it has begun.
    Draining {
        /// The process.
        run: Run,
        /// When SIGKILL follows.
        kill_at: Moment,
        /// SIGKILL was sent.
        forced: bool,
        /// Why it was replaced.
        why: Why,
    },
}

impl Beside {
    /// Its process, if there is one already.
    pub fn run(&self) -> Option<Run> {
        match self {
            Beside::Spawning { .. } => None,
            Beside::Starting { run, .. } | Beside::Failing { run, .. } | Beside::Draining { run, .. } => {
                Some(*run)
            }
        }
    }

    /// Whether it shall take over.
    pub fn is_successor(&self) -> bool {
        matches!(self, Beside::Spawning { .. } | Beside::Starting { .. })
    }

    fn deadline(&self) -> Option<Moment> {
        match self {
            Beside::Starting { deadline, .. } => Some(*deadline),
            Beside::Failing { forced: false, .. } => Some(Moment::default()), // at once
            Beside::Draining { kill_at, forced: false, .. } => Some(*kill_at),
            Beside::Spawning { .. } | Beside::Failing { .. } | Beside::Draining { .. } => None,
        }
    }
}

/// A run that should have taken over and did not, while the old one goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its end.
    pub end: End,
    /// Memory over its limit alone is no reason to try again before this.
    pub not_before: Moment,
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
    /// All of them.
    pub const ALL: [State; 7] = [
        State::Starting,
        State::Online,
        State::Stopping,
        State::Stopped,
        State::BackingOff,
        State::CrashLoop,
        State::Failed,
    ];

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
    /// The second process, while one run replaces another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// It shall be replaced once more, when the present replacement is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// The latest replacement that did not work, while the run that was to be replaced goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

impl Instance {
    /// The state to show.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Stopped if self.beside.is_some() => State::Stopping,
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

    /// Both living processes, the one of the phase first.
    pub fn living(&self) -> impl Iterator<Item = Run> {
        self.run().into_iter().chain(self.beside.as_ref().and_then(Beside::run))
    }

    /// Whether a run shall be replaced and is not yet.
    pub fn is_being_replaced(&self) -> bool {
        self.again || self.beside.as_ref().is_some_and(Beside::is_successor)
    }

    /// When the machine wants to be asked again, even if nothing happens before.
    pub fn deadline(&self) -> Option<Moment> {
        let beside = self.beside.as_ref().and_then(Beside::deadline);
        self.phase.deadline().into_iter().chain(beside).min()
    }
}

impl Phase {
    /// When it is over by itself.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match self {
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
