//! `down`: services in the reverse order of their starts, then keepers, warden and control plane. Goals stay
//! as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::folder;
use super::link::{self, Link, PATIENCE, ask_warden};
use super::orders;
use super::plane::{Ending, Plane};
use super::reconcile;
use super::say::say;
use crate::model::name::ServiceName;
use crate::os::{lock, process};
use crate::wire::VERSION;
use crate::wire::api::Down;
use crate::wire::keeper::Op;
use crate::wire::warden::Request;

/// On top of a service's own stop timeout.
const MARGIN: Duration = Duration::from_secs(5);

/// Something may die while it is being stopped, and come back: so many rounds at most.
const ROUNDS: u32 = 3;

/// Stops everything but this process. The caller then lets it end.
pub async fn down(plane: &Arc<Plane>) -> Down {
    plane.end(Ending::Downing);
    say("going down");
    let mut stopped = Vec::new();
    let mut problems = Vec::new();
    for _ in 0..ROUNDS {
        problems.clear();
        stop_all(plane, &mut stopped, &mut problems).await;
        if let Err(text) = dismiss_warden(plane).await {
            problems.push(text);
        }
        if problems.is_empty() && living(plane).is_empty() {
            break;
        }
    }
    plane.forwarder.finish().await;
    for name in living(plane).into_keys() {
        problems.push(format!("{name} still runs; once more: dogwatch down"));
        stopped.retain(|other| *other != name);
    }
    for name in &stopped {
        // What is left of it is removed by the next start.
        let _ = std::fs::remove_dir_all(plane.paths.service(name).dir);
    }
    for text in &problems {
        say(text);
    }
    Down { v: VERSION, stopped, problems }
}

/// Every service, the last started first.
async fn stop_all(plane: &Arc<Plane>, stopped: &mut Vec<ServiceName>, problems: &mut Vec<String>) {
    let mut running = living(plane);
    let mut asked = BTreeSet::new();
    let (report, mut reports) = mpsc::unbounded_channel();
    while !running.is_empty() {
        for name in free(&running, &asked) {
            asked.insert(name.clone());
            let (plane, report) = (Arc::clone(plane), report.clone());
            tokio::spawn(async move {
                let result = retire(&plane, &name).await;
                // The receiver outlives this task: it waits for every report.
                let _ = report.send((name, result));
            });
        }
        let Some((name, result)) = reports.recv().await else { break };
        running.remove(&name);
        match result {
            Ok(()) if stopped.contains(&name) => {}
            Ok(()) => stopped.push(name),
            Err(text) => problems.push(text),
        }
    }
}

/// Each living service and those that it comes after.
fn living(plane: &Plane) -> BTreeMap<ServiceName, Vec<ServiceName>> {
    let alive = |name: &ServiceName| {
        let paths = plane.paths.service(name);
        folder::keeper_lives(&paths) || folder::service_lives(&paths)
    };
    let names = reconcile::in_folders(plane).into_iter().filter(alive);
    names
        .map(|name| {
            let spec = folder::read_spec(&plane.paths.service(&name));
            (name, spec.map(|file| file.spec.after).unwrap_or_default())
        })
        .collect()
}

/// The services that have not been asked yet and that no running one comes after. If they all wait for each
/// other: all of them.
fn free(
    running: &BTreeMap<ServiceName, Vec<ServiceName>>,
    asked: &BTreeSet<ServiceName>,
) -> Vec<ServiceName> {
    let needed: BTreeSet<&ServiceName> = running.values().flatten().collect();
    let next = |all: bool| {
        let names = running.keys().filter(|name| !asked.contains(*name));
        names.filter(|name| all || !needed.contains(name)).cloned().collect()
    };
    let free: Vec<ServiceName> = next(false);
    let none_is_ending = running.keys().all(|name| !asked.contains(name));
    match free.is_empty() && none_is_ending {
        true => next(true),
        false => free,
    }
}

/// Lets a keeper stop its service and end. One that dies over it is followed by another, which is asked again.
async fn retire(plane: &Plane, name: &ServiceName) -> Result<(), String> {
    let paths = plane.paths.service(name);
    let spec = folder::read_spec(&paths);
    let patience = spec.map_or(Duration::from_secs(10), |file| file.spec.stop.timeout) + MARGIN;
    let deadline = Instant::now() + patience;
    let late = || {
        let seconds = patience.as_secs();
        format!("the keeper of {name} has not ended within {seconds} s; see: dogwatch show {name}")
    };
    while folder::keeper_lives(&paths) || folder::service_lives(&paths) {
        if Instant::now() >= deadline {
            return Err(late());
        }
        // Refused: it has ended but for the last steps of its process, or it has died and the warden is just
        // starting another one.
        if let Ok(link) = Link::connect(&paths.keeper_sock())
            && orders::done(&link, name, Op::Retire, Instant::now() + PATIENCE).await.is_ok()
        {
            let closed = async { while matches!(link.receive().await, Ok(Some(_))) {} };
            timeout_at(deadline, closed).await.map_err(|_| late())?;
        }
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn dismiss_warden(plane: &Plane) -> Result<(), String> {
    let Some(holder) = lock::named(&plane.paths.warden_lock()) else {
        return Ok(());
    };
    let Some(process) = process::open(&holder) else {
        return Ok(());
    };
    let pid = holder.pid;
    match ask_warden(&plane.paths.warden_sock(), Request::Quit).await {
        Ok(_) => {}
        // It may have ended by itself meanwhile.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(format!("asking warden {pid} to end: {error}")),
    }
    timeout(MARGIN, link::ended(&process))
        .await
        .map_err(|_| format!("warden {pid} has not ended within {} s", MARGIN.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_started_stop_first() {
        let name = |text| ServiceName::new(text).unwrap();
        let mut running = BTreeMap::from([
            (name("db"), vec![]),
            (name("api"), vec![name("db")]),
            (name("web"), vec![name("api")]),
            (name("lone"), vec![]),
        ]);
        let mut asked = BTreeSet::new();
        assert_eq!(free(&running, &asked), [name("lone"), name("web")]);
        asked.extend([name("lone"), name("web")]);
        assert_eq!(free(&running, &asked), []);
        running.remove(&name("web"));
        assert_eq!(free(&running, &asked), [name("api")]);
    }

    #[test]
    fn a_circle_is_stopped_at_once() {
        let name = |text| ServiceName::new(text).unwrap();
        let circle = BTreeMap::from([(name("a"), vec![name("b")]), (name("b"), vec![name("a")])]);
        assert_eq!(free(&circle, &BTreeSet::new()), [name("a"), name("b")]);
        assert_eq!(free(&circle, &BTreeSet::from([name("a"), name("b")])), []);
    }
}
