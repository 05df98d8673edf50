//! The keeper: parent of one service, and all that the service needs to live on when everything else of
//! dogwatch is dead.
//!
//! It is one poll loop and one thread that moves log bytes. It never waits for the control plane, the warden,
//! the disk or the service. Whatever it must know to go on stands in its state record, in the names of FIFOs
//! and in descriptors that others hold: starting, recovering from SIGKILL and taking over from an older
//! version are one code path, [`run`].
//!
//! ```text
//! event_loop   the one loop: waits, tells the machine, writes down, does
//! requests     what a keeper is asked            clients    who asks, watches and holds
//! reload       another spec, another run         renewal    another program, the same process
//! start        how a run begins                  child      its process, and how its end is found out
//! sockets      what it is handed                 cell       the cgroup it lives in
//! node         a socket for programs that do not ask for one
//! memory       what the runs use of memory       meter      how much that is, and when to look again
//! store        what outlives a keeper
//! vigil        whether the others stand still    guard      what is done when they are gone
//! log          the run's output, on its way to the disk
//! ```
//! Read [`event_loop`], then `start`, [`child`] and [`log`].

pub mod cell;
pub mod child;
pub mod clients;
pub mod event_loop;
pub mod guard;
pub mod log;
mod memory;
pub mod meter;
mod node;
mod reload;
pub mod renewal;
mod requests;
pub mod sockets;
mod start;
pub mod store;
pub mod vigil;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::model::end::{Exit, Why};
use crate::model::ladder::OWN_OOM_SCORE;
use crate::model::machine::Event;
use crate::model::name::ServiceName;
use crate::model::phase::{Beside, Goal, Instance, Phase, Run, Then};
use crate::model::spec::{Ready, RestartWhen};
use crate::os::cgroup::Cgroup;
use crate::os::lock::{self, Attempt, Lock};
use crate::os::{exec, fault, heap, inherit, own, wait};
use crate::paths::{Paths, ServicePaths};
use crate::wire::environment::{CGROUP, HELPER, LOCK_FD};
use crate::wire::keeper::Reply;
use crate::wire::log_state::LogState;
use crate::wire::record::InstanceRecord;
use crate::{exit_code, own_log};
use child::Child;
use clients::Clients;
use event_loop::Keeper;
use log::channels::{self, Channels};
use log::pump::{Command, Pump};
use sockets::Sockets;
use store::Store;

/// Keeps the service `name`. Returns the exit code.
pub fn run(paths: &Paths, name: &ServiceName) -> u8 {
    fault::point("a keeper begins");
    heap::keep_small();
    own::set_oom_score(OWN_OOM_SCORE);
    let mut inherited = inherit::take();
    let own = paths.service(name);
    let who = format!("keeper {name}");
    let lock = match lock::take_over(inherited.remove(LOCK_FD), &own.lock) {
        Ok(Attempt::Held(lock)) => lock,
        Ok(Attempt::Busy(holder)) => {
            let holder =
                holder.map_or_else(|| "another process".to_owned(), |holder| format!("pid {}", holder.pid));
            own_log::line(&who, &format!("{holder} already keeps it"));
            return exit_code::LOCKED;
        }
        Err(error) => {
            own_log::line(&who, &format!("cannot lock {}: {error}", own.lock.display()));
            return exit_code::FAILED;
        }
    };
    if exec::has_happened() {
        fault::point("a keeper after exec");
    }
    match set_up(paths, own, inherited, lock) {
        Ok(keeper) => keeper.run(),
        Err(message) => {
            own_log::line(&who, &message);
            exit_code::FAILED
        }
    }
}

