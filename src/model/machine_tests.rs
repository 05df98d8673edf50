//! The machine against a small simulated world.

use proptest::prelude::*;

use super::*;
use crate::model::failure::Step;
use crate::model::phase::{Beside, CRASH_LOOP, State};
use crate::model::spec::{MemoryLimit, RestartPolicy};

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
    /// The numbers of the living runs.
    living: Vec<u64>,
    spawns: Vec<u64>,
    spawns_fail: bool,
    obeys_term: bool,
    /// The keeper dies after each step, and its successor reads what was written down.
    keeper_dies: bool,
    /// How far the wall clock has been put forward, milliseconds.
    wall: u64,
}

impl World {
    fn new(spec: ServiceSpec) -> World {
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

    fn tell(&mut self, event: Event) {
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
    fn end(&mut self, run: u64, exit: Exit) {
        if let Some(at) = self.living.iter().position(|living| *living == run) {
            self.living.remove(at);
            self.tell(Event::Exited(run, exit, None));
        }
    }

    /// The run of the phase ends.
    fn die(&mut self, exit: Exit) {
        if let Some(run) = self.instance.run() {
            self.end(run.number, exit);
        }
    }

    /// The second process ends.
    fn die_beside(&mut self, exit: Exit) {
        if let Some(run) = self.instance.beside.as_ref().and_then(Beside::run) {
            self.end(run.number, exit);
        }
    }

    /// The latest run says that it is ready.
    fn ready(&mut self) {
        self.tell(Event::Ready(self.instance.runs));
    }

    fn over_memory(&mut self, run: u64, used: u64, crossed: bool, room: bool) {
        let memory = self.spec.memory.unwrap_or(MemoryLimit { limit: 256, max: 320 });
        let over = Over { used, limit: memory.limit, after: Duration::ZERO, rise: None, grew_on: false };
        let growth = Growth { crossed, over_max: used > memory.max };
        self.tell(Event::OverMemory { run, over, growth, room });
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
    world.ready();
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
    world.spec.memory = Some(MemoryLimit { limit: 256 << 20, max: 320 << 20 });
    world.over_memory(1, 312 << 20, true, false);
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
        assert_eq!((after, action), (instance, Action::Kill { run: 1 }));
    }
}

/// A service that says when it is ready, online for a minute.
fn serving() -> World {
    let mut world =
        World::new(ServiceSpec { ready: Ready::Notify { timeout: Duration::from_secs(5) }, ..spec() });
    world.spec.memory = Some(MemoryLimit { limit: 256, max: 320 });
    world.tell(Event::Start);
    world.ready();
    world.pass(60_000);
    world
}

fn last_end(world: &World) -> String {
    world.instance.last_end.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn refusal(world: &World) -> String {
    world.instance.refused.as_ref().map(|refused| refused.end.to_string()).unwrap_or_default()
}

#[test]
fn a_reload_asks_the_old_run_to_end_only_when_the_new_one_is_ready() {
    let mut world = serving();
    world.obeys_term = false;
    world.tell(Event::Reload);
    assert_eq!((world.living.as_slice(), world.instance.state()), ([1, 2].as_slice(), State::Online));
    world.pass(4999);
    assert_eq!(world.instance.run().unwrap().number, 1);
    world.ready();
    assert_eq!((world.living.as_slice(), world.instance.run().unwrap().number), ([1, 2].as_slice(), 2));
    assert_eq!(last_end(&world), "");
    world.pass(9999);
    assert_eq!(world.living, [1, 2], "it has ten seconds to finish what it has begun");
    world.pass(1);
    assert_eq!(world.living, [2]);
    assert_eq!(last_end(&world), "reloaded on request, killed because it did not stop in time");
    assert_eq!((world.instance.restarts, world.instance.beside), (0, None));
}

#[test]
fn a_new_run_that_fails_leaves_the_old_one_in_peace() {
    let mut world = serving();
    world.tell(Event::Reload);
    world.die_beside(Exit::Code(3));
    assert_eq!((world.living.as_slice(), refusal(&world).as_str()), ([1].as_slice(), "exited with code 3"));
    world.tell(Event::Reload);
    world.pass(5000);
    assert_eq!((world.living.as_slice(), refusal(&world).as_str()), ([1].as_slice(), "not ready within 5 s"));
    world.spawns_fail = true;
    world.tell(Event::Reload);
    assert_eq!(refusal(&world), "exec /bin/true: no such file");
    assert_eq!((world.instance.state(), last_end(&world)), (State::Online, String::new()));
    world.spawns_fail = false;
    world.tell(Event::Reload);
    world.ready();
    assert_eq!((world.living.as_slice(), refusal(&world).as_str()), ([5].as_slice(), ""));
}

#[test]
fn an_old_run_that_crashes_leaves_the_service_to_the_new_one() {
    let mut world = serving();
    world.tell(Event::Reload);
    world.die(Exit::Code(1));
    assert_eq!((world.living.as_slice(), world.instance.state()), ([2].as_slice(), State::Starting));
    assert_eq!((last_end(&world).as_str(), world.instance.restarts), ("exited with code 1", 0));
    world.ready();
    assert_eq!(world.instance.state(), State::Online);
    // And from then on it is a run like any other.
    world.die(Exit::Code(1));
    assert_eq!(world.instance.restarts, 0);
    world.pass(100);
    assert_eq!((world.living.as_slice(), world.instance.restarts), ([3].as_slice(), 1));
}

#[test]
fn a_stop_and_a_restart_call_a_reload_off() {
    for (event, state) in [(Event::Stop, State::Stopped), (Event::Restart, State::Starting)] {
        let mut world = serving();
        world.tell(Event::Reload);
        world.tell(event);
        world.pass(0);
        assert_eq!(world.instance.state(), state);
        assert!(!world.living.contains(&2), "{:?}", world.living);
        assert_eq!(refusal(&world), "");
    }
}

#[test]
fn a_reload_during_a_drain_waits_for_its_end() {
    let mut world = serving();
    world.obeys_term = false;
    world.tell(Event::Reload);
    world.tell(Event::Reload);
    assert!(!world.instance.again, "the one under way is what was asked for");
    world.ready();
    world.tell(Event::Reload);
    assert_eq!(world.living, [1, 2]);
    world.pass(10_000);
    assert_eq!(world.living, [2, 3]);
    world.ready();
    assert_eq!(world.instance.run().unwrap().number, 3);
}

#[test]
fn where_nothing_serves_a_reload_is_a_restart() {
    let mut world = World::new(spec());
    world.tell(Event::Reload);
    assert_eq!(world.instance.state(), State::Starting);
    world.tell(Event::Reload);
    assert_eq!(world.living, [2]);
    world.die(Exit::Code(1));
    world.tell(Event::Reload);
    assert_eq!((world.living.as_slice(), world.instance.beside.is_none()), ([3].as_slice(), true));
}

#[test]
fn memory_replaces_without_a_gap_where_there_is_room() {
    let mut world = serving();
    world.over_memory(1, 260, true, true);
    assert_eq!((world.living.as_slice(), world.instance.state()), ([1, 2].as_slice(), State::Online));
    world.over_memory(1, 261, false, true);
    assert_eq!(world.living, [1, 2], "it is being seen to");
    world.ready();
    assert_eq!((world.living.as_slice(), world.instance.restarts), ([2].as_slice(), 1));
    assert_eq!(last_end(&world), "memory 260 B over the limit of 256 B; replaced without a gap");
    // The new one has not been up for long: the restart rule decides, which has pauses.
    world.over_memory(2, 260, true, true);
    assert_eq!((world.living.as_slice(), world.instance.state()), ([].as_slice(), State::BackingOff));
}

#[test]
fn memory_restarts_where_there_is_no_room() {
    let mut world = serving();
    world.over_memory(1, 260, true, false);
    assert_eq!((world.living.as_slice(), world.instance.state()), ([2].as_slice(), State::Starting));
    assert_eq!(last_end(&world), "memory 260 B over the limit of 256 B");
}

#[test]
fn a_run_that_grows_on_while_it_is_to_end_is_killed() {
    let grew_on = "memory 270 B over the limit of 256 B, killed because it grew on while it was to end";
    // Crossing again, draining or stopping.
    for room in [true, false] {
        let mut world = serving();
        world.obeys_term = false;
        world.over_memory(1, 260, true, room);
        if room {
            world.ready();
        }
        world.over_memory(1, 261, false, true);
        assert!(world.living.contains(&1), "it has stayed above the limit");
        world.over_memory(1, 270, true, true);
        assert!(!world.living.contains(&1));
        assert_eq!(last_end(&world).replace("; replaced without a gap", ""), grew_on);
    }
    // Over the wall, with the successor on the way.
    let mut world = serving();
    world.over_memory(1, 260, true, true);
    world.over_memory(1, 321, false, true);
    assert_eq!((world.living.as_slice(), world.instance.state()), ([2].as_slice(), State::Starting));
    assert!(last_end(&world).contains("memory 321 B") && last_end(&world).contains("grew on"));
}

#[test]
fn after_a_refusal_memory_waits_and_an_order_does_not() {
    let mut world = serving();
    world.over_memory(1, 260, true, true);
    world.die_beside(Exit::Code(1));
    world.over_memory(1, 260, false, true);
    assert_eq!(world.living, [1]);
    world.pass(60_000);
    world.over_memory(1, 260, false, true);
    assert_eq!(world.living, [1, 3]);
    world.die_beside(Exit::Code(1));
    world.tell(Event::Reload);
    assert_eq!(world.living, [1, 4]);
}

#[test]
fn a_hundred_thousand_crashes_change_nothing_but_the_count() {
    let mut world = World::new(spec());
    world.tell(Event::Start);
    let crash = |world: &mut World| {
        world.die(Exit::Code(1));
        world.pass(17_000); // the longest pause, and its jitter
        world.spawns.clear();
    };
    (0..10).for_each(|_| crash(&mut world));
    let size = |world: &World| serde_json::to_vec(&world.instance).unwrap().len();
    let (before, state) = (size(&world), world.instance.state());
    (10..100_000).for_each(|_| crash(&mut world));
    assert_eq!((world.instance.restarts, world.living.len()), (100_000, 1));
    assert_eq!(world.instance.state(), state);
    assert!(size(&world) < before + 60, "{} bytes, {before} before", size(&world));
}

#[test]
fn a_process_that_was_never_let_go_is_started_again() {
    let never_let_go = |world: &mut World| {
        let run = world.living.pop().unwrap();
        world.tell(Event::NeverWas(run, Exit::Code(9)));
    };
    let mut world = World::new(spec());
    world.tell(Event::Start);
    never_let_go(&mut world);
    assert_eq!((world.living.as_slice(), world.instance.state()), ([2].as_slice(), State::Starting));
    let mut world = serving();
    world.tell(Event::Reload);
    never_let_go(&mut world);
    assert_eq!(world.living, [1, 3]);
    world.ready();
    assert_eq!((last_end(&world).as_str(), world.instance.run().unwrap().number), ("reloaded on request", 3));
    world.tell(Event::Reload);
    world.tell(Event::Stop);
    never_let_go(&mut world);
    world.pass(0);
    assert_eq!(world.instance.state(), State::Stopped);
}

/// What may happen from outside, by number.
fn disturb(world: &mut World, what: u8, millis: u64) {
    match what {
        0 => world.tell(Event::Start),
        1 => world.tell(Event::Stop),
        2 => world.tell(Event::Restart),
        3 => world.ready(),
        4 => world.die(Exit::Code(0)),
        5 => world.die(Exit::Code(1)),
        6 => world.die(Exit::Unknown),
        7 => {
            let run = world.instance.living().nth((millis % 2) as usize);
            world.over_memory(
                run.map_or(0, |run| run.number),
                250 + millis % 100,
                millis.is_multiple_of(3),
                !millis.is_multiple_of(5),
            );
        }
        14..=16 => world.tell(Event::Reload),
        17 => world.die_beside(Exit::Code(1)),
        8 => world.spawns_fail = !world.spawns_fail,
        9 => world.obeys_term = !world.obeys_term,
        _ => world.pass(millis),
    }
}

proptest! {
    #[test]
    fn never_two_children_and_a_stop_always_ends(
        steps in proptest::collection::vec((0u8..20, 0u64..30_000), 0..200),
        notify: bool, critical: bool, keeper_dies: bool, give_up in proptest::option::of(1u32..8),
    ) {
        let ready = if notify { Ready::Notify { timeout: Duration::from_secs(3) } } else { Ready::default() };
        let restart = RestartPolicy { give_up, ..RestartPolicy::default() };
        let mut world = World::new(ServiceSpec { ready, restart, critical, ..spec() });
        world.keeper_dies = keeper_dies;
        for (what, millis) in steps {
            disturb(&mut world, what, millis); // asserts that no third process is born
            let mut known: Vec<u64> = world.instance.living().map(|run| run.number).collect();
            known.sort_unstable();
            prop_assert_eq!(&known, &world.living, "{:?}", world.instance);
            let serves = matches!(world.instance.phase, Phase::Online { .. });
            prop_assert!(serves || world.instance.refused.is_none(), "{:?}", world.instance);
        }
        world.tell(Event::Stop);
        world.pass(10_000);
        prop_assert_eq!(world.instance.state(), State::Stopped);
        prop_assert_eq!(&world.living, &Vec::<u64>::new());
    }

    /// Whatever becomes of the new runs: as long as nobody stops the service and what serves does not crash, something
    /// serves.
    #[test]
    fn reloads_leave_no_gap(
        steps in proptest::collection::vec((0u8..10, 0u64..12_000), 0..200), notify: bool, limit_reached: bool,
    ) {
        let ready = if notify { Ready::Notify { timeout: Duration::from_secs(3) } } else { Ready::default() };
        let mut world = World::new(ServiceSpec { ready, ..spec() });
        world.tell(Event::Start);
        world.ready();
        world.pass(20_000);
        for (what, millis) in steps {
            match what {
                0..=2 => world.tell(Event::Reload),
                3 => world.ready(),
                4 => world.die_beside(Exit::Code(1)),
                5 => world.spawns_fail = !world.spawns_fail,
                6 => world.obeys_term = !world.obeys_term,
                7 if limit_reached && world.instance.beside.is_some() => {
                    let run = world.instance.beside.as_ref().and_then(Beside::run);
                    world.over_memory(run.map_or(0, |run| run.number), 300 + millis % 50, millis.is_multiple_of(2), true);
                }
                _ => world.pass(millis),
            }
            prop_assert_eq!(world.instance.state(), State::Online, "{:?}", world.instance);
            prop_assert!(world.instance.run().is_some_and(|run| world.living.contains(&run.number)));
        }
    }

    /// Put forward and back by days, at any moment.
    #[test]
    fn the_wall_clock_decides_nothing(
        steps in proptest::collection::vec((0u8..20, 0u64..30_000, 0u64..3), 0..100), notify: bool,
    ) {
        const DAY: u64 = 86_400_000;
        let ready = if notify { Ready::Notify { timeout: Duration::from_secs(3) } } else { Ready::default() };
        let new = || World::new(ServiceSpec { ready: ready.clone(), ..spec() });
        let (mut steady, mut jumping) = (new(), new());
        for (what, millis, days) in steps {
            jumping.wall = days * DAY;
            disturb(&mut steady, what, millis);
            disturb(&mut jumping, what, millis);
            prop_assert_eq!(&steady.instance.phase, &jumping.instance.phase);
            prop_assert_eq!(&steady.spawns, &jumping.spawns);
            prop_assert_eq!(steady.instance.deadline(), jumping.instance.deadline());
        }
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
        prop_assert_eq!(world.living.len(), 1);
    }

    #[test]
    fn a_crash_loop_after_a_long_uptime_is_bounded(uptime in 0u64..10_000_000, life in 0u64..9_000) {
        let mut world = World::new(spec());
        world.tell(Event::Start);
        world.pass(uptime);
        let begin = world.now;
        let before = world.spawns.len();
        while world.now < begin + 600_000 {
            if !world.living.is_empty() {
                world.die(Exit::Code(1));
            }
            world.pass(life.max(1));
        }
        // Ten minutes: one start at once, then 100 ms doubling to 15 s.
        prop_assert!(world.spawns.len() - before <= 60, "{} starts", world.spawns.len() - before);
    }
}
