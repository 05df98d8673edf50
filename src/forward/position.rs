//! How far a stream has come in a sink, on disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::logs::cursor::Place;
use crate::wire::VERSION;
use crate::wire::sinks::{Counts, Position};

/// A place, and what had been forwarded there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Point {
    /// Behind the last line.
    pub place: Place,
    /// What the sink has got up to there, and what it never will.
    pub counts: Counts,
}

/// The file. Written in place, two slots in turn, so that neither a SIGKILL nor a full disk makes it forget.
#[derive(Debug)]
pub struct PositionFile {
    file: File,
    seq: u64,
    /// What stands in it.
    pub saved: Option<Point>,
}

impl PositionFile {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// Those of open(2) and read(2); a newer dogwatch has written it.
    pub fn open(path: &Path) -> io::Result<PositionFile> {
        let (file, bytes) = read(path).map_err(|error| {
            let path = path.display();
            io::Error::new(error.kind(), format!("cannot open {path}, how far it has come: {error}"))
        })?;
        let position = Position::decode(&bytes).map_err(|v| {
            let path = path.display();
            io::Error::other(format!(
                "{path} was written by a newer dogwatch (version {v}, this program knows {VERSION})"
            ))
        })?;
        let saved = position.as_ref().and_then(|position| {
            let place = position.place.parse().ok()?;
            Some(Point { place, counts: position.counts })
        });
        Ok(PositionFile { file, seq: position.map_or(0, |position| position.seq), saved })
    }

    /// Writes it down, if it is news.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn save(&mut self, point: Point) -> io::Result<()> {
        if self.saved == Some(point) {
            return Ok(());
        }
        let (seq, place) = (self.seq + 1, point.place.to_string());
        let position = Position { v: VERSION, seq, place, counts: point.counts };
        self.file.write_all_at(&position.encode(), position.at())?;
        (self.seq, self.saved) = (seq, Some(point));
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web-out");
        let point = |offset| Point { place: Place { after: 1, inode: 2, offset }, ..Point::default() };
        let mut file = PositionFile::open(&path).unwrap();
        assert_eq!(file.saved, None);
        for offset in 0..5 {
            file.save(point(offset)).unwrap();
            assert_eq!(PositionFile::open(&path).unwrap().saved, Some(point(offset)));
        }
        let newer = Position { v: VERSION + 1, seq: 99, ..Position::default() };
        std::fs::write(&path, newer.encode()).unwrap();
        assert!(PositionFile::open(&path).unwrap_err().to_string().contains("a newer dogwatch"));
    }
}
