//! What ecosystem.toml says: the last good version of it, and what is wrong with the present one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::log_budget::{Limits, Owner};
use crate::config::{self, Ecosystem};
use crate::model::name::ServiceName;
use crate::model::spec::ServiceSpec;
use crate::wire::VERSION;
use crate::wire::sinks::{Followed, Plan, PlannedSink};

/// The file.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    page: Mutex<Page>,
    forwarding: watch::Sender<Option<Plan>>,
}

#[derive(Debug, Default)]
struct Page {
    services: Vec<ServiceSpec>,
    listen: Option<SocketAddr>,
    log_dir: Option<PathBuf>,
    notify: Option<Vec<String>>,
    /// What logs may take together; none if the file says nothing about that.
    log_limits: Option<Limits>,
    mistakes: Option<Mistakes>,
}

/// What is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// How many.
    pub count: usize,
    /// All of them, as `dogwatch check` prints them.
    pub text: String,
}

/// What a new look at the file brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It says what it said.
    Same,
    /// It says something else, and is valid.
    Changed(Difference),
    /// It has mistakes; the last good version holds.
    Wrong(Mistakes),
}

/// How the file differs from its last good version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Services that were not in it.
    pub new: Vec<ServiceName>,
    /// Services whose entry is another.
    pub changed: Vec<ServiceName>,
    /// Services that are not in it any more.
    pub removed: Vec<ServiceName>,
}

impl Book {
    /// A book that has not been opened yet.
    pub fn new(path: &Path) -> Book {
        Book { path: path.to_owned(), page: Mutex::default(), forwarding: watch::Sender::new(None) }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file again.
    pub fn look(&self) -> Look {
        match config::load(&self.path, &config::Surroundings::of_this_process()) {
            Ok(ecosystem) => {
                let mut page = self.lock();
                let difference = differ(&page.services, &ecosystem.services);
                let was_wrong = page.mistakes.take().is_some();
                page.log_limits = log_limits(&ecosystem);
                let plan = Some(forwarding(&ecosystem));
                self.forwarding.send_if_modified(|now| {
                    *now != plan && {
                        *now = plan;
                        true
                    }
                });
                page.services = ecosystem.services;
                page.listen = ecosystem.listen;
                page.log_dir = Some(ecosystem.log_dir);
                page.notify = ecosystem.notify;
                match difference {
                    None if !was_wrong => Look::Same,
                    None => Look::Changed(Difference::default()),
                    Some(difference) => Look::Changed(difference),
                }
            }
            Err(mistakes) => {
                let mistakes = Mistakes { count: mistakes.len(), text: mistakes.to_string() };
                let mut page = self.lock();
                if page.mistakes.as_ref() == Some(&mistakes) {
                    return Look::Same;
                }
                page.mistakes = Some(mistakes.clone());
                Look::Wrong(mistakes)
            }
        }
    }

    /// The entry of a service in the last good version.
    pub fn entry(&self, name: &ServiceName) -> Option<ServiceSpec> {
        self.lock().services.iter().find(|spec| spec.name == *name).cloned()
    }

    /// All services, in the order in which they start.
    pub fn names(&self) -> Vec<ServiceName> {
        self.lock().services.iter().map(|spec| spec.name.clone()).collect()
    }

    /// What is wrong with the file now.
    pub fn mistakes(&self) -> Option<Mistakes> {
        self.lock().mistakes.clone()
    }

    /// Where the API shall listen on TCP.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.lock().listen
    }

    /// The folder of the services' logs; none if no version of the file was good yet.
    pub fn log_dir(&self) -> Option<PathBuf> {
        self.lock().log_dir.clone()
    }

    /// What to run when something is not as it should be: a program and its arguments.
    pub fn notify(&self) -> Option<Vec<String>> {
        self.lock().notify.clone()
    }

    /// What logs may take together; none if the last good version says nothing about that.
    pub fn log_limits(&self) -> Option<Limits> {
        self.lock().log_limits.clone()
    }

    /// Which lines go to which sinks, and the news of it; none if no version of the file was good yet. When they begin
    /// to is not said.
    pub fn forwarding(&self) -> watch::Receiver<Option<Plan>> {
        self.forwarding.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_limits(ecosystem: &Ecosystem) -> Option<Limits> {
    let compartments: Vec<(String, u64)> = ecosystem
        .compartments
        .iter()
        .filter_map(|(name, compartment)| Some((name.clone(), compartment.log_budget?)))
        .collect();
    let (budget, reserve) = (ecosystem.log_budget, ecosystem.log_reserve);
    if compartments.is_empty() && budget.is_none() && reserve.is_none() {
        return None;
    }
    let owner = |spec: &ServiceSpec| Owner {
        name: spec.name.clone(),
        compartment: spec.compartment.clone(),
        critical: spec.critical,
        merged: spec.log.merge,
    };
    let services = ecosystem.services.iter().map(owner).collect();
    Some(Limits { dir: ecosystem.log_dir.clone(), services, budget, compartments, reserve })
}

fn forwarding(ecosystem: &Ecosystem) -> Plan {
    let used = ecosystem.sinks.iter().filter(|route| !route.services.is_empty());
    let planned = used.map(|route| {
        let dir = &ecosystem.log_dir;
        let followed = |name: &ServiceName| Followed {
            name: name.clone(),
            dir: dir.clone(),
            since_unix_ms: 0,
            dress: ecosystem.dress_of(name),
        };
        PlannedSink { sink: route.sink.clone(), services: route.services.iter().map(followed).collect() }
    });
    Plan { v: VERSION, routes: planned.collect() }
}

/// None if they run the same.
fn differ(old: &[ServiceSpec], new: &[ServiceSpec]) -> Option<Difference> {
    let index = |specs: &[ServiceSpec]| -> BTreeMap<ServiceName, u64> {
        let pairs = specs.iter().map(|spec| (spec.name.clone(), spec.fingerprint()));
        pairs.collect()
    };
    let (old, new) = (index(old), index(new));
    let mut difference = Difference::default();
    for (name, fingerprint) in &new {
        match old.get(name) {
            None => difference.new.push(name.clone()),
            Some(before) if before != fingerprint => difference.changed.push(name.clone()),
            Some(_) => {}
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    difference.removed.extend(gone.cloned());
    (difference != Difference::default()).then_some(difference)
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list =
            |names: &[ServiceName]| names.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" ");
        let mut parts = Vec::new();
        if !self.new.is_empty() {
            let names = list(&self.new);
            parts.push(format!("new: {names} (start: dogwatch up)"));
        }
        if !self.changed.is_empty() {
            let names = list(&self.changed);
            parts.push(format!("changed: {names} (take it over: dogwatch restart {names})"));
        }
        if !self.removed.is_empty() {
            let names = list(&self.removed);
            parts.push(format!("removed: {names} (still as it was; dogwatch stop {names})"));
        }
        if parts.is_empty() {
            parts.push("no mistakes any more".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}