/// Everything up to the loop: finds what a predecessor left, and takes it over.
fn set_up(
    paths: &Paths,
    own: ServicePaths,
    mut inherited: BTreeMap<String, OwnedFd>,
    lock: Lock,
) -> Result<Keeper, String> {
    let failed = |what: &'static str| move |error: std::io::Error| format!("cannot {what}: {error}");
    wait::become_subreaper().map_err(failed("become the parent of orphans"))?;
    // TERM, INT and HUP do nothing: a keeper ends when it is told to, not by a stray signal.
    let known = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR2];
    let signals = wait::signals(&known).map_err(failed("receive signals"))?;
    let (store, record) = Store::open(&own)?;
    let file = store.spec()?;
    let record = record.unwrap_or_default();
    let living: Vec<u64> = record.instance.living().map(|run| run.number).collect();
    let sockets = Sockets::from_inherited(&mut inherited, &living);
    let clients = Clients::take_over(&own.keeper_sock(), &mut inherited)
        .map_err(|error| format!("cannot listen on {}: {error}", own.keeper_sock().display()))?;
    let policy = file.spec.log_policy();
    let pump = Pump::start(file.spec.name.as_str(), &own, &policy).map_err(failed("start the log pump"))?;
    let goal = store.goal();
    let helper = exec::told(HELPER).and_then(|pid| pid.parse().ok());
    let mut keeper = Keeper {
        paths: paths.clone(),
        own,
        spec: file.spec,
        limit_overridden: file.limit_overridden,
        goal,
        instance: record.instance.clone(),
        children: Vec::new(),
        spec_is_new: false,
        next: None,
        emptying: VecDeque::new(),
        sockets,
        clients,
        store,
        pump,
        compressor: log::compress::Compressor::with_helper(helper),
        relief: log::relief::Relief::default(),
        guard: guard::Guard::default(),
        vigil: vigil::Vigil::default(),
        cpu: meter::CpuShare::default(),
        cgroup_root: std::env::var_os(CGROUP).map(PathBuf::from),
        signals,
        look_at_memory: None,
        published: None,
        flushing: Vec::new(),
        reopening: Vec::new(),
        log_state: LogState::default(),
        dropped_before: 0,
        retiring: None,
        exec: None,
        parks: 0,
        busy: true,
        stale_cgroups: Vec::new(),
        lock,
    };
    keeper.take_over(&record)?;
    heap::trim();
    Ok(keeper) // what else was inherited, the held FIFOs, is closed now: they are open again under their names
}

impl Keeper {
    /// Adopts the process and the FIFOs of a predecessor, then does what the goal says.
    fn take_over(&mut self, record: &InstanceRecord) -> Result<(), String> {
        let runs = channels::existing(&self.own);
        let adopt = |run: Run, cgroup: Option<&String>, released: bool| {
            Child::adopted(run, cgroup.and_then(|path| Cgroup::open(path.as_ref()).ok()), released)
        };
        let main = self.instance.run().map(|run| adopt(run, record.cgroup.as_ref(), record.released));
        let second = record.second.clone().unwrap_or_default();
        let beside = self.instance.beside.as_ref().and_then(Beside::run);
        let beside = beside.map(|run| adopt(run, second.cgroup.as_ref(), second.released));
        for child in main.into_iter().chain(beside) {
            self.children
                .push(child.map_err(|error| format!("cannot see whether the service lives: {error}"))?);
        }
        self.children.sort_by_key(|child| child.run.number);
        self.watch_memory();
        let living = self.living();
        // A record that was lost must not lead to FIFOs of an old run being used for a new one.
        let newest = runs.last().copied().unwrap_or(0);
        if self.instance.runs == 0 && newest > 1 {
            self.instance = Instance { runs: newest, ..self.instance.clone() };
        }
        let owner = child::RunAs::find(&self.spec).map_or(None, |run_as| run_as.owner);
        let mut attached = Vec::new();
        for run in runs.into_iter().filter(|run| *run <= self.instance.runs) {
            let taken = Channels::find(&self.own, run, owner, self.spec.critical)
                .and_then(|channels| Ok((channels.for_pump()?, channels)));
            let (for_pump, channels) =
                taken.map_err(|error| format!("cannot open the FIFOs of run {run}: {error}"))?;
            attached.push((run, for_pump));
            self.emptying.push_back(channels);
        }
        let over: Vec<u64> =
            attached.iter().map(|(run, _)| *run).filter(|run| !living.contains(run)).collect();
        self.pump.tell(Command::Attach(attached));
        over.into_iter().for_each(|run| self.pump.tell(Command::Finish { run }));
        self.prepare_next();
        for child in &self.children {
            let alive = if child.is_alive() { "alive" } else { "ended" };
            self.log(&format!("took over run {} (pid {}), {alive}", child.run.number, child.run.pid));
        }
        self.spec_is_new = self.store.has_previous_spec();
        self.resume();
        self.settle_spec();
        let keys = self.emptying.iter().flat_map(Channels::held).chain(self.sockets.held());
        let keys = keys.map(|(key, _)| key).collect();
        self.clients.tell_holders(&Reply::Retain { keys });
        // A warden that is new itself has none of them.
        for channels in &self.emptying {
            self.clients.hand_over(channels.held());
        }
        for held in self.sockets.held() {
            self.clients.hand_over([held].into_iter());
        }
        Ok(())
    }

