//! What all unix sockets have in common: addresses of any length, and descriptors that come with messages.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, socketpair};

/// SCM_MAX_FD of the kernel: as many descriptors can come with one message.
pub const MOST_FDS: usize = 253;

/// An address that fits into the 108 bytes of sockaddr_un however long the path is: see [`short_path`].
///
/// # Errors
/// Those of open(2) on the folder.
pub fn short_address(path: &Path) -> io::Result<(File, UnixAddr)> {
    let (folder, short) = short_path(path)?;
    let address = UnixAddr::new(&short)?;
    Ok((folder, address))
}

/// The same path, however long, in a few bytes: its folder is opened and named through /proc/self/fd. The
/// folder must stay open while the path is used.
///
/// # Errors
/// Those of open(2) on the folder.
pub fn short_path(path: &Path) -> io::Result<(File, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let folder = File::open(folder)?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok((folder, short))
}

/// The thread makes a few system calls.
const STACK: usize = 16 * 1024;

/// Tells the kernel that a socket takes no descriptors: who sends one gets EPERM. Before Linux 6.16 nothing happens, and
/// the answer is false.
pub(super) fn refuse_descriptors(socket: &OwnedFd) -> bool {
    const SO_PASSRIGHTS: i32 = 83;
    let no: i32 = 0;
    #[expect(unsafe_code, reason = "nix does not know this option")]
    // SAFETY: the descriptor is borrowed, so open; `no` lives through the call, and its size is given.
    let refused = unsafe {
        let size = size_of_val(&no) as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PASSRIGHTS, (&raw const no).cast(), size)
    };
    refused == 0
}

/// Whether descriptors may lie in the queue of a socket although nobody wants them.
fn gifts_come() -> bool {
    static COME: OnceLock<bool> = OnceLock::new();
    *COME.get_or_init(|| {
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
        pair.is_ok_and(|(one, _)| !refuse_descriptors(&one))
    })
}

/// Closes sockets on which a service speaks. Where the kernel cannot refuse descriptors, one that was never read may be
/// the last of its connection, and closing that waits for as long as its owner has arranged (SO_LINGER, socket(7)): so
/// that is done by a thread of its own.
pub fn let_go(sockets: Vec<OwnedFd>) {
    if !sockets.is_empty() && gifts_come() {
        drop_aside(sockets, || ());
    }
}

/// Drops descriptors of strangers in a thread of its own, and calls `then` there.
pub fn drop_aside(gifts: Vec<OwnedFd>, then: impl FnOnce() + Send + 'static) {
    let aside = thread::Builder::new().name("drop".to_owned()).stack_size(STACK);
    // Without a thread they are dropped here: somebody may have to wait, and is watched.
    let _ = aside.spawn(move || {
        drop(gifts);
        then();
    });
}

/// Takes a descriptor that the kernel has just made for us.
pub(super) fn own(fd: RawFd) -> OwnedFd {
    #[expect(unsafe_code, reason = "a descriptor from the kernel becomes an owned one")]
    // SAFETY: the kernel has just made this descriptor for us (accept4, SCM_RIGHTS); nobody else owns it.
    unsafe {
        OwnedFd::from_raw_fd(fd)
    }
}

/// The descriptors in the control data of a message of which some had no room (MSG_CTRUNC): they have numbers here
/// already, and nix, which does not look at such a message, would leave them open for ever.
pub(super) fn descriptors_of(control: &[u8]) -> Vec<OwnedFd> {
    // struct cmsghdr, cmsg(3): a length, which counts the header, a level, a type; zeros if there was room for none.
    const LENGTH: usize = size_of::<usize>();
    const HEADER: usize = LENGTH + 8;
    let (Some(length), Some(kind)) = (control.first_chunk::<LENGTH>(), control.get(LENGTH..HEADER)) else {
        return Vec::new();
    };
    let rights = [libc::SOL_SOCKET.to_ne_bytes(), libc::SCM_RIGHTS.to_ne_bytes()].concat();
    let numbers = control.get(HEADER..usize::from_ne_bytes(*length)).filter(|_| kind == rights);
    let each = numbers.unwrap_or_default().chunks_exact(size_of::<RawFd>());
    each.filter_map(|bytes| bytes.first_chunk().map(|bytes| own(RawFd::from_ne_bytes(*bytes)))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::os::notify::tests::lingering;

    #[test]
    fn what_lingers_is_dropped_aside() {
        let begin = Instant::now();
        let (gift, other) = lingering(60);
        let (done, gone) = std::sync::mpsc::channel();
        drop_aside(vec![gift.into()], move || done.send(()).unwrap());
        assert!(gone.try_recv().is_err(), "still lingers");
        assert!(begin.elapsed() < Duration::from_secs(30), "it was waited for");
        drop(other);
        gone.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}
