//! A small file system for logs, to be filled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system in memory of a fixed size. It goes with its owner.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Makes and mounts it; none where that is not allowed, which is said.
    pub fn mount(at: &Path, size: &str) -> Option<SmallDisk> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs"]).arg(at);
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("left out: no file system can be mounted here");
        }
        mounted.then(|| SmallDisk(at.to_owned()))
    }

    /// Takes so many bytes of it, which [`SmallDisk::make_room`] gives back.
    pub fn take_room(&self, bytes: usize) {
        fs::write(self.ballast(), vec![0; bytes]).unwrap();
    }

    /// Makes room again.
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Mounts it anew: `ro` or `rw`.
    pub fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(&self.0);
        assert!(mount.status().unwrap().success(), "remount {how}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
