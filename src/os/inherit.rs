//! Descriptors handed down at exec: `DOGWATCH_FDS=name=3,name=4`.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The variable that names them.
pub const VARIABLE: &str = "DOGWATCH_FDS";

/// What [`VARIABLE`] says when these descriptors are handed down.
pub fn words(fds: &[(String, BorrowedFd<'_>)]) -> String {
    let words: Vec<String> = fds.iter().map(|(name, fd)| format!("{name}={}", fd.as_raw_fd())).collect();
    words.join(",")
}

/// SD_LISTEN_FDS_START of sd_listen_fds(3).
const FIRST_LISTENER: RawFd = 3;
/// More sockets than any service has.
const MOST_LISTENERS: u32 = 64;

/// Takes the inherited descriptors, each with CLOEXEC set again. A name whose descriptor is not open is left
/// out. Call once, first thing: afterwards other code may own the same numbers.
pub fn take() -> BTreeMap<String, OwnedFd> {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    text.split(',')
        .filter_map(|word| word.rsplit_once('='))
        .filter_map(|(name, number)| {
            let fd: RawFd = number.parse().ok()?;
            Some((name.to_owned(), claim(fd).ok()?))
        })
        .collect()
}

/// Takes the listening sockets that dogwatch hands to a service (LISTEN_FDS, sd_listen_fds(3)); none if they are for
/// another process. Call once, first thing, as [`take`].
pub fn listeners() -> Vec<TcpListener> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).min(MOST_LISTENERS);
    (FIRST_LISTENER..).take(count as usize).filter_map(|fd| claim(fd).ok()).map(TcpListener::from).collect()
}

fn claim(fd: RawFd) -> io::Result<OwnedFd> {
    if fd <= 2 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    #[expect(unsafe_code, reason = "an inherited descriptor becomes an owned one")]
    // SAFETY: fcntl with F_SETFD takes integers only and fails if the descriptor is not open; then it is the
    // one that our parent put there for us, and nobody in this process owns it yet (see `take`).
    unsafe {
        if libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}
