//! What all parts of the control plane share. Nothing in it outlives the process: all can be found again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::alarm::{Alarm, Whom};
use super::book::Book;
use super::forwarder::Forwarder;
use super::roster::Roster;
use super::say::say;
use super::viewers::Viewers;
use crate::holder::Holdings;
use crate::model::moment::Moment;
use crate::model::name::ServiceName;
use crate::model::phase::Goal;
use crate::model::spec::ServiceSpec;
use crate::os::builds::Builds;
use crate::os::clock;
use crate::os::switch::Switch;
use crate::os::wait::Ended;
use crate::paths::Paths;

use super::folder;

/// How many orphans' ends are remembered for keepers that ask.
const ORPHANS: usize = 64;

/// The shared state.
#[derive(Debug)]
pub struct Plane {
    /// Where everything is.
    pub paths: Paths,
    /// The folder that `--home` named, absolute; handed on to the processes that this one starts.
    pub home: Option<PathBuf>,
    /// A service manager started this process and restarts it.
    pub managed: bool,
    /// When this process began.
    pub started: Moment,
    /// ecosystem.toml.
    pub book: Book,
    /// The services.
    pub roster: Roster,
    /// Which build each process runs.
    pub builds: Builds,
    /// The services that may look at the others.
    pub viewers: Viewers,
    /// Who may be stalled.
    pub alarm: Alarm,
    /// The helper that brings lines to sinks.
    pub forwarder: Forwarder,
    switch: Option<Switch>,
    holdings: Mutex<Holdings>,
    warden: Mutex<WardenSeen>,
    followed: Mutex<BTreeSet<ServiceName>>,
    orphans: Mutex<VecDeque<Ended>>,
    problems: Mutex<BTreeMap<&'static str, String>>,
    tcp: Mutex<Option<SocketAddr>>,
    /// The API's listening sockets, by the names under which they are handed on.
    doors: Mutex<BTreeMap<&'static str, OwnedFd>>,
    /// Orders under way.
    busy: AtomicUsize,
    exec: Mutex<Option<PathBuf>>,
    ending: watch::Sender<Option<Ending>>,
}

/// The warden, as far as this process has seen it.
#[derive(Debug, Default)]
struct WardenSeen {
    pid: Option<i32>,
    /// The services that this warden was asked to keep.
    kept: BTreeSet<ServiceName>,
}

/// How the control plane ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It alone, all else goes on.
    Alone,
    /// It becomes another program, all else goes on.
    Exec,
    /// All of dogwatch: services are being stopped, nothing may be started any more.
    Downing,
    /// All else has ended.
    Down,
}

impl Plane {
    /// The state at the start; `holdings` are a predecessor's.
    pub fn new(
        paths: Paths,
        home: Option<PathBuf>,
        managed: bool,
        file: &std::path::Path,
        holdings: Holdings,
    ) -> Plane {
        Plane {
            paths,
            home,
            managed,
            started: clock::mono(),
            book: Book::new(file),
            roster: Roster::new(),
            builds: Builds::default(),
            viewers: Viewers::default(),
            alarm: Alarm::default(),
            forwarder: Forwarder::default(),
            switch: None,
            holdings: Mutex::new(holdings),
            warden: Mutex::default(),
            followed: Mutex::default(),
            orphans: Mutex::default(),
            problems: Mutex::default(),
            tcp: Mutex::default(),
            doors: Mutex::default(),
            busy: AtomicUsize::new(0),
            exec: Mutex::default(),
            ending: watch::Sender::new(None),
        }
    }

    /// Whoever gets the switch from now on ends this process when it stalls ([`crate::os::switch`]). Where none can
    /// be made nobody will.
    pub fn make_switch(&mut self) {
        self.switch = Switch::new().ok();
    }

    /// The switch, if there is one.
    pub fn switch(&self) -> Option<&Switch> {
        self.switch.as_ref()
    }

