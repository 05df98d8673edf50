//! The state record of a keeper: what it needs to know to go on after a SIGKILL.
//!
//! Two files are written in turn, in place, each one line of JSON, padded with blanks to a fixed size, and a
//! check sum. The valid one with the higher `seq` counts. No allocation of blocks, so a full file system
//! cannot break it; and `cat` shows it.

use serde::{Deserialize, Serialize};

use crate::model::fnv::fnv1a;
use crate::model::phase::Instance;

/// The newest version of the record that this program knows.
///
/// 1: the first. 2: a service may have two processes ([`Instance::beside`]). A record of one process is still written as
/// version 1, so that an older dogwatch adopts it; one of two it must refuse, or it would forget the second.
pub const VERSION: u32 = 2;
/// Size of a record file, bytes.
pub const SIZE: usize = 4096;
/// Bytes at the end: blank, 16 hexadecimal digits, newline.
const TAIL: usize = 18;

/// What a keeper remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version that is needed to understand it, at most [`VERSION`].
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
    /// The same of the second process, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Second>,
}

/// What is known of the process in [`Instance::beside`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Second {
    /// As [`InstanceRecord::released`].
    pub released: bool,
    /// As [`InstanceRecord::cgroup`].
    #[serde(default)]
    pub cgroup: Option<String>,
}

impl InstanceRecord {
    /// The version that a record of it has.
    pub fn version(&self) -> u32 {
        if self.instance.beside.is_some() { VERSION } else { 1 }
    }
}

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Torn, empty, or not a record.
    #[error("damaged")]
    Damaged,
    /// Written by a newer dogwatch.
    #[error("written by a newer dogwatch (record version {0}, this program knows {known})", known = VERSION)]
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
            Ok(Version { v }) if v > VERSION => Err(RecordError::Newer(v)),
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
    use std::time::Duration;

    use super::*;
    use crate::model::end::{End, Why};
    use crate::model::failure::{StartFailure, Step};
    use crate::model::memory::Over;
    use crate::model::moment::{Moment, Now};
    use crate::model::phase::{Beside, Phase, Refused, Run};
    use crate::model::trend::Rise;

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
        let newer = Record { v: 3, ..record(1) }.encode().unwrap();
        assert_eq!(Record::decode(&newer), Err(RecordError::Newer(3)));
    }

    /// The file with this line in it.
    fn file(body: &str) -> Vec<u8> {
        let mut bytes = body.trim_end().as_bytes().to_vec();
        bytes.resize(SIZE - TAIL, b' ');
        let sum = fnv1a(&bytes);
        bytes.extend_from_slice(format!(" {sum:016x}\n").as_bytes());
        bytes
    }

    /// This sample must load for ever.
    #[test]
    fn reads_version_1() {
        let bytes = file(include_str!("../../tests/fixtures/record-v1.json"));
        assert_eq!(Record::decode(&bytes), Ok(record(7)));
    }

    /// Run 4 has taken over from run 3, which crossed its memory limit and has not ended yet; run 2 had failed before.
    fn record_of_two() -> Record {
        let mut record = record(9);
        let InstanceRecord { instance, second, .. } = &mut record.instances[0];
        let run = |number, pid| Run { number, pid, ticks: 100, started: Moment(6) };
        let rise = Some(Rise { bytes_per_minute: 1000, span: Duration::from_secs(60) });
        let why =
            Why::Memory(Over { used: 5, limit: 4, after: Duration::from_millis(7), rise, grew_on: false });
        instance.phase = Phase::Online { run: run(4, 4712) };
        instance.runs = 4;
        instance.beside = Some(Beside::Draining { run: run(3, 4711), kill_at: Moment(8), forced: true, why });
        instance.again = true;
        let end = End { replaced: true, ..End::of_failure(2, failure("of old"), Now::default()) };
        instance.refused = Some(Refused { end, not_before: Moment(10) });
        *second = Some(Second { released: true, cgroup: Some("/c/0.3".to_owned()) });
        record.v = record.instances[0].version();
        record
    }

    fn failure(cause: &str) -> StartFailure {
        StartFailure { step: Step::Exec, object: "/bin/web".to_owned(), cause: cause.to_owned(), hint: None }
    }

    /// This one, too.
    #[test]
    fn reads_version_2() {
        assert_eq!(record_of_two().v, 2);
        let bytes = file(include_str!("../../tests/fixtures/record-v2.json"));
        assert_eq!(Record::decode(&bytes), Ok(record_of_two()));
    }

    /// Two processes, each with the longest why, the longest end and a long path to its cgroup.
    #[test]
    fn two_runs_fit() {
        let mut record = record_of_two();
        let long = "é".repeat(240);
        let failure = StartFailure { object: long.clone(), hint: Some(long.clone()), ..failure(&long) };
        let InstanceRecord { instance, cgroup, second, .. } = &mut record.instances[0];
        let end = End::of_failure(u64::MAX, failure, Now { mono: Moment(u64::MAX), unix_ms: u64::MAX });
        instance.last_end = Some(End { why: Why::ByItself, ..end.clone() });
        instance.refused = Some(Refused { end, not_before: Moment(u64::MAX) });
        let path = Some(format!("/sys/fs/cgroup/{}", "x".repeat(400)));
        *cgroup = path.clone();
        *second = Some(Second { released: true, cgroup: path });
        assert_eq!(Record::decode(&record.encode().unwrap()), Ok(record));
    }
}
