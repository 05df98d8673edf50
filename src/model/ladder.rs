//! What keeps services apart where cgroup v2 has no controllers to do it: numbers that the kernel takes from anybody.

/// Processes and threads that a service may have beyond those that its user has when it starts.
const TASKS: u64 = 512;
/// Set apart for who must go on: keepers, and critical services.
const SET_APART: u64 = 256;
/// A service that is not critical is that much likelier to be taken when memory runs out: as if it had a fifth more
/// of all memory (proc_pid_oom_score_adj(5)).
const LIKELIER: i32 = 200;
/// The highest oom_score_adj.
const HIGHEST: i32 = 1000;
/// oom_score_adj of dogwatch's own processes, where they may have it: root's.
pub const OWN_OOM_SCORE: i32 = -900;
/// oom_score_adj of dogwatch's helpers: what they do can be done again.
pub const HELPERS_OOM_SCORE: i32 = 500;

/// nice of a critical service whose entry says nothing: some ten times the share of the others' processor time, which
/// is what its cpu_weight gives it where there is a controller.
const CRITICAL_NICE: i32 = -10;

/// RLIMIT_NPROC for a service that is not critical and has no other limit: the kernel compares it with *all* processes
/// and threads of the service's user, `present` of which there are, and does so whenever one of them forks. Whoever has
/// a higher limit, `own` of the keeper, still forks when this one is reached. None where that would leave the service
/// nothing.
pub fn most_tasks(present: u64, own: u64) -> Option<u64> {
    let most = present.saturating_add(TASKS).min(own.saturating_sub(SET_APART));
    (most > present.saturating_add(SET_APART)).then_some(most)
}

/// oom_score_adj of a service, from that of its keeper: which can be raised by anybody, and is low where the keeper is
/// root's. The kernel takes critical services last, keepers never.
pub fn oom_score(own: i32, critical: bool) -> i32 {
    let base = own.max(0);
    if critical { base } else { (base + LIKELIER).min(HIGHEST) }
}

/// The nice (nice(2)) that a service gets where it may have it: only root's may be below 0. None: its keeper's.
pub fn nice(critical: bool) -> Option<i32> {
    critical.then_some(CRITICAL_NICE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn on_usual_machines() {
        assert_eq!(most_tasks(40, 15_000), Some(552));
        assert_eq!(most_tasks(40, u64::MAX), Some(552));
        assert_eq!(most_tasks(40, 700), Some(444), "keepers keep 256");
        assert_eq!(most_tasks(40, 400), None, "too narrow to divide");
        assert_eq!([oom_score(-900, true), oom_score(-900, false)], [0, 200], "root's");
        assert_eq!([oom_score(100, true), oom_score(100, false)], [100, 300], "below a user's systemd");
        assert_eq!(oom_score(900, false), 1000);
    }

    proptest! {
        #[test]
        fn the_limit_leaves_room_below_and_above(present: u64, own: u64) {
            if let Some(most) = most_tasks(present, own) {
                prop_assert!(most > present, "the service can start");
                prop_assert!(most <= own - SET_APART, "its keeper can go on when it cannot");
                prop_assert!(most - present <= TASKS);
            }
        }

        #[test]
        fn critical_services_outlive_others_and_nothing_is_lowered_without_the_right(own in -1000..=1000) {
            let [critical, other] = [true, false].map(|critical| oom_score(own, critical));
            prop_assert!(critical <= other && (critical < other || own == HIGHEST));
            prop_assert!((0..=HIGHEST).contains(&other) && critical >= own.max(0));
        }
    }
}
