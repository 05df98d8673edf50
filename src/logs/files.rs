//! The files of one stream: its log, and its archives by age.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::times::Times;
use crate::model::failure;
use crate::os::file;
use crate::wire::archive_name::{self, ArchiveName, FOLDER, Form};
use crate::wire::log_index::{HEADER, Header};

/// Read of a compressed archive at a time, bytes.
const BLOCK: usize = 64 * 1024;

/// The log of one stream, known by the path of its present file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    folder: PathBuf,
    stem: String,
}

/// One archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// When it was made, milliseconds since 1970: all in it is older, and no other of the stream has the same.
    pub at_ms: u64,
    /// Its file.
    pub path: PathBuf,
    name: ArchiveName,
}

/// A file that is being read.
#[derive(Debug)]
pub struct Opened {
    input: Input,
    /// Its number; none if it is not the file that was written then.
    pub inode: Option<u64>,
    /// When its bytes were written.
    pub times: Times,
}

#[derive(Debug)]
enum Input {
    Plain { file: File, at: u64 },
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Stream {
    /// The stream whose present file is `log`; none if that has no name of a log.
    pub fn new(log: &Path) -> Option<Stream> {
        let stem = log.file_name()?.to_str()?.strip_suffix(Form::Plain.suffix())?.to_owned();
        Some(Stream { folder: log.parent()?.to_owned(), stem })
    }

    /// Its present file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(archive_name::log(&self.stem))
    }

    fn index(&self) -> PathBuf {
        self.folder.join(archive_name::index(&self.stem))
    }

    /// Its archives that were made after that moment, oldest first. Of one that is just being compressed, the file that
    /// is complete for certain.
    pub fn archives_after(&self, at_ms: u64) -> Vec<Archive> {
        let months = fs::read_dir(self.folder.join(FOLDER)).into_iter().flatten().flatten();
        let files = months.flat_map(|month| fs::read_dir(month.path()).into_iter().flatten().flatten());
        let named =
            files.filter_map(|file| Some((ArchiveName::parse(file.file_name().to_str()?)?, file.path())));
        let mut found: Vec<Archive> = named
            .filter(|(name, _)| name.stem == self.stem && name.form != Form::Index && name.at_ms > at_ms)
            .map(|(name, path)| Archive { at_ms: name.at_ms, path, name })
            .collect();
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by_key(|archive| archive.at_ms);
        found
    }

    /// When its newest archive was made; 0 if it has none.
    pub fn newest(&self) -> u64 {
        self.archives_after(0).last().map_or(0, |archive| archive.at_ms)
    }

    /// Opens its present file.
    ///
    /// # Errors
    /// Those of open(2), as a sentence: see [`Stream::unreadable`].
    pub fn open(&self) -> io::Result<Opened> {
        let opened = file::open_log(&self.path()).and_then(|file| Ok((file.metadata()?.ino(), file)));
        let (inode, file) = opened.map_err(|error| self.unreadable(&error))?;
        let times = Times::new(vec![self.index()], Some(inode));
        Ok(Opened { input: Input::Plain { file, at: 0 }, inode: Some(inode), times })
    }

    /// Whether a keeper has begun to write into the file with this number, under the name of the present file: its index
    /// says so from the first byte on.
    pub fn is_kept(&self, inode: u64) -> bool {
        header(&self.index()).is_some_and(|header| header.inode == inode)
    }

    /// Why its present file cannot be read, as a sentence: which file, and what to do.
    pub fn unreadable(&self, error: &io::Error) -> io::Error {
        let advice = match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::PermissionDenied, _) => "let this user read it",
            (io::ErrorKind::InvalidInput, _) | (_, Some(libc::ELOOP)) => "move away what stands in its place",
            _ => "see what the kernel says of the disk: dmesg",
        };
        let is_link = error.raw_os_error() == Some(libc::ELOOP) && self.path().is_symlink();
        let cause = match is_link {
            true => "it is a symbolic link, and none is followed here".to_owned(),
            false => failure::cause(error),
        };
        io::Error::new(error.kind(), format!("cannot read {}: {cause}; {advice}", self.path().display()))
    }

    /// Opens an archive, compressed meanwhile or not.
    ///
    /// # Errors
    /// Those of open(2); `NotFound`: it has been deleted.
    pub fn open_archive(&self, archive: &Archive) -> io::Result<Opened> {
        let sibling = |form| archive.path.with_file_name(archive.name.in_form(form).to_string());
        let index = sibling(Form::Index);
        match file::open_log(&sibling(Form::Plain)) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                // The index follows a moment after its log.
                let times = Times::new(vec![index, self.index()], Some(inode));
                Ok(Opened { input: Input::Plain { file, at: 0 }, inode: Some(inode), times })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = file::open_log(&sibling(Form::Gzip))?;
                let input = MultiGzDecoder::new(BufReader::with_capacity(BLOCK, file));
                let times = Times::new(vec![index], None);
                Ok(Opened { input: Input::Gzip(Box::new(input)), inode: None, times })
            }
            Err(error) => Err(error),
        }
    }
}

