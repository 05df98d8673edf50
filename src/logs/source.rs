//! One stream as the lines of it that are wanted.

use std::collections::VecDeque;
use std::io;

use super::cursor::{Cursor, Place, Read, When};
use super::files::Stream;
use super::last;
use super::lines::Piece;
use super::sieve::{Context, Line, Pattern, Sieve};

/// Gone through without a line that is wanted before the caller may do something else, bytes.
const TURN: u64 = 4 << 20;
/// Lines that may wait before no more are read.
const MOST_WAITING: usize = 4096;
/// And their bytes: whoever does not take them costs no more memory than that.
const MOST_BYTES: usize = 1 << 20;

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Not older, nanoseconds since 1970.
    pub since: Option<u64>,
    /// Not younger, nanoseconds since 1970.
    pub until: Option<u64>,
    /// With this in them.
    pub pattern: Option<Pattern>,
    /// And their neighbours.
    pub context: Context,
}

impl Filter {
    fn wants_time(&self, when: When) -> bool {
        let (earliest, latest) = when.known.map_or((when.from, when.to), |at| (at, at));
        self.since.is_none_or(|since| latest >= since) && self.until.is_none_or(|until| earliest <= until)
    }

    /// Whether every line is wanted.
    fn wants_all(&self) -> bool {
        self.since.is_none() && self.until.is_none() && self.pattern.is_none()
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest line that is wanted.
    Oldest,
    /// With the last so many that are wanted.
    Last(u64),
}

/// What is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// A line waits.
    Ready,
    /// Not yet: there is more to go through.
    Working,
    /// No more, now.
    Dry,
}

/// A stream that is read.
#[derive(Debug)]
pub struct Source {
    cursor: Cursor,
    filter: Filter,
    sieve: Sieve,
    key: u64,
    /// The line that is being given is one that is wanted.
    wanted: bool,
    /// Behind the last line that was taken.
    taken: Place,
}

impl Source {
    /// The lines from `start` up to now. More come after [`Source::go_on`].
    ///
    /// # Errors
    /// Those of reading.
    pub fn new(stream: Stream, filter: Filter, start: Start) -> io::Result<Source> {
        let mut cursor = match start {
            Start::Last(count) if filter.wants_all() => last::lines(stream, count)?,
            Start::Last(count) => nth_last(stream, &filter, count)?,
            Start::Oldest => oldest(stream, &filter)?,
        };
        cursor.stop_here();
        Ok(Source::of(cursor, filter))
    }

    /// The same. One that cannot be read now says so when it is read, and hides none of the others.
    pub fn new_or_later(stream: Stream, filter: Filter, start: Start) -> Source {
        Source::new(stream.clone(), filter.clone(), start).unwrap_or_else(|_| {
            let from = if start == Start::Oldest { 0 } else { stream.newest() };
            Source::of(Cursor::after(stream, from), filter)
        })
    }

    /// What comes after the place of a cursor.
    pub fn of(cursor: Cursor, filter: Filter) -> Source {
        let sieve = Sieve::new(filter.context);
        let taken = cursor.place();
        Source { cursor, filter, sieve, key: 0, wanted: false, taken }
    }

    /// What is written from now on is wanted, too.
    pub fn go_on(&mut self) {
        self.cursor.go_on();
    }

    /// The place behind it all, and what could not be read.
    pub fn cursor(&mut self) -> &mut Cursor {
        &mut self.cursor
    }

    /// The next line, if [`Source::fill`] said so.
    pub fn head(&self) -> Option<&Line> {
        self.sieve.head()
    }

    /// Behind the last line that was taken.
    pub fn taken(&self) -> Place {
        self.taken
    }

    /// How many lines wait.
    pub fn waiting(&self) -> usize {
        self.sieve.waiting()
    }

    /// What has been written and not been taken, of the open file and of what was read before: bytes.
    pub fn behind(&self) -> u64 {
        self.cursor.left() + self.sieve.waiting_bytes() as u64
    }

    /// Takes it.
    pub fn pop(&mut self) {
        self.taken = self.sieve.head().map_or(self.taken, |line| line.end);
        self.sieve.pop();
    }

    /// Reads until a line waits, but not for long.
    ///
    /// # Errors
    /// Those of reading.
    pub fn fill(&mut self) -> io::Result<Fill> {
        let until = self.cursor.bytes_read() + TURN;
        while self.sieve.head().is_none() {
            if self.read()? == Read::Dry {
                return Ok(if self.sieve.head().is_some() { Fill::Ready } else { Fill::Dry });
            }
            if self.cursor.bytes_read() >= until {
                return Ok(if self.sieve.head().is_some() { Fill::Ready } else { Fill::Working });
            }
        }
        Ok(Fill::Ready)
    }

