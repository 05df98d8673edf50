//! Everything that dogwatch's processes say comes through one FIFO; from here it goes into `dogwatch.log`.
//!
//! Who speaks never waits for the disk: while nobody reads, the FIFO keeps 64 KiB, and what is beyond is
//! forgotten. Only this thread ever waits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::model::calendar::utc_stamps;
use crate::os::{clock, fifo, own};
use crate::paths::Paths;

/// Above this size the log becomes `dogwatch.log.1`, in the place of the last one.
const LARGEST: u64 = 10 << 20;
/// Stack of the thread, bytes.
const STACK: usize = 64 * 1024;

/// Makes the FIFO and starts the thread that empties it.
///
/// # Errors
/// Those of mkfifo(3), open(2) and of starting a thread.
pub fn start(paths: &Paths) -> io::Result<()> {
    fifo::make(&paths.own_fifo(), None)?;
    let source = fifo::open_pump(&paths.own_fifo())?;
    let target = paths.own_log();
    let thread = thread::Builder::new().name("own-log".to_owned()).stack_size(STACK);
    thread.spawn(move || carry(source, &target))?;
    Ok(())
}

/// From now on this process speaks through the FIFO too, if its standard error is the log file itself: what it had
/// to say about its start is in the file already.
pub fn speak(paths: &Paths) {
    if own::speaks_into_a_file()
        && let Ok(fifo) = fifo::open_pump(&paths.own_fifo())
    {
        let _ = own::speak_into(&fifo);
    }
}

/// Brings what is still on its way into the file: nobody may be left to do it.
pub fn finish(paths: &Paths) {
    let Ok(fifo) = fifo::open_pump(&paths.own_fifo()) else { return };
    let mut bytes = Vec::new();
    // It ends in `WouldBlock` when the FIFO is empty; what was read until then is in `bytes`.
    let _ = File::from(fifo).take(64 * 1024).read_to_end(&mut bytes);
    Log::new(&paths.own_log()).append(&bytes);
}

/// Held while a line is on its way from the FIFO to the file.
static CARRYING: Mutex<()> = Mutex::new(());
/// A disk that takes longer than this costs lines of dogwatch's own log.
const PATIENCE: u32 = 200;

/// Keeps the thread from taking anything out of the FIFO, so that nothing is lost when this process becomes another
/// program. None if the disk takes its time.
pub fn pause() -> Option<MutexGuard<'static, ()>> {
    for _ in 0..PATIENCE {
        match CARRYING.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(guard)) => return Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let _ = poll(&mut [], PollTimeout::from(1_u8)); // a millisecond; cut short it is a shorter one
            }
        }
    }
    None
}

/// For ever.
fn carry(source: OwnedFd, target: &Path) {
    let mut source = File::from(source);
    let mut bytes = [0; 8192];
    let mut log = Log::new(target);
    loop {
        let carrying = CARRYING.lock().unwrap_or_else(PoisonError::into_inner);
        match source.read(&mut bytes) {
            Ok(length) => log.append(&bytes[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                drop(carrying);
                let _ = poll(&mut [PollFd::new(source.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
            }
            Err(_) => return,
        }
    }
}

/// The file.
#[derive(Debug)]
struct Log<'a> {
    path: &'a Path,
    /// Kept open: what is said when there are no descriptors left is said there, too.
    file: Option<File>,
    /// What the disk has not taken is forgotten; that it is, the log says as soon as it can.
    missing: usize,
}

impl Log<'_> {
    fn new(path: &Path) -> Log<'_> {
        Log { path, file: None, missing: 0 }
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.missing > 0 {
            let (_, stamp) = utc_stamps(clock::now().unix_ms);
            let missing = self.missing;
            let told = format!(
                "{stamp} control: up to {missing} bytes are missing here: they could not be written\n"
            );
            if self.try_append(told.as_bytes()).is_ok() {
                self.missing = 0;
            }
        }
        if self.missing > 0 || self.try_append(bytes).is_err() {
            self.missing += bytes.len();
        }
    }

    /// A moved or removed log is simply made anew.
    fn try_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let is_there = |file: &mut File| {
            let (there, open) = (fs::metadata(self.path).ok()?, file.metadata().ok()?);
            ((there.dev(), there.ino()) == (open.dev(), open.ino()) && open.len() <= LARGEST).then_some(())
        };
        if self.file.as_mut().and_then(is_there).is_none() {
            self.file = Some(open(self.path)?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }
}

/// Opens the log; one that is too large makes place for a new one.
fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|about| about.len() > LARGEST) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("dogwatch.log");
        fs::create_dir(&log).unwrap(); // nothing can be written here
        let mut file = Log::new(&log);
        file.append(b"12345\n");
        file.append(b"789\n");
        fs::remove_dir(&log).unwrap();
        file.append(b"after\n");
        file.append(b"and on\n");
        let text = fs::read_to_string(&log).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].ends_with("control: up to 10 bytes are missing here: they could not be written"),
            "{text}"
        );
        assert_eq!(lines[1..], ["after", "and on"]);
    }

    #[test]
    fn the_log_stays_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("dogwatch.log");
        let mut file = Log::new(&log);
        for _ in 0..30 {
            file.append(&vec![b'x'; 1 << 20]);
        }
        let size = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
        assert!(size("dogwatch.log") <= LARGEST + (2 << 20) && size("dogwatch.log.1") <= LARGEST + (2 << 20));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        // Somebody moves it away.
        fs::rename(&log, dir.path().join("old")).unwrap();
        file.append(b"new\n");
        assert_eq!(fs::read_to_string(&log).unwrap(), "new\n");
    }
}
