//! All that is needed to run one service: already checked, complete, and enough without any other file.
//!
//! `config` makes it from an entry of `ecosystem.toml`; the control plane writes it into the run folder; the
//! keeper runs it. Fields added later have defaults, so that a newer keeper reads an older spec.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use super::dress::Dress;
use super::flood::Rate;
use super::fnv::fnv1a;
use super::name::ServiceName;
use super::retention::Rules;
use super::rotation::Every;
use super::shares::{Shares, Together};
use super::signal::Signal;
use super::units::{millis, optional_millis};

/// One service, ready to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its name, unique in the file.
    pub name: ServiceName,
    /// The group it shares limits and a fate with; `default` if none was named.
    pub compartment: String,
    /// Its work outranks all: it is never given up.
    pub critical: bool,
    /// argv, at least one word. The program is absolute, or a bare name to be looked up in the service's PATH
    /// at every start.
    pub command: Vec<String>,
    /// Absolute folder to run in.
    pub cwd: PathBuf,
    /// The whole environment, apart from what the keeper adds (`DOGWATCH_*`, `LISTEN_*`, `NODE_OPTIONS`, `NOTIFY_SOCKET`).
    pub env: BTreeMap<String, String>,
    /// User to run as, by name or number; dogwatch's own if absent.
    #[serde(default)]
    pub user: Option<String>,
    /// Priority, limits and rights of its processes.
    #[serde(default, skip_serializing_if = "Attributes::is_default")]
    pub attributes: Attributes,
    /// Its share of the machine.
    #[serde(default, skip_serializing_if = "Shares::is_default")]
    pub shares: Shares,
    /// What all services of its compartment have together; the same in each of them.
    #[serde(default, skip_serializing_if = "Together::is_default")]
    pub together: Together,
    /// Services that must be ready before this one starts, and stop after it.
    #[serde(default)]
    pub after: Vec<ServiceName>,
    /// Sockets that dogwatch listens on for the service; it inherits them as fd 3 and up.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// When it may get work.
    pub ready: Ready,
    /// When and how soon it is started again.
    pub restart: RestartPolicy,
    /// How it is stopped.
    pub stop: StopPolicy,
    /// Memory limit; none if absent.
    #[serde(default)]
    pub memory: Option<MemoryLimit>,
    /// Where its output goes.
    pub log: LogPolicy,
    /// What it may know of dogwatch. Left out where it is nothing, so that an entry without it keeps its fingerprint.
    #[serde(default, skip_serializing_if = "Access::is_none")]
    pub access: Access,
}

/// What a service may know of dogwatch, by a socket that it inherits and without any right to dogwatch's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Nothing.
    #[default]
    None,
    /// How all services are.
    View,
}

impl Access {
    /// Whether it is nothing.
    pub fn is_none(&self) -> bool {
        *self == Access::None
    }
}

/// When a started service counts as up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// It has been alive this long.
    Alive {
        /// Milliseconds in the record.
        #[serde(with = "millis")]
        after: Duration,
    },
    /// It says `READY=1` on its NOTIFY_SOCKET (sd_notify(3)) within this time.
    Notify {
        /// Milliseconds in the record.
        #[serde(with = "millis")]
        timeout: Duration,
    },
}

impl Ready {
    /// How long after its start it is known at the latest.
    pub fn patience(self) -> Duration {
        match self {
            Ready::Alive { after } => after,
            Ready::Notify { timeout } => timeout,
        }
    }
}

impl Default for Ready {
    fn default() -> Ready {
        Ready::Alive { after: Duration::from_secs(1) }
    }
}

/// Which endings are followed by a new start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartWhen {
    /// After every ending that nobody asked for.
    #[default]
    Always,
    /// Only when the exit code was not 0 or a signal ended it.
    OnFailure,
    /// Never.
    Never,
}

/// The restart rule's numbers (design: first restart at once, then delay × 2 up to the cap, ± 10 %).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// Which endings are followed by a new start.
    pub policy: RestartWhen,
    /// The first delay; 0 means at once, always.
    #[serde(with = "millis")]
    pub delay: Duration,
    /// The delay's cap.
    #[serde(with = "millis")]
    pub max_delay: Duration,
    /// Up this long, a run counts as stable.
    #[serde(with = "millis")]
    pub stable_after: Duration,
    /// After this many unstable starts in a row: state `failed`. Never, if absent or if the service is critical.
    #[serde(default)]
    pub give_up: Option<u32>,
}

impl Default for RestartPolicy {
    fn default() -> RestartPolicy {
        RestartPolicy {
            policy: RestartWhen::Always,
            delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(15),
            stable_after: Duration::from_secs(10),
            give_up: None,
        }
    }
}

