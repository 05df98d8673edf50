//! The warden's one loop.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signalfd::SignalFd;

use super::cells::{self, Cells};
use super::control::Control;
use super::keepers::KeeperProcess;
use super::log;
use super::orphans::Orphans;
use super::overseen::Overseen;
use crate::exit_code;
use crate::holder::Holdings;
use crate::model::end::Exit;
use crate::model::moment::Moment;
use crate::model::name::ServiceName;
use crate::model::pace::Pace;
use crate::model::signal::Signal;
use crate::os::door::Door;
use crate::os::lock::Lock;
use crate::os::packet::{Connection, Listener};
use crate::os::{clock, heap, lock, wait};
use crate::paths::Paths;
use crate::wire::keeper::{Op, Reply as KeeperReply};
use crate::wire::warden::Reply;

/// How often a lost connection is tried again.
const RECONNECT: Duration = Duration::from_millis(50);
/// Until something that could not be started is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// Connections at one time.
pub(super) const MOST_CLIENTS: usize = 16;

/// What a warden has from a predecessor, or from the program that this process was before.
#[derive(Debug)]
pub struct Heritage {
    /// What is held for the services.
    pub holdings: Holdings,
    /// How orphans ended.
    pub orphans: Orphans,
    /// That this is the one warden.
    pub lock: Lock,
}

/// Everything the warden has.
#[derive(Debug)]
pub struct Warden {
    pub(super) paths: Paths,
    signals: SignalFd,
    pub(super) door: Door,
    pub(super) clients: Vec<Connection>,
    pub(super) overseen: Option<Overseen>,
    pub(super) keepers: BTreeMap<ServiceName, KeeperProcess>,
    /// Keepers that are started again at this time.
    due: BTreeMap<ServiceName, Moment>,
    /// How often each has died lately.
    paces: BTreeMap<ServiceName, Pace>,
    pub(super) control_pace: Pace,
    pub(super) holdings: Holdings,
    pub(super) orphans: Orphans,
    pub(super) control: Option<Control>,
    /// When the control plane is started again.
    pub(super) control_due: Option<Moment>,
    pub(super) managed: bool,
    cells: Option<Cells>,
    pub(super) quitting: bool,
    /// By a signal, not by the control plane.
    pub(super) told_by_signal: bool,
    /// Something was taken over or started since the heap was trimmed.
    pub(super) busy: bool,
    /// Somebody has asked this process to become this program.
    pub(super) exec: Option<PathBuf>,
    /// Last, so that it is let go of last.
    pub(super) lock: Lock,
}

impl Warden {
    /// A warden that has yet to find its keepers.
    pub fn new(
        paths: Paths,
        signals: SignalFd,
        listener: Listener,
        heritage: Heritage,
        managed: bool,
        cells: Option<Cells>,
    ) -> Warden {
        let Heritage { holdings, orphans, lock } = heritage;
        Warden {
            paths,
            signals,
            door: Door::new(listener),
            clients: Vec::new(),
            overseen: None,
            keepers: BTreeMap::new(),
            due: BTreeMap::new(),
            paces: BTreeMap::new(),
            control_pace: Pace::default(),
            holdings,
            orphans,
            control: None,
            control_due: None,
            managed,
            cells,
            quitting: false,
            told_by_signal: false,
            busy: true,
            exec: None,
            lock,
        }
    }

    /// Runs until it is told to quit and the last keeper has ended. Returns the exit code.
    pub fn run(mut self) -> u8 {
        self.find_keepers();
        // What ended while this process was becoming another program: the signal may have come to the old one.
        self.on_children();
        self.find_control();
        loop {
            self.on_time();
            if self.quitting && self.keepers.is_empty() {
                if let Some(cells) = &self.cells {
                    cells::remove(cells);
                }
                return exit_code::OK;
            }
            if std::mem::take(&mut self.busy) {
                heap::trim();
            }
            self.wait();
            self.on_signals();
            self.on_keepers();
            self.on_children();
            self.on_control();
            self.on_clients();
            self.on_overseen();
            self.become_program();
        }
    }

