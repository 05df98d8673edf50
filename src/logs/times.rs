//! When the bytes of a log were written, from its index.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use crate::os::file;
use crate::wire::log_index::{HEADER, Header, RECORD, Record};

/// Records read at a time.
const BATCH: usize = 256;

/// The index of one log file, gone through from front to back as the log is.
#[derive(Debug)]
pub struct Times {
    /// Where it may be: it moves after its log has.
    paths: Vec<PathBuf>,
    /// Of the log; none if that is not the one that was written then.
    inode: Option<u64>,
    file: Option<File>,
    /// Where the next batch begins.
    next: u64,
    batch: Vec<Record>,
    at: usize,
    current: Option<Record>,
    /// There was no more when it was looked at last.
    dry: bool,
}

impl Times {
    /// The index at the first of these paths where there is one that fits a log with this inode.
    pub fn new(paths: Vec<PathBuf>, inode: Option<u64>) -> Times {
        let mut times =
            Times { paths, inode, file: None, next: 0, batch: Vec::new(), at: 0, current: None, dry: false };
        times.open();
        times
    }

    /// Opens what fits, if there is anything.
    fn open(&mut self) {
        let fitting = self.paths.iter().find_map(|path| {
            let file = file::open_log(path).ok()?;
            let header = self.header_of(&file)?;
            Some((file, header))
        });
        if let Some((file, header)) = fitting {
            (self.file, self.next) = (Some(file), header.size);
        }
    }

    /// Its header; none if it is no index, or one of another log.
    fn header_of(&self, file: &File) -> Option<Header> {
        let mut start = [0; HEADER];
        file.read_exact_at(&mut start, 0).ok()?;
        Header::decode(&start).filter(|header| self.inode.is_none_or(|inode| inode == header.inode))
    }

    /// Somebody may have deleted or damaged it: then the keeper has begun another one, or soon will.
    fn reopen_if_lost(&mut self) {
        let Some(file) = &self.file else { return };
        if self.header_of(file).is_none() {
            self.file = None; // nothing in it is a time
            self.open();
        } else if file.metadata().is_ok_and(|about| about.nlink() == 0 || about.len() < self.next) {
            self.open(); // until there is another one, what this one says is true
        }
    }

    /// More of the log has been read: there may be more here, too.
    pub fn look_again(&mut self) {
        self.dry = false;
        if self.file.is_none() {
            self.open();
        }
    }

    /// When the byte at `offset` was written, nanoseconds since 1970. Offsets must grow from call to call.
    pub fn when(&mut self, offset: u64) -> Option<u64> {
        while let Some(next) = self.peek().filter(|next| next.offset <= offset) {
            self.current = Some(next);
            self.at += 1;
        }
        self.current.filter(|current| current.offset <= offset).map(|current| current.unix_ns)
    }

    /// From which byte on there may be something of that time or later. To be asked before anything else.
    pub fn first_since(&mut self, unix_ns: u64) -> u64 {
        // What comes before the first record has no time of its own: it may be wanted.
        let mut from = 0;
        while let Some(next) = self.peek() {
            if next.unix_ns >= unix_ns {
                return if self.current.is_some() { next.offset } else { 0 };
            }
            from = next.offset;
            self.current = Some(next);
            self.at += 1;
        }
        from
    }

    fn peek(&mut self) -> Option<Record> {
        if self.at == self.batch.len() && !self.dry {
            self.load();
        }
        self.batch.get(self.at).copied()
    }

