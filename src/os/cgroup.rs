//! cgroup v2: a service's processes as one thing that can be counted and killed whole.
//!
//! Each run gets a *fresh* cgroup, because on Linux 6.18 a child born by CLONE_INTO_CGROUP into a cgroup that
//! has ever been killed is killed at birth. cgroup(7), Documentation/admin-guide/cgroup-v2.rst.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::model::end::Oom;

/// A cgroup of our own.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    folder: File,
}

impl Cgroup {
    /// Makes the cgroup at `path`, with the ones above it where they are missing.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn create(path: &Path) -> io::Result<Cgroup> {
        fs::create_dir_all(path)?;
        Cgroup::open(path)
    }

    /// Opens an existing one.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path) -> io::Result<Cgroup> {
        Ok(Cgroup { path: path.to_owned(), folder: File::open(path)? })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether any process lives in it or below.
    pub fn is_populated(&self) -> bool {
        fs::read_to_string(self.path.join("cgroup.events")).is_ok_and(|text| text.contains("populated 1"))
    }

    /// SIGKILLs every process in it and below (cgroup.kill, Linux 5.14).
    ///
    /// # Errors
    /// Those of the write.
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }

    /// The processes in it.
    pub fn processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Sets a limit where the controller is enabled; tells whether it is.
    pub fn limit(&self, file: &str, value: &str) -> bool {
        let path = self.path.join(file);
        path.exists() && fs::write(path, value).is_ok()
    }

    /// Whether the kernel counts its processes, so that pids.max holds in it and above.
    pub fn counts_processes(&self) -> bool {
        self.path.join("pids.max").exists()
    }

    /// What the out-of-memory killer has done in it: nothing, or nothing that could be seen, is none.
    pub fn oom(&self) -> Option<Oom> {
        let wall = fs::read_to_string(self.path.join("memory.max")).ok()?.trim().parse().ok();
        oom_of(&fs::read_to_string(self.path.join("memory.events")).ok()?, wall)
    }

    /// Removes it; it must be empty.
    ///
    /// # Errors
    /// EBUSY while a process lives in it.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_dir(&self.path)
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// After memory.events: `oom` counts how often the group's own wall was hit, `oom_kill` its processes that any
/// out-of-memory killer took.
fn oom_of(events: &str, wall: Option<u64>) -> Option<Oom> {
    let count = |name: &str| {
        let mut lines = events.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(event, _)| *event == name).and_then(|(_, count)| count.parse::<u64>().ok()).unwrap_or(0)
    };
    match (count("oom_kill"), count("oom"), wall) {
        (0, _, _) => None,
        (_, 1.., Some(wall)) => Some(Oom::OwnWall(wall)),
        _ => Some(Oom::Elsewhere),
    }
}

/// Removes a tree of empty cgroups, deepest first; what is not empty stays.
pub fn remove_tree(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}

/// Where this process stands in the cgroup v2 hierarchy, as a folder; none where v2 is not mounted.
pub fn own() -> Option<PathBuf> {
    // Of paths that are no text only their lines are of no use.
    let mounts = String::from_utf8_lossy(&fs::read("/proc/self/mountinfo").ok()?).into_owned();
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    locate(&mounts, &groups)
}

/// The folder of the `0::` line of /proc/PID/cgroup below the cgroup2 mount of /proc/PID/mountinfo.
fn locate(mounts: &str, groups: &str) -> Option<PathBuf> {
    let (root, target) = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        if right.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = left.split(' ').skip(3);
        Some((fields.next()?, fields.next()?))
    })?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = Path::new(own).strip_prefix(root).ok()?;
    Some(Path::new(target).join(below))
}

/// The controllers that hold in a cgroup; with `below`, in those that are made in it.
pub fn controllers(folder: &Path, below: bool) -> Vec<String> {
    let file = if below { "cgroup.subtree_control" } else { "cgroup.controllers" };
    let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Whether this process may make cgroups in it.
pub fn is_writable(folder: &Path) -> bool {
    nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// Moves a process into a cgroup.
///
/// # Errors
/// Those of the write to cgroup.procs.
pub fn enter(folder: &Path, pid: i32) -> io::Result<()> {
    fs::write(folder.join("cgroup.procs"), pid.to_string())
}

/// Enables for the cgroups below `folder` every controller that it has; one that refuses is left out.
pub fn enable_controllers(folder: &Path) {
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
    let (available, enabled) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    for controller in ["cpu", "io", "memory", "pids"] {
        let is_in = |list: &str| list.split_whitespace().any(|name| name == controller);
        if is_in(&available) && !is_in(&enabled) {
            let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_whose_memory_was_at_an_end() {
        let own = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(oom_of(own, Some(80)), Some(Oom::OwnWall(80)));
        assert_eq!(oom_of("oom 0\noom_kill 1\n", Some(80)), Some(Oom::Elsewhere));
        assert_eq!(oom_of("oom 1\noom_kill 0\n", Some(80)), None);
        assert_eq!(oom_of("", None), None);
    }

    #[test]
    fn finds_its_place() {
        let mounts = "25 1 0:22 / /proc rw - proc proc rw\n\
                      30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let groups = "1:name=systemd:/x\n0::/system.slice/a.scope\n";
        assert_eq!(locate(mounts, groups), Some("/sys/fs/cgroup/system.slice/a.scope".into()));
        assert_eq!(locate("", groups), None);
    }
}
