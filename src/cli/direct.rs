//! Without a control plane: asking the keepers themselves.

use std::io;
use std::time::{Duration, Instant};

use super::fail::{Failure, Outcome};
use crate::model::name::ServiceName;
use crate::model::phase::State;
use crate::os::packet::Connection;
use crate::paths::Paths;
use crate::wire::VERSION;
use crate::wire::api::{self, Answer, Services, Verb};
use crate::wire::keeper::{Op, Reply, Request};
use crate::wire::status::{ServiceStatus, Settled};
use crate::{incidents, sinks};

/// A keeper answers within this time, or it hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// All services that have a keeper.
///
/// # Errors
/// There is none: nothing runs here.
pub fn services(paths: &Paths) -> Outcome<Services> {
    let mut services = Vec::new();
    let mut problems = Vec::new();
    for name in known(paths) {
        match status(paths, &name, PATIENCE) {
            Ok(status) => services.push(status),
            Err(error) if is_absence(&error) => {}
            Err(error) => problems.push(format!("the keeper of {name} does not answer: {error}")),
        }
    }
    if services.is_empty() && problems.is_empty() {
        return Err(Failure::not_running(paths));
    }
    Ok(Services { v: VERSION, services, problems })
}

/// Whether any keeper has a socket here.
///
/// # Errors
/// None has.
pub fn anybody(paths: &Paths) -> Outcome {
    let answers = |name: &ServiceName| Connection::connect(&paths.service(name).keeper_sock()).is_ok();
    match known(paths).iter().any(answers) {
        true => Ok(()),
        false => Err(Failure::not_running(paths)),
    }
}

/// Gives an order and waits for its outcome.
///
/// # Errors
/// There is no such keeper, or it does not answer, or it says no.
pub fn order(paths: &Paths, name: &ServiceName, verb: Verb, wait: Duration) -> Outcome<Answer> {
    let deadline = Instant::now() + wait;
    let failed = |error: io::Error| Failure::failed(format!("asking the keeper of {name}: {error}"));
    let keeper = Connection::connect(&paths.service(name).keeper_sock()).map_err(|error| {
        let names = known(paths);
        let names: Vec<&str> = names.iter().map(ServiceName::as_str).collect();
        match is_absence(&error) {
            true => Failure::unknown(name.as_str(), &names),
            false => failed(error),
        }
    })?;
    let before = match ask(&keeper, Op::Status).map_err(failed)? {
        Reply::Status(status) => *status,
        other => return Err(Failure::failed(format!("the keeper of {name} answered {other:?}"))),
    };
    let op = match verb {
        Verb::Start => Op::Start,
        Verb::Stop => Op::Stop,
        Verb::Restart => Op::Restart,
        Verb::Reload => Op::Reload,
        Verb::Flush => Op::Flush,
        Verb::Reopen => Op::Reopen,
    };
    let (run, not_persisted, note) = match ask(&keeper, op).map_err(failed)? {
        Reply::Done { run, not_persisted, note } => (run, not_persisted, note),
        Reply::Error { message } => return Err(Failure::failed(format!("{name}: {message}"))),
        other => return Err(Failure::failed(format!("the keeper of {name} answered {other:?}"))),
    };
    let mark = match verb {
        // An earlier start may have been under way, or done: then it is the outcome.
        Verb::Start if matches!(before.state, State::Starting | State::Online) => {
            before.run.saturating_sub(1)
        }
        Verb::Start => before.run,
        Verb::Stop | Verb::Restart | Verb::Reload | Verb::Flush | Verb::Reopen => run,
    };
    let over = |status: &ServiceStatus| match verb {
        Verb::Flush | Verb::Reopen => Some(api::Outcome::Done),
        Verb::Stop => (status.state == State::Stopped).then_some(api::Outcome::Down),
        Verb::Start | Verb::Restart | Verb::Reload => match status.settled(mark) {
            Settled::Up => Some(api::Outcome::Up),
            Settled::Failed => Some(api::Outcome::Failed),
            Settled::NotYet => None,
        },
    };
    let (outcome, service) = watch(&keeper, deadline, over).map_err(failed)?;
    Ok(Answer { v: VERSION, outcome, service, not_persisted, notes: note.into_iter().collect() })
}

fn watch(
    keeper: &Connection,
    deadline: Instant,
    over: impl Fn(&ServiceStatus) -> Option<api::Outcome>,
) -> io::Result<(api::Outcome, ServiceStatus)> {
    let mut reply = ask(keeper, Op::Watch)?;
    let mut last = None;
    loop {
        if let Reply::Status(status) = reply {
            if let Some(outcome) = over(&status) {
                return Ok((outcome, *status));
            }
            last = Some(*status);
        }
        reply = match (read(keeper, deadline), last.take()) {
            (Err(error), Some(status)) if error.kind() == io::ErrorKind::TimedOut => {
                return Ok((api::Outcome::NotYet, status));
            }
            (reply, status) => {
                last = status;
                reply?
            }
        };
    }
}

/// One service, as its keeper tells it within this time.
///
/// # Errors
/// There is no keeper, or it does not answer.
pub fn status(paths: &Paths, name: &ServiceName, patience: Duration) -> io::Result<ServiceStatus> {
    let keeper = Connection::connect(&paths.service(name).keeper_sock())?;
    match ask_within(&keeper, Op::Status, patience)? {
        Reply::Status(status) => Ok(sinks::told(paths, incidents::told(&paths.service(name), *status))),
        other => Err(io::Error::other(format!("it answered {other:?}"))),
    }
}

fn ask(keeper: &Connection, op: Op) -> io::Result<Reply> {
    ask_within(keeper, op, PATIENCE)
}

fn ask_within(keeper: &Connection, op: Op, patience: Duration) -> io::Result<Reply> {
    let bytes = serde_json::to_vec(&Request::new(op))?;
    keeper.send(&bytes, &[])?;
    read(keeper, Instant::now() + patience)
}

fn read(keeper: &Connection, deadline: Instant) -> io::Result<Reply> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
        if !keeper.wait(millis)? {
            if left.is_zero() {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            continue;
        }
        return match keeper.receive()? {
            Some(packet) => Ok(serde_json::from_slice(&packet.bytes)?),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        };
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The services that have a folder.
fn known(paths: &Paths) -> Vec<ServiceName> {
    let entries = std::fs::read_dir(paths.services()).into_iter().flatten();
    let mut names: Vec<ServiceName> =
        entries.filter_map(|entry| ServiceName::new(entry.ok()?.file_name().to_str()?).ok()).collect();
    names.sort();
    names
}
