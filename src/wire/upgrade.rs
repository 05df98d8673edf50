//! What the parts of an upgrade tell each other: the new program about itself, the roll-out about its progress to the
//! command line, and an interrupted roll-out to the next one.
//!
//! The new program may be newer than the one that asks it, so all of it is versioned as everything else: unknown fields
//! are ignored, missing ones have defaults.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::name::ServiceName;

/// The one line that `dogwatch selfcheck` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfCheck {
    /// Version of this shape.
    pub v: u32,
    /// Version of the program.
    pub version: String,
    /// [`super::VERSION`] of the program: it reads this and all before.
    pub speaks: u32,
    /// The services whose state it has read.
    pub services: usize,
    /// What it could not read, one sentence each; it must not take over then.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// One build of dogwatch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its version; empty if nobody could be asked.
    pub version: String,
    /// Tells it from others of the same version: made from the program's whole content.
    pub build: String,
}

/// What became of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It runs the new program, under its old number.
    Became,
    /// It had died or hung: another process runs the new program in its place.
    Replaced,
    /// It still runs the old program, and may be asked again.
    PutOff,
    /// It runs the program from before again.
    Back,
}

/// One process of dogwatch, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `control plane`, `warden`, `keeper NAME`.
    pub who: String,
    /// Its number before.
    pub was: i32,
    /// Its number now.
    pub pid: i32,
    /// What it ran.
    pub from: Build,
    /// What it runs.
    pub to: Build,
    /// What became of it.
    pub change: Change,
    /// How long that took, until it answered.
    pub ms: u64,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a roll-out says on its way, one packet each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// The new program has read everything.
    Checked {
        /// What it says.
        check: SelfCheck,
        /// Its build.
        build: Build,
    },
    /// It stands in its place.
    Installed {
        /// The place.
        program: PathBuf,
        /// Where the one from before is kept.
        previous: PathBuf,
    },
    /// A process is asked again when something else is over.
    Waiting {
        /// As in [`Step::who`].
        who: String,
        /// What that is: a sentence.
        why: String,
    },
    /// A process is done.
    Step(Step),
    /// All processes are watched for a while before the upgrade counts as done.
    Watching {
        /// How long.
        ms: u64,
    },
    /// It did not work: the program from before is put back.
    TurningBack {
        /// A sentence.
        why: String,
    },
    /// It is over.
    End(Box<Summary>),
}

/// How an upgrade ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Every process runs the new program.
    Done,
    /// Every process did so before.
    Nothing,
    /// All but some, which were put off.
    Partly,
    /// Nothing was touched.
    Refused,
    /// Another upgrade is under way.
    Locked,
    /// It did not work, and every process runs the program from before.
    RolledBack,
    /// Neither the new program nor the one from before could be brought to run everywhere.
    Stuck,
}

/// All about an upgrade; also what `upgrade --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this shape.
    pub v: u32,
    /// How it ended.
    pub ending: Ending,
    /// Why it ended so, in a sentence; nothing for [`Ending::Done`].
    #[serde(default)]
    pub reason: Option<String>,
    /// What to do.
    #[serde(default)]
    pub hint: Option<String>,
    /// The file that dogwatch runs from.
    pub program: PathBuf,
    /// Where the one from before is kept; none if nothing was installed.
    #[serde(default)]
    pub previous: Option<PathBuf>,
    /// The control plane's build before.
    pub from: Build,
    /// The build that was to be run.
    pub to: Build,
    /// Each process, in the order in which it was asked.
    pub steps: Vec<Step>,
    /// Services whose process is the one from before the upgrade.
    pub untouched: Vec<ServiceName>,
    /// Services whose process is another one, for a reason of its own, one sentence each.
    pub changed: Vec<String>,
    /// From the first process to the last, in milliseconds.
    pub ms: u64,
}

/// Left on disk while a roll-out is under way: who finds it without a living roll-out knows that one was interrupted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// [`super::VERSION`] of the writer.
    pub v: u32,
    /// The file that dogwatch runs from.
    pub program: PathBuf,
    /// The last one that is known to have run everything.
    pub previous: PathBuf,
}

impl Build {
    /// Whether anybody would call it another one.
    #[must_use]
    pub fn is_same(&self, other: &Build) -> bool {
        self.build == other.build
    }
}

impl std::fmt::Display for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version.as_str() {
            "" => write!(f, "build {}", self.build),
            version => write!(f, "{version} (build {})", self.build),
        }
    }
}
