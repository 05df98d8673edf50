//! How a run ended, and why, in one sentence that is true.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::failure::StartFailure;
use super::memory::Over;
use super::moment::Now;
use super::signal::Signal;
use super::units::{millis, show_duration, show_size};

/// What the kernel said about the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It ended by itself with this code, 0 to 255.
    Code(i32),
    /// A signal ended it.
    Signal(Signal),
    /// Nobody could read the status: its keeper and the warden were replaced meanwhile.
    Unknown,
}

impl Exit {
    /// Whether it ended as a program that is done ends: by itself, with code 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(signal) => write!(f, "killed by {signal}"),
            Exit::Unknown => f.write_str("ended, exit status unknown (its keeper was replaced)"),
        }
    }
}

/// Why a run ended, or why there was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nobody asked for it.
    ByItself,
    /// `stop` or `down`.
    Stopped,
    /// `restart` or `reload`.
    Restarted,
    /// Over its memory limit.
    Memory(Over),
    /// It did not become ready in time.
    NotReady {
        /// The time it had.
        #[serde(with = "millis")]
        timeout: Duration,
    },
    /// It could not be started at all.
    StartFailed(StartFailure),
}

/// What the kernel's out-of-memory killer has done to a run (cgroup-v2.rst, memory.events).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oom {
    /// The run hit its own wall of this many bytes.
    OwnWall(u64),
    /// Its compartment, or the machine, had no memory left.
    Elsewhere,
}

/// The end of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Which run, counted from 1.
    pub run: u64,
    /// Why.
    pub why: Why,
    /// What the kernel said; absent if there was no process.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// The kernel killed it for want of memory; known where there is a memory controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom: Option<Oom>,
    /// SIGKILL was needed: the graceful signal was not obeyed in time, or memory went on growing meanwhile.
    #[serde(default)]
    pub forced: bool,
    /// The next run served before this one was asked to end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
    /// How long the process lived, milliseconds.
    pub lived_ms: u64,
    /// When, milliseconds since 1970; for display.
    pub at_unix_ms: u64,
}

impl End {
    /// The end of a run that could not be started at all.
    pub fn of_failure(run: u64, failure: StartFailure, now: Now) -> End {
        End {
            run,
            why: Why::StartFailed(failure),
            exit: None,
            oom: None,
            forced: false,
            replaced: false,
            lived_ms: 0,
            at_unix_ms: now.unix_ms,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forced = if self.forced { ", killed because it did not stop in time" } else { "" };
        match (&self.why, self.exit) {
            (Why::StartFailed(failure), _) => write!(f, "{failure}"),
            (Why::ByItself, Some(_)) if self.oom.is_some() => match self.oom {
                Some(Oom::OwnWall(wall)) => {
                    write!(f, "out of memory: killed by the kernel at its wall of {}", show_size(wall))
                }
                _ => f.write_str("out of memory: killed by the kernel, because its compartment or the machine had none left"),
            },
            (Why::ByItself, Some(exit)) => write!(f, "{exit}"),
            (Why::ByItself, None) => write!(f, "{}", Exit::Unknown),
            (Why::Stopped, _) => write!(f, "stopped on request{forced}"),
            (Why::Restarted, _) if self.replaced => write!(f, "reloaded on request{forced}"),
            (Why::Restarted, _) => write!(f, "restarted on request{forced}"),
            (Why::Memory(over), _) => {
                let forced = if over.grew_on { "" } else { forced };
                let replaced = if self.replaced { "; replaced without a gap" } else { "" };
                write!(f, "{over}{forced}{replaced}")
            }
            (Why::NotReady { timeout }, _) => {
                write!(f, "not ready within {}{forced}", show_duration(*timeout))
            }
        }
    }
}