impl Archive {
    /// Whether it is the file that had this number when it was the present one; none if nobody knows any more.
    pub fn was(&self, inode: u64) -> Option<bool> {
        if self.name.form == Form::Plain
            && let Ok(about) = fs::symlink_metadata(&self.path)
        {
            return Some(about.ino() == inode);
        }
        self.header().map(|header| header.inode == inode)
    }

    /// How many bytes were written to it; 0 if that cannot be told. Of a compressed one, modulo 4 GiB (RFC 1952).
    pub fn length(&self) -> u64 {
        let sibling = |form| self.path.with_file_name(self.name.in_form(form).to_string());
        if let Ok(about) = fs::symlink_metadata(sibling(Form::Plain)) {
            return about.len();
        }
        let tail = file::open_log(&sibling(Form::Gzip)).and_then(|file| {
            let mut tail = [0; 4];
            let at = file.metadata()?.len().saturating_sub(4);
            file.read_exact_at(&mut tail, at)?;
            Ok(u64::from(u32::from_le_bytes(tail)))
        });
        tail.unwrap_or(0)
    }

    /// The number that its file had when it was the present one; none if nobody knows.
    pub fn inode(&self) -> Option<u64> {
        self.header().map(|header| header.inode)
    }

    /// Whether it was put aside because somebody wanted the log empty.
    pub fn was_flushed(&self) -> bool {
        self.header().is_some_and(|header| header.flushed)
    }

    fn header(&self) -> Option<Header> {
        header(&self.path.with_file_name(self.name.in_form(Form::Index).to_string()))
    }
}

/// What an index says of its log.
fn header(index: &Path) -> Option<Header> {
    let mut start = [0; HEADER];
    file::open_log(index).ok()?.read_exact_at(&mut start, 0).ok()?;
    Header::decode(&start)
}

impl Opened {
    /// Reads what comes next; 0 at the present end.
    ///
    /// # Errors
    /// Those of read(2); a compressed file that is damaged.
    pub fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match &mut self.input {
            Input::Gzip(input) => input.read(room),
            Input::Plain { file, at } => {
                let count = file.read_at(room, *at)?;
                *at += count as u64;
                Ok(count)
            }
        }
    }

    /// Goes on at this byte, which lies ahead.
    ///
    /// # Errors
    /// As [`Opened::read`].
    pub fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        match &mut self.input {
            Input::Gzip(input) => io::copy(&mut input.take(offset), &mut io::sink()).map(drop),
            Input::Plain { at, .. } => {
                *at = offset;
                Ok(())
            }
        }
    }

    /// The file, if it is plain.
    pub fn plain(&self) -> Option<&File> {
        match &self.input {
            Input::Plain { file, .. } => Some(file),
            Input::Gzip(_) => None,
        }
    }

    /// Its length in bytes, if it is plain and can be told.
    pub fn length(&self) -> Option<u64> {
        Some(self.plain()?.metadata().ok()?.len())
    }

    /// Whether it has no name any more.
    pub fn is_deleted(&self) -> bool {
        self.plain().and_then(|file| file.metadata().ok()).is_some_and(|about| about.nlink() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let stream = Stream::new(&dir.path().join("web-out.log")).unwrap();
        std::os::unix::fs::symlink("/nowhere", stream.path()).unwrap();
        let why = stream.open().unwrap_err().to_string();
        let words = "web-out.log: it is a symbolic link, and none is followed here; move away what stands in its place";
        assert!(why.starts_with("cannot read /") && why.ends_with(words), "{why}");
        fs::remove_file(stream.path()).unwrap();
        fs::create_dir(stream.path()).unwrap();
        let why = stream.open().unwrap_err().to_string();
        assert!(why.contains(": it is not a regular file with one name; move away"), "{why}");
    }
}
