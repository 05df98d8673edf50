//! The state record of a keeper: what it needs to know to go on after a SIGKILL.
//!
//! Two files are written in turn, in place, each one line of JSON, padded with blanks to a fixed size, and a
//! check sum. The valid one with the higher `seq` counts. No allocation of blocks, so a full file system
//! cannot break it; and `cat` shows it.

use serde::{Deserialize, Serialize};

use crate::model::fnv::fnv1a;
use crate::model::phase::Instance;

/// Size of a record file, bytes.
pub const SIZE: usize = 4096;
/// Bytes at the end: blank, 16 hexadecimal digits, newline.
const TAIL: usize = 18;

/// What a keeper remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`super::VERSION`] of the writer.
    pub v: u32,
    /// Grows by one with every record.
    pub seq: u64,
    /// The boot in which pids and moments mean something.
    pub boot_id: String,
    /// The instances of the service; one, for now.
    pub instances: Vec<InstanceRecord>,
}

/// One instance in the record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The machine's memory.
    #[serde(flatten)]
    pub instance: Instance,
    /// The process was let go after it was recorded; if not, it never became the service.
    #[serde(default)]
    pub released: bool,
    /// Absolute path of the run's cgroup.
    #[serde(default)]
    pub cgroup: Option<String>,
}

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Torn, empty, or not a record.
    #[error("damaged")]
    Damaged,
    /// Written by a newer dogwatch.
    #[error("written by a newer dogwatch (record version {0}, this program knows {known})", known = super::VERSION)]
    Newer(u32),
    /// Too much for the fixed size.
    #[error("longer than {SIZE} bytes")]
    TooLong,
}

impl Record {
    /// The file's content.
    ///
    /// # Errors
    /// [`RecordError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let mut bytes = serde_json::to_vec(self).map_err(|_| RecordError::TooLong)?;
        if bytes.len() > SIZE - TAIL {
            return Err(RecordError::TooLong);
        }
        bytes.resize(SIZE - TAIL, b' ');
        let sum = fnv1a(&bytes);
        bytes.extend_from_slice(format!(" {sum:016x}\n").as_bytes());
        Ok(bytes)
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] or [`RecordError::Newer`].
    pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        if bytes.len() != SIZE {
            return Err(RecordError::Damaged);
        }
        let (body, tail) = bytes.split_at(SIZE - TAIL);
        if tail != format!(" {:016x}\n", fnv1a(body)).as_bytes() {
            return Err(RecordError::Damaged);
        }
        match serde_json::from_slice::<Version>(body) {
            Ok(Version { v }) if v > super::VERSION => Err(RecordError::Newer(v)),
            Ok(_) => serde_json::from_slice(body).map_err(|_| RecordError::Damaged),
            Err(_) => Err(RecordError::Damaged),
        }
    }

    /// The newer one of the two files' contents.
    ///
    /// # Errors
    /// [`RecordError::Newer`] if either is from a newer dogwatch; no valid record at all is `Ok(None)`.
    pub fn newest(slots: [&[u8]; 2]) -> Result<Option<Record>, RecordError> {
        let mut best: Option<Record> = None;
        for slot in slots {
            match Record::decode(slot) {
                Ok(record) if best.as_ref().is_none_or(|other| other.seq < record.seq) => best = Some(record),
                Ok(_) | Err(RecordError::Damaged | RecordError::TooLong) => {}
                Err(newer @ RecordError::Newer(_)) => return Err(newer),
            }
        }
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::moment::Moment;
    use crate::model::phase::{Phase, Run};

    fn record(seq: u64) -> Record {
        let run = Run { number: 3, pid: 4711, ticks: 99, started: Moment(5) };
        let instance = Instance { phase: Phase::Online { run }, runs: 3, ..Instance::default() };
        let instances = vec![InstanceRecord { instance, released: true, ..InstanceRecord::default() }];
        Record { v: 1, seq, boot_id: "b".to_owned(), instances }
    }

    #[test]
    fn the_newer_valid_one_counts() {
        let old = record(7).encode().unwrap();
        let mut new = record(8).encode().unwrap();
        assert_eq!(Record::newest([&old, &new]), Ok(Some(record(8))));
        new[10] ^= 1;
        assert_eq!(Record::newest([&old, &new]), Ok(Some(record(7))));
        assert_eq!(Record::newest([&[], &new]), Ok(None));
    }

    #[test]
    fn refuses_a_newer_version_by_number() {
        let newer = Record { v: 2, ..record(1) }.encode().unwrap();
        assert_eq!(Record::decode(&newer), Err(RecordError::Newer(2)));
    }

    /// This sample must load for ever.
    #[test]
    fn reads_version_1() {
        let body = include_str!("../../tests/fixtures/record-v1.json").trim_end();
        let mut bytes = body.as_bytes().to_vec();
        bytes.resize(SIZE - TAIL, b' ');
        let sum = fnv1a(&bytes);
        bytes.extend_from_slice(format!(" {sum:016x}\n").as_bytes());
        assert_eq!(Record::decode(&bytes), Ok(record(7)));
    }
}
