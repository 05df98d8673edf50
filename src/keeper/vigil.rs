//! Warden and control plane watch each other. When neither does, because both are stopped or hang, or one is gone and
//! the other one stalled, a keeper ends what is left of them; then [`super::guard`] starts a warden.
//!
//! In peace no keeper is woken for that: the control plane hands each a duplicate of its dead man's switch
//! ([`crate::os::switch`]), and a process that ends closes its connection. A keeper waits long enough for the others to
//! see to it themselves, and asks the warden before it ends it: a warden that answers is left alone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::guard::rank;
use crate::model::lapse::{Lapse, Verdict};
use crate::model::moment::Moment;
use crate::model::name::ServiceName;
use crate::model::signal::Signal;
use crate::model::suspicion::{self, Event, Look, Quota, Step, Suspect};
use crate::os::lock;
use crate::os::packet::Connection;
use crate::os::process::{self, Identity};
use crate::paths::Paths;
use crate::wire::warden::Request;

/// The others replace each other within this time, and answer a ping.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between the ranks.
const RANK: Duration = Duration::from_millis(100);
/// A warden that has answered is asked again after this time, if there is still no control plane.
const AGAIN: Duration = Duration::from_secs(60);

/// What this keeper sees of warden and control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Both are connected, and the control plane does not stall.
    Well,
    /// One of them is not connected.
    Incomplete,
    /// The switch of the control plane, which is this process, has fallen.
    Stalled(i32),
}

/// What is known of those who should watch each other.
#[derive(Debug, Default)]
pub struct Vigil {
    lapse: Lapse,
    warden: Option<Identity>,
    suspect: Suspect,
    quota: Quota,
    ping: Option<Ping>,
}

/// A question to the warden.
#[derive(Debug)]
struct Ping {
    /// None: it could not be asked, or has closed without a word.
    connection: Option<Connection>,
    due: Moment,
    /// That it could not be asked is no fault of this process.
    sure: bool,
}

impl Vigil {
    /// When to call [`Vigil::check`] next, whatever happens; none: when something changes.
    pub fn deadline(&self) -> Option<Moment> {
        self.ping.as_ref().map(|ping| ping.due).or(self.lapse.look_at())
    }

    /// What to poll.
    pub fn polled(&self) -> Option<BorrowedFd<'_>> {
        self.ping.as_ref()?.connection.as_ref().map(AsFd::as_fd)
    }

    /// To be called when time has come or something has changed. Returns what was done, if anything.
    pub fn check(
        &mut self,
        others: Others,
        paths: &Paths,
        name: &ServiceName,
        now: Moment,
    ) -> Option<String> {
        if others == Others::Well {
            if self.deadline().is_some() {
                *self = Vigil { quota: self.quota, ..Vigil::default() };
            }
            return None;
        }
        if self.ping.is_some() {
            let event = self.answer(now)?;
            return self.happened(event, others, paths, now);
        }
        if self.lapse.look_at().is_some_and(|at| now < at) {
            return None;
        }
        let verdict;
        (self.lapse, verdict) = self.lapse.step(true, PATIENCE + RANK * rank(paths, name), now);
        match verdict {
            Verdict::Beats | Verdict::Doubtful => None,
            Verdict::Stopped => self.look_at_warden(others, paths, now),
        }
    }

    fn look_at_warden(&mut self, others: Others, paths: &Paths, now: Moment) -> Option<String> {
        let warden = lock::named(&paths.warden_lock());
        if warden != self.warden {
            (self.suspect, self.quota, _) = suspicion::step(self.suspect, self.quota, Event::Replaced, now);
            self.warden = warden;
        }
        match &self.warden {
            Some(warden) => {
                let stopped = process::is_stopped(warden.pid);
                let look = Look { stopped, unanswered: true, ..Look::default() };
                self.happened(Event::Looked(look), others, paths, now)
            }
            // A control plane that works starts one.
            None => end_control(others, paths),
        }
    }

    /// What has come of the ping; none if that is still open.
    fn answer(&mut self, now: Moment) -> Option<Event> {
        let ping = self.ping.as_mut()?;
        match ping.connection.as_ref().map(Connection::receive) {
            Some(Ok(Some(_))) => {
                self.ping = None;
                return Some(Event::Answered);
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Some(_) => ping.connection = None,
            None => {}
        }
        if now < ping.due {
            return None;
        }
        let stopped = self.warden.as_ref().is_some_and(|warden| process::is_stopped(warden.pid));
        let event = Event::Silent { late: now.since(ping.due), sure: ping.sure, stopped };
        self.ping = None;
        Some(event)
    }

    fn happened(&mut self, event: Event, others: Others, paths: &Paths, now: Moment) -> Option<String> {
        let step;
        (self.suspect, self.quota, step) = suspicion::step(self.suspect, self.quota, event, now);
        match step {
            Step::Ping(patience) => {
                self.ping = Some(Ping::send(paths, now.plus(patience)));
                None
            }
            Step::Kill(sign) => {
                let warden = self.warden.as_ref().and_then(process::open);
                let ended = warden.map(|warden| warden.signal(Signal::KILL).is_ok());
                let control = end_control(others, paths);
                let warden = ended.map(|_| format!("the warden was stalled ({sign}): ended it"));
                [warden, control].into_iter().flatten().reduce(|one, other| format!("{one}; {other}"))
            }
            Step::Leave | Step::LookAgain(_) => {
                self.lapse = Lapse::again(now.plus(AGAIN));
                // It works, and yet has not ended a control plane that does not.
                (event == Event::Answered).then(|| end_control(others, paths)).flatten()
            }
        }
    }
}

impl Ping {
    fn send(paths: &Paths, due: Moment) -> Ping {
        let sent = Connection::connect(&paths.warden_sock()).and_then(|connection| {
            connection.send(&serde_json::to_vec(&Request::Ping)?, &[])?;
            Ok(connection)
        });
        let own_fault = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
        let sure = !sent.as_ref().is_err_and(own_fault);
        Ping { connection: sent.ok(), due, sure }
    }
}

/// Ends a control plane that is stalled. Returns that it was done.
fn end_control(others: Others, paths: &Paths) -> Option<String> {
    let Others::Stalled(pid) = others else { return None };
    let holder = lock::named(&paths.control_lock()).filter(|holder| holder.pid == pid)?;
    let ended = process::open(&holder)?.signal(Signal::KILL);
    ended.is_ok().then(|| format!("the control plane (pid {pid}) was stalled: ended it"))
}
