//! Reloads, and runs that use too much memory.

use super::world::*;
use crate::model::end::Exit;
use crate::model::machine::*;
use crate::model::phase::State;

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
