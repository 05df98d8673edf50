//! A folder beside the place where something new will stand. What is made in it goes there in one step, or not at all.
//!
//! It is removed when the work ends, however it ends; after a SIGKILL the next one to work there removes it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{TempDir, TempPath};

use crate::Error;
use crate::file::sync;

/// Begins the names of all work places.
const PREFIX: &str = ".events-work-";
/// Younger ones may not be locked yet by whoever is making them.
const ABANDONED: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Workplace {
    folder: TempDir,
    /// Held as long as the work goes on: `flock(2)` on the folder.
    _lock: File,
}

impl Workplace {
    /// A place in `folder`, for its owner alone.
    pub(super) fn new(folder: &Path) -> Result<Self, Error> {
        let failed = |error| Error::Path("make a place to work in", folder.to_owned(), error);
        remove_abandoned(folder);
        let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder).map_err(failed)?;
        let lock = File::open(made.path()).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self { folder: made, _lock: lock })
    }

    /// The path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Moves a finished file to its place, unless something is there. Both are of one disk.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when something is there.
pub(super) fn place(finished: &Path, at: &Path) -> Result<(), Error> {
    sync(finished)?;
    let failed = |error| Error::Path("put the new file at", at.to_owned(), error);
    TempPath::try_from_path(finished).map_err(failed)?.persist_noclobber(at).map_err(|refused| {
        // It stays where it was made, for another attempt.
        let _ = refused.path.keep();
        failed(refused.error)
    })?;
    sync(crate::file::folder_of(at))
}

/// Was it refused because something is there?
pub(super) fn is_taken(error: &Error) -> bool {
    matches!(error, Error::Path(_, _, error) if error.kind() == io::ErrorKind::AlreadyExists)
}

/// What a killed process left. Failing is no reason not to work.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_work = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let is_old = entry
            .metadata()
            .and_then(|about| about.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED));
        if is_work && is_old && File::open(entry.path()).is_ok_and(|lock| lock.try_lock().is_ok()) {
            // Someone else may remove it at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_removed_and_what_is_in_use_stays() {
        let folder = TempDir::new().expect("a temporary folder");
        let used = Workplace::new(folder.path()).expect("a place");
        let left = folder.path().join(".events-work-left");
        fs::create_dir(&left).expect("made");
        let long_ago = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        for path in [used.folder.path(), &left] {
            File::open(path).and_then(|file| file.set_times(long_ago)).expect("an old folder");
        }
        let second = Workplace::new(folder.path()).expect("a second place");
        assert!(used.folder.path().exists() && second.folder.path().exists() && !left.exists());
        let path = used.folder.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = TempDir::new().expect("a temporary folder");
        let place_of_work = Workplace::new(folder.path()).expect("a place");
        let (new, target) = (place_of_work.file("new"), folder.path().join("target"));
        fs::write(&new, "new").expect("written");
        fs::write(&target, "old").expect("written");
        assert!(is_taken(&place(&new, &target).expect_err("it is taken")));
        assert_eq!(fs::read(&target).expect("it is there"), b"old");
        assert_eq!(fs::read(&new).expect("it stays"), b"new");
    }
}