    /// This process works: the switch stands for this time.
    pub fn hold_switch(&self, time: Duration) {
        if let Some(Err(error)) = self.switch.as_ref().map(|switch| switch.hold(time)) {
            say(format_args!("holding the dead man's switch: {error}"));
        }
    }

    /// The state at a new start of the same process: with its doors, its orphans and these holdings. The switch, if there
    /// was one, is a new one: with the connection to the warden ended the old one's time.
    pub fn again(&self, holdings: Holdings) -> Plane {
        let mut again =
            Plane::new(self.paths.clone(), self.home.clone(), self.managed, self.book.path(), holdings);
        *lock(&again.doors) = std::mem::take(&mut *lock(&self.doors));
        *lock(&again.orphans) = std::mem::take(&mut *lock(&self.orphans));
        if self.switch.is_some() {
            again.make_switch();
        }
        again
    }

    /// Does something with what is held for the services.
    pub fn with_holdings<T>(&self, work: impl FnOnce(&mut Holdings) -> T) -> T {
        work(&mut lock(&self.holdings))
    }

    /// The living warden's process.
    pub fn warden_pid(&self) -> Option<i32> {
        lock(&self.warden).pid
    }

    /// A warden answers; it has not been asked for anything yet.
    pub fn warden_found(&self, pid: i32) {
        *lock(&self.warden) = WardenSeen { pid: Some(pid), kept: BTreeSet::new() };
        self.roster.ring();
    }

    /// The warden is gone.
    pub fn warden_lost(&self) {
        *lock(&self.warden) = WardenSeen::default();
        self.roster.ring();
    }

    /// Whether the present warden was asked to keep this service.
    pub fn is_kept(&self, name: &ServiceName) -> bool {
        lock(&self.warden).kept.contains(name)
    }

    /// Warden `pid` was asked to keep this service.
    pub fn note_kept(&self, pid: i32, name: &ServiceName) {
        let mut warden = lock(&self.warden);
        if warden.pid == Some(pid) {
            warden.kept.insert(name.clone());
        }
    }

    /// Marks a service as followed; false if it was already.
    pub fn begin_following(&self, name: &ServiceName) -> bool {
        lock(&self.followed).insert(name.clone())
    }

    /// The services whose keepers are followed.
    pub fn followed(&self) -> Vec<ServiceName> {
        lock(&self.followed).iter().cloned().collect()
    }

    /// The kernel has stopped a child of this process: perhaps the warden, or a keeper that fell to it.
    pub fn child_stopped(&self, pid: i32) {
        let keeper = |name: &ServiceName| {
            let holder = crate::os::lock::named(&self.paths.service(name).lock);
            holder.is_some_and(|holder| holder.pid == pid)
        };
        if self.warden_pid() == Some(pid) {
            self.alarm.look_at(Whom::Warden);
        } else if let Some(name) = self.followed().into_iter().find(keeper) {
            self.alarm.look_at(Whom::Keeper(name));
        }
    }

    /// The service is no more.
    pub fn end_following(&self, name: &ServiceName) {
        lock(&self.followed).remove(name);
        lock(&self.warden).kept.remove(name);
        self.with_holdings(|holdings| holdings.forget(name));
        self.viewers.forget(name);
        self.roster.forget(name);
    }

    /// Remembers how an orphan ended.
    pub fn note_orphan(&self, ended: Ended) {
        let mut orphans = lock(&self.orphans);
        if orphans.len() == ORPHANS {
            orphans.pop_front();
        }
        orphans.push_back(ended);
    }

    /// How the orphan with this number ended, as far as it was a child of this process.
    pub fn orphan(&self, pid: i32) -> Option<Ended> {
        lock(&self.orphans).iter().rev().find(|ended| ended.pid == pid).copied()
    }

    /// How orphans ended, as the program is told that this process becomes.
    pub fn orphans_memo(&self) -> String {
        let orphans = lock(&self.orphans);
        let each: Vec<String> =
            orphans.iter().map(|ended| format!("{}={}", ended.pid, ended.status)).collect();
        each.join(",")
    }

