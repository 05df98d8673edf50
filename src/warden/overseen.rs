//! The control plane, as the warden watches it: whether it stalls, and whom to tell when a keeper is stopped.
//!
//! Its dead man's switch makes that free: the warden sleeps until the switch falls, and the control plane, which
//! wakes up every few seconds anyway, puts that off each time. Under systemd no switch is handed over: there its
//! watchdog does the same.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::lapse::{GRACE, Lapse, Verdict};
use crate::model::moment::Moment;
use crate::model::signal::Signal;
use crate::os::packet::Connection;
use crate::os::process::{self, Identity, PidFd};
use crate::os::switch;
use crate::wire::warden::Reply;

/// A control plane that has asked to be told, and to be ended if it stalls.
#[derive(Debug)]
pub struct Overseen {
    connection: Connection,
    pid: i32,
    process: PidFd,
    switch: Option<OwnedFd>,
    lapse: Lapse,
}

impl Overseen {
    /// The process at the other end of `connection`, if it is the one that `holder` names.
    pub fn new(connection: Connection, holder: &Identity, switch: Option<OwnedFd>) -> Option<Overseen> {
        let same = connection.peer_pid().is_ok_and(|pid| pid == holder.pid);
        let process = same.then(|| process::open(holder)).flatten()?;
        Some(Overseen { connection, pid: holder.pid, process, switch, lapse: Lapse::default() })
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What to poll. A switch that has fallen is looked at when time has come.
    pub fn polled(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let switch = self.switch.as_ref().filter(|_| self.lapse.look_at().is_none());
        std::iter::once(self.connection.as_fd()).chain(switch.map(AsFd::as_fd))
    }

    /// When to call [`Overseen::check`] next, whatever happens.
    pub fn deadline(&self) -> Option<Moment> {
        self.lapse.look_at()
    }

    /// Says something to it; one that does not read is not waited for.
    pub fn tell(&self, reply: &Reply) {
        if let Ok(bytes) = serde_json::to_vec(reply) {
            let _ = self.connection.send(&bytes, &[]);
        }
    }

    /// Whether it is still connected.
    pub fn is_connected(&self) -> bool {
        match self.connection.receive() {
            Ok(Some(_)) => true, // it has nothing more to say
            Ok(None) => false,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Looks at the switch, and ends the process if it stalls. Returns what was done, if anything.
    pub fn check(&mut self, now: Moment) -> Option<String> {
        let fallen = self.switch.as_ref().is_some_and(switch::has_fallen);
        let verdict;
        (self.lapse, verdict) = self.lapse.step(fallen, GRACE, now);
        match verdict {
            Verdict::Beats | Verdict::Doubtful => None,
            Verdict::Stopped => {
                let how = if process::is_stopped(self.pid) { "stopped" } else { "it hangs" };
                let ended = self.process.signal(Signal::KILL);
                let done =
                    ended.map_or_else(|error| format!("cannot end it: {error}"), |()| "ended it".into());
                Some(format!("the control plane (pid {}) was stalled ({how}): {done}", self.pid))
            }
        }
    }
}
