//! Services with `dogwatch_access = "view"`: each asks on a socket of its own how all services are (`wire::view`).
//!
//! A viewer is not trusted. It is answered in turn, one question at a time and [`PAUSE`] apart; whatever else it sends
//! waits in its own socket's buffer and fills nobody else's. An answer that it does not read is dropped after
//! [`PATIENCE`], and what is looked at is shared by all who ask within [`FRESH`]: so a flood costs as much as a
//! polite viewer, or less. There is no way from here to an order.
//!
//! ```text
//! keeper_link ──► follow ──► attend (a task a viewer) ──► Viewers::sight ──► view, host
//! ```

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::host::{self, LogDisk};
use super::link::Link;
use super::plane::Plane;
use super::say::say;
use super::view;
use crate::model::moment::Moment;
use crate::model::name::ServiceName;
use crate::os::packet::Connection;
use crate::os::{clock, unix};
use crate::wire::keeper::{Reply, run_of_view};
use crate::wire::view::{LONGEST_QUESTION, Question, Refusal, Seen, Sight, System, encode};

/// Between two questions of one viewer.
const PAUSE: Duration = Duration::from_millis(100);
/// A viewer that takes no packet for this long does not get the rest of the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// What was seen is told again to who asks within this time.
const FRESH: Duration = Duration::from_millis(500);

/// All viewers.
#[derive(Debug, Default)]
pub struct Viewers {
    /// By service and run: the task that attends to it.
    attended: Mutex<BTreeMap<(ServiceName, u64), AbortHandle>>,
    seen: tokio::sync::Mutex<Option<(Moment, Arc<Sight>)>>,
    disk: LogDisk,
}

/// Follows what a keeper says about the views of its service: it hands them over, and takes them back when their run
/// is over. Other things that it says are ignored.
pub fn follow(plane: &Arc<Plane>, service: &ServiceName, reply: &Reply, fds: &[OwnedFd]) {
    match reply {
        Reply::Hold { keys } => {
            for (key, fd) in keys.iter().zip(fds) {
                if let Some(run) = run_of_view(key) {
                    plane.viewers.attend(plane, service, run, fd);
                }
            }
        }
        Reply::Retain { keys } => plane.viewers.retain(service, |run| holds(keys, run)),
        Reply::Release { keys } => plane.viewers.retain(service, |run| !holds(keys, run)),
        Reply::Status(_)
        | Reply::Done { .. }
        | Reply::WhatOf { .. }
        | Reply::Later { .. }
        | Reply::Error { .. } => {}
    }
}

fn holds(keys: &[String], run: u64) -> bool {
    keys.iter().any(|key| run_of_view(key) == Some(run))
}

impl Viewers {
    /// Nothing of this service is attended to any more.
    pub fn forget(&self, service: &ServiceName) {
        self.retain(service, |_| false);
    }

    fn retain(&self, service: &ServiceName, keep: impl Fn(u64) -> bool) {
        self.lock().retain(|(name, run), task| {
            let stays = name != service || keep(*run);
            if !stays {
                task.abort();
            }
            stays
        });
    }

    /// Attends to a view. One that is handed over again, by a new keeper, is attended to anew.
    fn attend(&self, plane: &Arc<Plane>, service: &ServiceName, run: u64, fd: &OwnedFd) {
        // The other duplicate is held: the next warden gets it.
        let link = fd.as_fd().try_clone_to_owned().and_then(|fd| Link::over(Connection::from_owned(fd)));
        match link {
            Ok(link) => {
                let task = tokio::spawn(attend(Arc::clone(plane), View(Some(link)))).abort_handle();
                if let Some(before) = self.lock().insert((service.clone(), run), task) {
                    before.abort();
                }
            }
            Err(error) => say(format_args!("{service} cannot ask how the services are: {error}")),
        }
    }

