//! For tests: writes a log as a keeper does, with index, rotation and compression.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::files::Stream;
use crate::wire::archive_name::{ArchiveName, FOLDER, Form};
use crate::wire::log_index::{Header, Record};

/// One stream, `web-out`.
pub struct Writer {
    pub dir: tempfile::TempDir,
    /// Milliseconds since 1970.
    pub now_ms: u64,
    pub indexed: bool,
    /// All that was ever written.
    pub written: Vec<u8>,
    log: Option<(File, File, u64)>,
}

impl Writer {
    pub fn new() -> Writer {
        let dir = tempfile::tempdir().unwrap();
        Writer { dir, now_ms: 1_000_000_000_000, indexed: true, written: Vec::new(), log: None }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("web-out.log")
    }

    pub fn stream(&self) -> Stream {
        Stream::new(&self.path()).unwrap()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let (index_path, path) = (self.dir.path().join("web-out.idx"), self.path());
        let (log, index, offset) = self.log.get_or_insert_with(|| {
            let log = File::options().create(true).append(true).open(path).unwrap();
            let mut index = File::create(index_path).unwrap();
            let about = log.metadata().unwrap();
            index.write_all(&Header::new(about.ino()).encode()).unwrap();
            (log, index, about.len())
        });
        *offset = log.metadata().unwrap().len();
        if self.indexed {
            index.write_all(&Record { offset: *offset, unix_ns: self.now_ms * 1_000_000 }.encode()).unwrap();
        }
        log.write_all(bytes).unwrap();
        self.written.extend_from_slice(bytes);
        self.now_ms += 10;
    }

    pub fn rotate(&mut self, compress: bool) {
        if self.log.take().is_none() && !self.path().exists() {
            return;
        }
        self.now_ms += 1;
        let name = ArchiveName { stem: "web-out".to_owned(), at_ms: self.now_ms, form: Form::Plain };
        self.now_ms += 1;
        let month = self.dir.path().join(FOLDER).join(name.month());
        fs::create_dir_all(&month).unwrap();
        let path = month.join(name.to_string());
        fs::rename(self.path(), &path).unwrap();
        let index = month.join(name.in_form(Form::Index).to_string());
        let _ = fs::rename(self.dir.path().join("web-out.idx"), index);
        if compress {
            let half = path.with_extension("log.gz.new");
            let mut gzip = GzEncoder::new(File::create(&half).unwrap(), Compression::fast());
            gzip.write_all(&fs::read(&path).unwrap()).unwrap();
            gzip.finish().unwrap();
            fs::rename(half, path.with_extension("log.gz")).unwrap();
            fs::remove_file(path).unwrap();
        }
    }

    /// As `flush` does.
    pub fn empty(&mut self) {
        if let Some((log, index, _)) = &self.log {
            log.set_len(0).unwrap();
            index.set_len(Header::new(0).size).unwrap();
            let _ = index.write_all_at(b"", 0);
        }
    }

    /// As an old logrotate does.
    pub fn move_away(&mut self, name: &str) {
        self.log = None;
        let _ = fs::rename(self.path(), self.dir.path().join(name));
    }
}
