//! The index of a log file: when its bytes were written ([`crate::wire::log_index`]).
//!
//! A record is written right before the bytes that it is about, and goes straight to the file: a keeper that is killed
//! loses nothing of it. Whatever goes wrong costs precision of time and never a line: an index that cannot be written is
//! missing, one that does not fit its log is begun anew. So is one that somebody has deleted or damaged under its keeper,
//! when that looks at the name of the log the next time.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::os::file::FileId;
use crate::os::folder::{Folder, Missing};
use crate::wire::archive_name;
use crate::wire::log_index::{HEADER, Header, PRECISION_MS, RECORD, Record};

/// The index that belongs to one open log file.
#[derive(Debug)]
pub struct TimeIndex {
    /// None: it cannot be written; the next look tries again.
    file: Option<Open>,
    /// Where the next record goes.
    at: u64,
    last: Option<Record>,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: FileId,
    /// Of the log.
    inode: u64,
}

impl TimeIndex {
    /// The index of the log of that stem, which has this inode and length.
    pub fn open(folder: &Folder, stem: &str, (_, inode): FileId, length: u64) -> TimeIndex {
        let nothing = TimeIndex { file: None, at: 0, last: None };
        let Ok((file, id)) = folder.open_file(&archive_name::index(stem), Missing::Make) else {
            return nothing;
        };
        match go_on(&file, inode, length).or_else(|| begin(&file, inode)) {
            Some((at, last)) => TimeIndex { file: Some(Open { file, id, inode }), at, last },
            None => nothing,
        }
    }

    /// Whether it is still there as it was written: under its name, with its header, no shorter. What somebody has changed
    /// behind the header costs the times of those lines and no later ones.
    pub fn holds(&self, folder: &Folder, stem: &str) -> bool {
        let Some(open) = &self.file else { return false };
        let mut start = [0; HEADER];
        folder.id_of(&archive_name::index(stem)) == Some(open.id)
            && open.file.metadata().is_ok_and(|about| about.len() >= self.at)
            && open.file.read_exact_at(&mut start, 0).is_ok()
            && Header::decode(&start).is_some_and(|header| header.inode == open.inode)
    }

    /// Bytes are about to be written at `offset` of the log.
    pub fn note(&mut self, offset: u64, unix_ms: u64) {
        let Some(Open { file, .. }) = &self.file else { return };
        let mut at = self.at;
        if let Some(last) = self.last {
            let last_ms = last.unix_ns / 1_000_000;
            if offset < last.offset {
                // The log was emptied: nothing of the index holds.
                at = HEADER as u64;
                if file.set_len(at).is_err() {
                    return;
                }
            } else if (last_ms..last_ms + PRECISION_MS).contains(&unix_ms) {
                return;
            } else if offset == last.offset {
                at -= RECORD as u64; // what it announced has not come
            }
        }
        let record = Record { offset, unix_ns: unix_ms.saturating_mul(1_000_000) };
        if file.write_all_at(&record.encode(), at).is_ok() {
            (self.at, self.last) = (at + RECORD as u64, Some(record));
        }
    }
}

/// Where an index of this log goes on, and its last record; none if it is that of another log.
fn go_on(file: &File, inode: u64, length: u64) -> Option<(u64, Option<Record>)> {
    let mut start = [0; HEADER];
    file.read_exact_at(&mut start, 0).ok()?;
    let header = Header::decode(&start).filter(|header| header.inode == inode)?;
    if header.flushed {
        // Somebody was killed before he put it aside.
        file.write_all_at(&Header { flushed: false, ..header }.encode(), 0).ok()?;
    }
    let at = header.end(file.metadata().ok()?.len());
    if at == header.size {
        return Some((at, None));
    }
    let mut bytes = [0; RECORD];
    file.read_exact_at(&mut bytes, at - RECORD as u64).ok()?;
    let last = Record::decode(&bytes);
    // A log that has become shorter since: who knows what of the rest is still true.
    (last.offset <= length).then_some((at, Some(last)))
}

