//! Which build of dogwatch a process runs.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::program;

/// Builds by file. Reading a whole program takes milliseconds, and is done once for each.
#[derive(Debug, Default)]
pub struct Builds(Mutex<BTreeMap<Content, String>>);

/// Device, inode, length and time of the last change: as long as these stay the content does. (The number of a file
/// that is gone is used again.)
type Content = (u64, u64, u64, i64, i64);

impl Builds {
    /// The build of the program at `path`; none if it cannot be read.
    fn of(&self, path: &Path) -> Option<String> {
        let about = std::fs::metadata(path).ok()?;
        let content = (about.dev(), about.ino(), about.len(), about.mtime(), about.mtime_nsec());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(build) = known.get(&content) {
            return Some(build.clone());
        }
        let build = program::build(path).ok()?;
        known.insert(content, build.clone());
        Some(build)
    }

    /// Whether process `pid` runs another build than this one. One that cannot be looked at counts as the same.
    pub fn differs(&self, pid: i32) -> bool {
        let Ok(theirs) = program::of(pid) else { return false };
        let own = std::process::id() as i32;
        program::of(own).is_ok_and(|ours| ours.id != theirs.id)
            && self.of(&program::link(own)) != self.of(&program::link(pid))
    }

    /// Whether the file that has the name of this process's program now is of another build; which file that is.
    pub fn installed(&self) -> Option<PathBuf> {
        let own = std::process::id() as i32;
        let program = program::of(own).ok().filter(|program| program.replaced && program.path.is_file())?;
        (self.of(&program.path) != self.of(&program::link(own))).then_some(program.path)
    }
}
