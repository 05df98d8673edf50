//! One of dogwatch's own processes, as an upgrade sees it: found by its lock, asked to become another program, and
//! heard again.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::cli::client::{CallError, Client};
use crate::model::name::ServiceName;
use crate::model::signal::Signal;
use crate::os::lock;
use crate::os::packet::Connection;
use crate::os::process::{self, Identity};
use crate::os::program::{self, Program};
use crate::paths::Paths;
use crate::wire::api::{Exec, Health};
use crate::wire::keeper::{self, Op};
use crate::wire::warden;

/// Which of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The control plane.
    Control,
    /// The warden.
    Warden,
    /// The keeper of a service.
    Keeper(ServiceName),
}

/// A process that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which process.
    pub identity: Identity,
    /// What it runs.
    pub program: Program,
}

/// What came of asking one to become another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It is about to, or has.
    Taken,
    /// It will, when something else is over; what that is.
    Later(String),
    /// It will not; why.
    Refused(String),
    /// It does not answer.
    Silent,
}

/// What one says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its number.
    pub pid: i32,
    /// Version of its program; empty if it does not tell.
    pub version: String,
}

impl Who {
    /// How long it may take to answer as a new program.
    pub fn patience(&self) -> Duration {
        match self {
            Who::Control => Duration::from_secs(10),
            Who::Warden | Who::Keeper(_) => Duration::from_secs(2),
        }
    }

    /// The living process; none while there is none.
    pub fn find(&self, paths: &Paths) -> Option<Seen> {
        let (path, word) = match self {
            Who::Control => (paths.control_lock(), "control"),
            Who::Warden => (paths.warden_lock(), "warden"),
            Who::Keeper(name) => (paths.service(name).lock, "keeper"),
        };
        let identity = lock::named(&path)?;
        // A keeper's lock is held by the control plane for a moment, when there is no keeper.
        let is_it = process::command_line(identity.pid).iter().any(|said| said == word);
        let program = program::of(identity.pid).ok().filter(|_| is_it)?;
        Some(Seen { identity, program })
    }

    /// Whether there is no such process any more because nobody wants one.
    pub fn is_retired(&self, paths: &Paths) -> bool {
        matches!(self, Who::Keeper(name) if !paths.service(name).spec().exists())
    }

    /// Asks it to become that program.
    pub async fn ask(&self, paths: &Paths, program: &Path) -> Asked {
        let program = program.to_owned();
        match self {
            Who::Control => {
                let client = Client::new(paths.control_sock());
                let answer =
                    client.post::<serde::de::IgnoredAny>("/v1/exec", &Exec { program }, ORDERS).await;
                match answer {
                    Ok(_) => Asked::Taken,
                    Err(CallError::Refused(_, refusal)) => Asked::Refused(refusal.error),
                    Err(CallError::Absent | CallError::Silent(_)) => Asked::Silent,
                }
            }
            Who::Warden => {
                let request = warden::Request::Exec { program };
                match exchange(&paths.warden_sock(), &request, self.patience()) {
                    Ok(warden::Reply::Error { message }) => Asked::Refused(message),
                    Ok(_) => Asked::Taken,
                    Err(error) => silence(&error),
                }
            }
            Who::Keeper(name) => {
                let request = keeper::Request::new(Op::Exec { program });
                match exchange(&paths.service(name).keeper_sock(), &request, self.patience()) {
                    Ok(keeper::Reply::Later { message }) => Asked::Later(message),
                    Ok(keeper::Reply::Error { message }) => Asked::Refused(message),
                    Ok(_) => Asked::Taken,
                    Err(error) => silence(&error),
                }
            }
        }
    }

    /// Asks it how it is; none if it does not say so in time, or is gone.
    pub async fn hello(&self, paths: &Paths, patience: Duration) -> Option<Hello> {
        match self {
            Who::Control => {
                let client = Client::new(paths.control_sock());
                let health = timeout(patience, client.get::<Health>("/v1/health")).await.ok()?.ok()?;
                Some(Hello { pid: health.pid, version: health.version })
            }
            Who::Warden => match exchange(&paths.warden_sock(), &warden::Request::Ping, patience).ok()? {
                warden::Reply::Keepers { warden: pid, version, .. } => Some(Hello { pid, version }),
                warden::Reply::Done | warden::Reply::Stopped { .. } | warden::Reply::Error { .. } => None,
            },
            Who::Keeper(name) => {
                let request = keeper::Request::new(Op::Status);
                match exchange(&paths.service(name).keeper_sock(), &request, patience).ok()? {
                    keeper::Reply::Status(status) => Some(Hello {
                        pid: status.keeper_pid,
                        version: status.keeper_version.clone().unwrap_or_default(),
                    }),
                    _ => None,
                }
            }
        }
    }
}

/// Beyond the time that a client waits anyway, the control plane gives orders under way this long.
const ORDERS: Duration = Duration::from_secs(10);

impl Seen {
    /// SIGKILLs exactly this process.
    pub fn kill(&self) {
        if let Some(pidfd) = process::open(&self.identity) {
            let _ = pidfd.signal(Signal::KILL); // it may just have ended
        }
    }
}

/// A process that becomes another program closes the connections of those who ask.
fn silence(error: &io::Error) -> Asked {
    use io::ErrorKind::{ConnectionReset, UnexpectedEof};
    match error.kind() {
        UnexpectedEof | ConnectionReset => Asked::Taken,
        _ => Asked::Silent,
    }
}

fn exchange<T: DeserializeOwned>(path: &Path, request: &impl Serialize, patience: Duration) -> io::Result<T> {
    let deadline = Instant::now() + patience;
    let connection = Connection::connect(path)?;
    connection.send(&serde_json::to_vec(request)?, &[])?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
        if connection.wait(millis)? {
            break;
        }
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    match connection.receive()? {
        Some(packet) => Ok(serde_json::from_slice(&packet.bytes)?),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Control => f.write_str("control plane"),
            Who::Warden => f.write_str("warden"),
            Who::Keeper(name) => write!(f, "keeper {name}"),
        }
    }
}
