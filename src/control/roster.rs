//! The one table of the control plane: what each service said last, and who wants what of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::model::moment::Moment;
use crate::model::name::ServiceName;
use crate::model::phase::{Goal, State};
use crate::wire::status::ServiceStatus;

/// All services that have, or had, a keeper; and a bell that rings at every change.
#[derive(Debug)]
pub struct Roster {
    entries: Mutex<BTreeMap<ServiceName, Entry>>,
    bell: watch::Sender<u64>,
}

/// What is known of one service.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// What its keeper said last, and when.
    pub said: Option<(ServiceStatus, Moment)>,
    /// Its keeper is connected.
    pub present: bool,
    /// Counts the orders of the operator: an order that waits is void when a later one has come.
    pub orders: u64,
}

/// What others need to know of a service before they follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief {
    /// What the operator wants of it.
    pub goal: Goal,
    /// What it is.
    pub state: State,
    /// It has been started at least once.
    pub has_run: bool,
}

impl Roster {
    /// Nobody yet.
    pub fn new() -> Roster {
        Roster { entries: Mutex::default(), bell: watch::Sender::new(0) }
    }

    /// A receiver that learns of every change from now on.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Tells all who wait that something has changed.
    pub fn ring(&self) {
        self.bell.send_modify(|count| *count += 1);
    }

    /// Notes what a keeper said.
    pub fn heard(&self, status: ServiceStatus, now: Moment) {
        let name = status.name.clone();
        let mut entries = self.lock();
        let entry = entries.entry(name).or_default();
        entry.said = Some((status, now));
        entry.present = true;
        drop(entries);
        self.ring();
    }

    /// The keeper is gone, or does not answer.
    pub fn lost(&self, name: &ServiceName) {
        let mut entries = self.lock();
        let was_present =
            entries.get_mut(name).is_some_and(|entry| std::mem::replace(&mut entry.present, false));
        drop(entries);
        if was_present {
            self.ring();
        }
    }

    /// The service is no more.
    pub fn forget(&self, name: &ServiceName) {
        self.lock().remove(name);
        self.ring();
    }

    /// What is known of a service.
    pub fn get(&self, name: &ServiceName) -> Option<Entry> {
        self.lock().get(name).cloned()
    }

    /// Whether its keeper is connected.
    pub fn is_present(&self, name: &ServiceName) -> bool {
        self.lock().get(name).is_some_and(|entry| entry.present)
    }

    /// What others need to know of it; none if no keeper has ever said anything.
    pub fn brief(&self, name: &ServiceName) -> Option<Brief> {
        let entries = self.lock();
        let (status, _) = entries.get(name)?.said.as_ref()?;
        Some(Brief { goal: status.goal, state: status.state, has_run: status.run > 0 })
    }

    /// Every service here.
    pub fn names(&self) -> Vec<ServiceName> {
        self.lock().keys().cloned().collect()
    }

    /// A new order for this service: all earlier ones that still wait are void. Returns its number.
    pub fn new_order(&self, name: &ServiceName) -> u64 {
        let mut entries = self.lock();
        let entry = entries.entry(name.clone()).or_default();
        entry.orders += 1;
        let number = entry.orders;
        drop(entries);
        self.ring();
        number
    }

    /// The number of the last order that voids others.
    pub fn orders(&self, name: &ServiceName) -> u64 {
        self.lock().entry(name.clone()).or_default().orders
    }

    /// Whether no later order has come since `number`.
    pub fn is_latest_order(&self, name: &ServiceName, number: u64) -> bool {
        self.lock().get(name).is_some_and(|entry| entry.orders == number)
    }

    /// No code that holds the table can panic in the middle of a change.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Roster {
    fn default() -> Roster {
        Roster::new()
    }
}

impl Brief {
    /// Whether services that come after this one may start: it is online, nobody wants it, or it has run and
    /// its restart policy says that it is done.
    pub fn lets_others_start(self) -> bool {
        match self.state {
            State::Online => true,
            State::Stopped if self.has_run => true,
            State::Starting
            | State::Stopping
            | State::Stopped
            | State::BackingOff
            | State::CrashLoop
            | State::Failed => self.goal == Goal::Down,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::status::tests::status;

    #[test]
    fn rings_and_remembers() {
        let roster = Roster::new();
        let bell = roster.subscribe();
        let name = ServiceName::new("web").unwrap();
        roster.heard(status(State::Online, 1, None), Moment(1));
        assert!(bell.has_changed().unwrap());
        assert!(roster.is_present(&name));
        roster.lost(&name);
        assert!(!roster.is_present(&name));
        assert_eq!(roster.brief(&name).unwrap().state, State::Online);
    }

    #[test]
    fn a_later_order_voids_an_earlier_one() {
        let roster = Roster::new();
        let name = ServiceName::new("web").unwrap();
        let first = roster.new_order(&name);
        assert!(roster.is_latest_order(&name, first));
        let second = roster.new_order(&name);
        assert!(!roster.is_latest_order(&name, first) && roster.is_latest_order(&name, second));
    }

    #[test]
    fn who_lets_others_start() {
        let brief = |state, goal, has_run| Brief { goal, state, has_run };
        assert!(brief(State::Online, Goal::Up, true).lets_others_start());
        assert!(brief(State::Stopping, Goal::Down, true).lets_others_start());
        assert!(brief(State::Stopped, Goal::Up, true).lets_others_start(), "done, by its policy");
        assert!(!brief(State::Stopped, Goal::Up, false).lets_others_start());
        assert!(!brief(State::CrashLoop, Goal::Up, true).lets_others_start());
    }
}
