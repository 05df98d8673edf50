//! Lines that cannot be written, or are too many, are dropped from the head of a run's FIFO: whole ones, counted, and the
//! log says so in their place.
//!
//! Two may have to: the pump, when the disk refuses what it writes, or when a service logs more than it may
//! ([`super::trouble`]); and the keeper's main thread, while the pump waits in the kernel for a disk that hangs
//! ([`super::relief`]). They share one [`Dropping`]. Whoever takes anything out of a FIFO has its lock, so they never do
//! that at the same time, and they go on with the same count. Nobody who has the lock waits for the disk of the log.
//!
//! What is in the stage stays and is written first. So a drop begins and ends where a line does, and no line is torn. All
//! that is known of it stands in a file of the run folder: a successor of a keeper that was killed goes on with it, and
//! says "at least".

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sources::Source;
use crate::os::peek::{Peek, SIGHT};
use crate::os::{fault, fifo, file};
use crate::wire::VERSION;
use crate::wire::dropped::{Cut, Dropped, Episode, SIZE};
use crate::wire::log_state::LogState;

/// What is dropped from one stream, for all who may.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Mutex<Dropping>>);

impl Shared {
    /// As [`Dropping::resume`].
    pub fn resume(path: PathBuf) -> Shared {
        Shared(Arc::new(Mutex::new(Dropping::resume(path))))
    }

    /// Until this is let go of nobody else takes anything out of the stream's FIFOs.
    pub fn lock(&self) -> MutexGuard<'_, Dropping> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is dropped from one stream.
#[derive(Debug)]
pub struct Dropping {
    path: PathBuf,
    file: Option<File>,
    known: Dropped,
    /// A predecessor was about to write the mark, or has done so.
    mark_is_old: bool,
    /// The ends of lines whose beginning is in a stage that could not be touched, by run.
    ends: BTreeMap<u64, Vec<u8>>,
}

/// Where lines are dropped: the FIFO of a run.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The run.
    pub run: u64,
    /// Its FIFO.
    pub fifo: BorrowedFd<'a>,
    /// The stage behind it; none while a pump has its lock that waits in the kernel.
    pub stage: Option<BorrowedFd<'a>>,
}

impl<'a> Head<'a> {
    /// Of this source, for its pump.
    pub fn of(source: &'a Source) -> Head<'a> {
        let (fifo, stage) = (source.channel.fifo.as_fd(), source.channel.stage.as_fd());
        Head { run: source.run, fifo, stage: Some(stage) }
    }
}

/// What the log shall say where lines are missing.
#[derive(Debug)]
pub struct Mark {
    /// The line, with its end.
    pub text: String,
    /// The log may end with it already.
    pub may_be_there: bool,
    /// What it tells of.
    told: Told,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    bytes: u64,
    lines: u64,
    until_ms: u64,
}

impl Dropping {
    /// Goes on with what a predecessor has written into the file at `path`. What it has done after that nobody knows.
    pub fn resume(path: PathBuf) -> Dropping {
        let mut known = std::fs::read(&path).map(|bytes| Dropped::decode(&bytes)).unwrap_or_default();
        let mark_is_old = known.now.as_ref().is_some_and(|now| now.mark.is_some());
        if let Some(now) = known.now.as_mut().filter(|_| !mark_is_old) {
            now.at_least = true;
            known.at_least = true;
        }
        let known = Dropped { v: VERSION, ..known };
        Dropping { path, file: None, known, mark_is_old, ends: BTreeMap::new() }
    }

    /// Its part of how the log is.
    pub fn state(&self) -> LogState {
        LogState {
            dropping: self.is_on(),
            dropped_lines: self.known.lines,
            dropped_bytes: self.known.bytes,
            at_least: self.known.at_least,
            ..LogState::default()
        }
    }

    /// Whether lines are missing of which the log does not say so yet.
    pub fn is_on(&self) -> bool {
        self.known.now.is_some()
    }

    /// Whether a part of a line is in the memory of this process alone.
    pub fn keeps_any_end(&self) -> bool {
        !self.ends.is_empty()
    }

    /// From now on lines are dropped, for this reason, if they are not already.
    pub fn begin(&mut self, why: &str, unix_ms: u64) {
        if let Some(now) = &mut self.known.now {
            why.clone_into(&mut now.why);
            return;
        }
        let (why, since_ms, until_ms) = (why.to_owned(), unix_ms, unix_ms);
        self.known.now = Some(Episode { why, since_ms, until_ms, ..Episode::default() });
        self.save();
        fault::point("a drop has begun");
    }

