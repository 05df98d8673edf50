//! Looking at what waits in a FIFO without taking it out.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;

use super::fifo;

/// Looked at in one go where bytes are looked at on their way, in bytes: what fits into a FIFO that is not asked to be larger. A
/// line of an object that is longer comes in parts.
pub const SIGHT: usize = 1 << 16;

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
        let mut bytes = Vec::new();
        self.see(fifo, most, &mut bytes)?;
        Ok(bytes)
    }

    /// The same into a buffer, and as many as there are, in however many pieces they stand.
    ///
    /// # Errors
    /// As [`Peek::look`].
    pub fn look_into(&mut self, fifo: BorrowedFd<'_>, most: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let waiting = fifo::waiting(fifo)?.min(most);
        self.see(fifo, most, bytes)?;
        // As many pieces fit into a pipe as pages.
        while bytes.len() < waiting && fifo::enlarge(self.writing.as_fd()) {
            self.see(fifo, most, bytes)?;
        }
        Ok(())
    }

    fn see(&mut self, fifo: BorrowedFd<'_>, most: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let seen = fifo::peek(fifo, self.writing.as_fd(), most)?;
        bytes.resize(seen, 0);
        self.reading.read_exact(bytes)
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

    #[test]
    fn small_pieces_are_seen_too() {
        let open = || nix::unistd::pipe2(OFlag::O_NONBLOCK).unwrap();
        let ((from, writing), (reading, into)) = (open(), open());
        fifo::resize(into.as_fd(), 1 << 20);
        for n in 0..100 {
            // What is moved keeps its page to itself.
            nix::unistd::write(&writing, format!("{n:02}").as_bytes()).unwrap();
            fifo::to_stage(from.as_fd(), into.as_fd(), 2).unwrap();
        }
        let mut peek = Peek::new().unwrap();
        assert!(peek.look(reading.as_fd(), 1000).unwrap().len() < 200);
        let mut bytes = Vec::new();
        peek.look_into(reading.as_fd(), 1000, &mut bytes).unwrap();
        assert_eq!((bytes.len(), &bytes[..4]), (200, &b"0001"[..]));
        peek.look_into(reading.as_fd(), 3, &mut bytes).unwrap();
        assert_eq!(bytes, b"000");
    }
}
