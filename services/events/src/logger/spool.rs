//! Where events wait on disk while the database is away: one JSON object a line, in their order.
//!
//! The first line names the file. The database remembers under that name how far it has taken the
//! file over, in the same transaction as the events themselves: after a crash at any point nothing is
//! missing and nothing comes twice. Once all is taken over the file is removed.
//!
//! History of the format: 1 = `{"spool":NAME,"v":1}`, then `{"key":…,"events":[…]}` a line; an event may
//! have a `delivery`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::line::{self, Line};
use crate::Entry;
use crate::file::beside;

const VERSION: u32 = 1;
const MAX_BYTES: u64 = 64 << 20;
/// No line is longer than what a request may bring, escaped once more.
const MAX_LINE: u64 = 32 << 20;
/// As much is read at a time, and one line more.
const CHUNK_BYTES: u64 = 4 << 20;
const BUFFER: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    name: String,
    length: u64,
}

/// What became of lines that were to be appended.
#[derive(Debug)]
pub(super) struct Appended {
    /// So many of them, from the first on, are on the disk; for the others there was no room.
    pub(super) count: usize,
    /// Something else stood in the place of the spool and is here now.
    pub(super) set_aside: Option<PathBuf>,
}

/// What stands between two places of the file.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) entries: Vec<Entry>,
    /// Where the next one starts.
    pub(super) end: u64,
    /// Lines that cannot be read: torn by a crash.
    pub(super) broken: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    spool: String,
    v: u32,
}