    /// What there is to see now.
    async fn sight(&self, plane: &Arc<Plane>) -> Arc<Sight> {
        let mut seen = self.seen.lock().await;
        if let Some((at, sight)) = &*seen
            && clock::mono().since(*at) < FRESH
        {
            return Arc::clone(sight);
        }
        let sight = Arc::new(look(plane, &self.disk).await);
        *seen = Some((clock::mono(), Arc::clone(&sight)));
        sight
    }

    /// No code that holds the table can panic in the middle of a change.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ServiceName, u64), AbortHandle>> {
        self.attended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Our end of a view. What a viewer has sent may be the last of something that takes its time to close.
struct View(Option<Link>);

impl Drop for View {
    fn drop(&mut self) {
        unix::let_go(self.0.take().map(|link| link.into_connection().into_owned()).into_iter().collect());
    }
}

/// Answers one viewer until nobody has the other end any more.
async fn attend(plane: Arc<Plane>, view: View) {
    let Some(viewer) = &view.0 else { return };
    loop {
        let answered = match viewer.receive_bytes(LONGEST_QUESTION + 1).await {
            Ok(Some(packet)) => {
                drop_aside(packet.fds).await;
                answer(&plane, viewer, &packet.bytes).await
            }
            Ok(None) => return,
            Err(error) => Err(error),
        };
        match answered {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {} // it does not read: its own loss
            Err(_) => return,
        }
        sleep(PAUSE).await;
    }
}

/// What a viewer attaches nobody wants. It hears nothing more before that is gone, however long it takes.
async fn drop_aside(gifts: Vec<OwnedFd>) {
    if !gifts.is_empty() {
        let (done, gone) = tokio::sync::oneshot::channel();
        unix::drop_aside(gifts, || {
            let _ = done.send(());
        });
        let _ = gone.await; // an error if there was no thread: they are gone then
    }
}

async fn answer(plane: &Arc<Plane>, viewer: &Link, packet: &[u8]) -> io::Result<()> {
    if packet.len() > LONGEST_QUESTION {
        let words = format!("a question has at most {LONGEST_QUESTION} bytes");
        return tell(viewer, &encode(&Refusal::new(None, words))).await;
    }
    match Question::decode(packet) {
        Ok(question) => {
            let sight = plane.viewers.sight(plane).await;
            for packet in sight.packets(question.id) {
                tell(viewer, &packet).await?;
            }
            Ok(())
        }
        Err(refusal) => tell(viewer, &encode(&refusal)).await,
    }
}

async fn tell(viewer: &Link, packet: &[u8]) -> io::Result<()> {
    timeout(PATIENCE, viewer.send_bytes(packet, &[])).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Looks at all services and at the machine.
async fn look(plane: &Arc<Plane>, disk: &LogDisk) -> Sight {
    let services = view::all(plane).await.services;
    let folder = plane.book.log_dir().unwrap_or_else(|| plane.paths.log.clone());
    let files = services.iter().map(|service| service.logs().map(|(_, path)| path.clone()).collect());
    let logs = disk.look(folder, files.collect()).await;
    let seen = services.iter().zip(logs.sizes).map(|(service, size)| Seen::of(service, size)).collect();
    Sight::new(seen, System { load: host::load(), memory: host::memory(), disk: logs.disk })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::holder::Holdings;
    use crate::os::notify::tests::lingering;
    use crate::paths::Paths;
    use crate::wire::view::LONGEST_ANSWER;

    const SERVICES: usize = 1000;

    /// A control plane with many services that have yet to start, and the service's end of a view.
    fn plane(home: &std::path::Path) -> (Arc<Plane>, Connection) {
        let file = home.join("ecosystem.toml");
        let entry = |number| format!("[services.service-{number:04}]\ncommand = [\"./app\"]\n");
        std::fs::write(&file, (0..SERVICES).map(entry).collect::<String>()).unwrap();
        let plane = Arc::new(Plane::new(Paths::below(home), None, false, &file, Holdings::default()));
        plane.book.look();
        let (ours, theirs) = Connection::pair_with_service().unwrap();
        let hold = Reply::Hold { keys: vec!["view.1".to_owned()] };
        follow(&plane, &viewer(), &hold, &[ours.into_owned()]);
        (plane, Connection::from_owned(theirs))
    }

    fn viewer() -> ServiceName {
        ServiceName::new("viewer").unwrap()
    }

    fn question(id: u64) -> Vec<u8> {
        format!(r#"{{"v":1,"id":{id},"get":"services"}}"#).into_bytes()
    }

    /// The next packet, read in a thread so that the control plane goes on meanwhile.
    async fn read(end: &Arc<Connection>) -> Option<Value> {
        let end = Arc::clone(end);
        let read = tokio::task::spawn_blocking(move || {
            assert!(end.wait(10_000).unwrap(), "nothing came");
            end.receive().unwrap()
        });
        let packet = read.await.unwrap()?;
        assert!(packet.bytes.len() <= LONGEST_ANSWER);
        Some(serde_json::from_slice(&packet.bytes).unwrap())
    }

    #[tokio::test]
    async fn many_services_come_on_more_pages_than_the_socket_takes_at_once() {
        let home = tempfile::tempdir().unwrap();
        let (plane, end) = plane(home.path());
        let end = Arc::new(end);
        for id in [7, 8] {
            end.send(&question(id), &[]).unwrap();
            let mut names = Vec::new();
            loop {
                let page = read(&end).await.unwrap();
                assert_eq!(page["id"], id);
                names.extend(page["services"].as_array().unwrap().iter().map(|seen| seen["name"].clone()));
                if page["page"] == page["pages"] {
                    break;
                }
            }
            let expected: Vec<Value> =
                (0..SERVICES).map(|number| format!("service-{number:04}").into()).collect();
            assert_eq!(names, expected);
        }
        // Its run is over: nobody answers, and nobody has the other end.
        follow(&plane, &viewer(), &Reply::Release { keys: vec!["view.1".to_owned()] }, &[]);
        assert!(read(&end).await.is_none());
        assert!(plane.viewers.lock().is_empty());
    }

    #[tokio::test]
    async fn a_descriptor_that_lingers_keeps_only_its_viewer_waiting() {
        let home = tempfile::tempdir().unwrap();
        let (plane, _) = plane(home.path());
        // As before Linux 6.16.
        let (ours, theirs) = Connection::pair().unwrap();
        let hold = Reply::Hold { keys: vec!["view.2".to_owned()] };
        follow(&plane, &viewer(), &hold, &[ours.into_owned()]);
        let begin = std::time::Instant::now();
        let (gift, other) = lingering(60);
        theirs.send(&question(7), &[gift.as_fd()]).unwrap();
        drop(gift); // the copy in the queue is the last one
        let end = Arc::new(theirs);
        let waiting = {
            let end = Arc::clone(&end);
            tokio::task::spawn_blocking(move || end.wait(300).unwrap())
        };
        while !waiting.is_finished() {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(!waiting.await.unwrap() && begin.elapsed() < Duration::from_secs(30), "all had to wait");
        drop(other); // nothing to linger for any more
        assert_eq!(read(&end).await.unwrap()["id"], 7);
    }

    #[tokio::test]
    async fn who_does_not_read_is_given_up_for_now_and_told_again_later() {
        let (ours, theirs) = Connection::pair_with_service().unwrap();
        let (ours, theirs) = (Link::over(ours).unwrap(), Connection::from_owned(theirs));
        let packet = vec![b' '; LONGEST_ANSWER];
        let mut told = 0;
        let error = loop {
            match tell(&ours, &packet).await {
                Ok(()) => told += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((2..100).contains(&told), "{told} packets found room");
        for _ in 0..told {
            theirs.receive().unwrap();
        }
        tell(&ours, b"again").await.unwrap();
        assert_eq!(theirs.receive().unwrap().unwrap().bytes, b"again");
        drop(theirs);
        assert_eq!(tell(&ours, b"gone").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
