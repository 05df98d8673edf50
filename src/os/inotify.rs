//! Knowing that a file was written, or that something in a folder was made or moved, without looking again and again
//! (inotify(7)).

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// What is watched. When it goes, so do all watches.
#[derive(Debug)]
pub struct Watches(Inotify);

/// One of them. The same file has the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Watch(WatchDescriptor);

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A file that is watched was written or truncated.
    Written(Watch),
    /// Something in a folder that is watched was made, or moved there.
    Came(Watch, OsString),
    /// Something in it was moved away.
    Went(Watch, OsString),
    /// There is no such watch any more.
    Over(Watch),
    /// So much has happened that some of it was forgotten.
    Forgotten,
}

impl Watches {
    /// None yet.
    ///
    /// # Errors
    /// EMFILE: the user has too many (fs.inotify.max_user_instances).
    pub fn new() -> io::Result<Watches> {
        Ok(Watches(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?))
    }

    /// Watches a file.
    ///
    /// # Errors
    /// ENOENT; ENOSPC: the user watches too much (fs.inotify.max_user_watches).
    pub fn file(&self, path: &Path) -> io::Result<Watch> {
        self.add(path, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_DONT_FOLLOW)
    }

    /// Watches what is made in a folder, and what is moved into it or out of it.
    ///
    /// # Errors
    /// As [`Watches::file`]; ENOTDIR.
    pub fn folder(&self, path: &Path) -> io::Result<Watch> {
        let moves = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MOVED_FROM;
        self.add(path, moves | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR)
    }

    fn add(&self, path: &Path, what: AddWatchFlags) -> io::Result<Watch> {
        Ok(Watch(self.0.add_watch(path, what)?))
    }

    /// Watches it no more.
    pub fn remove(&self, watch: Watch) {
        let _ = self.0.rm_watch(watch.0); // it may have gone by itself
    }

    /// What has happened since the last call; nothing, if nothing has.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn happened(&self) -> io::Result<Vec<Event>> {
        let events = match self.0.read_events() {
            Ok(events) => events,
            Err(nix::errno::Errno::EAGAIN) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let event = |event: nix::sys::inotify::InotifyEvent| {
            let (watch, has) = (Watch(event.wd), |flag| event.mask.intersects(flag));
            match event.name {
                _ if has(AddWatchFlags::IN_Q_OVERFLOW) => Event::Forgotten,
                _ if has(AddWatchFlags::IN_IGNORED) => Event::Over(watch),
                Some(name) if has(AddWatchFlags::IN_MOVED_FROM) => Event::Went(watch, name),
                Some(name) => Event::Came(watch, name),
                None => Event::Written(watch),
            }
        };
        Ok(events.into_iter().map(event).collect())
    }
}

impl AsFd for Watches {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::Write;

    #[test]
    fn writes_and_moves_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let watches = Watches::new().unwrap();
        assert!(watches.file(&dir.path().join("log")).is_err());
        let folder = watches.folder(dir.path()).unwrap();
        let mut file = File::create(dir.path().join("log")).unwrap();
        let log = watches.file(&dir.path().join("log")).unwrap();
        assert_eq!(watches.happened().unwrap(), [Event::Came(folder, "log".into())]);
        file.write_all(b"a line\n").unwrap();
        assert_eq!(watches.happened().unwrap(), [Event::Written(log)]);
        assert_eq!(watches.happened().unwrap(), []);
        fs::create_dir(dir.path().join("archive")).unwrap();
        fs::rename(dir.path().join("log"), dir.path().join("archive/log")).unwrap();
        let moved = [Event::Came(folder, "archive".into()), Event::Went(folder, "log".into())];
        assert_eq!(watches.happened().unwrap(), moved);
        file.write_all(b"another\n").unwrap();
        assert_eq!(watches.happened().unwrap(), [Event::Written(log)], "a file, whatever it is called");
        watches.remove(log);
        assert_eq!(watches.happened().unwrap(), [Event::Over(log)]);
    }
}
