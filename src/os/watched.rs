//! Descriptors that tokio waits on. For the control plane only: keepers and warden have no tokio.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::packet::Connection;

/// A descriptor that tokio waits on, in the form that tokio asks for.
#[derive(Debug)]
pub struct Lasting<T>(T);

/// Owners of one descriptor that is open, and the same, as long as they live.
trait OwnsOne: AsFd {}
impl OwnsOne for Connection {}
impl OwnsOne for OwnedFd {}

impl<T> Lasting<T> {
    /// What owns the descriptor.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The same, to be waited on no more.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: AsFd> AsRawFd for Lasting<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Waits on a connection, in both directions.
///
/// # Errors
/// Those of epoll_ctl(2).
pub fn connection(connection: Connection) -> io::Result<AsyncFd<Lasting<Connection>>> {
    register(connection, Interest::READABLE | Interest::WRITABLE)
}

/// Waits for a descriptor to be readable, which for a pidfd means that its process has ended.
///
/// # Errors
/// Those of epoll_ctl(2).
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<Lasting<OwnedFd>>> {
    register(fd, Interest::READABLE)
}

fn register<T: OwnsOne>(owner: T, interest: Interest) -> io::Result<AsyncFd<Lasting<T>>> {
    #[expect(unsafe_code, reason = "tokio cannot see that the descriptor stays open")]
    // SAFETY: `OwnsOne` types own their one descriptor and close it only when dropped, and `Lasting` lends
    // them out by shared reference only, so it stays open and the same for the life of the AsyncFd.
    let watched = unsafe { AsyncFd::register_with_interest(Lasting(owner), interest) };
    watched.map_err(|error| error.into_parts().1)
}