    /// What comes next from this run begins a line.
    pub fn is_at_line_start(&mut self, run: u64) {
        if self.cut(run).is_none() {
            self.known.cuts.push(Cut { run, ..Cut::default() });
        }
    }

    /// Drops whole lines until at most `rest` bytes are left. A line that was begun gets its end first. Returns how many
    /// bytes went.
    ///
    /// # Errors
    /// Those of looking and reading, and of splice(2).
    pub fn drop_lines(
        &mut self,
        from: Head<'_>,
        rest: usize,
        peek: &mut Peek,
        unix_ms: u64,
    ) -> io::Result<u64> {
        if self.cut(from.run).is_none() {
            self.begin_cut(from, peek)?;
        }
        let mut gone = 0;
        while fifo::waiting(from.fifo)? > rest {
            match self.drop_some(from.run, from.fifo, peek, unix_ms)? {
                0 => break,
                bytes => gone += bytes,
            }
        }
        Ok(gone)
    }

    /// A line of the run may stand in the stage, or the file, without its end: it gets that, or will.
    fn begin_cut(&mut self, from: Head<'_>, peek: &mut Peek) -> io::Result<()> {
        let run = from.run;
        if let Some(stage) = from.stage {
            let whole = finish_line(from.fifo, stage, peek)?;
            self.known.cuts.push(Cut { run, half: !whole, mid_line: !whole });
            self.save();
            return Ok(());
        }
        let seen = peek.look(from.fifo, SIGHT)?;
        let end = seen.iter().position(|byte| *byte == b'\n');
        self.known.cuts.push(Cut { run, half: true, mid_line: end.is_none() });
        self.save();
        if let Some(end) = end {
            let mut bytes = vec![0; end + 1];
            let taken = fifo::take(from.fifo, &mut bytes)?;
            bytes.truncate(taken);
            self.ends.insert(run, bytes);
        }
        Ok(())
    }

    /// Drops the rests of lines whose beginning was dropped. True when there are none, or none are to come: their run is
    /// over, or not there any more.
    ///
    /// # Errors
    /// As [`Dropping::drop_lines`].
    pub fn drop_rests<'a>(
        &mut self,
        sources: impl Iterator<Item = &'a Source> + Clone,
        peek: &mut Peek,
        unix_ms: u64,
    ) -> io::Result<bool> {
        let of = |run: u64| sources.clone().find(|source| source.run == run);
        let in_line = |known: &Dropped| known.cuts.iter().find(|cut| cut.mid_line).map(|cut| cut.run);
        while let Some(run) = in_line(&self.known) {
            let source = of(run);
            let gone = match source {
                Some(source) => self.drop_some(run, source.channel.fifo.as_fd(), peek, unix_ms)?,
                None => 0,
            };
            if gone == 0 {
                if source.is_some_and(|source| !source.finishing) {
                    return Ok(false);
                }
                if let Some(cut) = self.cut(run) {
                    cut.mid_line = false;
                }
                self.save();
            }
        }
        Ok(true)
    }

    /// What is missing at the end of the line that the run has begun, if that is so: to be written behind what is staged.
    /// If nobody knows any more what it was it is empty.
    pub fn end_of(&self, run: u64) -> Option<Vec<u8>> {
        let is_half = self.known.cuts.iter().any(|cut| cut.run == run && cut.half);
        is_half.then(|| self.ends.get(&run).cloned().unwrap_or_default())
    }

    /// The line that the run had begun has its end.
    pub fn has_its_end(&mut self, run: u64) {
        self.ends.remove(&run);
        if let Some(cut) = self.cut(run) {
            cut.half = false;
        }
        self.forget_cuts();
        self.save();
    }

    /// The run's output is not wanted any more, or all is written.
    pub fn forget(&mut self, run: u64) {
        self.ends.remove(&run);
        if self.cut(run).is_some() {
            self.known.cuts.retain(|cut| cut.run != run);
            self.save();
        }
    }

