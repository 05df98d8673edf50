//! What the API shows of the services: what the keepers say, completed by what only the control plane knows.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::alarm::Whom;
use super::api::error::Refused;
use super::builds;
use super::folder;
use super::link::Link;
use super::plane::Plane;
use crate::model::name::ServiceName;
use crate::model::phase::Goal;
use crate::model::spec::ServiceSpec;
use crate::model::units::group_digits;
use crate::os::clock;
use crate::wire::VERSION;
use crate::wire::api::Services;
use crate::wire::keeper::{Op, Reply};
use crate::wire::status::ServiceStatus;
use crate::{incidents, sinks};

/// A keeper that does not say how it is within this time is shown as it was.
const PATIENCE: Duration = Duration::from_millis(500);

/// All services, as they are now.
pub async fn all(plane: &Arc<Plane>) -> Services {
    let mut asked = JoinSet::new();
    for name in plane.names() {
        let plane = Arc::clone(plane);
        asked.spawn(async move { one(&plane, &name).await });
    }
    let mut services: Vec<ServiceStatus> = asked.join_all().await.into_iter().flatten().collect();
    // As in the file, in the order of their start; what is not in it comes last, by name.
    let order = plane.book.names();
    let place = |name: &ServiceName| order.iter().position(|other| other == name).unwrap_or(order.len());
    services.sort_by_cached_key(|service| (place(&service.name), service.name.clone()));
    Services { v: VERSION, problems: problems(plane, &services), services }
}

/// One service, as it is now; none if there is no such service.
pub async fn one(plane: &Plane, name: &ServiceName) -> Option<ServiceStatus> {
    // A control plane that has just started has not heard of all keepers yet, but need not guess.
    if (plane.roster.is_present(name) || folder::keeper_lives(&plane.paths.service(name)))
        && let Ok(link) = Link::connect(&plane.paths.service(name).keeper_sock())
    {
        match link.ask(Op::Status, Instant::now() + PATIENCE).await {
            Ok(Reply::Status(status)) => return Some(completed(plane, *status)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                plane.alarm.unanswered(Whom::Keeper(name.clone()));
            }
            Ok(_) | Err(_) => {}
        }
    }
    last_known(plane, name)
}

/// A service as its keeper described it last, or as its entry promises it.
pub fn last_known(plane: &Plane, name: &ServiceName) -> Option<ServiceStatus> {
    let said = plane.roster.get(name).and_then(|entry| entry.said);
    match said {
        Some((status, at)) => {
            let age = clock::mono().since(at);
            Some(completed(plane, status.aged(age.as_millis() as u64)))
        }
        None => from_entry(plane, name),
    }
}

/// The same, of a service that there is.
///
/// # Errors
/// 404: it has gone away meanwhile.
pub fn last_known_or_gone(plane: &Plane, name: &ServiceName) -> Result<ServiceStatus, Refused> {
    last_known(plane, name)
        .ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, format!("service {name} is not there any more")))
}