    fn load(&mut self) {
        (self.at, self.dry) = (0, true);
        self.batch.clear();
        self.reopen_if_lost();
        let Some(file) = &self.file else { return };
        let mut bytes = [0; BATCH * RECORD];
        let Ok(read) = file.read_at(&mut bytes, self.next) else { return };
        self.batch.extend(bytes[..read].as_chunks::<RECORD>().0.iter().map(Record::decode));
        self.next += (self.batch.len() * RECORD) as u64;
        self.dry = self.batch.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn index(records: &[(u64, u64)]) -> Vec<u8> {
        let mut bytes = Header::new(7).encode().to_vec();
        for (offset, unix_ns) in records {
            bytes.extend(Record { offset: *offset, unix_ns: *unix_ns }.encode());
        }
        bytes
    }

    #[test]
    fn every_byte_has_the_time_of_the_record_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("idx");
        fs::write(&path, index(&[(10, 100), (20, 200), (30, 50)])).unwrap();
        let mut times = Times::new(vec![dir.path().join("none"), path.clone()], Some(7));
        let told: Vec<_> = [0, 9, 10, 19, 20, 29, 30, 99].map(|offset| times.when(offset)).to_vec();
        let expected = [None, None, Some(100), Some(100), Some(200), Some(200), Some(50), Some(50)].to_vec();
        assert_eq!(told, expected);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(&index(&[(200, 300)])[HEADER..]).unwrap();
        file.write_all(b"torn").unwrap();
        assert_eq!(times.when(200), Some(50), "not looked at again");
        times.look_again();
        assert_eq!((times.when(200), times.when(201)), (Some(300), Some(300)));
        assert_eq!(Times::new(vec![path.clone()], Some(8)).when(99), None, "of another log");
        assert_eq!(Times::new(vec![path], None).when(99), Some(50));
    }

    #[test]
    fn many_records_pass_through_little_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("idx");
        let all: Vec<(u64, u64)> = (0..10_000).map(|n| (n * 10, n)).collect();
        fs::write(&path, index(&all)).unwrap();
        let mut times = Times::new(vec![path.clone()], Some(7));
        assert!((0..100_000).step_by(7).all(|offset| times.when(offset) == Some(offset / 10)));
        assert!(times.batch.capacity() <= 2 * BATCH);
        assert_eq!(Times::new(vec![path], Some(7)).first_since(5000), 50_000);
    }

    #[test]
    fn where_a_time_begins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("idx");
        let first = |records: &[(u64, u64)], since| {
            fs::write(&path, index(records)).unwrap();
            Times::new(vec![path.clone()], Some(7)).first_since(since)
        };
        assert_eq!(first(&[], 5), 0);
        assert_eq!(first(&[(0, 10), (10, 20)], 15), 10);
        assert_eq!(first(&[(0, 10), (10, 20)], 5), 0);
        assert_eq!(first(&[(0, 10), (10, 20)], 99), 10);
        assert_eq!(first(&[(0, 30), (10, 10), (20, 40)], 25), 0, "a clock that was set back");
        assert_eq!(Times::new(vec![], None).first_since(5), 0);
    }

    #[test]
    fn one_that_is_lost_while_it_is_read_is_followed_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("idx");
        let next_time = |times: &mut Times, offset| {
            times.look_again();
            times.when(offset)
        };
        fs::write(&path, index(&[(0, 100), (10, 200)])).unwrap();
        let mut times = Times::new(vec![path.clone()], Some(7));
        assert_eq!(times.when(10), Some(200));
        fs::remove_file(&path).unwrap();
        assert_eq!(next_time(&mut times, 15), Some(200), "it held until its keeper noticed");
        fs::write(&path, index(&[(20, 300)])).unwrap();
        assert_eq!(next_time(&mut times, 20), Some(300), "deleted");
        fs::write(&path, "no index at all\n".repeat(99)).unwrap();
        assert_eq!(next_time(&mut times, 25), Some(300), "nothing in it is taken for a time");
        fs::write(&path, index(&[(30, 400)])).unwrap();
        assert_eq!(next_time(&mut times, 30), Some(400), "overwritten");
    }

    #[test]
    fn an_index_that_comes_later_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("idx");
        let mut times = Times::new(vec![path.clone()], Some(7));
        assert_eq!(times.when(0), None);
        fs::write(&path, index(&[(0, 100)])).unwrap();
        times.look_again();
        assert_eq!(times.when(0), Some(100));
    }
}