impl Spool {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Appends as many of the lines as there is room for.
    pub(super) fn append<'a>(&mut self, lines: impl IntoIterator<Item = &'a Line>) -> io::Result<Appended> {
        let set_aside = self.set_aside_what_is_no_spool()?;
        let open = self.open_or_create()?;
        let mut end = open.length;
        let mut count = 0;
        let write = || {
            let mut file = BufWriter::with_capacity(BUFFER, &open.file);
            for line in lines.into_iter().map(Line::as_bytes) {
                if end + line.len() as u64 > MAX_BYTES {
                    break;
                }
                file.write_all(line)?;
                end += line.len() as u64;
                count += 1;
            }
            file.flush()?;
            drop(file);
            open.file.sync_data()
        };
        let written = write();
        if let Err(error) = written {
            // Half a batch must not stay, for it will come again.
            open.file.set_len(open.length)?;
            return Err(error);
        }
        open.length = end;
        Ok(Appended { count, set_aside })
    }

    /// The name of the file, if there is one.
    pub(super) fn name(&mut self) -> io::Result<Option<String>> {
        if self.open.is_none() && !self.path.try_exists()? {
            return Ok(None);
        }
        self.open_or_create().map(|open| Some(open.name.clone()))
    }

    /// Up to `limit` entries from `start` on; 0 is the beginning.
    pub(super) fn read(&mut self, start: u64, limit: usize) -> io::Result<Chunk> {
        let mut reader = BufReader::new(File::open(&self.path)?);
        let mut line = Vec::new();
        let header = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
        let mut chunk = Chunk { end: start.max(header), ..Chunk::default() };
        reader.seek(SeekFrom::Start(chunk.end))?;
        let mut bytes = 0;
        while chunk.entries.len() < limit && bytes < CHUNK_BYTES {
            line.clear();
            let length = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
            if length == 0 {
                break;
            }
            chunk.end += length;
            bytes += length;
            match line::parse(&line) {
                Some(entry) => chunk.entries.push(entry),
                None => chunk.broken += 1,
            }
        }
        Ok(chunk)
    }

    /// Removes what was taken over.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.open = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// A file that does not begin as a spool does would be in the way for ever.
    fn set_aside_what_is_no_spool(&mut self) -> io::Result<Option<PathBuf>> {
        if self.open.is_some() || !self.path.try_exists()? {
            return Ok(None);
        }
        let mut first = Vec::new();
        BufReader::new(File::open(&self.path)?).take(MAX_LINE).read_until(b'\n', &mut first)?;
        if first.is_empty() || !first.ends_with(b"\n") || serde_json::from_slice::<Header>(&first).is_ok() {
            return Ok(None);
        }
        let name = |n: u32| beside(&self.path, &format!(".unreadable-{n}"));
        let target = (1..).map(name).find(|path| !path.exists());
        let target = target.expect("a folder holds fewer files than there are numbers");
        fs::rename(&self.path, &target)?;
        Ok(Some(target))
    }

    fn open_or_create(&mut self) -> io::Result<&mut Open> {
        // Should someone take the file away, the next one has another name and loses nothing more.
        if self.open.is_some() && !self.path.try_exists()? {
            self.open = None;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open_again()?,
        };
        Ok(self.open.insert(open))
    }

    fn open_again(&self) -> io::Result<Open> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        }
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(&self.path)?;
        let mut first = Vec::new();
        BufReader::new(&file).take(MAX_LINE).read_until(b'\n', &mut first)?;
        if !first.ends_with(b"\n") {
            // New, or a crash tore its first line: nothing can stand after it.
            file.set_len(0)?;
            let random = || RandomState::new().build_hasher().finish();
            let header = Header { spool: format!("{:016x}{:016x}", random(), random()), v: VERSION };
            let line = format!("{}\n", serde_json::to_string(&header)?);
            file.write_all(line.as_bytes())?;
            return Ok(Open { file, name: header.spool, length: line.len() as u64 });
        }
        let header: Header = serde_json::from_slice(&first)?;
        if header.v > VERSION {
            return Err(io::Error::other(format!("its format {} is newer than this program", header.v)));
        }
        let mut length = file.metadata()?.len();
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            // A crash tore the last line; the next one must not become part of it.
            file.write_all(b"\n")?;
            length += 1;
        }
        Ok(Open { file, name: header.spool, length })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{NewEvent, StoreText};

    fn entry(key: &str) -> Entry {
        let at = Timestamp::from_millisecond(1_767_323_045_678).expect("a moment in range");
        let event = NewEvent::text(at, Some("15550100001"), Some(key), "Grüße\n\"x\"", StoreText::Full);
        Entry { key: Some(key.to_owned()), events: vec![event] }
    }

    fn line(key: &str) -> Line {
        Line::of(&entry(key))
    }

    #[test]
    fn what_goes_in_comes_out() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let path = folder.path().join("new/events.spool");
        let mut spool = Spool::new(path.clone());
        assert_eq!(spool.name().expect("a look"), None);
        let appended = spool.append(&[line("a"), line("b"), line("c")]).expect("appended");
        assert_eq!((appended.count, appended.set_aside), (3, None));
        let first = spool.read(0, 2).expect("read");
        assert_eq!(first.entries, [entry("a"), entry("b")]);
        let second = spool.read(first.end, 2).expect("read");
        assert_eq!(second.entries, [entry("c")]);
        assert_eq!(spool.read(second.end, 2).expect("read").end, second.end);

        let name = spool.name().expect("a look");
        assert_eq!(Spool::new(path.clone()).name().expect("a look"), name);
        spool.remove().expect("removed");
        assert_eq!(spool.name().expect("a look"), None);
        spool.append(&[line("d")]).expect("appended");
        assert_ne!(spool.name().expect("a look"), name);
    }

    #[test]
    fn a_torn_line_costs_itself_only() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let path = folder.path().join("events.spool");
        Spool::new(path.clone()).append(&[line("a"), line("b")]).expect("appended");
        let length = fs::metadata(&path).expect("it exists").len();
        OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(length - 9)).expect("torn");
        let mut spool = Spool::new(path);
        spool.append(&[line("c")]).expect("appended");
        let chunk = spool.read(0, 10).expect("read");
        assert_eq!((chunk.entries, chunk.broken), (vec![entry("a"), entry("c")], 1));
    }

    #[test]
    fn it_has_an_end() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let mut spool = Spool::new(folder.path().join("events.spool"));
        spool.append(&[line("a")]).expect("appended");
        spool.open.as_mut().expect("it is open").length = MAX_BYTES - 10;
        assert_eq!(spool.append(&[line("b")]).expect("no failure").count, 0);
    }

    #[test]
    fn a_torn_first_line_is_begun_again() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let path = folder.path().join("events.spool");
        fs::write(&path, "{\"spoo").expect("torn");
        let mut spool = Spool::new(path);
        assert_eq!(spool.append(&[line("a")]).expect("appended").set_aside, None);
        assert_eq!(spool.read(0, 10).expect("read").entries, [entry("a")]);
    }

    #[test]
    fn what_is_no_spool_is_not_overwritten_and_not_in_the_way() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let path = folder.path().join("events.spool");
        fs::write(&path, "something else\n").expect("written");
        let mut spool = Spool::new(path);
        let aside = spool.append(&[line("a")]).expect("appended").set_aside.expect("it was in the way");
        assert_eq!(fs::read_to_string(aside).expect("it is kept"), "something else\n");
        assert_eq!(spool.read(0, 10).expect("read").entries, [entry("a")]);
    }
}
