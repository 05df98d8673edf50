//! What a process of a service is born with, beyond its command and its environment.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::units::show_size;

/// Absent means: as dogwatch itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attributes {
    /// Primary group, by name or number; that of the user if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// File mode bits that new files do not get, 0 to 0o777; 0o022 if absent (umask(2)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// -20, first, to 19, last (nice(2)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// Its place in the queues of the disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ionice: Option<IoClass>,
    /// Processors it may run on, ascending; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u32>,
    /// Neither it nor a child of it gets rights by setuid programs or file capabilities (prctl(2)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_new_privileges: bool,
    /// Most open files, RLIMIT_NOFILE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nofile: Option<u64>,
    /// Most processes and threads of its user, RLIMIT_NPROC. The kernel does not apply it to root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nproc: Option<u64>,
    /// Largest core file in bytes, RLIMIT_CORE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<u64>,
    /// Files and folders that it may change, with what is below them, absolute; all that its user may, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<Vec<PathBuf>>,
}

/// A class of disk access (ioprio_set(2)); within a class 0 comes first and 7 last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IoClass {
    /// Before all others; for root.
    Realtime(u8),
    /// The usual.
    BestEffort(u8),
    /// When nobody else wants the disk.
    Idle,
}

impl IoClass {
    /// As ioprio_set(2) wants it: the class above 13 bits of level.
    pub fn number(self) -> i32 {
        let (class, level) = match self {
            IoClass::Realtime(level) => (1, level),
            IoClass::BestEffort(level) => (2, level),
            IoClass::Idle => (3, 0),
        };
        class << 13 | i32::from(level)
    }
}

impl Attributes {
    /// As a person reads them: `umask 027, nice 5, cpus 0 1`. Empty if nothing differs from dogwatch itself.
    pub fn in_words(&self) -> String {
        let ionice = self.ionice.map(|class| match class {
            IoClass::Realtime(level) => format!("ionice realtime:{level}"),
            IoClass::BestEffort(level) => format!("ionice best-effort:{level}"),
            IoClass::Idle => "ionice idle".to_owned(),
        });
        let cpus: Vec<String> = self.cpus.iter().map(u32::to_string).collect();
        let core = self.core.map(|size| match size {
            u64::MAX => "core unlimited".to_owned(),
            size => format!("core {}", show_size(size)),
        });
        let words = [
            self.group.as_ref().map(|group| format!("group {group}")),
            self.umask.map(|mask| format!("umask {mask:03o}")),
            self.nice.map(|nice| format!("nice {nice}")),
            ionice,
            (!cpus.is_empty()).then(|| format!("cpus {}", cpus.join(" "))),
            self.nofile.map(|most| format!("nofile {most}")),
            self.nproc.map(|most| format!("nproc {most}")),
            core,
            self.no_new_privileges.then(|| "no new privileges".to_owned()),
            self.writable.as_ref().map(|paths| match paths.as_slice() {
                [] => "writes no file".to_owned(),
                paths => {
                    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                    format!("writes only {}", paths.join(" "))
                }
            }),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// The same with its relative paths below `folder`.
    #[must_use]
    pub fn below(self, folder: &Path) -> Attributes {
        let writable = self
            .writable
            .map(|paths| paths.iter().map(|path| folder.join(path).components().collect()).collect());
        Attributes { writable, ..self }
    }

    /// Whether nothing differs from dogwatch itself.
    pub fn is_default(&self) -> bool {
        *self == Attributes::default()
    }
}
