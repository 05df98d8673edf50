//! A disk without any room left.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small file system on a disk, where a folder needs a block. It goes with its owner.
pub struct FullDisk(PathBuf);

impl FullDisk {
    /// Makes and mounts it; none where that is not allowed, which is said.
    pub fn mount(at: &Path) -> Option<FullDisk> {
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
        made.then(|| FullDisk(at.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
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

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
