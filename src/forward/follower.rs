//! One service in one sink: its two streams, in the order of time.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use memchr::memchr_iter;

use super::ledger::{Known, Ledger, Lost};
use super::outlet::{Message, Outlet};
use super::position::{Point, PositionFile};
use crate::logs::cursor::Cursor;
use crate::logs::files::{Archive, Stream};
use crate::logs::reading::Reading;
use crate::logs::sieve::Line;
use crate::logs::source::{Filter, Source};
use crate::model::units::{group_digits, show_decimal_size};
use crate::os::clock;
use crate::own_log;
use crate::paths::{Paths, ServicePaths, SinkPaths};
use crate::wire::archive_name;
use crate::wire::log_line::StreamName;
use crate::wire::record::Record;
use crate::wire::sinks::{Followed, StreamState, Waiting};

/// After so many lines it is written down how far they have come: as many may come again after a SIGKILL, beside what a
/// stream of bytes had on its way.
pub const MARK: u32 = 64;
/// Lines of an archive are counted up to this size, bytes.
const COUNTED: u64 = 64 << 20;
/// The number of a service's process is looked up as often, nanoseconds.
const LOOKED_UP: u64 = 1_000_000_000;
/// The streams that a service can have.
pub const STREAMS: [StreamName; 3] = [StreamName::Out, StreamName::Error, StreamName::Merged];

/// Why lines have to wait.
#[derive(Debug)]
pub enum Held {
    /// The sink takes nothing more at this moment.
    Full,
    /// The connection is no good any more.
    Broken(io::Error),
}

impl From<io::Error> for Held {
    fn from(error: io::Error) -> Held {
        match error.kind() {
            io::ErrorKind::WouldBlock => Held::Full,
            _ => Held::Broken(error),
        }
    }
}

/// The service.
#[derive(Debug)]
pub struct Follower {
    followed: Followed,
    streams: [Stream; 3],
    reading: Reading,
    tracks: [Track; 3],
    /// Of each stream, why its log cannot be read.
    unreadable: [Option<Waiting>; 3],
    marks: VecDeque<Mark>,
    /// Lines since the last mark.
    unmarked: u32,
    /// Not all that has been read was taken.
    held: bool,
    process: Process,
    /// The number of its first stream among all of the sink.
    label: usize,
}

/// How far one stream has come.
#[derive(Debug)]
struct Track {
    file: PositionFile,
    /// What was sent.
    sent: Point,
    ledger: Ledger,
    /// What the sink will never get, before the file that comes after this moment.
    gaps: VecDeque<(u64, Lost)>,
    /// It is to be told now.
    lost: Lost,
}

/// How far both have come when the outlet had taken so much.
#[derive(Debug, Clone, Copy)]
struct Mark {
    taken: u64,
    points: [Point; 3],
}

impl Follower {
    /// Where it stopped, or at the moment from which on it is wanted.
    ///
    /// # Errors
    /// Its positions cannot be kept; a log cannot be read.
    pub fn new(followed: Followed, sink: &SinkPaths, paths: &Paths, label: usize) -> io::Result<Follower> {
        let stem = |stream: StreamName| archive_name::stem(followed.name.as_str(), stream);
        let stream = |name: StreamName| {
            let log = followed.dir.join(archive_name::log(&stem(name)));
            Stream::new(&log).expect("it has the name of a log")
        };
        let streams = STREAMS.map(stream);
        let mut sources = Vec::new();
        let mut tracks = Vec::new();
        for (name, stream) in STREAMS.into_iter().zip(&streams) {
            let mut file = PositionFile::open(&sink.positions.join(stem(name)))?;
            let mut ledger = Ledger::default();
            let (cursor, sent, lost) = match file.saved {
                Some(point) => {
                    let (cursor, lost) = resume(stream, point, &mut ledger)?;
                    (cursor, point, lost)
                }
                None => {
                    let since = followed.since_unix_ms.saturating_mul(1_000_000);
                    let mut cursor = Cursor::since(stream.clone(), since)?;
                    cursor.read()?; // so that it stands at the beginning of a line
                    let sent = Point { place: cursor.place(), ..Point::default() };
                    file.save(sent)?;
                    (cursor, sent, Lost::default())
                }
            };
            note(stream, &mut ledger, &cursor, false);
            sources.push(source(cursor));
            tracks.push(Track { file, sent, ledger, gaps: VecDeque::new(), lost });
        }
        let mut reading = Reading::new(sources);
        reading.go_on();
        let process = Process::new(paths.service(&followed.name));
        let tracks = tracks.try_into().expect("there is one of each stream");
        let (marks, unreadable) = (VecDeque::new(), [const { None }; 3]);
        let (unmarked, held) = (0, false);
        Ok(Follower { followed, streams, reading, tracks, unreadable, marks, unmarked, held, process, label })
    }

