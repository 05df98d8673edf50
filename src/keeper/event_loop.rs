//! The keeper's one loop: wait, tell the machine what has happened, do what it asks, write it down.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::child::{Child, Look};
use super::clients::Clients;
use super::guard::Guard;
use super::log::channels::{self, Channels};
use super::log::compress::Compressor;
use super::log::pump::{Command, Notice as Said, Pump};
use super::log::relief::Relief;
use super::meter::CpuShare;
use super::renewal::Waiting;
use super::sockets::Sockets;
use super::store::Store;
use super::vigil::Vigil;
use crate::model::end::Exit;
use crate::model::machine::{self, Action, Event};
use crate::model::moment::Moment;
use crate::model::phase::{Beside, Goal, Instance, Phase, Run, State};
use crate::model::spec::ServiceSpec;
use crate::model::units::group_digits;
use crate::os::cgroup::Cgroup;
use crate::os::lock::Lock;
use crate::os::notify::{Notice, Notify};
use crate::os::{clock, fault, heap, spawn, wait};
use crate::paths::{Paths, ServicePaths};
use crate::records;
use crate::wire::keeper::Reply;
use crate::wire::log_state::LogState;
use crate::wire::record::{InstanceRecord, Second};
use crate::{exit_code, own_log};

/// Between two looks at a tree that is being killed.
const CLEARING: Duration = Duration::from_millis(2);
/// Between two looks whether a message with descriptors is gone ([`Notify::is_swallowing`]).
const SWALLOWING: Duration = Duration::from_millis(50);
/// A retiring keeper waits this long for a log disk that hangs.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Messages of a service that are read in one turn.
const MOST_NOTICES: usize = 100;

/// Everything a keeper has.
#[derive(Debug)]
pub struct Keeper {
    pub(super) paths: Paths,
    pub(super) own: ServicePaths,
    pub(super) spec: ServiceSpec,
    pub(super) limit_overridden: bool,
    pub(super) goal: Goal,
    pub(super) instance: Instance,
    /// The processes of the living runs: one, or two while one takes over from the other.
    pub(super) children: Vec<Child>,
    /// The spec of the run that a reload shall replace is kept aside.
    pub(super) spec_is_new: bool,
    /// FIFOs and cgroup of the next run, made ahead of time: a restart waits for nobody.
    pub(super) next: Option<(Channels, Option<Cgroup>)>,
    /// FIFOs that the pump still empties.
    pub(super) emptying: VecDeque<Channels>,
    pub(super) sockets: Sockets,
    pub(super) clients: Clients,
    pub(super) store: Store,
    pub(super) pump: Pump,
    pub(super) relief: Relief,
    pub(super) compressor: Compressor,
    pub(super) guard: Guard,
    pub(super) vigil: Vigil,
    pub(super) cpu: CpuShare,
    pub(super) cgroup_root: Option<PathBuf>,
    pub(super) signals: SignalFd,
    pub(super) look_at_memory: Option<Moment>,
    pub(super) published: Option<(Instance, Goal)>,
    /// Askers that wait for the log to be empty.
    pub(super) flushing: Vec<u64>,
    /// Askers that wait for the log files to be opened again.
    pub(super) reopening: Vec<u64>,
    /// How the log is, as the pump says.
    pub(super) log_state: LogState,
    /// Lines that had been dropped when it could be written last.
    pub(super) dropped_before: u64,
    pub(super) retiring: Option<Moment>,
    /// It is to become another program, when the pump stands still.
    pub(super) exec: Option<Waiting>,
    /// How often the pump was told to stand still.
    pub(super) parks: u64,
    /// Something was done since the heap was trimmed.
    pub(super) busy: bool,
    /// Cgroups of runs that have ended: removed when there is nothing more urgent.
    pub(super) stale_cgroups: Vec<Cgroup>,
    /// Last, so that it is let go of last.
    pub(super) lock: Lock,
}

impl Keeper {
    /// Runs until it is told to retire. Returns the exit code.
    pub fn run(mut self) -> u8 {
        // What ended while this process was becoming another program: the signal may have come to the old one.
        self.on_children();
        loop {
            self.on_time();
            self.publish();
            if self.is_done() {
                self.forget_all();
                self.pump.end(LAST_WORDS);
                return exit_code::OK;
            }
            if std::mem::take(&mut self.busy) {
                heap::trim(); // what was used is not needed until something happens again
            }
            self.wait();
            self.on_children();
            self.on_pump();
            self.on_notices();
            self.on_clients();
        }
    }

