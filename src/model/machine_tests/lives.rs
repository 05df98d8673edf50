//! Starts, ends and restarts of a service.

use std::time::Duration;

use super::world::*;
use crate::model::end::Exit;
use crate::model::machine::*;
use crate::model::moment::Moment;
use crate::model::phase::{CRASH_LOOP, Instance, Phase, State};
use crate::model::signal::Signal;
use crate::model::spec::{MemoryLimit, Ready, RestartPolicy, RestartWhen, ServiceSpec};

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