    /// Archives of a stream were made, so many since this began.
    pub fn rotated(&mut self, stream: usize, times: u64) {
        let track = &mut self.tracks[stream];
        track.ledger.made(times);
        note(&self.streams[stream], &mut track.ledger, self.reading.sources()[stream].cursor(), times > 0);
    }

    /// Sends what there is, but not for long; `now` is nanoseconds since 1970. Lines that may be overtaken by older ones
    /// wait for the next turn, unless `all`. True if there is more to be had at once.
    ///
    /// # Errors
    /// Why not all of it could be sent. What was not comes again.
    pub fn turn(&mut self, outlet: &mut dyn Outlet, now: u64, all: bool) -> Result<bool, Held> {
        // What was not taken the last time comes first: who has waited is there, and nothing has to be read for it.
        let more = self.held || self.reading.fill();
        if !self.held {
            self.note_gaps();
            self.note_unreadable();
        }
        self.held = true;
        let Follower { followed, reading, tracks, marks, unmarked, process, label, .. } = self;
        let label = *label;
        reading.give(if all { u64::MAX } else { now }, |number, line| {
            let track = &mut tracks[number];
            let message = Message {
                label: label + number,
                service: followed.name.as_str(),
                stream: STREAMS[number],
                pid: process.at(line.at, now),
                line,
                notice: false,
            };
            track.reaches(line);
            if !track.lost.is_nothing() {
                let notice = notice(track.lost, line);
                outlet.send(&Message { line: &notice, pid: None, notice: true, ..message })?;
                track.has_told();
            }
            let cut = outlet.send(&message)?;
            track.has_sent(line, cut);
            *unmarked += 1;
            if *unmarked >= MARK {
                *unmarked = 0;
                mark(marks, tracks, outlet.taken());
                settle(marks, tracks, outlet.confirmed()?)?;
            }
            Ok::<(), Held>(())
        })?;
        (self.held, self.unmarked) = (false, 0);
        mark(&mut self.marks, &self.tracks, outlet.taken());
        Ok(more)
    }

    /// Whether a log is to be looked at again although nothing is written: it cannot be read, or something else has its
    /// name.
    pub fn looks_again(&mut self) -> bool {
        self.unreadable.iter().any(Option::is_some) || self.reading.is_displaced()
    }

    /// Whether lines wait that may be overtaken by older ones, for a moment.
    pub fn is_waiting(&self) -> bool {
        self.reading.is_waiting()
    }

