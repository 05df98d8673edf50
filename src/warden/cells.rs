//! Where the services' cgroups are made.
//!
//! Under systemd the warden lives in a delegated scope: it moves itself into the leaf `warden`, because a
//! cgroup whose controllers are handed down must not have processes of its own, enables the controllers, and
//! puts the keepers into the leaf `keepers`. Elsewhere it takes a folder of its own below the cgroup it is in,
//! if it may make one: then trees can be killed whole, but not limited.

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::fnv::fnv1a;
use crate::os::cgroup;
use crate::paths::Paths;

/// The cgroups of one dogwatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells {
    /// `svc/<compartment>/<name>/<instance>.<run>` are made below it.
    pub root: PathBuf,
    /// Where keepers go; none: they stay where the warden is.
    pub keepers: Option<PathBuf>,
}

/// Finds the folder and prepares it; none where cgroups cannot be made.
pub fn find(paths: &Paths, managed: bool) -> Option<Cells> {
    let own = cgroup::own()?;
    if managed {
        match scope(&own) {
            Some(root) => return in_scope(root),
            None => super::log(&format!(
                "not in a scope but in {}: memory limits are watched, not enforced",
                own.display()
            )),
        }
    }
    let name = format!("dogwatch-{:016x}", fnv1a(paths.run.as_os_str().as_encoded_bytes()));
    // A warden that was started by a keeper or a control plane is where they are.
    let root = own.join(name);
    fs::create_dir_all(root.join("svc")).ok()?;
    writable(&root).then_some(Cells { root, keepers: None })
}

/// The scope that a process in the cgroup `own` is in. Where systemd could not make one, that is the cgroup of
/// dogwatch.service, which must not be divided: systemd could not put a new main process into it again.
fn scope(own: &Path) -> Option<&Path> {
    let root = match own.file_name() {
        Some(leaf) if leaf == "warden" || leaf == "keepers" => own.parent()?,
        _ => own,
    };
    root.extension().is_some_and(|kind| kind == "scope").then_some(root)
}

fn in_scope(root: &Path) -> Option<Cells> {
    let (warden, keepers, services) = (root.join("warden"), root.join("keepers"), root.join("svc"));
    for folder in [&warden, &keepers, &services] {
        fs::create_dir_all(folder).ok()?;
    }
    cgroup::enter(&warden, nix::unistd::getpid().as_raw()).ok()?;
    // What else is still in the scope's root, such as a helper of systemd-run, is moved out of the way.
    for pid in fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default().lines() {
        let _ = pid.parse().map(|pid| cgroup::enter(&warden, pid));
    }
    cgroup::enable_controllers(root);
    cgroup::enable_controllers(&services);
    Some(Cells { root: root.to_owned(), keepers: Some(keepers) })
}

/// Whether children can be made to be born in it.
fn writable(root: &Path) -> bool {
    let probe = root.join("probe");
    let made = fs::create_dir(&probe).is_ok() || probe.is_dir();
    let usable =
        made && nix::unistd::access(&probe.join("cgroup.procs"), nix::unistd::AccessFlags::W_OK).is_ok();
    let _ = fs::remove_dir(&probe);
    usable
}

/// Removes what was made, as far as it is empty.
pub fn remove(cells: &Cells) {
    if cells.keepers.is_none() {
        cgroup::remove_tree(&cells.root);
    } else {
        cgroup::remove_tree(&cells.root.join("svc"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divides_a_scope_only() {
        let place = Path::new("/sys/fs/cgroup/system.slice/dogwatch-cells.scope");
        assert_eq!(scope(place), Some(place));
        assert_eq!(scope(&place.join("warden")), Some(place));
        assert_eq!(scope(&place.join("keepers")), Some(place));
        assert_eq!(scope(Path::new("/sys/fs/cgroup/system.slice/dogwatch.service")), None);
    }
}
