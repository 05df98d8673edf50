//! Under systemd the warden lives in a scope of its own, outside the cgroup of dogwatch.service: restarting
//! that unit must not touch it, and its cgroup must be free to be divided among services.
//!
//! A scope lives as long as a process is in it. While it lives a new warden is put into its leaf `warden/`;
//! else `systemd-run --scope` makes it, which becomes the warden by exec.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The name of the unit.
pub const UNIT: &str = "dogwatch-cells";

/// Where the scope is, and how to make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// A user manager's, not the system's.
    user: bool,
    /// The scope's cgroup.
    folder: PathBuf,
}

/// A program and its arguments.
pub type Words = (PathBuf, Vec<OsString>);

impl Scope {
    /// The scope beside the unit of this process; none if its cgroup is not one of systemd's.
    pub fn of_this_process() -> Option<Scope> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let mount = mounts.iter().find(|mount| Path::new(mount).join("cgroup.procs").exists())?;
        Scope::beside(own, Path::new(mount))
    }

    fn beside(own: &str, mount: &Path) -> Option<Scope> {
        let below = |slice: &str| {
            let cgroup = format!("{}/{UNIT}.scope", slice.trim_start_matches('/'));
            mount.join(cgroup)
        };
        // /user.slice/user-1000.slice/user@1000.service/app.slice/dogwatch.service
        if let Some((before, after)) = own.split_once("/user@") {
            let manager = after.split('/').next()?;
            return Some(Scope { user: true, folder: below(&format!("{before}/user@{manager}/app.slice")) });
        }
        // /system.slice/dogwatch.service
        let (before, _) = own.split_once("/system.slice/")?;
        Some(Scope { user: false, folder: below(&format!("{before}/system.slice")) })
    }

    /// Whether a process lives in it.
    pub fn lives(&self) -> bool {
        let events = std::fs::read_to_string(self.folder.join("cgroup.events")).unwrap_or_default();
        events.lines().any(|line| line == "populated 1")
    }

    /// What to execute so that `program` with `args` runs in the scope, under the number of the process that
    /// executes it.
    pub fn words(&self, program: &Path, args: &[OsString]) -> Words {
        if self.lives() { self.enter(program, args) } else { self.create(program, args) }
    }

    /// A shell that writes its own number into the leaf, then becomes the program.
    fn enter(&self, program: &Path, args: &[OsString]) -> Words {
        let leaf = self.folder.join("warden");
        // It exists unless the first warden died before it made it; the write below says so then.
        let _ = std::fs::create_dir(&leaf);
        let mut words: Vec<OsString> = vec![
            "-c".into(),
            r#"echo $$ > "$0" && exec "$@""#.into(),
            leaf.join("cgroup.procs").into(),
            program.into(),
        ];
        words.extend_from_slice(args);
        ("/bin/sh".into(), words)
    }

    fn create(&self, program: &Path, args: &[OsString]) -> Words {
        let mut words: Vec<OsString> = Vec::new();
        if self.user {
            words.push("--user".into());
        }
        let slice = if self.user { "app.slice" } else { "system.slice" };
        words.extend(
            [
                "--scope",
                "--quiet",
                // A scope that failed is forgotten at once, so that its name is free again.
                "--collect",
                &format!("--unit={UNIT}"),
                &format!("--slice={slice}"),
                "--description=dogwatch: warden, keepers and services",
                "-p",
                "Delegate=yes",
                "-p",
                "Before=dogwatch-stop.service",
                "--",
            ]
            .map(OsString::from),
        );
        words.push(program.into());
        words.extend_from_slice(args);
        ("systemd-run".into(), words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_beside_the_unit() {
        let folder =
            |own| Scope::beside(own, Path::new("/sys/fs/cgroup")).map(|scope| (scope.user, scope.folder));
        assert_eq!(
            folder("/system.slice/dogwatch.service"),
            Some((false, "/sys/fs/cgroup/system.slice/dogwatch-cells.scope".into()))
        );
        assert_eq!(
            folder("/user.slice/user-7.slice/user@7.service/app.slice/dogwatch.service"),
            Some((
                true,
                "/sys/fs/cgroup/user.slice/user-7.slice/user@7.service/app.slice/dogwatch-cells.scope".into()
            ))
        );
        assert_eq!(folder("/"), None);
    }

    #[test]
    fn a_new_scope_becomes_the_program_and_a_living_one_is_entered() {
        let dir = tempfile::tempdir().unwrap();
        let scope = Scope { user: false, folder: dir.path().to_owned() };
        let args = ["warden".into()];
        let (program, words) = scope.words(Path::new("/bin/dogwatch"), &args);
        assert_eq!(program, Path::new("systemd-run"));
        assert_eq!(words[words.len() - 3..], ["--", "/bin/dogwatch", "warden"]);
        std::fs::write(dir.path().join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        let (program, words) = scope.words(Path::new("/bin/dogwatch"), &args);
        assert_eq!(program, Path::new("/bin/sh"));
        assert_eq!(words[2], *dir.path().join("warden/cgroup.procs"));
    }
}