    /// Writes down what has reached the other side: so much of what the outlet has taken.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn settle(&mut self, confirmed: u64) -> io::Result<()> {
        settle(&mut self.marks, &mut self.tracks, confirmed)
    }

    /// Whether something is on its way.
    pub fn is_unsettled(&self) -> bool {
        !self.marks.is_empty()
    }

    /// The connection was lost: all that has not reached the other side is sent again.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn go_back(&mut self) -> io::Result<()> {
        self.marks.clear();
        (self.held, self.unmarked) = (false, 0);
        if self.tracks.iter().all(|track| track.file.saved == Some(track.sent)) {
            return Ok(()); // nothing was on its way
        }
        let mut sources = Vec::new();
        for (stream, track) in self.streams.iter().zip(&mut self.tracks) {
            track.sent = track.file.saved.expect("one is saved when it begins");
            track.gaps.clear();
            let (cursor, lost) = resume(stream, track.sent, &mut track.ledger)?;
            track.lost = lost;
            sources.push(source(cursor));
        }
        self.reading = Reading::new(sources);
        self.reading.go_on();
        Ok(())
    }

    /// How both streams are.
    pub fn states(&mut self) -> [StreamState; 3] {
        let mut states = StreamState::nothing_of(&self.followed);
        for (number, state) in states.iter_mut().enumerate() {
            state.counts = self.tracks[number].file.saved.unwrap_or_default().counts;
            state.waiting.clone_from(&self.unreadable[number]);
            state.behind_bytes = self.behind(number);
        }
        states
    }

    /// What of a stream is there and was not sent, bytes. What was sent and not confirmed counts as forwarded a moment
    /// later.
    fn behind(&mut self, number: usize) -> u64 {
        let (stream, ledger) = (&self.streams[number], &self.tracks[number].ledger);
        let source = &mut self.reading.sources()[number];
        let (place, archive) = (source.cursor().place(), source.cursor().archive());
        let of_open = source.behind();
        let present = fs::symlink_metadata(stream.path()).ok().filter(fs::Metadata::is_file);
        if archive.is_none() && present.as_ref().is_some_and(|about| about.ino() == place.inode) {
            return of_open; // it has come to the present file, as nearly always
        }
        let mut later = stream.archives_after(archive.unwrap_or(place.after));
        if later.first().is_some_and(|first| place.inode != 0 && first.was(place.inode) == Some(true)) {
            later.remove(0); // the open file, under the name that it has now
        }
        let of_later: u64 = later
            .iter()
            .map(|archive| ledger.bytes_of(archive.at_ms).unwrap_or_else(|| archive.length()))
            .sum();
        of_open + of_later + present.map_or(0, |about| about.len())
    }

    /// What cannot be read is said once, and told for as long as it is so.
    fn note_unreadable(&mut self) {
        for why in self.reading.troubles() {
            own_log::line("forward", &format!("{}: {why}", self.followed.name));
        }
        for (known, now) in self.unreadable.iter_mut().zip(self.reading.unreadable()) {
            if known.as_ref().map(|known| &known.why) != now.as_ref() {
                let since_unix_ms = clock::now().unix_ms;
                *known = now.as_ref().map(|why| Waiting { why: why.clone(), since_unix_ms });
            }
        }
    }

    /// What was left out on the way to the files that have just been begun.
    fn note_gaps(&mut self) {
        for (number, track) in self.tracks.iter_mut().enumerate() {
            let openings = std::mem::take(self.reading.sources()[number].cursor().openings());
            for opening in openings {
                let still_there = || self.streams[number].archives_after(opening.from.saturating_sub(1));
                let sure = opening.from == 0
                    || still_there().first().is_some_and(|first| first.at_ms == opening.from);
                let lost = track.ledger.passed(opening.from, opening.archive, sure);
                if !lost.is_nothing() {
                    track.gaps.push_back((opening.after, lost));
                }
            }
        }
    }
}

impl Track {
    /// A line is next: what was left out before it is to be told first.
    fn reaches(&mut self, line: &Line) {
        while let Some((_, lost)) = self.gaps.pop_front_if(|(after, _)| *after <= line.end.after) {
            self.lost = self.lost.with(lost);
        }
    }

    fn has_told(&mut self) {
        let (lost, counts) = (std::mem::take(&mut self.lost), &mut self.sent.counts);
        counts.lost_lines += lost.lines;
        counts.lost_bytes += lost.bytes;
        counts.lost_at_least |= lost.at_least;
    }

    fn has_sent(&mut self, line: &Line, cut: bool) {
        self.sent.place = line.end;
        let counts = &mut self.sent.counts;
        counts.forwarded_lines += u64::from(line.ends);
        counts.forwarded_bytes += line.bytes.len() as u64 + u64::from(line.ends);
        counts.cut_lines += u64::from(cut);
    }
}

fn source(mut cursor: Cursor) -> Source {
    cursor.keep_openings();
    Source::of(cursor, Filter::default())
}

/// A reader at that point, and what of the stream is gone, if its file is.
fn resume(stream: &Stream, point: Point, ledger: &mut Ledger) -> io::Result<(Cursor, Lost)> {
    let cursor = Cursor::at(stream.clone(), point.place)?;
    let mut lost = Lost::default();
    // Where there is no file at all, nobody can say that there was more than it had.
    if !cursor.has_resumed() && cursor.place().inode != 0 {
        // The rest of that file, and whatever came after it and went, too. Nobody counted the lines of that rest.
        let gone = ledger.passed(point.place.after, cursor.archive(), true);
        lost = Lost { lines: 0, bytes: gone.bytes.saturating_sub(point.place.offset), at_least: true };
    }
    Ok((cursor, lost))
}