/// Refuses the name of a service that there is not.
///
/// # Errors
/// 404, with what was perhaps meant and what there is.
pub fn known(plane: &Plane, name: &ServiceName) -> Result<(), Refused> {
    let names = plane.names();
    if names.contains(name) {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(ServiceName::as_str).collect();
    let refused = Refused::new(StatusCode::NOT_FOUND, format!("there is no service {name}"));
    Err(refused.hint(crate::wire::names::suggest(name.as_str(), &names)))
}

/// Adds what a keeper cannot know.
pub fn completed(plane: &Plane, mut status: ServiceStatus) -> ServiceStatus {
    let paths = plane.paths.service(&status.name);
    let present = folder::read_spec(&paths);
    status.incidents = incidents::read(&paths);
    status.sinks = sinks::of(&plane.paths, &status.name);
    status.keeper_differs = status.keeper_pid > 0 && plane.builds.differs(status.keeper_pid);
    status.limit_overridden = present.as_ref().is_some_and(|file| file.limit_overridden);
    // Another version may know other keys, and finds another fingerprint for the same entry.
    let fingerprint = match present {
        Some(file) if status.keeper_differs => file.spec.fingerprint(),
        _ => status.fingerprint,
    };
    status.changed = match plane.book.entry(&status.name) {
        None => false,
        Some(entry) if entry.fingerprint() == fingerprint => false,
        Some(entry) if status.limit_overridden => {
            // Only the limit is another, and that is said in its own place.
            let overridden = |max: u64, limit: u64| {
                let memory = Some(crate::model::spec::MemoryLimit { limit, max });
                ServiceSpec { memory, ..entry }.fingerprint() == fingerprint
            };
            !status.memory_limit_bytes.is_some_and(|limit| overridden(limit.saturating_add(limit / 4), limit))
        }
        Some(_) => true,
    };
    status
}

/// A service whose keeper has not been heard yet, if it has one; none if its entry cannot be read either.
fn from_entry(plane: &Plane, name: &ServiceName) -> Option<ServiceStatus> {
    let paths = plane.paths.service(name);
    let spec = plane.book.entry(name).or_else(|| Some(folder::read_spec(&paths)?.spec))?;
    if is_new(plane, name) {
        let reason = Some("new in ecosystem.toml".to_owned());
        return Some(ServiceStatus { goal: Goal::Down, reason, ..ServiceStatus::of_spec(&spec) });
    }
    let goal = folder::read_goal(&paths);
    if folder::keeper_lives(&paths)
        && let Some(instance) = folder::read_instance(&paths)
    {
        // It has a keeper, which has never said anything to this control plane: it hangs. It wrote this down before.
        return Some(ServiceStatus {
            goal,
            state: instance.state(),
            pid: instance.run().map(|run| run.pid),
            run: instance.runs,
            uptime_ms: instance.run().map(|run| clock::mono().since(run.started).as_millis() as u64),
            restarts: instance.restarts,
            unstable: instance.unstable,
            reason: instance.last_end.as_ref().map(ToString::to_string),
            last_end: instance.last_end,
            ..ServiceStatus::of_spec(&spec)
        });
    }
    let blocker = plane.blocker(&spec);
    Some(ServiceStatus {
        goal,
        reason: blocker.map(|blocker| format!("waits for {blocker}, which is not online")),
        ..ServiceStatus::of_spec(&spec)
    })
}

/// Whether the file has it since dogwatch began, and nobody has said yet what is to become of it.
fn is_new(plane: &Plane, name: &ServiceName) -> bool {
    let paths = plane.paths.service(name);
    !folder::is_admitted(&paths) && folder::read_goal(&paths) == Goal::Up
}

/// What is not as it should be.
pub fn problems(plane: &Plane, services: &[ServiceStatus]) -> Vec<String> {
    let mut problems = plane.problems();
    problems.extend(services.iter().filter_map(log_problem));
    problems.extend(builds::problems(plane, services));
    problems.extend(sink_problems(services));
    if let Some(mistakes) = plane.book.mistakes() {
        let count = mistakes.count;
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        let file = plane.book.path().display();
        problems.push(format!("{file} has {count} {noun}: what runs goes on as it was; see: dogwatch check"));
        return problems;
    }
    let changed: Vec<&str> = names(services.iter().filter(|service| service.changed));
    if !changed.is_empty() {
        let list = changed.join(" ");
        problems
            .push(format!("the entry in ecosystem.toml has changed; take it over: dogwatch restart {list}"));
    }
    let in_file = plane.book.names();
    let new: Vec<&str> = in_file.iter().filter(|name| is_new(plane, name)).map(ServiceName::as_str).collect();
    if !new.is_empty() {
        problems.push(format!("new in ecosystem.toml; start it: dogwatch start {}", new.join(" ")));
    }
    let is_over = |service: &ServiceStatus| service.goal == Goal::Down && service.pid.is_none();
    let gone = services.iter().filter(|service| !in_file.contains(&service.name) && !is_over(service));
    let gone = names(gone);
    if !gone.is_empty() {
        let list = gone.join(" ");
        problems
            .push(format!("not in ecosystem.toml any more, but still here; end it: dogwatch stop {list}"));
    }
    problems
}

/// The log of a service cannot be written, and what that costs.
pub fn log_problem(service: &ServiceStatus) -> Option<String> {
    let log = &service.log;
    let why = log.trouble.as_ref()?;
    let at_least = if log.at_least { "at least " } else { "" };
    let cost = match (log.dropping, log.since_unix_ms) {
        (true, _) => {
            format!(": lines are dropped, {at_least}{} in this boot", group_digits(log.dropped_lines))
        }
        (false, Some(_)) => ": its output waits".to_owned(),
        (false, None) => String::new(),
    };
    Some(format!("{}: {why}{cost}", service.name))
}

/// Sinks that take nothing, each once. Standard output is there when somebody looks.
fn sink_problems(services: &[ServiceStatus]) -> Vec<String> {
    let sinks = services.iter().flat_map(|service| &service.sinks).filter(|sink| sink.kind != "stdout");
    let waiting = sinks.filter_map(|sink| {
        let why = &sink.waiting.as_ref()?.why;
        Some(format!("sink {}: {why}; lines wait in their files", sink.name))
    });
    let mut problems: Vec<String> = waiting.collect();
    problems.sort();
    problems.dedup();
    problems
}

fn names<'a>(services: impl Iterator<Item = &'a ServiceStatus>) -> Vec<&'a str> {
    services.map(|service| service.name.as_str()).collect()
}
