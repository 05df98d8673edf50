//! What a keeper is about to write into a dressed log: a small file of the run folder, so that a successor of one that
//! was killed knows whether it was written, and writes nothing twice.
//!
//! ```text
//! "dogwnote", version u32, state u32 (1: on its way, 0: done), device u64, inode u64, offset u64, run u64,
//! staged u64, taken u64, unix milliseconds u64, ending u64, bytes of the stage u64, dress u64, check sum u64
//! ```
//! All numbers are little-endian. It is written in place, in one piece: first on its way, then, when the bytes are in the
//! file and out of the stage, done. Version history: 1, the first.

use crate::model::fnv::fnv1a;

/// Size of the file, bytes.
pub const SIZE: usize = 16 + 10 * 8 + 8;
const MAGIC: [u8; 8] = *b"dogwnote";
const VERSION: u32 = 1;

/// Bytes of a stage on their way into a log, as they are dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DressNote {
    /// Device and inode of the log.
    pub file: (u64, u64),
    /// Where they go.
    pub offset: u64,
    /// The run whose stage it is.
    pub run: u64,
    /// All that was in the stage.
    pub staged: u64,
    /// How many of that it is about.
    pub taken: u64,
    /// The time that they get, milliseconds since 1970.
    pub unix_ms: u64,
    /// What becomes of a line without an end, as a number of the keeper's.
    pub ending: u64,
    /// A fingerprint of the first of them.
    pub bytes: u64,
    /// A fingerprint of what they look like in the file.
    pub dress: u64,
}

/// What a successor has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// They are in the file; so many are still in the stage.
    Take(u64),
    /// All are in the stage. A part of them may be in the file.
    Write,
}

impl DressNote {
    /// The file's content.
    pub fn encode(&self, done: bool) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::from(!done).to_le_bytes());
        let ((device, inode), offset) = (self.file, self.offset);
        let numbers = [
            device,
            inode,
            offset,
            self.run,
            self.staged,
            self.taken,
            self.unix_ms,
            self.ending,
            self.bytes,
            self.dress,
        ];
        for (room, number) in bytes[16..].chunks_exact_mut(8).zip(numbers) {
            room.copy_from_slice(&number.to_le_bytes());
        }
        let sum = fnv1a(&bytes[..SIZE - 8]);
        bytes[SIZE - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the file's content; none if nothing is on its way, or it is damaged or a newer dogwatch's.
    pub fn decode(bytes: &[u8]) -> Option<DressNote> {
        let bytes: &[u8; SIZE] = bytes.try_into().ok()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (numbers, _) = bytes[16..].as_chunks::<8>();
        let number = |at: usize| u64::from_le_bytes(numbers[at]);
        let known = bytes[..8] == MAGIC && word(8) == VERSION && word(12) == 1;
        let whole = fnv1a(&bytes[..SIZE - 8]).to_le_bytes() == bytes[SIZE - 8..];
        (known && whole).then(|| DressNote {
            file: (number(0), number(1)),
            offset: number(2),
            run: number(3),
            staged: number(4),
            taken: number(5),
            unix_ms: number(6),
            ending: number(7),
            bytes: number(8),
            dress: number(9),
        })
    }

    /// What is to be done when `waiting` bytes are in the stage now, the first of which have that fingerprint.
    ///
    /// Nobody but this keeper takes bytes out of it, so fewer than before say that it has begun to, which it does when all
    /// is written. Others may have added some (`control::relief`): then the bytes themselves say whether they are the same.
    pub fn remains(&self, waiting: u64, bytes: u64) -> Remains {
        match self.staged.checked_sub(waiting) {
            Some(gone) if gone > 0 => Remains::Take(self.taken.saturating_sub(gone)),
            _ if bytes == self.bytes => Remains::Write,
            _ => Remains::Take(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note() -> DressNote {
        DressNote {
            file: (1, 2),
            offset: 3,
            run: 4,
            staged: 500,
            taken: 300,
            unix_ms: 1_795_374_300_123,
            ending: 1,
            bytes: 8,
            dress: 9,
        }
    }

    /// This sample must load for ever.
    #[test]
    fn reads_version_1() {
        let sample = include_bytes!("../../tests/fixtures/dress-note-v1");
        assert_eq!(DressNote::decode(sample), Some(note()));
        assert_eq!(note().encode(false), *sample);
    }

    #[test]
    fn what_is_no_note_is_none() {
        let good = note().encode(false);
        assert_eq!(DressNote::decode(&note().encode(true)), None, "done");
        assert_eq!(DressNote::decode(&good[1..]), None);
        for at in [0, 8, 12, 30, SIZE - 1] {
            let mut bad = good;
            bad[at] ^= 2;
            assert_eq!(DressNote::decode(&bad), None, "byte {at}");
        }
    }

    #[test]
    fn what_remains_to_be_done() {
        let remains = |waiting, bytes| note().remains(waiting, bytes);
        assert_eq!(remains(500, 8), Remains::Write);
        assert_eq!(remains(200, 8), Remains::Take(0));
        assert_eq!(remains(400, 8), Remains::Take(200), "killed while it took them");
        assert_eq!(remains(0, 0), Remains::Take(0), "all who held the stage were killed");
        assert_eq!(remains(700, 8), Remains::Write, "somebody has added some");
        assert_eq!(remains(700, 7), Remains::Take(0), "and these are not the same");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..SIZE + 8)) {
            let _ = DressNote::decode(&bytes);
        }
    }
}
