//! Looking at what waits in a FIFO without taking it out.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;

use super::fifo;

/// A pipe of our own into which the content of others is duplicated (tee(2)), and read.
#[derive(Debug)]
pub struct Peek {
    reading: File,
    writing: OwnedFd,
}

impl Peek {
    /// An empty one.
    ///
    /// # Errors
    /// EMFILE.
    pub fn new() -> io::Result<Peek> {
        let (reading, writing) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Peek { reading: reading.into(), writing })
    }

    /// Up to `most` bytes from the head of a FIFO, which keeps them; less if they stand in many small pieces.
    ///
    /// # Errors
    /// Those of tee(2).
    pub fn look(&mut self, fifo: BorrowedFd<'_>, most: usize) -> io::Result<Vec<u8>> {
        let seen = fifo::peek(fifo, self.writing.as_fd(), most)?;
        let mut bytes = vec![0; seen];
        self.reading.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_stays() {
        let (reading, writing) = nix::unistd::pipe2(OFlag::O_NONBLOCK).unwrap();
        let mut peek = Peek::new().unwrap();
        assert_eq!(peek.look(reading.as_fd(), 100).unwrap(), b"");
        nix::unistd::write(&writing, b"one\ntwo\n").unwrap();
        assert_eq!(peek.look(reading.as_fd(), 5).unwrap(), b"one\nt");
        assert_eq!(peek.look(reading.as_fd(), 100).unwrap(), b"one\ntwo\n");
        assert_eq!(fifo::waiting(reading.as_fd()).unwrap(), 8);
    }
}