    /// Tells the machine, writes down what it says, does what it asks.
    pub(super) fn tell(&mut self, event: Event) {
        let now = clock::now();
        let before = self.instance.run();
        let (next, action) = machine::step(&self.spec, self.instance.clone(), event, now, roll(now.mono));
        self.instance = next;
        if self.instance.run() != before {
            self.cpu.reset();
        }
        match action {
            Action::None => self.save(),
            Action::Signal { run, signal } => {
                self.save();
                fault::point("between record and signal");
                if let Some(child) = self.child(run) {
                    child.signal(signal);
                }
            }
            Action::Kill { run } => {
                self.save();
                fault::point("between record and kill");
                if let Some(child) = self.child(run) {
                    child.kill();
                }
            }
            // `start` writes the record itself, between the birth of the process and its release.
            Action::Spawn { number } => {
                if self.instance.beside.as_ref().is_some_and(Beside::is_successor) {
                    self.save(); // a reload goes on after a crash
                    fault::point("between reload and fork");
                }
                match self.start(number) {
                    Ok(run) => self.tell(Event::Spawned(run)),
                    Err(failure) => {
                        self.log(&format!("cannot start: {failure}"));
                        self.tell(Event::SpawnFailed(failure));
                    }
                }
            }
        }
        if matches!(self.instance.state(), State::Stopped | State::Failed) {
            self.close_sockets();
        }
        self.settle_spec();
    }

    /// The process of a run.
    pub(super) fn child(&self, run: u64) -> Option<&Child> {
        self.children.iter().find(|child| child.run.number == run)
    }

    /// The process of the phase: the one that serves, or shall.
    pub(super) fn main_child(&self) -> Option<&Child> {
        self.instance.run().and_then(|run| self.child(run.number))
    }

    /// The numbers of the living runs.
    pub(super) fn living(&self) -> Vec<u64> {
        self.children.iter().map(|child| child.run.number).collect()
    }

    /// Writes the record; a failure is said, and does not stop anything.
    pub(super) fn save(&mut self) {
        if let Err(error) = self.try_save(self.instance.clone(), None) {
            self.log(&format!("cannot write the state record: {error}"));
        }
    }

    /// Writes the record. `newborn` is the cgroup of a process that is not let go yet.
    pub(super) fn try_save(&mut self, instance: Instance, newborn: Option<&Cgroup>) -> std::io::Result<()> {
        let path = |cgroup: &Cgroup| cgroup.path().to_string_lossy().into_owned();
        let known = |run: Option<Run>| {
            let child = run.and_then(|run| self.child(run.number));
            let cgroup = child.map_or(newborn, |child| child.cgroup.as_ref());
            (child.is_some_and(|child| child.released), cgroup.map(path))
        };
        let (released, cgroup) = known(instance.run());
        let second = instance.beside.as_ref().map(|beside| {
            let (released, cgroup) = known(beside.run());
            Second { released, cgroup }
        });
        self.store.save(&InstanceRecord { instance, released, cgroup, second })
    }

