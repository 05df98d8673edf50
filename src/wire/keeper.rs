//! Between a keeper and whoever asks it: control plane, warden, command line.
//!
//! One JSON object per packet on a SOCK_SEQPACKET unix socket. A request is answered by exactly one
//! [`Reply`]; `watch` and `hold` turn the connection into a stream of [`Reply`]s until either side closes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::status::ServiceStatus;

/// The names in the folder of a run: FIFO and stage of standard output, then of standard error. Under
/// `RUN/NAME` they are held.
pub const FIFOS: [&str; 4] = ["out.fifo", "out.stage", "err.fifo", "err.stage"];

/// A key under which dogwatch's end of a service's view (see [`super::view`]) is held, without the number of the run.
const VIEW: &str = "view.";

/// The key of the view of that run. A run never gets the view of another one: what was asked by one is never answered
/// to the next.
pub fn view_key(run: u64) -> String {
    format!("{VIEW}{run}")
}

/// The run whose view is held under `key`; none if it is the key of something else.
pub fn run_of_view(key: &str) -> Option<u64> {
    key.strip_prefix(VIEW)?.parse().ok()
}

/// A request with its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The version in which `op` came into being.
    pub v: u32,
    /// What is asked.
    pub op: Op,
}

impl Request {
    /// A request that every keeper understands which knows the operation at all.
    pub fn new(op: Op) -> Request {
        let v = match op {
            Op::Status
            | Op::Ping
            | Op::Start
            | Op::Up
            | Op::Stop
            | Op::Restart
            | Op::Reload
            | Op::Reread
            | Op::Retire
            | Op::Flush
            | Op::Reopen
            | Op::Watch
            | Op::Hold
            | Op::Orphan { .. }
            | Op::Exec { .. } => 1,
        };
        Request { v, op }
    }
}

/// What can be asked of a keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// Answers [`Reply::Status`].
    Status,
    /// Does the loop turn? Answers [`Reply::Done`]; one that does not know the word answers too.
    Ping,
    /// Sets the goal up and starts; answers [`Reply::Done`].
    Start,
    /// Sets the goal up and starts what has not run yet; what has done its work in this boot, or is being tried
    /// again and again, is left as it is. Answers [`Reply::Done`].
    Up,
    /// Sets the goal down and stops; answers [`Reply::Done`] at once, the stop goes on.
    Stop,
    /// Sets the goal up, stops and starts anew with the spec on disk; answers [`Reply::Done`].
    Restart,
    /// Sets the goal up and starts a run with the spec that was left for it (`spec.next.json`), or the present one, beside
    /// the one that serves, which is stopped when the new one is ready. Where that cannot be, as [`Op::Restart`], with a
    /// note. Answers [`Reply::Done`] at once; [`Reply::Error`] if a reload is under way.
    Reload,
    /// Reads spec.json again: limits, restart, stop and log rules hold at once, the rest from the next start.
    Reread,
    /// Stops the service, leaves the goal alone, removes the spec and ends the keeper with code 0; answers
    /// [`Reply::Done`].
    Retire,
    /// Moves both log files to the archive; answers [`Reply::Done`] when new, empty ones are there.
    Flush,
    /// Opens the log files by their names again, for whatever tool has moved them away; answers [`Reply::Done`] when
    /// nothing more goes into the old ones.
    Reopen,
    /// From now on a [`Reply::Status`] at every change of state, the first at once.
    Watch,
    /// From now on [`Reply::Hold`] (with the descriptors attached) and [`Reply::Release`]: the asker keeps the
    /// content of FIFOs and sockets alive when the keeper dies. The control plane attaches its dead man's switch, where
    /// it has one.
    Hold,
    /// What the warden knows of an orphan's end; sent by the warden, not answered.
    Orphan {
        /// The process.
        pid: i32,
        /// Its wait status as in wait(2).
        status: i32,
    },
    /// Become that program, with all that is held. Answered with [`Reply::Later`] while one run takes over from another,
    /// with [`Reply::Error`] if it is put off; else the connection closes, and who connects again speaks to the new
    /// program.
    Exec {
        /// Absolute path.
        program: PathBuf,
    },
}

/// What a keeper answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The service, now.
    Status(Box<ServiceStatus>),
    /// The order is taken.
    Done {
        /// The latest run when it was taken: what happens to later runs is its outcome.
        run: u64,
        /// The goal could not be written and will be forgotten with the boot; why.
        #[serde(default)]
        not_persisted: Option<String>,
        /// How it was taken, if not as it was given: a sentence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Hold the attached descriptors under these keys, in this order; at most four.
    Hold {
        /// Each unique within the service, like `3/out.fifo` or `notify`.
        keys: Vec<String>,
    },
    /// Let go of everything but these: what a predecessor had and this keeper has not.
    Retain {
        /// All keys that there are.
        keys: Vec<String>,
    },
    /// Let go of them.
    Release {
        /// The keys they were held under.
        keys: Vec<String>,
    },
    /// The keeper wants to know how an orphan ended; answered by [`Op::Orphan`].
    WhatOf {
        /// The process.
        pid: i32,
    },
    /// Not now: something else comes first, which ends by itself. To be asked again.
    Later {
        /// What it is: a sentence.
        message: String,
    },
    /// The request could not be carried out.
    Error {
        /// A sentence.
        message: String,
    },
}

impl Reply {
    /// The order is taken, and there is nothing to say about it.
    pub fn done(run: u64) -> Reply {
        Reply::Done { run, not_persisted: None, note: None }
    }
}
