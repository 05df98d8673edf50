//! A stream whose log is dressed ([`super::dressing`]): what is different from one whose bytes are moved as they are.
//!
//! An object holds a whole line, so the beginning of a line waits in the stage for its end. It waits no longer when its run
//! is over, when the stage is full of it, or when lines behind it have been dropped.

use std::io;
use std::os::fd::AsFd;

use super::dress::Rest;
use super::dressing::{self, Batch, Dressing};
use super::dropping::Mark;
use super::stream::Stream;
use crate::model::moment::Now;
use crate::os::fifo;
use crate::os::peek::SIGHT;

/// What has become of the bytes that are left in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staged {
    /// There are none.
    Nothing,
    /// They are the beginning of a line, and wait.
    Waits,
    /// So many have been written, or there is room for more: there is something to do.
    Went(usize),
    /// They cannot be written.
    Stuck,
}

impl Stream {
    /// Whether the beginning of a line waits in the stage.
    pub(super) fn holds_rest(&self) -> bool {
        self.dressing.as_ref().is_some_and(Dressing::holds_rest)
    }

    /// Writes lines from the stage. Returns how many bytes of it they were.
    pub(super) fn write_dressed(&mut self, room: u64, rest: Rest, now: Now) -> io::Result<usize> {
        let (Some(dressing), Some(source)) = (&mut self.dressing, self.sources.current()) else {
            return Ok(0);
        };
        dressing.take(&mut self.file, source, Batch { room, rest }, &mut self.peek, now)
    }

    /// Finds out what the bytes wait for that are left in the stage of the run whose turn it is, after nothing more could be
    /// moved into it.
    pub(super) fn look_at_rest(&mut self, now: Now) -> io::Result<Staged> {
        let staged = self.staged()?;
        if staged == 0 {
            return Ok(Staged::Nothing);
        }
        if !self.holds_rest() {
            return Ok(Staged::Stuck);
        }
        if self.fill_stage(now)? > 0 {
            return Ok(Staged::Went(0)); // it has just come
        }
        let Some(source) = self.sources.current() else { return Ok(Staged::Nothing) };
        let is_full = staged >= SIGHT || fifo::waiting(source.channel.fifo.as_fd())? > 0;
        let rest = match (is_full, source.finishing) {
            // Full of small pieces, perhaps: a line of usual length has room in a larger one.
            (true, _) if staged < SIGHT && fifo::enlarge(source.channel.stage.as_fd()) => {
                return Ok(Staged::Went(0));
            }
            (true, _) => Rest::GoesOn,
            (false, true) => Rest::Ends,
            (false, false) => return Ok(Staged::Waits),
        };
        match self.write_dressed(u64::MAX, rest, now)? {
            0 => Ok(Staged::Stuck),
            bytes => Ok(Staged::Went(bytes)),
        }
    }

    /// The end of the line that has begun will not come.
    pub(super) fn end_rest(&mut self, now: Now) -> io::Result<()> {
        while self.holds_rest() && self.staged()? > 0 && self.write_dressed(u64::MAX, Rest::Ends, now)? > 0 {}
        Ok(())
    }

    /// Ends a line in the log that is not ended.
    pub(super) fn end_line(&mut self, now: Now) -> io::Result<()> {
        match &mut self.dressing {
            Some(dressing) => dressing.end_line(&mut self.file, now),
            None => self.file.end_line(now),
        }
    }

    /// Ends the line of the run whose turn it is, whose end could not be staged: with this, and a line end if there is none.
    /// Dressed, both go into the log together, so that an object holds all of the line.
    pub(super) fn put_end(&mut self, end: &[u8], now: Now) -> io::Result<()> {
        match (&mut self.dressing, self.sources.current()) {
            (Some(dressing), Some(source)) => {
                dressing.take_with_end(&mut self.file, source, end, &mut self.peek, now)?;
            }
            _ if end.is_empty() => {}
            _ => self.file.put(end, now)?,
        }
        self.end_line(now)
    }

    /// Says that lines are missing here, unless that stands there already.
    pub(super) fn put_mark(&mut self, mark: &Mark, now: Now) -> io::Result<()> {
        let (line, same_from) = match &mut self.dressing {
            Some(dressing) => dressing.own_line(&mark.text, now.unix_ms),
            None => (mark.text.as_bytes(), 0),
        };
        if mark.may_be_there && self.file.ends_with(&line[same_from..], now)? {
            return Ok(());
        }
        self.file.put(line, now)
    }

    /// Finishes what a predecessor was killed in. If that cannot be done now, the lines are written as all that is staged.
    pub(super) fn settle(&mut self, now: Now) {
        let Stream { note, dressing, file, sources, peek, .. } = self;
        let _ = dressing::settle(note.clone(), dressing, file, sources, peek, now);
    }
}
