//! Making room in a FIFO that nobody empties: its oldest lines are dropped.

use std::io;
use std::os::fd::BorrowedFd;

use super::fifo;
use super::peek::Peek;

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

/// How many bytes at the head of `fifo` belong to its first line; none if its end is out of sight.
///
/// # Errors
/// Those of tee(2).
pub fn first_line(fifo: BorrowedFd<'_>, peek: &mut Peek) -> io::Result<Option<usize>> {
    let seen = peek.look(fifo, SIGHT)?;
    Ok(seen.iter().position(|byte| *byte == b'\n').map(|at| at + 1))
}

/// Drops the older half of what `fifo` takes, up to the end of a line.
///
/// # Errors
/// Those of tee(2) and read(2).
pub fn drop_half(fifo: BorrowedFd<'_>, peek: &mut Peek) -> io::Result<Dropped> {
    let mut dropped = Dropped::default();
    let half = fifo::capacity(fifo) / 2;
    let mut bytes = vec![0; SIGHT];
    loop {
        let excess = fifo::waiting(fifo)?.saturating_sub(half).min(SIGHT);
        let length = if excess == 0 { 0 } else { fifo::take(fifo, &mut bytes[..excess])? };
        if length == 0 {
            break; // or somebody else was quicker
        }
        dropped.count(&bytes[..length]);
    }
    if let Some(rest) = first_line(fifo, peek)? {
        let length = fifo::take(fifo, &mut bytes[..rest])?;
        dropped.count(&bytes[..length]);
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn whole_lines_go_and_what_is_left_is_less_than_half() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fifo::make(&path, None).unwrap();
        let end = fifo::open_pump(&path).unwrap();
        let mut peek = Peek::new().unwrap();
        assert_eq!(drop_half(end.as_fd(), &mut peek).unwrap(), Dropped::default());
        assert_eq!(first_line(end.as_fd(), &mut peek).unwrap(), None);
        let mut lines = 0;
        while nix::unistd::write(&end, format!("{lines:09}\n").as_bytes()).is_ok() {
            lines += 1;
        }
        assert_eq!(first_line(end.as_fd(), &mut peek).unwrap(), Some(10));
        let dropped = drop_half(end.as_fd(), &mut peek).unwrap();
        assert_eq!(dropped.bytes, dropped.lines * 10);
        assert!(!fifo::is_fuller_than(end.as_fd(), 1, 2));
        assert_eq!(fifo::waiting(end.as_fd()).unwrap() as u64, (lines - dropped.lines) * 10);
        let next = peek.look(end.as_fd(), 10).unwrap();
        assert_eq!(String::from_utf8(next).unwrap(), format!("{:09}\n", dropped.lines));
    }
}
