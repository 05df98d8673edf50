//! The end of a log file, and what is added to it, across rotation.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::os::file;

/// Read at a time, bytes.
const BLOCK: u64 = 16 * 1024;
/// A line longer than this is shown in parts.
const LONGEST_LINE: usize = 256 * 1024;

/// The last `count` lines, each with its line feed. A line that is not finished counts.
///
/// # Errors
/// Those of reading; no file is no lines.
pub fn last_lines(path: &Path, count: usize) -> io::Result<Vec<u8>> {
    match file::open_log(path) {
        Ok(file) => {
            let length = file.metadata()?.len();
            lines_before(&file, length, count)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The last `count` lines before the byte `end`, read from the back.
fn lines_before(file: &File, end: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut text: Vec<u8> = Vec::new();
    let mut start = end;
    let mut found = 0;
    while start > 0 && count > 0 {
        let size = BLOCK.min(start);
        start -= size;
        let mut block = vec![0; size as usize];
        file.read_exact_at(&mut block, start)?;
        // The line feed at the very end finishes the last line; it does not begin another.
        let inner = if text.is_empty() && block.ends_with(b"\n") { block.len() - 1 } else { block.len() };
        let mut cut = None;
        for (position, _) in block[..inner].iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            found += 1;
            if found == count {
                cut = Some(position + 1);
                break;
            }
        }
        let mut longer = block.split_off(cut.unwrap_or(0));
        longer.append(&mut text);
        text = longer;
        if cut.is_some() {
            break;
        }
    }
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    Ok(text)
}

/// Read from one file before others, and signals, get their turn, bytes.
const TURN: usize = 256 * 1024;

/// A file that is being followed by its name.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    open: Option<Open>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: (u64, u64),
    position: u64,
}

impl Tail {
    /// Follows from the present end of the file. One that is not there yet is followed from its beginning.
    pub fn from_end(path: &Path) -> Tail {
        let mut tail = Tail { path: path.to_owned(), open: None, partial: Vec::new() };
        if let Ok(mut open) = Open::new(path) {
            open.position = open.file.metadata().map_or(0, |about| about.len());
            tail.open = Some(open);
        }
        tail
    }

    /// The last `count` lines before the point from which the file is followed.
    ///
    /// # Errors
    /// Those of reading.
    pub fn before(&self, count: usize) -> io::Result<Vec<u8>> {
        match &self.open {
            Some(open) => lines_before(&open.file, open.position, count),
            None => Ok(Vec::new()),
        }
    }

    /// Gives every line that has been finished since the last call to `take`, without its line feed.
    ///
    /// # Errors
    /// Those of `take`; a file that cannot be read is tried again next time.
    pub fn poll<E>(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        loop {
            self.drain(&mut take)?;
            let now = std::fs::metadata(&self.path).ok().map(|about| (about.dev(), about.ino()));
            let same = now.is_none() || now == self.open.as_ref().map(|open| open.id);
            if same || self.open.as_ref().is_some_and(Open::has_more) {
                return Ok(());
            }
            // Rotated: the old file got its last bytes before it lost its name.
            self.drain(&mut take)?;
            self.finish(&mut take)?;
            match Open::new(&self.path) {
                Ok(open) => self.open = Some(open),
                Err(_) => return Ok(()),
            }
        }
    }

    fn drain<E>(&mut self, take: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.file.metadata().is_ok_and(|about| about.len() < open.position) {
            // Emptied in place, by `flush` or by another tool.
            open.position = 0;
        }
        let mut block = vec![0; BLOCK as usize];
        if open.file.seek(SeekFrom::Start(open.position)).is_err() {
            return Ok(());
        }
        let mut left = TURN;
        while let Some(open) = self.open.as_mut().filter(|_| left > 0) {
            let count = match open.file.read(&mut block) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(count) => count,
            };
            open.position += count as u64;
            left = left.saturating_sub(count);
            for piece in block[..count].split_inclusive(|byte| *byte == b'\n') {
                self.partial.extend_from_slice(piece);
                if piece.ends_with(b"\n") || self.partial.len() > LONGEST_LINE {
                    self.finish(take)?;
                }
            }
        }
        Ok(())
    }

    /// Gives what there is of a line.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn finish<E>(&mut self, take: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.partial.is_empty() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.partial);
        take(line.strip_suffix(b"\n").unwrap_or(&line))
    }
}

impl Open {
    /// Whether there is something left to read.
    fn has_more(&self) -> bool {
        self.file.metadata().is_ok_and(|about| about.len() > self.position)
    }

    fn new(path: &Path) -> io::Result<Open> {
        let file = file::open_log(path)?;
        let about = file.metadata()?;
        Ok(Open { file, id: (about.dev(), about.ino()), position: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn poll(tail: &mut Tail) -> Vec<String> {
        let mut lines = Vec::new();
        let taken: Result<(), ()> = tail.poll(|line| {
            lines.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        });
        taken.unwrap();
        lines
    }

    #[test]
    fn the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(last_lines(&path, 5).unwrap(), b"");
        let last = |content: &[u8], count| {
            std::fs::write(&path, content).unwrap();
            String::from_utf8(last_lines(&path, count).unwrap()).unwrap()
        };
        assert_eq!(last(b"a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last(b"a\nb\nc", 2), "b\nc\n");
        assert_eq!(last(b"a\nb\nc\n", 9), "a\nb\nc\n");
        assert_eq!(last(b"a\n\n\n", 2), "\n\n");
        assert_eq!(last(b"a\nb\n", 0), "");
        let long: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        let expected: String = (10_000..20_000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(last(long.as_bytes(), 10_000), expected, "over many blocks");
    }

    #[test]
    fn follows_across_rotation_and_emptying() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::from_end(&path);
        assert_eq!(poll(&mut tail), [""; 0]);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(poll(&mut tail), ["one"]);
        file.write_all(b"o\nthree\n").unwrap();
        std::fs::rename(&path, dir.path().join("log.1")).unwrap();
        std::fs::write(&path, b"four\n").unwrap();
        assert_eq!(poll(&mut tail), ["two", "three", "four"]);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(0).unwrap();
        assert_eq!(poll(&mut tail), [""; 0]);
        std::fs::write(&path, b"5\n").unwrap();
        assert_eq!(poll(&mut tail), ["5"]);
    }

    #[test]
    fn what_was_there_before_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, b"old 1\nold 2\n").unwrap();
        let mut tail = Tail::from_end(&path);
        assert_eq!(tail.before(1).unwrap(), b"old 2\n");
        assert_eq!(poll(&mut tail), [""; 0]);
    }
}
