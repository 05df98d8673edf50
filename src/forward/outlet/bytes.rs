//! Messages on their way into a stream of bytes: what it does not take now waits here, and it is little.

use std::io;

/// So much is written at a time, and waits at most, bytes; one message may go beyond.
const BATCH: usize = 32 * 1024;

/// What waits.
#[derive(Debug, Default)]
pub struct Waiting {
    bytes: Vec<u8>,
    /// Of those, so many have been written.
    done: usize,
    /// All that has been put here.
    taken: u64,
}

impl Waiting {
    /// Adds what `message` writes, after it was tried to make room.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, and those of `write`.
    pub fn add<T>(
        &mut self,
        write: impl FnMut(&[u8]) -> io::Result<usize>,
        message: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> io::Result<T> {
        if self.bytes.len() - self.done >= BATCH {
            self.flush(write)?;
        }
        let before = self.bytes.len();
        let told = message(&mut self.bytes);
        self.taken += (self.bytes.len() - before) as u64;
        Ok(told)
    }

    /// Writes all.
    ///
    /// # Errors
    /// Those of `write`; what it has taken before is gone from here.
    pub fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        while self.done < self.bytes.len() {
            match write(&self.bytes[self.done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(2 * BATCH);
        self.done = 0;
        Ok(())
    }

    /// Bytes that were ever put here.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Those of them that were written.
    pub fn written(&self) -> u64 {
        self.taken - (self.bytes.len() - self.done) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_whole_or_not_at_all() {
        let mut waiting = Waiting::default();
        let mut out: Vec<u8> = Vec::new();
        let full = |_: &[u8]| Err(io::ErrorKind::WouldBlock.into());
        let put = |bytes: &mut Vec<u8>| bytes.resize(bytes.len() + 10_000, b'x');
        let taken = (0..10).filter(|_| waiting.add(full, put).is_ok()).count();
        assert_eq!((taken, waiting.taken(), waiting.written()), (4, 40_000, 0));
        let mut some = |bytes: &[u8]| {
            let count = bytes.len().min(7000);
            out.extend_from_slice(&bytes[..count]);
            if out.len() > 30_000 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
        };
        assert!(waiting.flush(&mut some).is_err());
        assert_eq!((waiting.taken(), waiting.written()), (40_000, 28_000));
        waiting.flush(|bytes| Ok(bytes.len())).unwrap();
        assert_eq!(waiting.written(), 40_000);
    }
}