    /// Reads what there is, but not for long. False if there may be more.
    ///
    /// # Errors
    /// Those of reading.
    pub fn fill_up(&mut self, most: u64) -> io::Result<bool> {
        let until = self.cursor.bytes_read() + most;
        let full = |sieve: &Sieve| sieve.waiting() >= MOST_WAITING || sieve.waiting_bytes() >= MOST_BYTES;
        while self.cursor.bytes_read() < until && !full(&self.sieve) {
            if self.read()? == Read::Dry {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The beginning of a line whose end is not waited for: as a line of its own.
    pub fn finish(&mut self) {
        let Source { cursor, filter, sieve, key, wanted, .. } = self;
        let place = cursor.place();
        if let Some((piece, when)) = cursor.rest() {
            let end = Place { offset: place.offset + piece.bytes.len() as u64, ..place };
            take(filter, sieve, key, wanted, (Piece { ends: true, ..piece }, when, end), true);
        }
    }

    /// One block.
    fn read(&mut self) -> io::Result<Read> {
        let read = self.cursor.read()?;
        let Source { cursor, filter, sieve, key, wanted, .. } = self;
        if let Some(pattern) = filter.pattern.as_ref().filter(|_| sieve.needs_only_hits())
            && !cursor.whole().is_empty()
            && !pattern.may_match(cursor.whole())
        {
            sieve.skip();
            cursor.skip_whole();
        }
        let mut place = cursor.place();
        while let Some((piece, when)) = cursor.piece() {
            place.offset += (piece.bytes.len() + usize::from(piece.ends)) as u64;
            take(filter, sieve, key, wanted, (piece, when, place), false);
        }
        Ok(read)
    }
}

/// Judges a piece. Of a long line each part is looked at for the pattern by itself, but the time is that of its beginning.
fn take(
    filter: &Filter,
    sieve: &mut Sieve,
    key: &mut u64,
    wanted: &mut bool,
    (piece, when, end): (Piece<'_>, When, Place),
    unfinished: bool,
) {
    if piece.begins {
        *wanted = filter.wants_time(when);
        *key = when.known.unwrap_or(when.from.max(*key));
    }
    if !*wanted {
        return;
    }
    let hit = filter.pattern.as_ref().is_none_or(|pattern| pattern.matches(piece.bytes));
    let line = Line {
        at: when.known,
        key: *key,
        begins: piece.begins,
        ends: piece.ends,
        unfinished,
        hit,
        end,
        ..Line::default()
    };
    sieve.offer(line, piece.bytes);
}

fn oldest(stream: Stream, filter: &Filter) -> io::Result<Cursor> {
    match filter.since {
        Some(since) => Cursor::since(stream, since),
        None => Ok(Cursor::after(stream, 0)),
    }
}

/// Goes through all that is wanted once, and keeps nothing of it but where the last lines that match begin.
fn nth_last(stream: Stream, filter: &Filter, count: u64) -> io::Result<Cursor> {
    let keep = usize::try_from(count).unwrap_or(usize::MAX);
    let mut cursor = oldest(stream.clone(), filter)?;
    cursor.stop_here();
    let mut hits: VecDeque<Place> = VecDeque::new();
    let mut neighbours: VecDeque<Place> = VecDeque::new();
    let mut wanted = false;
    while cursor.read()? == Read::Some {
        if let Some(pattern) = filter.pattern.as_ref().filter(|_| filter.context.before == 0)
            && !cursor.whole().is_empty()
            && !pattern.may_match(cursor.whole())
        {
            cursor.skip_whole();
        }
        loop {
            let place = cursor.place();
            let Some((piece, when)) = cursor.piece() else { break };
            if piece.begins {
                wanted = filter.wants_time(when);
            }
            neighbours.push_back(place);
            if neighbours.len() > filter.context.before + 1 {
                neighbours.pop_front();
            }
            if wanted && filter.pattern.as_ref().is_none_or(|pattern| pattern.matches(piece.bytes)) {
                hits.extend(neighbours.front());
                if hits.len() > keep {
                    hits.pop_front();
                }
            }
        }
    }
    if hits.len() < keep && !cursor.troubles().is_empty() {
        return oldest(stream, filter); // all is wanted, and what cannot be read is told by the reader that comes to it
    }
    match hits.front().filter(|_| keep > 0) {
        Some(place) => Cursor::at(stream, *place),
        None => Ok(Cursor::at_end(stream)),
    }
}
