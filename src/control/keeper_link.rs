//! Two connections to every keeper: one that says what the service does, one that hands over what must stay
//! open, and on what a service asks. When a keeper is replaced they are made anew.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::alarm::Whom;
use super::link::{Link, PATIENCE};
use super::plane::Plane;
use super::say::say;
use super::viewers;
use crate::model::name::ServiceName;
use crate::os::clock;
use crate::wire::keeper::{Op, Reply, Request};

/// A replaced keeper is back in a few milliseconds, so the first looks follow each other quickly.
const FIRST_DELAY: Duration = Duration::from_millis(2);
/// One that stays away is looked for twice a second.
const LAST_DELAY: Duration = Duration::from_millis(500);

/// Follows a service from now on; once is enough.
pub fn follow(plane: &Arc<Plane>, name: &ServiceName) {
    if plane.begin_following(name) {
        for op in [Op::Watch, Op::Hold] {
            tokio::spawn(stay_connected(Arc::clone(plane), name.clone(), op));
        }
    }
}

/// Ends when the service's folder is gone.
async fn stay_connected(plane: Arc<Plane>, name: ServiceName, op: Op) {
    let paths = plane.paths.service(&name);
    let socket = paths.keeper_sock();
    let mut delay = FIRST_DELAY;
    // What has been said of it, so that it is said once.
    let mut trouble = None;
    loop {
        let mut heard = false;
        if let Err(error) = converse(&plane, &name, &op, &socket, &mut heard).await {
            let away = [
                io::ErrorKind::NotFound,
                io::ErrorKind::ConnectionRefused,
                io::ErrorKind::ConnectionReset,
                io::ErrorKind::BrokenPipe,
            ];
            let news = Some(error.kind()) != trouble;
            trouble = (!away.contains(&error.kind())).then_some(error.kind());
            if trouble.is_some() {
                heard = false; // the next attempt will hardly be better
                if news {
                    say(format_args!("{name}: connection to its keeper: {error}; trying again"));
                }
            }
        }
        if op == Op::Watch {
            plane.roster.lost(&name);
            plane.alarm.look_at(Whom::Keeper(name.clone()));
        }
        if !paths.dir.exists() {
            plane.end_following(&name);
            return;
        }
        if heard {
            delay = FIRST_DELAY;
        }
        sleep(delay).await;
        delay = (delay * 2).min(LAST_DELAY);
    }
}

/// Until the keeper closes.
async fn converse(
    plane: &Arc<Plane>,
    name: &ServiceName,
    op: &Op,
    socket: &Path,
    heard: &mut bool,
) -> io::Result<()> {
    let link = Link::connect(socket)?;
    let request = Request::new;
    // With the switch a keeper notices when this process and the warden stall both.
    let switch = plane.switch().filter(|_| *op == Op::Hold).map(AsFd::as_fd);
    link.send_with(&request(op.clone()), switch.as_slice()).await?;
    let mut first = Some(PATIENCE);
    loop {
        // Whoever has said something may be silent for ever after.
        let next = match first {
            Some(patience) => timeout(patience, link.receive()).await,
            None => Ok(link.receive().await),
        };
        let Ok(next) = next else {
            plane.alarm.unanswered(Whom::Keeper(name.clone()));
            first = None;
            continue;
        };
        let Some(packet) = next? else { return Ok(()) };
        first = None;
        *heard = true;
        match serde_json::from_slice(&packet.bytes)? {
            Reply::Status(status) if status.name == *name => plane.roster.heard(*status, clock::mono()),
            Reply::WhatOf { pid } => {
                if let Some(ended) = plane.orphan(pid) {
                    let status = ended.status;
                    link.send(&request(Op::Orphan { pid, status })).await?;
                }
            }
            Reply::Error { message } => say(format_args!("{name}: its keeper says: {message}")),
            other => {
                viewers::follow(plane, name, &other, &packet.fds);
                plane.with_holdings(|holdings| holdings.apply(name, other, packet.fds));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holder::Holdings;
    use crate::model::phase::State;
    use crate::os::own;
    use crate::os::packet::{Connection, Listener};
    use crate::paths::Paths;
    use crate::wire::status::tests::status;

    /// A keeper's side of one connection: answers the request as a keeper would, and stays.
    fn answer(listener: &Listener, run: u64) -> Connection {
        let patience = std::time::Instant::now() + Duration::from_secs(10);
        let connection = loop {
            match listener.accept().unwrap() {
                Some(connection) => break connection,
                None => assert!(std::time::Instant::now() < patience, "nobody came"),
            }
            std::thread::yield_now();
        };
        assert!(connection.wait(10_000).unwrap());
        let packet = connection.receive().unwrap().unwrap();
        let request: Request = serde_json::from_slice(&packet.bytes).unwrap();
        let send = |reply: &Reply, file: Option<&std::fs::File>| {
            let fds: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
            connection.send(&serde_json::to_vec(reply).unwrap(), &fds).unwrap();
        };
        match request.op {
            Op::Watch => send(&Reply::Status(Box::new(status(State::Online, run, None))), None),
            Op::Hold => {
                let keys = vec![format!("{run}/out.fifo")];
                send(&Reply::Hold { keys }, Some(&tempfile::tempfile().unwrap()));
                send(&Reply::WhatOf { pid: 4711 }, None);
                assert!(connection.wait(10_000).unwrap());
                let packet = connection.receive().unwrap().unwrap();
                let request: Request = serde_json::from_slice(&packet.bytes).unwrap();
                assert_eq!(request.op, Op::Orphan { pid: 4711, status: 256 });
            }
            other => panic!("{other:?} was not expected"),
        }
        connection
    }

    #[tokio::test]
    async fn a_replaced_keeper_is_found_again_and_what_it_hands_over_is_held() {
        let home = tempfile::tempdir().unwrap();
        let name = ServiceName::new("web").unwrap();
        let paths = Paths::below(home.path());
        let service = paths.service(&name);
        own::make_folder(&service.dir).unwrap();
        let file = home.path().join("ecosystem.toml");
        let plane = Arc::new(Plane::new(paths, None, false, &file, Holdings::default()));
        plane.note_orphan(crate::os::wait::Ended { pid: 4711, status: 256 });
        let mut bell = plane.roster.subscribe();
        follow(&plane, &name);
        for run in [1, 2] {
            let socket = service.keeper_sock();
            let keeper = tokio::task::spawn_blocking(move || {
                let listener = Listener::bind(&socket).unwrap();
                let one = answer(&listener, run);
                (listener, one)
            });
            // Both connections come in any order; each has its own thread to answer it.
            let (listener, first) = keeper.await.unwrap();
            let second = tokio::task::spawn_blocking(move || (answer(&listener, run), listener));
            let (second, listener) = second.await.unwrap();
            let seen = |plane: &Plane| {
                let said = plane.roster.get(&name).and_then(|entry| entry.said);
                said.is_some_and(|(status, _)| status.run == run) && plane.roster.is_present(&name)
            };
            while !seen(&plane) || plane.with_holdings(|held| held.len()) < run as usize {
                tokio::time::timeout(Duration::from_secs(10), bell.changed()).await.unwrap().unwrap();
            }
            drop((first, second, listener));
            while plane.roster.is_present(&name) {
                tokio::time::timeout(Duration::from_secs(10), bell.changed()).await.unwrap().unwrap();
            }
        }
    }
}
