//! What all unix sockets have in common: addresses of any length, and descriptors that come with messages.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::sys::socket::UnixAddr;

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

/// Tells the kernel that a socket takes no descriptors: who sends one gets EPERM. Before Linux 6.16 nothing happens.
pub(super) fn refuse_descriptors(socket: &OwnedFd) {
    const SO_PASSRIGHTS: i32 = 83;
    let no: i32 = 0;
    #[expect(unsafe_code, reason = "nix does not know this option")]
    // SAFETY: the descriptor is borrowed, so open; `no` lives through the call, and its size is given.
    let _ = unsafe {
        let size = size_of_val(&no) as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PASSRIGHTS, (&raw const no).cast(), size)
    };
}

/// Takes a descriptor that the kernel has just made for us.
pub(super) fn own(fd: RawFd) -> OwnedFd {
    #[expect(unsafe_code, reason = "a descriptor from the kernel becomes an owned one")]
    // SAFETY: the kernel has just made this descriptor for us (accept4, SCM_RIGHTS); nobody else owns it.
    unsafe {
        OwnedFd::from_raw_fd(fd)
    }
}
