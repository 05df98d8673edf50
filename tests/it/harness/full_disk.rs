//! A disk without any room left.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Machine;

/// A small file system on a disk, where a folder needs a block. When it goes the machine on it is ended before.
pub struct FullDisk<'a> {
    machine: &'a Machine,
    at: PathBuf,
}

impl<'a> FullDisk<'a> {
    /// Makes it and mounts it on a folder of the machine; none where that is not allowed, which is said.
    pub fn mount(machine: &'a Machine, folder: &str) -> Option<FullDisk<'a>> {
        let at = &machine.dir().join(folder);
        let image = at.with_extension("image");
        fs::create_dir(at).unwrap();
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let run = |program: &str, words: &[&Path]| {
            let status = Command::new(program).args(words).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        let made = run("mkfs.ext4", &["-q".as_ref(), "-m0".as_ref(), &image])
            && run("mount", &["-o".as_ref(), "loop".as_ref(), &image, at]);
        if !made {
            eprintln!("left out: no file system can be mounted here");
        }
        made.then(|| FullDisk { machine, at: at.to_owned() })
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Takes what room there is.
    pub fn fill(&self) {
        let mut ballast = fs::File::options().append(true).create(true).open(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            let error = std::iter::repeat_with(|| ballast.write_all(&vec![0; size])).find_map(Result::err);
            assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::StorageFull));
        }
    }

    /// Gives it back.
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for FullDisk<'_> {
    fn drop(&mut self) {
        self.machine.end();
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
