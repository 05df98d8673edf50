//! The machine against a small simulated world.

use proptest::prelude::*;

use super::*;
use crate::model::failure::Step;
use crate::model::phase::{CRASH_LOOP, State};
use crate::model::spec::RestartPolicy;

fn spec() -> ServiceSpec {
    crate::model::spec::sample("web")
}

fn at(millis: u64) -> Now {
    Now { mono: Moment(millis * 1_000_000), unix_ms: millis }
}

fn run(number: u64, started: Now) -> Run {
    Run { number, pid: 100, ticks: 7, started: started.mono }
}

/// A world in which spawning works and processes end when told to.
struct World {
    spec: ServiceSpec,
    instance: Instance,
    now: u64,
    living: u32,
    spawns: Vec<u64>,
    spawns_fail: bool,
    obeys_term: bool,
}

impl World {
    fn new(spec: ServiceSpec) -> World {
        World {
            spec,
            instance: Instance::default(),
            now: 0,
            living: 0,
            spawns: Vec::new(),
            spawns_fail: false,
            obeys_term: true,
        }
    }

    fn tell(&mut self, event: Event) {
        let (instance, action) = step(&self.spec, self.instance.clone(), event, at(self.now), 0.5);
        self.instance = instance;
        match action {
            Action::None => {}
            Action::Spawn { number } => {
                self.spawns.push(self.now);
                if self.spawns_fail {
                    self.tell(Event::SpawnFailed(StartFailure::from_errno(Step::Exec, "/bin/true", 2)));
                } else {
                    self.living += 1;
                    assert_eq!(self.living, 1, "two children of one instance");
                    self.tell(Event::Spawned(run(number, at(self.now))));
                }
            }
            Action::Signal(_) if self.obeys_term => self.die(Exit::Signal(Signal::TERM)),
            Action::Signal(_) => {}
            Action::Kill => self.die(Exit::Signal(Signal::KILL)),
        }
    }

