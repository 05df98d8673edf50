//! The folder of one service: what its keeper will find there, and whether somebody lives in it.

use std::io;
use std::path::Path;

use crate::goals;
use crate::model::phase::{Goal, Instance};
use crate::model::spec::ServiceSpec;
use crate::os::lock::{self, Attempt};
use crate::os::process;
use crate::os::{clock, file, own};
use crate::paths::ServicePaths;
use crate::records;
use crate::wire::VERSION;
use crate::wire::spec::SpecFile;

/// Whether the service has a living keeper. This process may have held the lock itself ([`write_goal`]).
pub fn keeper_lives(paths: &ServicePaths) -> bool {
    let own = std::process::id() as i32;
    lock::named(&paths.lock).is_some_and(|holder| holder.pid != own)
}

/// Whether a run of the service is alive, with a keeper or without.
pub fn service_lives(paths: &ServicePaths) -> bool {
    records::newest(paths).is_some_and(|record| records::runs(&record).any(|run| process::is_alive(&run)))
}

/// The number of a record that says that the service runs, although its process has ended: its keeper has not
/// taken note yet.
pub fn unnoted_end(paths: &ServicePaths) -> Option<u64> {
    let record = records::newest(paths)?;
    let ended = records::runs(&record).any(|run| !process::is_alive(&run));
    ended.then_some(record.seq)
}

/// Whether what stands in the folder was written in this boot.
pub fn of_this_boot(paths: &ServicePaths) -> bool {
    let boot = clock::boot_id().unwrap_or_default();
    records::newest(paths).is_some_and(|record| record.boot_id == boot)
}

/// Lets the service be started from now on, by whoever is the control plane then: it has a folder.
///
/// # Errors
/// Those of mkdir(2).
pub fn admit(paths: &ServicePaths) -> io::Result<()> {
    own::make_folder(&paths.dir)
}

/// Whether the service may be started. One that is new in a file that was running already waits until it is asked for.
pub fn is_admitted(paths: &ServicePaths) -> bool {
    paths.dir.is_dir()
}

/// What the service's keeper wrote down last, in this boot.
pub fn read_instance(paths: &ServicePaths) -> Option<Instance> {
    let record = records::newest(paths)?;
    let boot = clock::boot_id().ok()?;
    record.instances.into_iter().next().filter(|_| record.boot_id == boot).map(|record| record.instance)
}

/// The entry that the keeper runs the service with; none if there is none, or it cannot be read.
pub fn read_spec(paths: &ServicePaths) -> Option<SpecFile> {
    SpecFile::decode(&std::fs::read(paths.spec()).ok()?).ok()
}

/// An entry as ecosystem.toml has it.
pub fn as_written(spec: ServiceSpec) -> SpecFile {
    SpecFile { v: VERSION, spec, limit_overridden: false }
}

/// Leaves an entry for the keeper.
///
/// # Errors
/// A sentence that names the file.
pub fn write_spec(paths: &ServicePaths, spec: &SpecFile) -> Result<(), String> {
    write_to(&paths.spec(), paths, spec)
}

/// Leaves an entry for the next reload.
///
/// # Errors
/// As [`write_spec`].
pub fn write_next_spec(paths: &ServicePaths, spec: &SpecFile) -> Result<(), String> {
    write_to(&paths.next_spec(), paths, spec)
}

fn write_to(path: &Path, paths: &ServicePaths, spec: &SpecFile) -> Result<(), String> {
    let write = || -> io::Result<()> {
        own::make_folder(&paths.dir)?;
        file::replace(path, &SpecFile::encode(&spec.spec, spec.limit_overridden), false)
    };
    write().map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// What the operator wants of the service; up, if nobody has said.
pub fn read_goal(paths: &ServicePaths) -> Goal {
    goals::read(&paths.goal)
}

/// Writes the goal of a service that has no keeper, under the keeper's lock. False if it has one by now: then
/// the keeper is the one to ask.
///
/// # Errors
/// Those of the lock and of writing.
pub fn write_goal(paths: &ServicePaths, goal: Goal) -> io::Result<bool> {
    let Attempt::Held(lock) = lock::try_lock(&paths.lock)? else {
        return Ok(false);
    };
    let written = goals::write(&paths.goal, goal);
    lock.release();
    written.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::ServiceName;
    use crate::paths::Paths;

    #[test]
    fn a_goal_is_kept_and_changed() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::below(home.path());
        for folder in paths.folders() {
            own::make_folder(&folder).unwrap();
        }
        let service = paths.service(&ServiceName::new("web").unwrap());
        assert_eq!(read_goal(&service), Goal::Up);
        for goal in [Goal::Down, Goal::Up, Goal::Down] {
            assert!(write_goal(&service, goal).unwrap());
            assert_eq!(read_goal(&service), goal);
        }
        let Attempt::Held(keeper) = lock::try_lock(&service.lock).unwrap() else {
            panic!("the lock is free");
        };
        assert!(!write_goal(&service, Goal::Up).unwrap());
        keeper.release();
    }
}
