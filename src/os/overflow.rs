//! Making room in a FIFO that nobody empties: its oldest lines are dropped.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;

use super::fifo;

/// As much of a FIFO is looked through for the end of a line.
const SIGHT: usize = 64 * 1024;

/// What was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Bytes.
    pub bytes: u64,
    /// Ends of lines among them.
    pub lines: u64,
}

impl Dropped {
    /// Both together.
    pub fn add(&mut self, other: Dropped) {
        self.bytes += other.bytes;
        self.lines += other.lines;
    }

    fn count(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
}

/// A pipe to look into others through, and a buffer.
#[derive(Debug)]
pub struct Scratch {
    reading: File,
    writing: OwnedFd,
    bytes: Vec<u8>,
}

impl Scratch {
    /// New ones.
    ///
    /// # Errors
    /// Those of pipe(2).
    pub fn new() -> io::Result<Scratch> {
        let (reading, writing) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Scratch { reading: reading.into(), writing, bytes: vec![0; SIGHT] })
    }

    /// How many bytes at the head of `fifo` belong to its first line; none if its end is out of sight.
    ///
    /// # Errors
    /// Those of tee(2).
    pub fn first_line(&mut self, fifo: BorrowedFd<'_>) -> io::Result<Option<usize>> {
        let seen = fifo::peek(fifo, self.writing.as_fd(), SIGHT)?;
        self.reading.read_exact(&mut self.bytes[..seen])?;
        Ok(self.bytes[..seen].iter().position(|byte| *byte == b'\n').map(|at| at + 1))
    }

    /// Takes the first line of `fifo` off it; none if its end is out of sight.
    ///
    /// # Errors
    /// Those of tee(2) and read(2).
    pub fn take_first_line(&mut self, fifo: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
        let Some(length) = self.first_line(fifo)? else { return Ok(None) };
        let length = read(fifo, &mut self.bytes[..length])?;
        Ok(Some(self.bytes[..length].to_vec()))
    }

    /// Drops the older half of what `fifo` takes, up to the end of a line.
    ///
    /// # Errors
    /// Those of tee(2) and read(2).
    pub fn drop_half(&mut self, fifo: BorrowedFd<'_>) -> io::Result<Dropped> {
        let mut dropped = Dropped::default();
        let half = fifo::capacity(fifo) / 2;
        loop {
            let excess = fifo::waiting(fifo)?.saturating_sub(half).min(SIGHT);
            let length = read(fifo, &mut self.bytes[..excess])?;
            if length == 0 {
                break; // or somebody else was quicker
            }
            dropped.count(&self.bytes[..length]);
        }
        if let Some(rest) = self.first_line(fifo)? {
            let length = read(fifo, &mut self.bytes[..rest])?;
            dropped.count(&self.bytes[..length]);
        }
        Ok(dropped)
    }
}

/// What is there; 0 if nothing is.
fn read(fifo: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    if into.is_empty() {
        return Ok(0);
    }
    match nix::unistd::read(fifo, into) {
        Ok(length) => Ok(length),
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_go_and_what_is_left_is_less_than_half() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fifo::make(&path, None).unwrap();
        let end = fifo::open_pump(&path).unwrap();
        let mut scratch = Scratch::new().unwrap();
        assert_eq!(scratch.drop_half(end.as_fd()).unwrap(), Dropped::default());
        assert_eq!(scratch.take_first_line(end.as_fd()).unwrap(), None);
        let mut lines = 0;
        while nix::unistd::write(&end, format!("{lines:09}\n").as_bytes()).is_ok() {
            lines += 1;
        }
        assert_eq!(scratch.take_first_line(end.as_fd()).unwrap().as_deref(), Some(&b"000000000\n"[..]));
        let dropped = scratch.drop_half(end.as_fd()).unwrap();
        assert_eq!(dropped.bytes, dropped.lines * 10);
        assert!(!fifo::is_fuller_than(end.as_fd(), 1, 2));
        assert_eq!(fifo::waiting(end.as_fd()).unwrap() as u64, (lines - 1 - dropped.lines) * 10);
        let next = scratch.take_first_line(end.as_fd()).unwrap().unwrap();
        assert_eq!(String::from_utf8(next).unwrap(), format!("{:09}\n", dropped.lines + 1));
    }
}
