//! One keeper, as the warden sees it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::cells::Cells;
use crate::holder::Holdings;
use crate::model::moment::Moment;
use crate::model::name::ServiceName;
use crate::os::launch::{Launch, launch, own_program};
use crate::os::packet::Connection;
use crate::os::process::{Identity, PidFd};
use crate::os::{cgroup, process};
use crate::paths::Paths;
use crate::wire::environment::{CGROUP, WARDEN_FD};
use crate::wire::keeper::{Op, Request};

/// A keeper.
#[derive(Debug)]
pub struct KeeperProcess {
    /// Its process.
    pub pid: i32,
    /// A handle on it.
    pub pidfd: PidFd,
    /// The connection on which it hands over what is to be held.
    pub channel: Option<Connection>,
    /// When this warden started or found it.
    pub since: Moment,
}

impl KeeperProcess {
    /// Starts a keeper that inherits what is held for its service.
    pub fn start(
        paths: &Paths,
        name: &ServiceName,
        holdings: &Holdings,
        cells: Option<&Cells>,
        now: Moment,
    ) -> io::Result<KeeperProcess> {
        let (ours, theirs) = Connection::pair()?;
        let mut inherit = holdings.of(name);
        inherit.push((WARDEN_FD.to_owned(), theirs.as_fd()));
        let output = paths.own_fifo();
        let env = cells.map(|cells| (CGROUP.to_owned(), cells.root.to_string_lossy().into_owned()));
        let what = Launch {
            program: own_program()?,
            args: vec!["keeper".into(), name.as_str().into()],
            env: env.into_iter().collect(),
            inherit,
            output: &output,
        };
        let (pid, pidfd) = launch(&what)?;
        if let Some(folder) = cells.and_then(|cells| cells.keepers.as_ref()) {
            let _ = cgroup::enter(folder, pid); // it stays with the warden then, and works all the same
        }
        Ok(KeeperProcess { pid, pidfd, channel: Some(ours), since: now })
    }

    /// Finds a keeper that another warden has started, by the lock it holds.
    pub fn found(paths: &Paths, name: &ServiceName, holder: &Identity, now: Moment) -> Option<KeeperProcess> {
        let pidfd = process::open(holder)?;
        // The control plane holds the lock too, for a moment, when it writes the goal of a service without keeper.
        let words = process::command_line(holder.pid);
        if words.get(1).map(String::as_str) != Some("keeper") {
            return None;
        }
        let channel = Connection::connect(&paths.service(name).keeper_sock()).ok();
        let channel = channel.filter(|channel| send(channel, Op::Hold).is_ok());
        Some(KeeperProcess { pid: holder.pid, pidfd, channel, since: now })
    }

    /// Connects again, if the connection was lost; true if it has been and is there again.
    pub fn reconnect(&mut self, paths: &Paths, name: &ServiceName) -> bool {
        if self.channel.is_some() {
            return false;
        }
        let channel = Connection::connect(&paths.service(name).keeper_sock()).ok();
        self.channel = channel.filter(|channel| send(channel, Op::Hold).is_ok());
        self.channel.is_some()
    }

    /// Says something to it.
    pub fn say(&self, op: Op) {
        if let Some(channel) = &self.channel {
            let _ = send(channel, op); // it will ask again, or is dead
        }
    }

    /// What to poll.
    pub fn polled(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [Some(self.pidfd.as_fd()), self.channel.as_ref().map(AsFd::as_fd)].into_iter().flatten()
    }
}

fn send(channel: &Connection, op: Op) -> io::Result<()> {
    let request = Request::new(op);
    channel.send(&serde_json::to_vec(&request).map_err(io::Error::other)?, &[])
}
