//! Everything that dogwatch's processes say comes through one FIFO; from here it goes into `dogwatch.log`.
//!
//! Who speaks never waits for the disk: while nobody reads, the FIFO keeps 64 KiB, and what is beyond is
//! forgotten. Only this thread ever waits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::os::{fifo, own};
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
    let _ = append(&paths.own_log(), &bytes);
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
    loop {
        let carrying = CARRYING.lock().unwrap_or_else(PoisonError::into_inner);
        match source.read(&mut bytes) {
            // What the disk does not take is forgotten: there is nobody left to tell.
            Ok(length) => drop(append(target, &bytes[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                drop(carrying);
                let _ = poll(&mut [PollFd::new(source.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
            }
            Err(_) => return,
        }
    }
}

/// Opens the file for each batch: a moved or removed log is simply made anew.
fn append(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(target)?;
    if file.metadata()?.len() > LARGEST {
        fs::rename(target, target.with_extension("log.1"))?;
        file = OpenOptions::new().append(true).create(true).mode(0o600).open(target)?;
    }
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_stays_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("dogwatch.log");
        for _ in 0..30 {
            append(&log, &vec![b'x'; 1 << 20]).unwrap();
        }
        let size = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
        assert!(size("dogwatch.log") <= LARGEST + (2 << 20) && size("dogwatch.log.1") <= LARGEST + (2 << 20));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
