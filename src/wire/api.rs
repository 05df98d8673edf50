//! Bodies of the HTTP API, which are also what `--json` prints. Times are milliseconds, sizes bytes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::status::ServiceStatus;
use crate::model::name::ServiceName;

/// `GET /v1/services`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Services {
    /// Version of this shape.
    pub v: u32,
    /// All services: those of the file in the order of their start, then others by name.
    pub services: Vec<ServiceStatus>,
    /// What is not as it should be, one sentence each.
    pub problems: Vec<String>,
}

/// `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Version of this shape.
    pub v: u32,
    /// Version of dogwatch.
    pub version: String,
    /// The control plane's process.
    pub pid: i32,
    /// A service manager runs the control plane, and restarts it.
    #[serde(default)]
    pub managed: bool,
    /// Since the control plane was started.
    pub uptime_ms: u64,
    /// The ecosystem.toml in force.
    pub config: PathBuf,
    /// What is wrong with that file now, as `dogwatch check` prints it; absent if nothing is.
    pub mistakes: Option<String>,
    /// The file has changed since the services were started from it, and is valid.
    pub config_changed: bool,
    /// Address of the API over TCP.
    pub listen: Option<std::net::SocketAddr>,
    /// The warden's process; absent while there is none.
    pub warden_pid: Option<i32>,
    /// Descriptors held for the services.
    pub held: usize,
    /// Number of services per state.
    pub states: std::collections::BTreeMap<String, usize>,
    /// The machine.
    pub host: Host,
    /// What is not as it should be, one sentence each.
    pub problems: Vec<String>,
}

/// The machine, now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// All memory.
    pub memory_total_bytes: u64,
    /// Memory that programs can still get.
    pub memory_available_bytes: u64,
}

/// What can be ordered of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It shall run.
    Start,
    /// It shall not.
    Stop,
    /// It shall run anew, as its entry says now.
    Restart,
    /// It shall run anew, as its entry says now, and serve until it does.
    Reload,
    /// Its logs shall go to the archive, and new ones begin.
    Flush,
    /// Its logs were moved away: those that have their names shall be written to.
    Reopen,
}

impl Verb {
    /// The word on the command line and in the API's paths.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Reload => "reload",
            Verb::Flush => "flush",
            Verb::Reopen => "reopen",
        }
    }

    /// The order with this word.
    pub fn parse(word: &str) -> Option<Verb> {
        let all = [Verb::Start, Verb::Stop, Verb::Restart, Verb::Reload, Verb::Flush, Verb::Reopen];
        all.into_iter().find(|verb| verb.word() == word)
    }
}

/// Body of `POST /v1/services/NAME/start|stop|restart|reload|flush|reopen`; all of it may be left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// How long to wait for the outcome; 0: not at all.
    pub wait_ms: u64,
    /// `start`, `restart` and `reload` only: this memory limit instead of the file's, until the next restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is online.
    Up,
    /// It is stopped, as was asked.
    Down,
    /// It was tried and did not work; the service says why.
    Failed,
    /// Neither within the time.
    NotYet,
    /// It waits for the services that it comes after.
    Waiting,
    /// The order is carried out; nothing to wait for.
    Done,
}

/// Answer to an [`Order`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Version of this shape.
    pub v: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// The service, afterwards.
    pub service: ServiceStatus,
    /// The goal could not be written and will be forgotten with the boot; why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_persisted: Option<String>,
    /// What else the operator should know, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Body of `POST /v1/exec`: the control plane becomes that program, when the orders under way are carried out. It is
/// answered before it does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Absolute path.
    pub program: PathBuf,
}

/// Body of `POST /v1/up`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Up {
    /// Which services; none: all of the file.
    pub names: Vec<ServiceName>,
    /// How long to wait for the outcome; 0: not at all.
    pub wait_ms: u64,
}

/// Answer to several orders at once: `POST /v1/up`, and what `start a b --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// Version of this shape.
    pub v: u32,
    /// One for each service.
    pub answers: Vec<Answer>,
    /// What is not as it should be, one sentence each.
    pub problems: Vec<String>,
}

/// Answer to `POST /v1/down`, sent when all is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// Version of this shape.
    pub v: u32,
    /// The services that were stopped, in order.
    pub stopped: Vec<ServiceName>,
    /// What did not go as it should, one sentence each.
    pub problems: Vec<String>,
}

/// Every answer with a status code of 400 and above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What went wrong, and why.
    pub error: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