/// How a service is asked to stop, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// Sent to the process group first.
    pub signal: Signal,
    /// Then SIGKILL to the whole tree.
    #[serde(with = "millis")]
    pub timeout: Duration,
}

impl Default for StopPolicy {
    fn default() -> StopPolicy {
        StopPolicy { signal: Signal::TERM, timeout: Duration::from_secs(10) }
    }
}

/// Limits on the memory of the whole process tree, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLimit {
    /// Above it the service is restarted gracefully.
    pub limit: u64,
    /// The kernel's wall, where a memory controller is writable; 1.25 × limit unless written.
    pub max: u64,
}

/// Where the output goes and how much of it is kept.
///
/// What was added later is left out where it is the default, so that an entry without it keeps its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPolicy {
    /// Absolute folder.
    pub dir: PathBuf,
    /// A file of this many bytes is rotated at the next end of a line.
    pub rotate_size: u64,
    /// And one of this age; never for its age, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<Every>,
    /// Archives kept per stream.
    pub keep: u32,
    /// For how long; for ever, if absent.
    #[serde(default, with = "optional_millis", skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<Duration>,
    /// gzip the archives.
    pub compress: bool,
    /// Bytes of all log files and archives of the service.
    #[serde(default = "default_budget", skip_serializing_if = "is_default_budget")]
    pub budget: u64,
    /// What becomes of output that cannot be written; if absent, a critical service's is dropped, another one's waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_full: Option<OnFull>,
    /// The most of each stream in a second; no limit, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<Rate>,
    /// What the lines look like in the file.
    #[serde(default, skip_serializing_if = "Dress::is_plain")]
    pub dress: Dress,
    /// Standard output and standard error go into one file, in the order in which they were written.
    #[serde(default, skip_serializing_if = "is_apart")]
    pub merge: bool,
}

/// Budget of a service's logs, unless written.
pub const LOG_BUDGET: u64 = 500 << 20;
/// A budget has room for so many log files of the largest size: one of each stream, and as much of archives.
pub const FILES_OF_BUDGET: u64 = 4;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_apart(merge: &bool) -> bool {
    !merge
}

fn default_budget() -> u64 {
    LOG_BUDGET
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_default_budget(budget: &u64) -> bool {
    *budget == LOG_BUDGET
}

/// What becomes of output that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFull {
    /// It waits, and so does the service in the end: nothing is lost.
    Block,
    /// The oldest lines are dropped and counted: the service never waits.
    Drop,
}

impl LogPolicy {
    /// One with nothing but defaults and these.
    pub fn new(dir: PathBuf, rotate_size: u64, keep: u32, compress: bool) -> LogPolicy {
        let budget = LOG_BUDGET;
        let (rotate_every, keep_for, on_full, max_rate) = (None, None, None, None);
        let (dress, merge) = (Dress::Plain, false);
        LogPolicy {
            dir,
            rotate_size,
            rotate_every,
            keep,
            keep_for,
            compress,
            budget,
            on_full,
            max_rate,
            dress,
            merge,
        }
    }

    /// How much is kept.
    pub fn rules(&self) -> Rules {
        let files = if self.merge { 1 } else { 2 };
        let growth = self.rotate_size.saturating_mul(files);
        Rules { keep: self.keep, keep_for: self.keep_for, budget: self.budget, growth }
    }
}

impl ServiceSpec {
    /// What holds for its log, with nothing left open.
    pub fn log_policy(&self) -> LogPolicy {
        let usual = if self.critical { OnFull::Drop } else { OnFull::Block };
        LogPolicy { on_full: Some(self.log.on_full.unwrap_or(usual)), ..self.log.clone() }
    }

    /// A fingerprint of the entry: two specs with the same one run the same way.
    pub fn fingerprint(&self) -> u64 {
        fnv1a(&serde_json::to_vec(self).expect("a spec has only string keys and finite numbers"))
    }
}

/// A service with nothing but defaults, for tests.
#[cfg(test)]
pub fn sample(name: &str) -> ServiceSpec {
    ServiceSpec {
        name: ServiceName::new(name).expect("tests give good names"),
        compartment: "default".to_owned(),
        critical: false,
        command: vec!["/bin/true".to_owned()],
        cwd: "/".into(),
        env: BTreeMap::new(),
        user: None,
        attributes: Attributes::default(),
        shares: Shares::default(),
        together: Together::default(),
        after: Vec::new(),
        listen: Vec::new(),
        ready: Ready::default(),
        restart: RestartPolicy::default(),
        stop: StopPolicy::default(),
        memory: None,
        log: LogPolicy::new("/tmp".into(), 1 << 20, 3, false),
        access: Access::default(),
    }
}