    /// The same, told by the program that this process was.
    pub fn note_orphans(&self, memo: &str) {
        for (pid, status) in memo.split(',').filter_map(|word| word.split_once('=')) {
            if let (Ok(pid), Ok(status)) = (pid.parse(), status.parse()) {
                self.note_orphan(Ended { pid, status });
            }
        }
    }

    /// Keeps a listening socket of the API, or a duplicate of it, for whoever this process becomes.
    pub fn keep_door(&self, name: &'static str, fd: OwnedFd) {
        lock(&self.doors).insert(name, fd);
    }

    /// A duplicate of the listening socket of that name, if there is one already.
    pub fn door(&self, name: &str) -> Option<OwnedFd> {
        lock(&self.doors).get(name).and_then(|fd| fd.try_clone().ok())
    }

    /// Closes them: nobody comes after this process.
    pub fn close_doors(&self) {
        lock(&self.doors).clear();
    }

    /// All that are kept.
    pub fn doors(&self) -> MutexGuard<'_, BTreeMap<&'static str, OwnedFd>> {
        lock(&self.doors)
    }

    /// An order is under way as long as the answer is held.
    pub fn begin_order(&self) -> UnderWay<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    /// Whether orders are under way.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// This process shall become that program.
    pub fn exec(&self, program: PathBuf) {
        *lock(&self.exec) = Some(program);
        self.end(Ending::Exec);
    }

    /// The program that this process shall become.
    pub fn wanted_program(&self) -> Option<PathBuf> {
        lock(&self.exec).take()
    }

    /// Notes a problem under a topic, or that there is none any more. True if that is news.
    pub fn problem(&self, topic: &'static str, text: Option<String>) -> bool {
        let mut problems = lock(&self.problems);
        let news = match text {
            Some(text) => problems.insert(topic, text.clone()) != Some(text),
            None => problems.remove(topic).is_some(),
        };
        drop(problems);
        if news {
            self.roster.ring();
        }
        news
    }

    /// All problems, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.topics().into_values().collect()
    }

    /// The same under their topics.
    pub fn topics(&self) -> BTreeMap<&'static str, String> {
        lock(&self.problems).clone()
    }

    /// Where the API listens on TCP.
    pub fn tcp(&self) -> Option<SocketAddr> {
        *lock(&self.tcp)
    }

    /// The API listens on TCP now.
    pub fn set_tcp(&self, address: SocketAddr) {
        *lock(&self.tcp) = Some(address);
    }

    /// The control plane shall end. An end of all is never turned into an end of one.
    pub fn end(&self, how: Ending) {
        self.ending.send_if_modified(|now| {
            let down = matches!(now, Some(Ending::Downing | Ending::Down));
            let news = *now != Some(how) && !(down && matches!(how, Ending::Alone | Ending::Exec));
            if news {
                *now = Some(how);
            }
            news
        });
        self.roster.ring();
    }

    /// Learns of the end.
    pub fn ending(&self) -> watch::Receiver<Option<Ending>> {
        self.ending.subscribe()
    }

    /// Whether nothing may be started any more.
    pub fn is_going_down(&self) -> bool {
        matches!(*self.ending.borrow(), Some(Ending::Downing | Ending::Down))
    }

    /// The first of the services that `spec` comes after which does not let it start yet.
    pub fn blocker(&self, spec: &ServiceSpec) -> Option<ServiceName> {
        let blocks = |name: &&ServiceName| match self.roster.brief(name) {
            Some(brief) => !brief.lets_others_start(),
            None => {
                let known = self.book.entry(name).is_some();
                known && folder::read_goal(&self.paths.service(name)) == Goal::Up
            }
        };
        spec.after.iter().find(blocks).cloned()
    }

    /// Every service that is in the file or has been heard of.
    pub fn names(&self) -> BTreeSet<ServiceName> {
        self.book.names().into_iter().chain(self.roster.names()).collect()
    }
}

/// An order that is under way until this is dropped.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a Plane);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
        self.0.roster.ring();
    }
}

/// No code that holds one of these locks can panic in the middle of a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
