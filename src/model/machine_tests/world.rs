//! A small simulated world for the machine.

use std::time::Duration;

use crate::model::end::Exit;
use crate::model::failure::{StartFailure, Step};
use crate::model::machine::*;
use crate::model::memory::{Growth, Over};
use crate::model::moment::{Moment, Now};
use crate::model::phase::{Beside, Instance, Run};
use crate::model::signal::Signal;
use crate::model::spec::{MemoryLimit, Ready, ServiceSpec};

pub(super) fn spec() -> ServiceSpec {
    crate::model::spec::sample("web")
}

pub(super) fn at(millis: u64) -> Now {
    Now { mono: Moment(millis * 1_000_000), unix_ms: millis }
}

pub(super) fn run(number: u64, started: Now) -> Run {
    Run { number, pid: 100, ticks: 7, started: started.mono }
}

/// A world in which spawning works and processes end when told to.
pub(super) struct World {
    pub(super) spec: ServiceSpec,
    pub(super) instance: Instance,
    pub(super) now: u64,
    /// The numbers of the living runs.
    pub(super) living: Vec<u64>,
    pub(super) spawns: Vec<u64>,
    pub(super) spawns_fail: bool,
    pub(super) obeys_term: bool,
    /// The keeper dies after each step, and its successor reads what was written down.
    pub(super) keeper_dies: bool,
    /// How far the wall clock has been put forward, milliseconds.
    pub(super) wall: u64,
}

impl World {
    pub(super) fn new(spec: ServiceSpec) -> World {
        World {
            spec,
            instance: Instance::default(),
            now: 0,
            living: Vec::new(),
            spawns: Vec::new(),
            spawns_fail: false,
            obeys_term: true,
            keeper_dies: false,
            wall: 0,
        }
    }

    fn at(&self) -> Now {
        let now = at(self.now);
        Now { unix_ms: now.unix_ms + self.wall, ..now }
    }

    pub(super) fn tell(&mut self, event: Event) {
        let (instance, action) = step(&self.spec, self.instance.clone(), event, self.at(), 0.5);
        self.instance = instance;
        if self.keeper_dies {
            let written = serde_json::to_vec(&self.instance).unwrap();
            self.instance = serde_json::from_slice(&written).unwrap();
        }
        match action {
            Action::None => {}
            Action::Spawn { number } => {
                self.spawns.push(self.now);
                if self.spawns_fail {
                    self.tell(Event::SpawnFailed(StartFailure::from_errno(Step::Exec, "/bin/true", 2)));
                } else {
                    self.living.push(number);
                    assert!(self.living.len() <= 2, "three processes: {:?}", self.living);
                    self.tell(Event::Spawned(run(number, self.at())));
                }
            }
            Action::Signal { run, .. } if self.obeys_term => self.end(run, Exit::Signal(Signal::TERM)),
            Action::Signal { run, .. } => assert!(self.living.contains(&run), "a signal to nobody"),
            Action::Kill { run } => self.end(run, Exit::Signal(Signal::KILL)),
        }
    }

    /// A run ends, if it lives.
    pub(super) fn end(&mut self, run: u64, exit: Exit) {
        if let Some(at) = self.living.iter().position(|living| *living == run) {
            self.living.remove(at);
            self.tell(Event::Exited(run, exit, None));
        }
    }

    /// The run of the phase ends.
    pub(super) fn die(&mut self, exit: Exit) {
        if let Some(run) = self.instance.run() {
            self.end(run.number, exit);
        }
    }

    /// The second process ends.
    pub(super) fn die_beside(&mut self, exit: Exit) {
        if let Some(run) = self.instance.beside.as_ref().and_then(Beside::run) {
            self.end(run.number, exit);
        }
    }

    /// The latest run says that it is ready.
    pub(super) fn ready(&mut self) {
        self.tell(Event::Ready(self.instance.runs));
    }

    pub(super) fn over_memory(&mut self, run: u64, used: u64, crossed: bool, room: bool) {
        let memory = self.spec.memory.unwrap_or(MemoryLimit { limit: 256, max: 320 });
        let over = Over { used, limit: memory.limit, after: Duration::ZERO, rise: None, grew_on: false };
        let growth = Growth { crossed, over_max: used > memory.max };
        self.tell(Event::OverMemory { run, over, growth, room });
    }

    /// Lets time pass, deadline by deadline.
    pub(super) fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(deadline) = self.instance.deadline() {
            let due = deadline.0.div_ceil(1_000_000);
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            self.tell(Event::Due);
        }
        self.now = end;
    }
}

/// A service that says when it is ready, online for a minute.
pub(super) fn serving() -> World {
    let mut world =
        World::new(ServiceSpec { ready: Ready::Notify { timeout: Duration::from_secs(5) }, ..spec() });
    world.spec.memory = Some(MemoryLimit { limit: 256, max: 320 });
    world.tell(Event::Start);
    world.ready();
    world.pass(60_000);
    world
}

pub(super) fn last_end(world: &World) -> String {
    world.instance.last_end.as_ref().map(ToString::to_string).unwrap_or_default()
}

pub(super) fn refusal(world: &World) -> String {
    world.instance.refused.as_ref().map(|refused| refused.end.to_string()).unwrap_or_default()
}