    /// Keepers that live are connected to; a service without one gets one.
    fn find_keepers(&mut self) {
        let entries = std::fs::read_dir(self.paths.services()).into_iter().flatten().flatten();
        let names: Vec<ServiceName> =
            entries.filter_map(|entry| ServiceName::new(entry.file_name().to_str()?).ok()).collect();
        for name in names {
            if self.paths.service(&name).spec().exists() {
                self.keep(name);
            }
        }
    }

    pub(super) fn keep(&mut self, name: ServiceName) {
        let now = clock::mono();
        if self.keepers.contains_key(&name) {
            return;
        }
        self.due.remove(&name);
        let holder = lock::holder(&self.paths.service(&name).lock);
        let found = holder.and_then(|holder| KeeperProcess::found(&self.paths, &name, &holder, now));
        let keeper = match found {
            Some(keeper) => Ok(keeper),
            None => KeeperProcess::start(&self.paths, &name, &self.holdings, self.cells.as_ref(), now),
        };
        match keeper {
            Ok(keeper) => {
                if self.quitting {
                    keeper.say(Op::Retire); // its predecessor died of it, or before it was told
                }
                self.keepers.insert(name, keeper);
            }
            Err(error) => {
                log(&format!("cannot start a keeper for {name}: {error}; trying again in a second"));
                self.due.insert(name, now.plus(AGAIN));
            }
        }
    }