/// Looks for archives that the sink has ahead of it, and counts their lines while they are there.
fn note(stream: &Stream, ledger: &mut Ledger, cursor: &Cursor, new: bool) {
    let place = cursor.place();
    let from = ledger.newest().max(place.after);
    for archive in stream.archives_after(from) {
        if ledger.knows(archive.at_ms) {
            continue;
        }
        let (bytes, own) = (archive.length(), archive.was(place.inode) == Some(true));
        // The one that is being read now is read to its end, whatever becomes of its name.
        let lines = if own { None } else { count_lines(stream, &archive, bytes) };
        ledger.note(archive.at_ms, Known { bytes, lines }, new);
    }
}

fn count_lines(stream: &Stream, archive: &Archive, bytes: u64) -> Option<u64> {
    if bytes > COUNTED {
        return None;
    }
    let mut file = stream.open_archive(archive).ok()?;
    let mut block = vec![0; 64 * 1024];
    let mut lines = 0;
    loop {
        match file.read(&mut block).ok()? {
            0 => return Some(lines),
            count => lines += memchr_iter(b'\n', &block[..count]).count() as u64,
        }
    }
}

fn mark(marks: &mut VecDeque<Mark>, tracks: &[Track; 3], taken: u64) {
    let points = tracks.each_ref().map(|track| track.sent);
    let before = marks.back().map(|mark| mark.points);
    let before =
        before.unwrap_or_else(|| tracks.each_ref().map(|track| track.file.saved.unwrap_or_default()));
    if points != before {
        marks.push_back(Mark { taken, points });
    }
}

fn settle(marks: &mut VecDeque<Mark>, tracks: &mut [Track; 3], confirmed: u64) -> io::Result<()> {
    let mut last = None;
    while let Some(mark) = marks.pop_front_if(|mark| mark.taken <= confirmed) {
        last = Some(mark.points);
    }
    for (track, point) in tracks.iter_mut().zip(last.into_iter().flatten()) {
        track.file.save(point)?;
        track.ledger.forget(point.place.after);
    }
    Ok(())
}

/// What the sink gets in the place of lines that are gone.
fn notice(lost: Lost, before: &Line) -> Line {
    let at_least = if lost.at_least { "at least " } else { "" };
    let what = match (lost.lines, lost.bytes) {
        (0, 0) => "some lines, nobody knows how many,".to_owned(),
        (0, bytes) => format!("{at_least}{}", show_decimal_size(bytes)),
        (lines, bytes) => {
            let noun = if lines == 1 { "line" } else { "lines" };
            format!("{at_least}{} {noun} / {}", group_digits(lines), show_decimal_size(bytes))
        }
    };
    let text = format!("[dogwatch: {what} not forwarded, deleted before this sink had them]");
    Line {
        at: before.at,
        key: before.key,
        begins: true,
        ends: true,
        bytes: text.into_bytes(),
        ..Line::default()
    }
}

/// The number of a service's process, for the lines that it has written.
#[derive(Debug)]
struct Process {
    paths: ServicePaths,
    looked_at: u64,
    /// The process, and when it was started, nanoseconds since 1970.
    known: Option<(i32, u64)>,
}

impl Process {
    fn new(paths: ServicePaths) -> Process {
        Process { paths, looked_at: 0, known: None }
    }

    /// The process that has written a line at that time; none, if it may have been another one.
    fn at(&mut self, written: Option<u64>, now: u64) -> Option<i32> {
        let written = written?;
        if now.abs_diff(self.looked_at) >= LOOKED_UP {
            (self.looked_at, self.known) = (now, self.look());
        }
        self.known.filter(|(_, started)| written >= *started).map(|(pid, _)| pid)
    }

    fn look(&self) -> Option<(i32, u64)> {
        let slots = [0, 1].map(|slot| fs::read(self.paths.record(slot)).unwrap_or_default());
        let record = Record::newest([&slots[0], &slots[1]]).ok()??;
        let mut living = record.instances.iter().flat_map(|instance| instance.instance.living());
        let run = living.next()?;
        if living.next().is_some() {
            return None; // while one takes over from another, who knows
        }
        let now = clock::now();
        let age = now.mono.since(run.started).as_nanos();
        let started = u128::from(now.unix_ms).saturating_mul(1_000_000).checked_sub(age)?;
        Some((run.pid, u64::try_from(started).ok()?))
    }
}
