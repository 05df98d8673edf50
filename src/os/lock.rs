//! "I am the only one here": flock(2) on a file that names its holder.
//!
//! The kernel lets go of the lock when its holder dies, however it dies. The file's content is only for
//! telling others who holds it, and for finding the holder safely: pid, start time and boot.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::process::{self, Identity};

/// A held lock; dropped, it is free.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// What became of an attempt.
#[derive(Debug)]
#[must_use]
pub enum Attempt {
    /// The lock is ours.
    Held(Lock),
    /// Somebody else holds it; who, if the file says so and that process lives.
    Busy(Option<Identity>),
}

/// Tries to take the lock at `path`, without waiting.
///
/// # Errors
/// Those of opening and writing the file.
pub fn try_lock(path: &Path) -> io::Result<Attempt> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Ok(Attempt::Busy(read_holder(&mut file))),
        Err(std::fs::TryLockError::Error(error)) => return Err(error),
    }
    let text = format!("{}\n", Identity::own()?);
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    Ok(Attempt::Held(Lock { file }))
}

/// Who holds the lock at `path` now; none if it is free or the holder is gone.
pub fn holder(path: &Path) -> Option<Identity> {
    let mut file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(_) => read_holder(&mut file),
    }
}

/// Who the lock's file names, if that process lives. Unlike [`holder`] it does not touch the lock, so it can
/// never be in the way of a process that is just taking it; it is right about locks that are held for life.
pub fn named(path: &Path) -> Option<Identity> {
    read_holder(&mut File::open(path).ok()?)
}

fn read_holder(file: &mut File) -> Option<Identity> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let identity: Identity = text.parse().ok()?;
    process::is_alive(&identity).then_some(identity)
}

impl Lock {
    /// Lets go.
    pub fn release(self) {
        drop(self.file);
    }
}