    /// Whether the last run ended by itself, and the policy said that this is all.
    fn is_over(&self) -> bool {
        let last = self.instance.last_end.as_ref().filter(|end| end.why == Why::ByItself);
        last.and_then(|end| end.exit).is_some_and(|exit| match self.spec.restart.policy {
            RestartWhen::Always => false,
            RestartWhen::OnFailure => exit.is_success(),
            RestartWhen::Never => true,
        })
    }

    /// Goes on with what the predecessor may have been doing when it died.
    fn resume(&mut self) {
        if !self.children.is_empty()
            && matches!(self.spec.ready, Ready::Notify { .. })
            && self.sockets.notify().is_none()
        {
            // Nobody has held it: what was said on it is lost, but not what will be.
            if let Ok(run_as) = child::RunAs::find(&self.spec) {
                let _ = self.open_sockets(&run_as);
            }
        }
        self.resume_beside();
        match (self.goal, self.instance.phase.clone()) {
            // It has done its work, and the policy said that this is all (in this boot).
            (Goal::Up, Phase::Stopped) if self.is_over() => {}
            (Goal::Up, Phase::Stopped | Phase::Spawning { .. }) => {
                self.instance.phase = Phase::Stopped;
                self.tell(Event::Start);
            }
            (Goal::Down, Phase::Starting { .. } | Phase::Online { .. }) => self.tell(Event::Stop),
            (goal, Phase::Stopping { run, forced, then, .. }) => {
                self.ask_again(run, forced);
                match (goal, then) {
                    (Goal::Up, Then::Stay) => self.tell(Event::Start),
                    (Goal::Down, Then::Start | Then::BackOff) => self.tell(Event::Stop),
                    _ => {}
                }
            }
            (Goal::Down, Phase::BackingOff { .. } | Phase::Failed | Phase::Spawning { .. }) => {
                self.instance.phase = Phase::Stopped;
                self.tell(Event::Stop);
            }
            (Goal::Down, Phase::Stopped)
            | (
                Goal::Up,
                Phase::Failed | Phase::Starting { .. } | Phase::Online { .. } | Phase::BackingOff { .. },
            ) => {}
        }
    }

    /// The same for the second process.
    fn resume_beside(&mut self) {
        match self.instance.beside {
            // What was spawned before it could be written down has vanished.
            Some(Beside::Spawning { .. }) => self.tell(Event::NeverWas(self.instance.runs, Exit::Unknown)),
            Some(Beside::Draining { run, forced, .. }) => self.ask_again(run, forced),
            Some(Beside::Failing { run, forced: true, .. }) => self.ask_again(run, true),
            Some(Beside::Starting { .. } | Beside::Failing { forced: false, .. }) | None => {}
        }
    }

    /// The signal may not have been sent; sent twice, it does no harm.
    fn ask_again(&self, run: Run, forced: bool) {
        if let Some(child) = self.child(run.number) {
            if forced { child.kill() } else { child.signal(self.spec.stop.signal) }
        }
    }
}
