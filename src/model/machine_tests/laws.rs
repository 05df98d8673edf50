//! What holds whatever happens.

use std::time::Duration;

use proptest::prelude::*;

use super::world::*;
use crate::model::end::Exit;
use crate::model::machine::*;
use crate::model::phase::{Beside, Phase, State};
use crate::model::spec::{Ready, RestartPolicy, ServiceSpec};

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
        let new = || World::new(ServiceSpec { ready, ..spec() });
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
