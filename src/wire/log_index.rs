//! The index of a log file: when its bytes were written. The keeper writes it beside the log, whoever reads logs reads it.
//!
//! ```text
//! header   32 bytes   "dogwlidx", version u32, size of the header u32, inode of the log u64, flags u64
//! record   16 bytes   offset u64, nanoseconds since 1970 u64
//! ```
//! All numbers are little-endian. A record says: the byte at `offset` and those after it, up to the next record, were
//! written at that time or at most [`PRECISION_MS`] later. It is written before its bytes are, so that whoever sees a
//! byte can see its record. Offsets grow; times do, unless somebody sets the clock. A torn record at the end, and
//! records of bytes that are not there, mean nothing. An index whose inode is not that of its log is somebody else's.
//!
//! Version history: 1, the first. A header of another size has something more in it, to be skipped.

/// How far a line's time may lie behind the truth, milliseconds: no two records are closer.
pub const PRECISION_MS: u64 = 10;
/// Bytes of a header as this program writes it.
pub const HEADER: usize = 32;
/// Bytes of a record.
pub const RECORD: usize = 16;

const MAGIC: [u8; 8] = *b"dogwlidx";
const VERSION: u32 = 1;
/// Where the flags stand.
pub const FLAGS_AT: u64 = 24;
/// The flag of [`Header::flushed`].
pub const FLUSHED: u64 = 1;
/// No header of any version is larger.
const LARGEST_HEADER: u32 = 4096;

/// The beginning of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Inode of the log. Of a compressed one: what it had before.
    pub inode: u64,
    /// Where the records begin.
    pub size: u64,
    /// The log was put aside because somebody wanted it empty: nobody wants to see its lines unless he asks for them.
    pub flushed: bool,
}

impl Header {
    /// The header of an index of the log with this inode.
    pub fn new(inode: u64) -> Header {
        Header { inode, size: HEADER as u64, flushed: false }
    }

    /// The bytes of a header.
    pub fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(HEADER as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.inode.to_le_bytes());
        bytes[24..].copy_from_slice(&(u64::from(self.flushed) * FLUSHED).to_le_bytes());
        bytes
    }

    /// Reads the first bytes of a file; none if it is no index, or one of a newer dogwatch.
    pub fn decode(bytes: &[u8]) -> Option<Header> {
        let size = word32(bytes.get(12..16)?);
        let known = bytes[..8] == MAGIC && word32(&bytes[8..12]) == VERSION;
        let whole = (HEADER as u32..=LARGEST_HEADER).contains(&size);
        (known && whole && bytes.len() >= HEADER).then(|| Header {
            inode: word64(&bytes[16..24]),
            size: u64::from(size),
            flushed: word64(&bytes[24..HEADER]) & FLUSHED != 0,
        })
    }

    /// Where the record begins that is written after so many bytes of an index: a torn one is written over.
    pub fn end(self, length: u64) -> u64 {
        self.size + length.saturating_sub(self.size) / RECORD as u64 * RECORD as u64
    }
}

/// From which byte on, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// Of the log.
    pub offset: u64,
    /// Since 1970.
    pub unix_ns: u64,
}

impl Record {
    /// The bytes of a record.
    pub fn encode(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.unix_ns.to_le_bytes());
        bytes
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8; RECORD]) -> Record {
        Record { offset: word64(&bytes[..8]), unix_ns: word64(&bytes[8..]) }
    }
}

fn word32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes were cut out"))
}

fn word64(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes were cut out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// This sample must load for ever.
    #[test]
    fn reads_version_1() {
        let sample = include_bytes!("../../tests/fixtures/log-index-v1.idx");
        let header = Header::decode(sample).unwrap();
        assert_eq!(header, Header { inode: 4711, size: 32, flushed: false });
        let (records, _torn) = sample[32..].as_chunks::<RECORD>();
        let records: Vec<Record> = records.iter().map(Record::decode).collect();
        let record = |offset, unix_ns| Record { offset, unix_ns };
        assert_eq!(records, [record(0, 1_795_373_591_999_000_000), record(4096, 1_795_373_592_010_000_000)]);
        assert_eq!(header.end(sample.len() as u64), 64, "the sample ends in a torn record");
        assert_eq!(sample[..32], header.encode());
        assert_eq!(sample[48..64], records[1].encode());
    }

    #[test]
    fn what_is_no_index_is_none() {
        let good = Header::new(7).encode();
        assert_eq!(Header::decode(&good), Some(Header::new(7)));
        assert_eq!(Header::decode(&good[..31]), None);
        for (at, byte) in [(0, b'x'), (8, 2), (12, 31), (14, 1)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(Header::decode(&bad), None, "byte {at}");
        }
        let flushed = Header { flushed: true, ..Header::new(7) };
        assert_eq!(Header::decode(&flushed.encode()), Some(flushed));
        let mut longer = good;
        longer[12] = 48;
        assert_eq!(Header::decode(&longer).unwrap().end(48 + 40), 48 + 32);
        assert_eq!(Header::new(7).end(5), 32);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Header::decode(&bytes);
        }

        #[test]
        fn what_is_written_is_read(offset: u64, unix_ns: u64) {
            let record = Record { offset, unix_ns };
            prop_assert_eq!(Record::decode(&record.encode()), record);
        }
    }
}
