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

/// Closes a descriptor that came with a message and is not wanted.
pub fn close_received(fd: RawFd) {
    drop(own(fd));
}

/// Takes a descriptor that the kernel has just made for us.
pub(super) fn own(fd: RawFd) -> OwnedFd {
    #[expect(unsafe_code, reason = "a descriptor from the kernel becomes an owned one")]
    // SAFETY: the kernel has just made this descriptor for us (accept4, SCM_RIGHTS); nobody else owns it.
    unsafe {
        OwnedFd::from_raw_fd(fd)
    }
}
