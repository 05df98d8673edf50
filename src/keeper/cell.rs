//! The cgroup of a run: `svc/COMPARTMENT/SERVICE/INSTANCE.RUN`, a fresh one each time, with the limits of all three.
//!
//! Every keeper of a compartment writes the same limits for the compartment, so that it does not matter which of
//! them comes first, or which are there at all.

use std::io;
use std::path::Path;

use crate::model::shares::at_most;
use crate::model::spec::ServiceSpec;
use crate::os::cgroup::{Cgroup, enable_controllers};

/// Makes the cgroup of run `number` below `all`. A limit whose controller is not there is left out: `dogwatch doctor`
/// says which ones hold.
///
/// # Errors
/// Those of mkdir(2).
pub fn make(all: &Path, spec: &ServiceSpec, number: u64) -> io::Result<Cgroup> {
    let compartment = Cgroup::create(&all.join(&spec.compartment))?;
    // What is not enabled in a cgroup those below it do not have.
    enable_controllers(all);
    enable_controllers(compartment.path());
    for (file, value) in spec.together.files() {
        compartment.limit(file, &value);
    }
    let service = Cgroup::create(&compartment.path().join(spec.name.as_str()))?;
    enable_controllers(service.path());
    for (file, value) in spec.shares.files() {
        service.limit(file, &value);
    }
    let run = Cgroup::create(&service.path().join(format!("0.{number}")))?;
    limit_memory(&run, spec);
    // Half a service is none: the out-of-memory killer takes all of it, and it is started again.
    run.limit("memory.oom.group", "1");
    Ok(run)
}

/// Gives a run the memory of its entry.
pub fn limit_memory(run: &Cgroup, spec: &ServiceSpec) {
    run.limit("memory.max", &at_most(spec.memory.map(|memory| memory.max)));
    // The kernel takes from the neighbours first.
    let kept = spec.memory.filter(|_| spec.critical).map_or(0, |memory| memory.limit);
    run.limit("memory.low", &kept.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shares::{Shares, Together};
    use crate::model::spec::MemoryLimit;
    use std::fs;

    /// A folder cannot limit anything; it shows what is written where.
    #[test]
    fn each_limit_stands_where_it_belongs() {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = crate::model::spec::sample("web");
        spec.compartment = "dashboard".to_owned();
        spec.memory = Some(MemoryLimit { limit: 10, max: 12 });
        spec.shares = Shares { pids_max: Some(7), ..Shares::default() };
        spec.together =
            Together { memory: Some(99), shares: Shares { cpu_weight: Some(20), ..Shares::default() } };
        let file = |path: &str, name: &str| dir.path().join(path).join(name);
        for path in ["dashboard", "dashboard/web", "dashboard/web/0.3"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
            for name in ["memory.max", "cpu.weight", "pids.max", "memory.oom.group", "memory.low"] {
                fs::write(file(path, name), "as it was").unwrap();
            }
        }
        let run = make(dir.path(), &spec, 3).unwrap();
        assert_eq!(run.path(), dir.path().join("dashboard/web/0.3"));
        let written = |path: &str, name: &str| fs::read_to_string(file(path, name)).unwrap();
        assert_eq!(written("dashboard", "memory.max"), "99");
        assert_eq!(written("dashboard", "cpu.weight"), "20");
        assert_eq!(written("dashboard", "pids.max"), "max");
        assert_eq!(written("dashboard/web", "pids.max"), "7");
        assert_eq!(written("dashboard/web", "memory.max"), "as it was");
        assert_eq!(written("dashboard/web/0.3", "memory.max"), "12");
        assert_eq!(written("dashboard/web/0.3", "memory.oom.group"), "1");
        assert_eq!(written("dashboard/web/0.3", "memory.low"), "0");
        // What is asked for no more ends.
        spec.memory = None;
        (spec.shares, spec.together) = Default::default();
        make(dir.path(), &spec, 3).unwrap();
        assert_eq!(written("dashboard", "memory.max"), "max");
        assert_eq!(written("dashboard", "cpu.weight"), "100");
        assert_eq!(written("dashboard/web", "pids.max"), "max");
        assert_eq!(written("dashboard/web/0.3", "memory.max"), "max");
        spec.memory = Some(MemoryLimit { limit: 10, max: 12 });
        spec.critical = true;
        limit_memory(&run, &spec);
        assert_eq!(written("dashboard/web/0.3", "memory.max"), "12");
        assert_eq!(written("dashboard/web/0.3", "memory.low"), "10");
    }
}
