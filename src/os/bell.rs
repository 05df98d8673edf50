//! Something that one thread rings and all others can wait for, with whatever else they wait for (eventfd(2)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Rung once, it stays so: its descriptor is readable from then on.
#[derive(Debug)]
pub struct Bell(EventFd);

impl Bell {
    /// One that is silent.
    ///
    /// # Errors
    /// Those of eventfd(2).
    pub fn new() -> io::Result<Bell> {
        Ok(Bell(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?))
    }

    /// Rings it.
    pub fn ring(&self) {
        let _ = self.0.write(1); // it fails only where it has been rung for ages
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