fn begin(file: &File, inode: u64) -> Option<(u64, Option<Record>)> {
    file.set_len(0).ok()?;
    file.write_all_at(&Header::new(inode).encode(), 0).ok()?;
    Some((HEADER as u64, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;

    fn records(dir: &Path) -> Vec<(u64, u64)> {
        let bytes = fs::read(dir.join("web-out.idx")).unwrap();
        let (records, torn) = bytes[HEADER..].as_chunks::<RECORD>();
        assert!(torn.is_empty());
        let pair = |record: Record| (record.offset, record.unix_ns / 1_000_000);
        records.iter().map(|bytes| pair(Record::decode(bytes))).collect()
    }

    fn open(dir: &Path, inode: u64, length: u64) -> TimeIndex {
        TimeIndex::open(&Folder::open(dir, Missing::Fail).unwrap(), "web-out", (1, inode), length)
    }

    #[test]
    fn one_record_in_ten_milliseconds() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = open(dir.path(), 7, 0);
        for (offset, unix_ms) in [(0, 100), (5, 105), (9, 109), (12, 110), (15, 300), (20, 250)] {
            index.note(offset, unix_ms);
        }
        let all = [(0, 100), (12, 110), (15, 300), (20, 250)];
        assert_eq!(records(dir.path()), all, "the last time is that of a clock that was set back");
        let mut index = open(dir.path(), 7, 25);
        index.note(25, 255);
        assert_eq!(records(dir.path()), all, "also with the next keeper");
        index.note(25, 260);
        assert_eq!(records(dir.path())[4..], [(25, 260)]);
    }

    #[test]
    fn what_was_announced_and_has_not_come_is_announced_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = open(dir.path(), 7, 0);
        index.note(0, 100);
        index.note(0, 200);
        let mut index_of_successor = open(dir.path(), 7, 0);
        index_of_successor.note(0, 300);
        assert_eq!(records(dir.path()), [(0, 300)]);
    }

    #[test]
    fn an_index_that_does_not_fit_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web-out.idx");
        let mut index = open(dir.path(), 7, 0);
        index.note(0, 100);
        index.note(50, 200);
        drop(open(dir.path(), 7, 50));
        assert_eq!(records(dir.path()).len(), 2);
        index.note(20, 300);
        assert_eq!(records(dir.path()), [(20, 300)], "the log was truncated under it");
        drop(open(dir.path(), 7, 19));
        assert_eq!(records(dir.path()), [], "the log was truncated meanwhile");
        index.note(0, 1);
        for other in [b"".to_vec(), b"a line of a log\n".repeat(9), Header::new(8).encode().to_vec()] {
            fs::write(&path, other).unwrap();
            let mut index = open(dir.path(), 7, 99);
            index.note(99, 400);
            assert_eq!(records(dir.path()), [(99, 400)]);
        }
        let mut torn = fs::read(&path).unwrap();
        torn.extend([1; 7]);
        fs::write(&path, torn).unwrap();
        open(dir.path(), 7, 200).note(200, 500);
        assert_eq!(records(dir.path()), [(99, 400), (200, 500)]);
    }

    #[test]
    fn without_an_index_nothing_happens() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("web-out.idx")).unwrap();
        let mut index = open(dir.path(), 7, 0);
        index.note(0, 100);
        assert!(!holds(&index, dir.path()), "it is to be tried again");
    }

    fn holds(index: &TimeIndex, dir: &Path) -> bool {
        index.holds(&Folder::open(dir, Missing::Fail).unwrap(), "web-out")
    }

    #[test]
    fn one_that_somebody_has_deleted_or_damaged_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web-out.idx");
        let begun = || {
            let _ = fs::remove_file(&path);
            let mut index = open(dir.path(), 7, 0);
            index.note(0, 100);
            index.note(10, 200);
            assert!(holds(&index, dir.path()));
            index
        };
        let index = begun();
        fs::remove_file(&path).unwrap();
        assert!(!holds(&index, dir.path()), "deleted");
        let index = begun();
        fs::rename(&path, dir.path().join("kept")).unwrap();
        fs::copy(dir.path().join("kept"), &path).unwrap();
        assert!(!holds(&index, dir.path()), "replaced");
        let other = Header::new(8).encode().repeat(9);
        for damage in [b"".to_vec(), b"no index at all\n".repeat(9), Header::new(7).encode().to_vec(), other]
        {
            let index = begun();
            fs::write(&path, &damage).unwrap();
            assert!(!holds(&index, dir.path()), "{damage:?}");
        }
        let index = begun();
        let mut bytes = Header { flushed: true, ..Header::new(7) }.encode().to_vec();
        bytes.extend([1; 2 * RECORD]);
        fs::write(&path, bytes).unwrap();
        assert!(holds(&index, dir.path()), "only what is behind the header was lost");
    }

    proptest! {
        /// Whatever is written and whenever keepers change: offsets grow, and no byte is dated later than it was written.
        #[test]
        fn offsets_grow_and_no_byte_is_younger_than_it_looks(
            writes in prop::collection::vec((1_u64..100, 0_u64..40, any::<bool>()), 1..60)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (mut offset, mut now) = (0, 1000);
            let mut written = Vec::new();
            let mut index = open(dir.path(), 7, 0);
            for (bytes, pause, successor) in writes {
                now += pause;
                if successor {
                    index = open(dir.path(), 7, offset);
                }
                index.note(offset, now);
                written.push((offset, now));
                offset += bytes;
            }
            let records = records(dir.path());
            prop_assert!(records.is_sorted_by(|a, b| a.0 < b.0 && a.1 + PRECISION_MS <= b.1));
            for (offset, at) in written {
                let (_, told) = records.iter().rev().find(|record| record.0 <= offset).unwrap();
                prop_assert!(*told <= at && at - told < PRECISION_MS);
            }
        }
    }
}
