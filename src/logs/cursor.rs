//! A place in one stream, which moves on over all its files: archives by age, then the present one, then whatever
//! becomes of that.
//!
//! A file is known by its inode, not by its name: renamed, it is read to its end before the next one begins. Which one is
//! the next is known by the moment of the archive before it ([`Cursor::after`]): archives get their names in the order
//! in which they were written, so nothing is left out and nothing comes twice, however many rotations lie between two
//! looks, and whoever was restarted meanwhile.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::files::{Archive, Opened, Stream};
use super::lines::{Lines, Piece};

/// Something else has the name of the file that is followed, and nobody says that a keeper writes into it: so long may
/// the keeper still write into the old one. It looks at the name once a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// A byte of a stream. As text (`after.inode.offset`) it outlives this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The moment of the archive before the file that it lies in, milliseconds since 1970; 0 if there was none.
    pub after: u64,
    /// That file, or what it was before it was compressed; 0 if nobody knows or it does not matter.
    pub inode: u64,
    /// The byte in that file.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{}.{}", self.after, self.inode, self.offset)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Place, ()> {
        let mut numbers = text.split('.').map(|number| number.parse::<u64>().map_err(drop));
        let mut next = || numbers.next().unwrap_or(Err(()));
        let place = Place { after: next()?, inode: next()?, offset: next()? };
        if numbers.next().is_some() { Err(()) } else { Ok(place) }
    }
}

/// When a piece was written, nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// To ten milliseconds, if there is an index.
    pub known: Option<u64>,
    /// Not before this.
    pub from: u64,
    /// Not after this.
    pub to: u64,
}

/// What reading on came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// There may be pieces.
    Some,
    /// There is no more, now.
    Dry,
}

/// A file that was begun after another one: every archive between the two was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The moment of the archive that was read last; 0 if there was none.
    pub from: u64,
    /// The same as far as the places in the file are concerned ([`Place::after`]): archives that went meanwhile count.
    pub after: u64,
    /// Its own moment; none: it is the present file.
    pub archive: Option<u64>,
}

/// The reader of one stream.
#[derive(Debug)]
pub struct Cursor {
    stream: Stream,
    /// The moment of the archive before the open file: everything up to it lies behind.
    after: u64,
    open: Option<Open>,
    lines: Lines,
    /// Until where to read at most.
    stop: Option<Stop>,
    /// Bytes read from the disk, or out of compressed files.
    read: u64,
    /// What could not be read, one sentence each.
    troubles: Vec<String>,
    /// It begins where it was told to.
    resumed: bool,
    /// The files that were begun, if somebody wants to know.
    openings: Option<VecDeque<Opening>>,
}

#[derive(Debug)]
struct Open {
    file: Opened,
    /// None: the present one.
    archive: Option<Archive>,
    /// Its inode, or the one that it had before it was compressed; 0 if nobody knows.
    number: u64,
    /// Where the next byte to be read stands.
    at: u64,
    /// Nothing comes after what has been read: the next file is the one after this archive.
    over: Option<u64>,
    /// It has lost its name, and was read to its end once since.
    last_look: bool,
    /// Since when something else has its name.
    displaced: Option<Instant>,
}

/// The end of a stream at one moment.
#[derive(Debug, Clone, Copy)]
struct Stop {
    newest: u64,
    inode: u64,
    length: u64,
}

/// What has become of the present file.
enum Fate {
    /// It still is.
    Same,
    /// It is this archive.
    Archived(u64),
    /// Somebody else has moved it away, and something new is written in its place.
    Replaced,
    /// Something else has its name. The keeper has not said yet that it has noticed.
    Displaced,
}

impl Cursor {
    /// Before everything that was written after the archive of that moment; 0: before everything.
    pub fn after(stream: Stream, after: u64) -> Cursor {
        Cursor {
            stream,
            after,
            open: None,
            lines: Lines::default(),
            stop: None,
            read: 0,
            troubles: Vec::new(),
            resumed: true,
            openings: None,
        }
    }