    fn wait(&self) {
        let now = clock::mono();
        let unconnected = self.keepers.values().any(|keeper| keeper.channel.is_none());
        let reconnect = unconnected.then(|| now.plus(RECONNECT));
        let overseen = self.overseen.as_ref().and_then(Overseen::deadline);
        let due = self.due.values().copied().chain(self.control_due).chain(self.door.deadline());
        let due = due.chain(reconnect).chain(overseen).min();
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            let millis = due.since(now).as_nanos().div_ceil(1_000_000).min(3_600_000);
            PollTimeout::try_from(millis as i32).unwrap_or(PollTimeout::MAX)
        });
        let listener = self.door.polled().filter(|_| self.clients.len() < MOST_CLIENTS);
        let all = std::iter::once(self.signals.as_fd())
            .chain(listener)
            .chain(self.clients.iter().map(AsFd::as_fd))
            .chain(self.overseen.iter().flat_map(Overseen::polled))
            .chain(self.control.iter().map(|control| control.process.as_fd()))
            .chain(self.keepers.values().flat_map(KeeperProcess::polled));
        let mut fds: Vec<PollFd<'_>> =
            all.map(|fd: BorrowedFd<'_>| PollFd::new(fd, PollFlags::POLLIN)).collect();
        wait::for_any(&mut fds, timeout);
    }

    pub(super) fn on_time(&mut self) {
        let now = clock::mono();
        let due: Vec<ServiceName> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
        due.into_iter().for_each(|name| self.keep(name));
        for (name, keeper) in &mut self.keepers {
            if keeper.reconnect(&self.paths, name) && self.told_by_signal {
                keeper.say(Op::Retire);
            }
        }
        if self.control_due.is_some_and(|at| at <= now) {
            self.find_control();
            if self.control.is_none() {
                self.start_control(now);
            }
        }
    }

    /// As the first process of a container, or told by systemd, a termination signal means: stop everything.
    /// Elsewhere it is a stray, and a warden that obeyed it would cost the services.
    fn on_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let terminate = [libc::SIGTERM, libc::SIGINT].contains(&(signal.ssi_signo as i32));
            let obey = self.managed || nix::unistd::getpid().as_raw() == 1;
            if terminate && obey && !self.quitting {
                log("told to end by a signal: stopping all services");
                self.quitting = true;
                self.told_by_signal = true;
                self.keepers.values().for_each(|keeper| keeper.say(Op::Retire));
            }
        }
    }

    /// What keepers hand over, what they ask, and whether they live.
    fn on_keepers(&mut self) {
        let mut asked = Vec::new();
        let mut ended = Vec::new();
        for (name, keeper) in &mut self.keepers {
            while let Some(channel) = &keeper.channel {
                match channel.receive() {
                    Ok(Some(packet)) => match serde_json::from_slice::<KeeperReply>(&packet.bytes) {
                        Ok(KeeperReply::WhatOf { pid }) => asked.push((name.clone(), pid)),
                        Ok(reply) => {
                            self.holdings.apply(name, reply, packet.fds);
                            self.busy = true;
                        }
                        Err(error) => log(&format!("the keeper of {name} says something unknown: {error}")),
                    },
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Ok(None) | Err(_) => keeper.channel = None,
                }
            }
            if keeper.pidfd.has_ended() {
                ended.push(name.clone());
            }
        }
        for (name, pid) in asked {
            // An orphan may have ended a moment ago: look before the question is put on the list.
            self.on_children();
            if let Some(status) = self.orphans.ask(pid, name.clone()) {
                self.answer(&name, pid, status);
            }
        }
        ended.into_iter().for_each(|name| self.keeper_ended(name));
    }

    fn answer(&self, name: &ServiceName, pid: i32, status: i32) {
        if let Some(keeper) = self.keepers.get(name) {
            keeper.say(Op::Orphan { pid, status });
        }
    }

    fn keeper_ended(&mut self, name: ServiceName) {
        let Some(keeper) = self.keepers.remove(&name) else {
            return;
        };
        let exit = wait::reap(keeper.pid).map(|ended| ended.exit());
        let exit = exit.or_else(|| keeper.pidfd.exit_from_kernel());
        // One that has retired leaves no spec. How it ended does not tell: of one that is not a child of this warden
        // nobody may know it, and a program that is no keeper at all may end well, too.
        let retired = !self.paths.service(&name).spec().exists()
            || (self.quitting && exit.is_some_and(Exit::is_success));
        if retired {
            self.holdings.forget(&name);
            self.paces.remove(&name);
            return;
        }
        let now = clock::mono();
        let pace = self.paces.get(&name).copied().unwrap_or_default();
        let (pace, pause) = pace.after(now.since(keeper.since));
        self.paces.insert(name.clone(), pace);
        log(&format!("the keeper of {name} (pid {}) has died: a new one in {pause:.0?}", keeper.pid));
        if pause.is_zero() {
            self.keep(name);
        } else {
            self.due.insert(name, now.plus(pause));
        }
    }

    /// Somebody has stopped a child. Of a keeper it is reported: whether it is to be ended the control plane decides. One
    /// that was stopped before it could do anything nobody can find, and it has nothing to lose: it is ended at once.
    fn child_stopped(&self, pid: i32) {
        let Some((name, keeper)) = self.keepers.iter().find(|(_, keeper)| keeper.pid == pid) else {
            let unseen = self.overseen.as_ref().is_none_or(|overseen| overseen.pid() != pid);
            if let Some(control) = self.control.as_ref().filter(|control| control.pid == pid && unseen) {
                let _ = control.process.signal(Signal::KILL); // it may have ended
            }
            return;
        };
        let holder = lock::named(&self.paths.service(name).lock);
        if holder.is_none_or(|holder| holder.pid != pid) {
            let _ = keeper.pidfd.signal(Signal::KILL); // likewise
        } else if let Some(overseen) = &self.overseen {
            overseen.tell(&Reply::Stopped { name: name.clone() });
        }
    }

    /// Reaps whatever has come to this process, and remembers how it ended.
    fn on_children(&mut self) {
        while let Some(pid) = wait::next_stopped() {
            self.child_stopped(pid);
        }
        while let Some(peeked) = wait::peek(None) {
            let keeper = self
                .keepers
                .iter()
                .find(|(_, keeper)| keeper.pid == peeked.pid)
                .map(|(name, _)| name.clone());
            if let Some(name) = keeper {
                self.keeper_ended(name);
                continue;
            }
            let Some(ended) = wait::reap(peeked.pid) else {
                break;
            };
            if let Some(name) = self.orphans.ended(ended.pid, ended.status) {
                self.answer(&name, ended.pid, ended.status);
            }
        }
    }

    /// A control plane that stalls is ended; that it has ended is noticed as always.
    fn on_overseen(&mut self) {
        let Some(overseen) = &mut self.overseen else { return };
        if let Some(done) = overseen.check(clock::mono()) {
            log(&done);
        }
        if !overseen.is_connected() {
            self.overseen = None;
        }
    }
}