    fn wait(&self) {
        let now = clock::mono();
        let deadline = if self.clients.any_dropped() { Some(now) } else { self.deadline() };
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            // Rounded up, so that the deadline has passed when poll returns.
            let millis = deadline.since(now).as_nanos().div_ceil(1_000_000);
            PollTimeout::try_from(millis.min(3_600_000) as i32).unwrap_or(PollTimeout::MAX)
        });
        let fixed = [self.signals.as_fd(), self.pump.readable()];
        let children = self.children.iter().filter_map(Child::polled);
        let notify = self.sockets.notify().and_then(Notify::polled);
        // A switch that has fallen is looked at when time has come.
        let switches = self.pump.switches().filter(|_| self.relief.deadline().is_none());
        let switches = switches.chain(self.clients.switch().filter(|_| self.vigil.deadline().is_none()));
        let sockets = notify.into_iter().chain(self.clients.polled()).chain(self.vigil.polled());
        let all = fixed.into_iter().chain(children).chain(switches).chain(sockets);
        let mut fds: Vec<PollFd<'_>> =
            all.map(|fd: BorrowedFd<'_>| PollFd::new(fd, PollFlags::POLLIN)).collect();
        wait::for_any(&mut fds, timeout);
    }

    fn deadline(&self) -> Option<Moment> {
        let now = clock::mono();
        let ending = self.children.iter().any(|child| child.polled().is_none());
        let clearing = ending.then(|| now.plus(CLEARING));
        let retiring = self.retiring.filter(|deadline| *deadline > now);
        let exec = self.exec.as_ref().map(|waiting| waiting.until);
        let swallowing = self.sockets.notify().is_some_and(Notify::is_swallowing);
        let swallowing = swallowing.then(|| now.plus(SWALLOWING));
        let own = [self.instance.deadline(), self.look_at_memory, self.relief.deadline()];
        let others = [self.guard.deadline(), self.vigil.deadline(), self.clients.deadline()];
        let ends = [clearing, retiring, exec, swallowing];
        own.into_iter().chain(others).chain(ends).flatten().min()
    }

    /// What is due.
    fn on_time(&mut self) {
        let now = clock::mono();
        if self.instance.deadline().is_some_and(|deadline| deadline <= now) {
            self.tell(Event::Due);
        }
        if self.look_at_memory.is_some_and(|look| look <= now) {
            self.check_memory(now);
        }
        self.relieve(now);
        if self.guard.deadline().is_some() || !self.clients.any_holder() {
            let held = self.clients.any_holder();
            if let Some(done) = self.guard.check(held, &self.paths, &self.spec.name, now) {
                self.log(&done);
            }
        }
        if let Some(done) = self.vigil.check(self.clients.others(), &self.paths, &self.spec.name, now) {
            self.log(&done);
        }
        self.put_exec_off();
        if self.next.is_none() && self.retiring.is_none() {
            self.prepare_next();
        }
        for cgroup in self.stale_cgroups.drain(..) {
            let _ = cgroup.remove(); // EBUSY: a process that not even SIGKILL ends is left
        }
    }

    fn on_children(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Signal::SIGUSR2 as u32 {
                self.pump.tell(Command::Reopen); // from somebody who has moved the log files away
            }
        }
        self.look_after_children();
        // Orphans that came to this process, and helpers.
        while let Some(ended) = wait::peek(None) {
            if self.children.iter().any(|child| child.run.pid == ended.pid) {
                self.look_after_children();
                if wait::peek(Some(ended.pid)).is_some() {
                    break; // its tree is still being killed; it is reaped after that
                }
                continue;
            }
            let _ = wait::reap(ended.pid);
            self.compressor.ended(ended.pid);
        }
    }

    fn look_after_children(&mut self) {
        for run in self.living() {
            let spared =
                self.children.iter().find(|child| child.run.number != run).map(|child| child.run.pid);
            let Some(child) = self.children.iter_mut().find(|child| child.run.number == run) else {
                continue;
            };
            let neighbours = || records::neighbours(&self.paths, &self.spec.name);
            match child.look(self.spec.name.as_str(), spared, neighbours, clock::mono()) {
                Look::Alive | Look::Ending => {}
                Look::AskWarden => {
                    let pid = child.run.pid;
                    self.clients.tell_holders(&Reply::WhatOf { pid });
                }
                Look::Gone(exit) => self.gone(run, exit),
            }
        }
    }

    /// The process of a run and its tree are gone.
    fn gone(&mut self, run: u64, exit: Exit) {
        let Some(at) = self.children.iter().position(|child| child.run.number == run) else { return };
        let child = self.children.remove(at);
        let oom = child.cgroup.as_ref().and_then(Cgroup::oom);
        self.stale_cgroups.extend(child.cgroup);
        self.pump.tell(Command::Finish { run });
        self.close_old_views();
        self.watch_memory();
        let was_none = !child.released && exit == Exit::Code(spawn::NEVER_LET_GO);
        self.tell(if was_none { Event::NeverWas(run, exit) } else { Event::Exited(run, exit, oom) });
        self.log(&format!("run {run} (pid {}) {exit}", child.run.pid));
    }

    fn on_pump(&mut self) {
        for notice in self.pump.notices() {
            match notice {
                Said::Finished { run } => {
                    if let Some(channels) = self.detach(run) {
                        channels.leave(&self.own);
                    }
                }
                Said::Flushed(result) => {
                    let askers = std::mem::take(&mut self.flushing);
                    self.answer_all(askers, result);
                }
                Said::Reopened(result) => {
                    let askers = std::mem::take(&mut self.reopening);
                    self.answer_all(askers, result);
                }
                Said::Rotated(path) => self.compressor.add(path),
                Said::Said(text) => self.log(&text),
                Said::State(state) => self.on_log_state(state),
                Said::Parked(number) => self.on_parked(number),
            }
        }
        self.compressor.next(&self.paths); // nothing else may happen for hours
    }

    fn answer_all(&mut self, askers: Vec<u64>, result: Result<(), String>) {
        let reply = match result {
            Ok(()) => Reply::done(self.instance.runs),
            Err(message) => Reply::Error { message },
        };
        for asker in askers {
            self.clients.answer(asker, &reply);
        }
    }

    /// The log can be written no more, or again.
    fn on_log_state(&mut self, state: LogState) {
        let before = std::mem::replace(&mut self.log_state, state);
        let now = &self.log_state;
        match (&before.trouble, &now.trouble) {
            (None, Some(text)) => {
                self.log(text);
                self.dropped_before = before.dropped_lines;
            }
            // Worse than before, perhaps: it could not be rotated, now it cannot be written.
            (Some(old), Some(text)) if old != text => self.log(text),
            (Some(_), None) => {
                let dropped = match now.dropped_lines.saturating_sub(self.dropped_before) {
                    0 => String::new(),
                    lines => format!("; meanwhile {} lines were dropped", group_digits(lines)),
                };
                self.log(&format!("the log can be written again{dropped}"));
            }
            _ => {}
        }
        if before.trouble != self.log_state.trouble || before.dropping != self.log_state.dropping {
            self.published = None; // who watches learns of it
        }
    }

    /// The FIFOs of a run.
    pub(super) fn channels(&self, run: u64) -> Option<&Channels> {
        self.emptying.iter().find(|channels| channels.run == run)
    }

    /// Nobody is to hold the FIFOs of a run any more.
    pub(super) fn detach(&mut self, run: u64) -> Option<Channels> {
        let at = self.emptying.iter().position(|channels| channels.run == run)?;
        let channels = self.emptying.remove(at)?;
        self.clients.take_back(channels.held().map(|(key, _)| key).collect());
        Some(channels)
    }

    /// What the service reports.
    fn on_notices(&mut self) {
        for _ in 0..MOST_NOTICES {
            let Some(notice) = self.sockets.next_notice() else { return };
            // Who speaks is found out last: it costs a look at the whole tree.
            if notice.text.lines().any(|line| line == "READY=1")
                && let Some(run) = self.speaker(&notice)
            {
                self.tell(Event::Ready(run));
            }
        }
    }

    /// Whose report it is. What a helper said that is gone by now is taken for the latest run's: it is the one that has
    /// something to report.
    fn speaker(&self, notice: &Notice) -> Option<u64> {
        let certain = self.children.iter().find(|child| child.speaks(notice));
        let likely = || self.children.iter().rev().find(|child| child.may_have_spoken(notice));
        certain.or_else(likely).map(|child| child.run.number)
    }

    fn close_sockets(&mut self) {
        let closed = self.sockets.close_but(&[]);
        self.clients.take_back(closed);
    }

    /// Tells the watchers when something has changed.
    fn publish(&mut self) {
        let now = Some((self.instance.clone(), self.goal));
        if self.published == now {
            return;
        }
        self.published = now;
        self.busy = true;
        if self.clients.any_watcher() {
            let status = self.status();
            self.clients.tell_watchers(&Reply::Status(Box::new(status)));
        }
    }

    /// What was made for a run that will not be is left for another one, should the disk be full then.
    pub(super) fn forget_next(&mut self) {
        if let Some((channels, cgroup)) = self.next.take() {
            channels.leave(&self.own);
            let _ = cgroup.map(Cgroup::remove); // the warden removes the rest
        }
    }

    /// Nothing is left of the service but its goal, and its folder.
    fn forget_all(&mut self) {
        self.forget_next();
        channels::remove(&self.own.spare_dir());
        // A warden that is not the parent cannot see the exit code; it sees that there is no spec.
        if let Err(error) = self.store.forget() {
            self.log(&format!("cannot remove the spec: {error}"));
        }
    }

    fn is_done(&self) -> bool {
        let Some(deadline) = self.retiring else {
            return false;
        };
        let empty = self.emptying.is_empty() || deadline <= clock::mono();
        self.children.is_empty() && self.instance.phase == Phase::Stopped && empty
    }

    pub(super) fn log(&self, what: &str) {
        own_log::line(&format!("keeper {}", self.spec.name), what);
    }
}

/// A number from 0 to 1 for jitter; the last digits of the clock are random enough for that.
fn roll(now: Moment) -> f64 {
    (now.0 % 1_000_003) as f64 / 1_000_003.0
}