    /// At the present end.
    pub fn at_end(stream: Stream) -> Cursor {
        let newest = stream.newest();
        let mut cursor = Cursor::after(stream, newest);
        if let Ok(true) = cursor.open_next() {
            let length = cursor.open.as_ref().and_then(|open| open.file.length());
            let _ = cursor.skip_to(length.unwrap_or(0)); // it is plain: nothing is read, so nothing fails
        }
        cursor
    }

    /// Where another reader has stopped. What has been deleted meanwhile is left out.
    ///
    /// # Errors
    /// Those of reading.
    pub fn at(stream: Stream, place: Place) -> io::Result<Cursor> {
        let mut cursor = Cursor::after(stream, place.after);
        let archives = cursor.stream.archives_after(place.after);
        let its_own = |archive: &&Archive| place.inode == 0 || archive.was(place.inode) != Some(false);
        if let Some(position) = archives.iter().position(|archive| its_own(&archive)) {
            // Archives before it are of files that were there before: they were read.
            cursor.after = position.checked_sub(1).map_or(place.after, |before| archives[before].at_ms);
        }
        cursor.open_next()?;
        cursor.resumed = place.inode == 0 && place.offset == 0;
        if let Some(open) = &cursor.open {
            let another = ![0, place.inode].contains(&open.number) && place.inode != 0;
            let shorter = open.file.length().is_some_and(|length| length < place.offset);
            if !another && !shorter {
                cursor.skip_to(place.offset)?;
                cursor.resumed = true;
            }
        }
        Ok(cursor)
    }

    /// At the first line that may be of that moment or later, nanoseconds since 1970. Files that are older are not
    /// opened.
    ///
    /// # Errors
    /// Those of reading.
    pub fn since(stream: Stream, unix_ns: u64) -> io::Result<Cursor> {
        let older = |archive: &&Archive| archive.at_ms.saturating_mul(1_000_000) < unix_ns;
        let after = stream.archives_after(0).iter().take_while(older).last().map_or(0, |last| last.at_ms);
        let mut cursor = Cursor::after(stream, after);
        cursor.open_next()?;
        let from = cursor.open.as_mut().map_or(0, |open| open.file.times.first_since(unix_ns));
        if from > 0 {
            // From the byte before on: if it is a line feed, the first line begins right there.
            cursor.skip_to(from - 1)?;
            cursor.lines.align();
        }
        Ok(cursor)
    }

    /// From now on nothing is read that is written from now on.
    pub fn stop_here(&mut self) {
        let mut newest = self.stream.newest();
        loop {
            let about = std::fs::symlink_metadata(self.stream.path());
            let (inode, length) = about.map_or((0, 0), |about| (about.ino(), about.len()));
            let again = self.stream.newest();
            if again == newest {
                self.stop = Some(Stop { newest, inode, length });
                return;
            }
            newest = again; // a rotation in this very moment
        }
    }

    /// What is written from now on is wanted, too.
    pub fn go_on(&mut self) {
        self.stop = None;
    }

    /// Where the next piece begins.
    pub fn place(&self) -> Place {
        let inode = self.open.as_ref().map_or(0, |open| open.number);
        Place { after: self.after, inode, offset: self.lines.offset() }
    }

    /// Whether it began at the very place that [`Cursor::at`] was given: if not, that file is not there any more.
    pub fn has_resumed(&self) -> bool {
        self.resumed
    }

    /// From now on [`Cursor::openings`] are kept.
    pub fn keep_openings(&mut self) {
        self.openings.get_or_insert_default();
    }

    /// The files that were begun one after the other, for whoever takes them away.
    pub fn openings(&mut self) -> &mut VecDeque<Opening> {
        self.openings.get_or_insert_default()
    }

    /// The moment of the archive that is being read; none: it is the present file, or there is none yet.
    pub fn archive(&self) -> Option<u64> {
        self.open.as_ref()?.archive.as_ref().map(|archive| archive.at_ms)
    }

    /// What of the open file has not been given yet, bytes; 0 if nothing is open.
    pub fn left(&self) -> u64 {
        let Some(open) = &self.open else { return 0 };
        let length = match &open.archive {
            Some(archive) => archive.length(),
            None => open.file.length().unwrap_or(0),
        };
        length.saturating_sub(self.lines.offset())
    }