    fn die(&mut self, exit: Exit) {
        if self.living > 0 {
            self.living -= 1;
            self.tell(Event::Exited(exit, None));
        }
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, millis: u64) {
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

#[test]
fn a_start_becomes_online_after_a_second() {
    let mut world = World::new(spec());
    world.tell(Event::Start);
    assert_eq!(world.instance.state(), State::Starting);
    world.pass(999);
    assert_eq!(world.instance.state(), State::Starting);
    world.pass(1);
    assert_eq!(world.instance.state(), State::Online);
}

#[test]
fn notify_waits_for_the_word_and_fails_without_it() {
    let mut world =
        World::new(ServiceSpec { ready: Ready::Notify { timeout: Duration::from_secs(5) }, ..spec() });
    world.tell(Event::Start);
    world.tell(Event::Ready);
    assert_eq!(world.instance.state(), State::Online);
    world.tell(Event::Restart);
    assert_eq!((world.instance.state(), world.instance.restarts), (State::Starting, 0));
    world.pass(5000);
    assert_eq!(world.instance.state(), State::BackingOff);
    assert_eq!(world.instance.last_end.as_ref().unwrap().to_string(), "not ready within 5 s");
}

#[test]
fn the_first_crash_after_a_stable_run_restarts_at_once_the_second_waits() {
    let mut world = World::new(spec());
    world.tell(Event::Start);
    world.pass(60_000);
    world.die(Exit::Signal(Signal::KILL));
    assert_eq!((world.instance.state(), world.instance.restarts), (State::Starting, 1));
    assert_eq!(world.instance.last_end.as_ref().unwrap().to_string(), "killed by SIGKILL");
    world.die(Exit::Code(1));
    assert_eq!(world.instance.state(), State::BackingOff);
    world.pass(100);
    assert_eq!((world.instance.state(), world.instance.restarts), (State::Starting, 2));
}

#[test]
fn five_unstable_starts_are_called_a_crash_loop_and_it_goes_on() {
    let mut world = World::new(spec());
    world.tell(Event::Start);
    for unstable in 1..=CRASH_LOOP {
        world.die(Exit::Code(1));
        assert_eq!(world.instance.unstable, unstable);
        if unstable < CRASH_LOOP {
            assert_eq!(world.instance.state(), State::BackingOff);
            world.pass(1600); // the longest of the first four delays is 800 ms
        }
    }
    assert_eq!(world.instance.state(), State::CrashLoop);
    let before = world.spawns.len();
    world.pass(20_000);
    assert_eq!(world.spawns.len(), before + 1, "it keeps trying");
}

#[test]
fn a_stop_outranks_a_restart_and_a_start_outranks_the_stop() {
    let mut world = World::new(spec());
    world.obeys_term = false;
    world.tell(Event::Start);
    world.tell(Event::Restart);
    world.tell(Event::Stop);
    world.pass(10_000);
    assert_eq!(world.instance.state(), State::Stopped);
    assert!(world.instance.last_end.as_ref().unwrap().forced);
    world.tell(Event::Start);
    world.tell(Event::Stop);
    world.tell(Event::Start);
    world.pass(10_000);
    assert_eq!(world.instance.state(), State::Starting);
}

#[test]
fn memory_restarts_gracefully_and_says_why() {
    let mut world = World::new(spec());
    world.tell(Event::Start);
    world.pass(30_000);
    world.tell(Event::OverMemory { used: 312 << 20, limit: 256 << 20 });
    assert_eq!((world.instance.state(), world.instance.restarts), (State::Starting, 1));
    assert_eq!(
        world.instance.last_end.as_ref().unwrap().to_string(),
        "memory 312 MiB over the limit of 256 MiB"
    );
}

#[test]
fn policies() {
    for (policy, exit, state) in [
        (RestartWhen::Never, Exit::Code(0), State::Stopped),
        (RestartWhen::Never, Exit::Code(3), State::Failed),
        (RestartWhen::OnFailure, Exit::Code(0), State::Stopped),
        (RestartWhen::OnFailure, Exit::Signal(Signal::KILL), State::BackingOff),
        (RestartWhen::Always, Exit::Code(0), State::BackingOff),
    ] {
        let restart = RestartPolicy { policy, ..RestartPolicy::default() };
        let mut world = World::new(ServiceSpec { restart, ..spec() });
        world.tell(Event::Start);
        world.die(exit);
        assert_eq!(world.instance.state(), state, "{policy:?} {exit:?}");
    }
}

#[test]
fn no_delay_means_at_once_but_a_start_that_fails_is_not_retried_without_a_pause() {
    let restart = RestartPolicy { delay: Duration::ZERO, ..RestartPolicy::default() };
    let mut world = World::new(ServiceSpec { restart, ..spec() });
    world.tell(Event::Start);
    world.die(Exit::Code(1));
    assert_eq!((world.instance.state(), world.instance.restarts), (State::Starting, 1));
    world.spawns_fail = true;
    world.die(Exit::Code(1));
    assert_eq!(world.instance.state(), State::BackingOff);
    assert_eq!(world.instance.last_end.as_ref().unwrap().to_string(), "exec /bin/true: no such file");
}

#[test]
fn a_process_that_nobody_asked_for_is_killed() {
    for phase in [Phase::Stopped, Phase::Failed, Phase::BackingOff { until: Moment(1) }] {
        let instance = Instance { phase, ..Instance::default() };
        let (after, action) = step(&spec(), instance.clone(), Event::Spawned(run(1, at(0))), at(0), 0.5);
        assert_eq!((after, action), (instance, Action::Kill));
    }
}

/// What may happen from outside, by number.
fn disturb(world: &mut World, what: u8, millis: u64) {
    match what {
        0 => world.tell(Event::Start),
        1 => world.tell(Event::Stop),
        2 => world.tell(Event::Restart),
        3 => world.tell(Event::Ready),
        4 => world.die(Exit::Code(0)),
        5 => world.die(Exit::Code(1)),
        6 => world.die(Exit::Unknown),
        7 => world.tell(Event::OverMemory { used: 2, limit: 1 }),
        8 => world.spawns_fail = !world.spawns_fail,
        9 => world.obeys_term = !world.obeys_term,
        _ => world.pass(millis),
    }
}

proptest! {
    #[test]
    fn never_two_children_and_a_stop_always_ends(
        steps in proptest::collection::vec((0u8..14, 0u64..30_000), 0..200),
        notify: bool, critical: bool, give_up in proptest::option::of(1u32..8),
    ) {
        let ready = if notify { Ready::Notify { timeout: Duration::from_secs(3) } } else { Ready::default() };
        let restart = RestartPolicy { give_up, ..RestartPolicy::default() };
        let mut world = World::new(ServiceSpec { ready, restart, critical, ..spec() });
        for (what, millis) in steps {
            disturb(&mut world, what, millis); // asserts that no second child is born
            prop_assert_eq!(world.living == 1, world.instance.run().is_some());
        }
        world.tell(Event::Stop);
        world.pass(10_000);
        prop_assert_eq!(world.instance.state(), State::Stopped);
        prop_assert_eq!(world.living, 0);
    }

    #[test]
    fn critical_never_gives_up(
        lives in proptest::collection::vec(0u64..20_000, 1..100), give_up in 1u32..8, fails: bool,
    ) {
        let restart = RestartPolicy { give_up: Some(give_up), ..RestartPolicy::default() };
        let mut world = World::new(ServiceSpec { restart, critical: true, ..spec() });
        world.spawns_fail = fails;
        world.tell(Event::Start);
        for life in lives {
            world.pass(life);
            world.die(Exit::Code(1));
            prop_assert_ne!(world.instance.state(), State::Failed);
        }
        world.spawns_fail = false;
        world.pass(17_000);
        prop_assert_eq!(world.living, 1);
    }

    #[test]
    fn a_crash_loop_after_a_long_uptime_is_bounded(uptime in 0u64..10_000_000, life in 0u64..9_000) {
        let mut world = World::new(spec());
        world.tell(Event::Start);
        world.pass(uptime);
        let begin = world.now;
        let before = world.spawns.len();
        while world.now < begin + 600_000 {
            if world.living == 1 {
                world.die(Exit::Code(1));
            }
            world.pass(life.max(1));
        }
        // Ten minutes: one start at once, then 100 ms doubling to 15 s.
        prop_assert!(world.spawns.len() - before <= 60, "{} starts", world.spawns.len() - before);
    }
}
