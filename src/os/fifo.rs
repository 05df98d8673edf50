//! Named FIFOs, and moving bytes between them and files without reading them.
//!
//! Everything here is opened O_RDWR: opening never waits, nobody ever sees an end of file or gets SIGPIPE,
//! and the bytes stay as long as anybody has the FIFO open (fifo(7), pipe(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, open, splice, tee};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, mkfifo};

/// Makes the FIFO at `path` unless it is there, with mode 0600, owned by `owner`.
///
/// # Errors
/// Those of mkfifo(3) and chown(2).
pub fn make(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    match mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) | Err(nix::Error::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some((uid, gid)) = owner {
        nix::unistd::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(())
}

/// Opens a FIFO for the pump or a holder: never waits.
///
/// # Errors
/// Those of open(2).
pub fn open_pump(path: &Path) -> io::Result<OwnedFd> {
    open_with(path, OFlag::O_NONBLOCK)
}

/// Opens a FIFO for a service: its writes wait when the FIFO is full, as programs expect. Each run gets an
/// open file description of its own, so that O_NONBLOCK set by one program never reaches the next.
///
/// # Errors
/// Those of open(2).
pub fn open_service(path: &Path) -> io::Result<OwnedFd> {
    open_with(path, OFlag::empty())
}

fn open_with(path: &Path, more: OFlag) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | more, Mode::empty())?)
}

/// Bytes that wait in a FIFO.
///
/// # Errors
/// Those of ioctl(2).
pub fn waiting(fifo: BorrowedFd<'_>) -> io::Result<usize> {
    nix::ioctl_read_bad!(fionread, libc::FIONREAD, libc::c_int);
    let mut bytes = 0;
    #[expect(unsafe_code, reason = "an ioctl")]
    // SAFETY: FIONREAD stores one int, which lives through the call.
    unsafe {
        fionread(fifo.as_raw_fd(), &raw mut bytes)?;
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Asks for a FIFO of this size; what the kernel grants may be less (fs.pipe-user-pages-soft).
pub fn resize(fifo: BorrowedFd<'_>, bytes: i32) -> Option<i32> {
    fcntl(fifo, FcntlArg::F_SETPIPE_SZ(bytes)).ok()
}

/// Largest size that [`enlarge`] asks for, bytes.
const LARGEST: usize = 1 << 20;

/// Doubles a FIFO; false if it does not grow any more.
pub fn enlarge(fifo: BorrowedFd<'_>) -> bool {
    let before = capacity(fifo);
    let wanted = i32::try_from(before * 2).ok().filter(|_| before < LARGEST);
    wanted.is_some_and(|bytes| resize(fifo, bytes).is_some())
}

/// Makes a FIFO this large, unless it is already, or the kernel does not grant it.
pub fn widen(fifo: BorrowedFd<'_>, bytes: usize) {
    if let Some(wanted) = i32::try_from(bytes).ok().filter(|_| capacity(fifo) < bytes) {
        let _ = resize(fifo, wanted);
    }
}

/// How many bytes fit.
pub fn capacity(fifo: BorrowedFd<'_>) -> usize {
    fcntl(fifo, FcntlArg::F_GETPIPE_SZ).ok().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(65536)
}

/// Whether more than `part`/`whole` of a FIFO is filled; false if that cannot be told.
pub fn is_fuller_than(fifo: BorrowedFd<'_>, part: usize, whole: usize) -> bool {
    waiting(fifo).is_ok_and(|bytes| bytes * whole > capacity(fifo) * part)
}

/// Moves up to `most` bytes from one FIFO to another, as pages, without waiting. Zero: nothing to move, or no
/// room.
///
/// # Errors
/// Those of splice(2) but EAGAIN.
pub fn to_stage(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    none_is_zero(splice(
        from,
        None,
        to,
        None,
        most,
        SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE,
    ))
}

/// Moves up to `most` bytes from a FIFO into a file at `offset`, which moves on.
///
/// # Errors
/// Those of splice(2) but EAGAIN; after ENOSPC the bytes are still in the FIFO.
pub fn to_file(from: BorrowedFd<'_>, file: &impl AsFd, offset: &mut u64, most: usize) -> io::Result<usize> {
    let mut position = i64::try_from(*offset).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    let moved = none_is_zero(splice(
        from,
        None,
        file,
        Some(&mut position),
        most,
        SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE,
    ))?;
    *offset += moved as u64;
    Ok(moved)
}

/// Duplicates up to `most` bytes at the head of a FIFO into another one; the first keeps them.
///
/// # Errors
/// Those of tee(2) but EAGAIN.
pub fn peek(from: BorrowedFd<'_>, into: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    none_is_zero(tee(from, into, most, SpliceFFlags::SPLICE_F_NONBLOCK))
}

/// Takes up to `into.len()` bytes out of a FIFO. Zero: there are none.
///
/// # Errors
/// Those of read(2) but EAGAIN.
pub fn take(from: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    none_is_zero(nix::unistd::read(from, into))
}

fn none_is_zero(answer: nix::Result<usize>) -> io::Result<usize> {
    match answer {
        Ok(moved) => Ok(moved),
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{read, write};

    #[test]
    fn bytes_move_from_fifo_to_stage_to_file_and_survive_a_closed_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["fifo", "stage"] {
            make(&path(name), None).unwrap();
            make(&path(name), None).unwrap(); // again is fine
        }
        let service = open_service(&path("fifo")).unwrap();
        let (fifo, stage) = (open_pump(&path("fifo")).unwrap(), open_pump(&path("stage")).unwrap());
        write(&service, b"one\ntwo\n").unwrap();
        drop(service);
        assert_eq!(waiting(fifo.as_fd()).unwrap(), 8);
        assert_eq!(to_stage(fifo.as_fd(), stage.as_fd(), 1 << 16).unwrap(), 8);
        assert_eq!(to_stage(fifo.as_fd(), stage.as_fd(), 1 << 16).unwrap(), 0);

        let (scratch_read, scratch) = nix::unistd::pipe().unwrap();
        assert_eq!(peek(stage.as_fd(), scratch.as_fd(), 100).unwrap(), 8);
        let mut seen = [0; 8];
        read(&scratch_read, &mut seen).unwrap();
        assert_eq!(&seen, b"one\ntwo\n");

        let file = std::fs::File::create(path("log")).unwrap();
        let mut offset = 0;
        assert_eq!(to_file(stage.as_fd(), &file, &mut offset, 4).unwrap(), 4);
        assert_eq!((std::fs::read(path("log")).unwrap().as_slice(), offset), (&b"one\n"[..], 4));
        assert_eq!(waiting(stage.as_fd()).unwrap(), 4);
        assert!(resize(fifo.as_fd(), 1 << 20).is_some_and(|size| size >= 4096));
    }
}