    /// Whether something else has the name of the open file, and it is to be looked at again although nothing is written.
    pub fn is_displaced(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.displaced.is_some())
    }

    /// Bytes read so far, decompressed.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// What could not be read since the last call, one sentence each.
    pub fn troubles(&mut self) -> Vec<String> {
        std::mem::take(&mut self.troubles)
    }

    /// The next piece of what has been read, and when it was written.
    pub fn piece(&mut self) -> Option<(Piece<'_>, When)> {
        let open = self.open.as_mut()?;
        let to = open.archive.as_ref().map_or(u64::MAX, |archive| archive.at_ms.saturating_mul(1_000_000));
        let over = open.over.is_some();
        // The end of a file is no end of a line: a line that is cut by a rotation goes on in the next file.
        let offset = self.lines.offset();
        let piece =
            if over && self.lines.whole().is_empty() { self.lines.rest() } else { self.lines.piece() };
        let piece = piece?;
        debug_assert_eq!(piece.offset, offset);
        let when =
            When { known: open.file.times.when(offset), from: self.after.saturating_mul(1_000_000), to };
        Some((piece, when))
    }

    /// All lines that have been read and not been given, in one piece.
    pub fn whole(&self) -> &[u8] {
        self.lines.whole()
    }

    /// Drops what [`Cursor::whole`] has shown.
    pub fn skip_whole(&mut self) {
        self.lines.skip_whole();
    }

    /// What there is of a line whose end has not come, as its end is not waited for.
    pub fn rest(&mut self) -> Option<(Piece<'_>, When)> {
        let offset = self.lines.offset();
        let open = self.open.as_mut()?;
        let from = self.after.saturating_mul(1_000_000);
        let when = When { known: open.file.times.when(offset), from, to: u64::MAX };
        self.lines.rest().map(|piece| (piece, when))
    }

    /// Reads on. To be called when there are no pieces left.
    ///
    /// # Errors
    /// The present file cannot be read. Archives that cannot are left out: see [`Cursor::troubles`].
    pub fn read(&mut self) -> io::Result<Read> {
        loop {
            if self.open.is_none() && !self.open_next()? {
                return Ok(Read::Dry);
            }
            let stop = self.stop;
            let open = self.open.as_mut().expect("it has just been opened, if it was not open");
            if let Some(next) = open.over {
                self.after = next;
                self.open = None;
                continue;
            }
            let left = stop.filter(|stop| open.file.inode == Some(stop.inode)).map_or(usize::MAX, |stop| {
                usize::try_from(stop.length.saturating_sub(open.at)).unwrap_or(usize::MAX)
            });
            if left == 0 {
                return Ok(Read::Dry);
            }
            let room = self.lines.room();
            let most = room.len().min(left);
            match (open.file.read(&mut room[..most]), &open.archive) {
                (Ok(0), _) => {
                    if self.at_end_of_file() {
                        return Ok(Read::Dry);
                    }
                }
                (Ok(count), _) => {
                    self.lines.filled(count);
                    open.at += count as u64;
                    open.last_look = false;
                    open.file.times.look_again();
                    self.read += count as u64;
                    return Ok(Read::Some);
                }
                (Err(error), None) => return Err(self.stream.unreadable(&error)),
                (Err(error), Some(archive)) => {
                    let path = archive.path.display();
                    self.troubles.push(format!("cannot read {path}: {error}; the rest of it is left out"));
                    open.over = Some(archive.at_ms);
                }
            }
            if self.open.as_ref().is_some_and(|open| open.over.is_some()) {
                return Ok(Read::Some);
            }
        }
    }

    /// The open file has no more bytes, now. False if another look pays, at it or at the next file.
    fn at_end_of_file(&mut self) -> bool {
        let Some(open) = &mut self.open else { return true };
        if let Some(archive) = &open.archive {
            open.over = Some(archive.at_ms);
            return false;
        }
        if open.file.length().is_some_and(|length| length < open.at) {
            // Emptied in place, by `flush` or by another tool: an archive of it holds nothing new.
            open.over = Some(self.stream.newest());
            return false;
        }
        let next = match fate(&self.stream, self.after, &open.file) {
            Fate::Same => {
                open.displaced = None;
                return true;
            }
            Fate::Archived(at_ms) => at_ms,
            Fate::Replaced => self.after,
            Fate::Displaced => {
                let since = *open.displaced.get_or_insert_with(Instant::now);
                if self.stop.is_none() && since.elapsed() < PATIENCE {
                    return true;
                }
                self.after
            }
        };
        // It got its last bytes before it got its new name, but perhaps after it was read.
        if open.last_look {
            open.over = Some(next);
        }
        open.last_look = true;
        false
    }

    /// Opens the file after [`Cursor::after`]. False if there is none.
    fn open_next(&mut self) -> io::Result<bool> {
        let from = self.after;
        loop {
            if self.stop.is_some_and(|stop| self.after > stop.newest) {
                return Ok(false);
            }
            if let Some(archive) = self.stream.archives_after(self.after).into_iter().next() {
                if self.stop.is_some_and(|stop| archive.at_ms > stop.newest && stop.inode == 0) {
                    return Ok(false);
                }
                match self.stream.open_archive(&archive) {
                    Ok(file) => {
                        self.note_opening(from, Some(archive.at_ms));
                        self.begin(file, Some(archive));
                        return Ok(true);
                    }
                    Err(error) => {
                        // Deleted meanwhile, as the oldest are, is nothing to speak of.
                        if error.kind() != io::ErrorKind::NotFound {
                            let path = archive.path.display();
                            self.troubles.push(format!("cannot read {path}: {error}; it is left out"));
                        }
                        self.after = archive.at_ms;
                        continue;
                    }
                }
            }
            let file = match self.stream.open() {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            };
            if !self.stream.archives_after(self.after).is_empty() {
                continue; // a rotation in this very moment: that file comes first
            }
            if self.stop.is_some_and(|stop| file.inode != Some(stop.inode)) {
                return Ok(false);
            }
            self.note_opening(from, None);
            self.begin(file, None);
            return Ok(true);
        }
    }

    fn note_opening(&mut self, from: u64, archive: Option<u64>) {
        let after = self.after;
        if let Some(openings) = &mut self.openings {
            openings.push_back(Opening { from, after, archive });
        }
    }

    fn begin(&mut self, file: Opened, archive: Option<Archive>) {
        let former = || archive.as_ref().and_then(Archive::inode);
        let number = file.inode.or_else(former).unwrap_or(0);
        self.open =
            Some(Open { file, archive, number, at: 0, over: None, last_look: false, displaced: None });
        self.lines.go_to(0);
    }

    /// Goes on at this byte of the open file, which lies ahead.
    fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            open.file.skip_to(offset)?;
            open.at = offset;
            self.lines.go_to(offset);
        }
        Ok(())
    }
}

/// What has become of the present file, which came after the archive of the moment `after`.
fn fate(stream: &Stream, after: u64, file: &Opened) -> Fate {
    let there = std::fs::symlink_metadata(stream.path()).ok();
    let same = |about: &std::fs::Metadata| Some(about.ino()) == file.inode;
    if there.as_ref().is_some_and(same) {
        return Fate::Same;
    }
    let newer = stream.archives_after(after);
    let inode = file.inode.unwrap_or(0);
    let certain = newer.iter().find(|archive| archive.was(inode) == Some(true));
    // One that is compressed and has no index: the oldest may be it, if the file itself is gone.
    let likely = || newer.first().filter(|first| first.was(inode).is_none() && file.is_deleted());
    if let Some(archive) = certain.or_else(likely) {
        return Fate::Archived(archive.at_ms);
    }
    match there {
        _ if !newer.is_empty() => Fate::Replaced,
        Some(about) if stream.is_kept(about.ino()) => Fate::Replaced,
        Some(about) if !about.is_file() || about.len() > 0 => Fate::Displaced,
        _ => Fate::Same,
    }
}

#[cfg(test)]
#[path = "cursor_tests.rs"]
mod tests;