    /// What the log shall say, if anything is missing; it is written down before it is said. If nothing is, that was it.
    pub fn mark(&mut self) -> Option<Mark> {
        let may_be_there = self.mark_is_old;
        let now = self.known.now.as_mut()?;
        if now.bytes == 0 {
            self.known.now = None;
            self.forget_cuts();
            self.save();
            return None;
        }
        let told = Told { bytes: now.bytes, lines: now.lines, until_ms: now.until_ms };
        let text = match &now.mark {
            Some(text) => text.clone(),
            None => {
                let text = now.mark();
                now.mark = Some(text.clone());
                self.save();
                fault::point("before the mark of a drop");
                text
            }
        };
        Some(Mark { text, may_be_there, told })
    }

    /// The log says so. What was dropped while it was being written is still to be said.
    pub fn is_marked(&mut self, mark: &Mark) {
        fault::point("after the mark of a drop");
        let Mark { told, .. } = mark;
        self.mark_is_old = false;
        self.known.now = self.known.now.take().filter(|now| now.bytes > told.bytes).map(|now| Episode {
            bytes: now.bytes - told.bytes,
            lines: now.lines - told.lines,
            since_ms: told.until_ms,
            at_least: false,
            ..now
        });
        self.forget_cuts();
        self.save();
    }

    /// When nothing is dropped any more only those lines matter that lack their end.
    fn forget_cuts(&mut self) {
        if self.known.now.is_none() {
            self.known.cuts.retain(|cut| cut.half);
        }
    }

    /// Drops the whole lines that are in sight at the head of a FIFO. Returns how many bytes went.
    fn drop_some(
        &mut self,
        run: u64,
        fifo: BorrowedFd<'_>,
        peek: &mut Peek,
        unix_ms: u64,
    ) -> io::Result<u64> {
        let mut seen = peek.look(fifo, SIGHT)?;
        let more = fifo::waiting(fifo)? > seen.len() || seen.len() >= SIGHT;
        let newline = |byte: &u8| *byte == b'\n';
        let Some(cut) = self.cut(run) else { return Ok(0) };
        let end = match cut.mid_line {
            true => seen.iter().position(newline),
            false => seen.iter().rposition(newline),
        };
        let length = match end {
            Some(end) => end + 1,
            // A line that is longer than can be seen at once: its rest goes, too, when it comes.
            None if cut.mid_line || more => seen.len(),
            None => 0,
        };
        if length == 0 {
            return Ok(0);
        }
        let starts_long_line = end.is_none() && !cut.mid_line;
        cut.mid_line = end.is_none();
        if let Some(now) = &mut self.known.now {
            now.mark = None;
        }
        if starts_long_line {
            self.save();
        }
        let taken = fifo::take(fifo, &mut seen[..length])?;
        fault::point("between drop and record");
        let lines = seen[..taken].iter().filter(|byte| newline(byte)).count() as u64;
        self.known.bytes += taken as u64;
        self.known.lines += lines;
        if let Some(now) = &mut self.known.now {
            now.bytes += taken as u64;
            now.lines += lines;
            now.until_ms = unix_ms;
        }
        self.mark_is_old = false;
        self.save();
        Ok(taken as u64)
    }

    fn cut(&mut self, run: u64) -> Option<&mut Cut> {
        self.known.cuts.iter_mut().find(|cut| cut.run == run)
    }

    /// Writes it down. Where that is impossible it is dropped all the same: a service that waits is worse than a count
    /// that a SIGKILL makes too small.
    fn save(&mut self) {
        if self.file.is_none() {
            self.file = file::open_preallocated(&self.path, SIZE).ok();
        }
        let _ = self.file.as_ref().map(|file| file.write_all_at(&self.known.encode(), 0));
    }
}

/// Moves the rest of the line that may have begun on to the stage, which grows for it. False if its end is out of sight,
/// or there is no room.
fn finish_line(fifo: BorrowedFd<'_>, stage: BorrowedFd<'_>, peek: &mut Peek) -> io::Result<bool> {
    let seen = peek.look(fifo, SIGHT)?;
    let Some(end) = seen.iter().position(|byte| *byte == b'\n') else { return Ok(false) };
    let mut left = end + 1;
    while left > 0 {
        let moved = fifo::to_stage(fifo, stage, left)?;
        if moved == 0 && !fifo::enlarge(stage) {
            return Ok(false);
        }
        left -= moved;
    }
    Ok(true)
}

#[cfg(test)]
#[path = "dropping_tests.rs"]
mod tests;
