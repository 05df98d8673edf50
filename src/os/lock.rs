//! "I am the only one here": flock(2) on a file that names its holder.
//!
//! The kernel lets go of the lock when its holder dies, however it dies. The file's content is only for
//! telling others who holds it, and for finding the holder safely: pid, start time and boot.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::poll::{PollTimeout, poll};

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

/// Whoever looks at a lock with [`holder`] holds it for a moment; so many milliseconds are waited for them.
const LOOKERS: u32 = 20;

/// Tries to take the lock at `path`, without waiting for another holder.
///
/// # Errors
/// Those of opening and writing the file.
pub fn try_lock(path: &Path) -> io::Result<Attempt> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut looks = LOOKERS;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(std::fs::TryLockError::WouldBlock) => match read_holder(&mut file) {
                // Held, but nobody lives who says so: somebody is just looking (see `holder`).
                None if looks > 0 => looks -= 1,
                holder => return Ok(Attempt::Busy(holder)),
            },
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        let _ = poll(&mut [], PollTimeout::from(1_u8)); // a millisecond; cut short it is a shorter one
    }
    // Of one width, so that it overwrites the last holder's name and a full disk has room for it. The lock is
    // ours whether or not others can read whose it is.
    let text = format!("{:<80}\n", Identity::own()?.to_string());
    let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(text.as_bytes()));
    Ok(Attempt::Held(Lock { file }))
}

/// The same for a process that was another program before, and has kept the lock's descriptor: the lock is still its
/// own, and nobody could have taken it meanwhile.
///
/// # Errors
/// As [`try_lock`].
pub fn take_over(kept: Option<OwnedFd>, path: &Path) -> io::Result<Attempt> {
    let id = |about: std::fs::Metadata| (about.dev(), about.ino());
    if let Some(file) = kept.map(File::from)
        && id(file.metadata()?) == id(std::fs::metadata(path)?)
        && file.try_lock().is_ok()
    {
        return Ok(Attempt::Held(Lock { file }));
    }
    try_lock(path)
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

/// A turn at the files of a folder, among processes that each need it for a moment; it is over when this is dropped. None
/// if another one has it for longer than a moment, or there is no such folder.
pub fn turn(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    for _ in 0..LOOKERS {
        if folder.try_lock().is_ok() {
            return Some(folder);
        }
        let _ = poll(&mut [], PollTimeout::from(1_u8));
    }
    None
}

fn read_holder(file: &mut File) -> Option<Identity> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_to_string(&mut text).ok()?;
    let identity: Identity = text.parse().ok()?;
    process::is_alive(&identity).then_some(identity)
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Lock {
    /// Lets go.
    pub fn release(self) {
        drop(self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_does_not_keep_the_lock_from_anybody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let looker = File::create(&path).unwrap();
        looker.try_lock_shared().unwrap();
        let waiting = std::thread::spawn(move || try_lock(&path).unwrap());
        poll(&mut [], PollTimeout::from(3_u8)).unwrap();
        drop(looker);
        assert!(matches!(waiting.join().unwrap(), Attempt::Held(_)));
    }

    #[test]
    fn a_turn_is_one_processs_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mine = turn(dir.path()).unwrap();
        assert!(turn(dir.path()).is_none());
        drop(mine);
        assert!(turn(dir.path()).is_some() && turn(&dir.path().join("nowhere")).is_none());
    }

    #[test]
    fn a_lock_that_was_kept_is_held_on_and_a_strange_one_is_not_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let Attempt::Held(lock) = try_lock(&path).unwrap() else { panic!("it is free") };
        let strange = OwnedFd::from(tempfile::tempfile().unwrap());
        assert!(matches!(take_over(Some(strange), &path).unwrap(), Attempt::Busy(_)));
        let kept = lock.as_fd().try_clone_to_owned().unwrap();
        drop(lock);
        assert!(matches!(take_over(Some(kept), &path).unwrap(), Attempt::Held(_)));
    }

    #[test]
    fn a_held_lock_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let Attempt::Held(lock) = try_lock(&path).unwrap() else { panic!("it is free") };
        let own = Identity::own().unwrap();
        assert_eq!((holder(&path), named(&path)), (Some(own.clone()), Some(own.clone())));
        assert!(matches!(try_lock(&path).unwrap(), Attempt::Busy(Some(who)) if who == own));
        lock.release();
        assert_eq!(holder(&path), None);
    }
}
