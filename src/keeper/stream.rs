//! One stream of a service, from its FIFOs into its log file.
//!
//! ```text
//! service --write--> fifo --splice--> stage --splice--> NAME-out.log
//! ```
//! The bytes never pass through the memory of this process, so a SIGKILL cannot lose any: each is in the
//! FIFO, in the stage or in the file. Two stages, because a splice into a file holds the pipe's lock while the
//! disk is slow, and the service's own write would wait for it.
//!
//! Each run has FIFOs of its own. Runs that have ended are emptied one after the other. Two that live, while one takes
//! over from the other, take turns, which change where a line has ended ([`super::sources`]). So lines of two runs never
//! mix, and a run that ends in mid-line, or stays in mid-line while another one waits, gets its end of line.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use super::log_file::LogFile;
pub use super::sources::Channel;
use super::sources::Sources;
use crate::model::moment::{Moment, Now};
use crate::model::spec::LogPolicy;
use crate::os::peek::Peek;
use crate::os::{fault, fifo};

/// A pause after the disk refused.
const TROUBLE_PAUSE: Duration = Duration::from_millis(100);
/// Until a rotation that failed is tried again.
const ROTATE_AGAIN: Duration = Duration::from_secs(10);
/// A line without an end is cut by a rotation after this many bytes beyond the limit.
const LONGEST_WAIT: u64 = 1 << 20;
/// Moved in one go from FIFO to stage: the stage's size.
const STAGE: usize = 1 << 16;
/// Gone through in one turn, so that the other stream gets its own.
const TURN: usize = 4 << 20;
/// Of one run, while another one waits for its turn.
const SHARE: u64 = 256 << 10;
/// A run that stays in mid-line this long, while another one waits, gets its end of line.
const HALF_LINE: Duration = Duration::from_secs(1);

/// One stream.
#[derive(Debug)]
pub struct Stream {
    file: LogFile,
    sources: Sources,
    /// Bytes since the turn last changed.
    share: u64,
    /// Since when another run waits for the end of a line of the one whose turn it is, which says nothing.
    half_line: Option<Moment>,
    peek: Peek,
    pause_until: Option<Moment>,
    rotate_again: Option<Moment>,
}

/// What a turn came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Runs whose last byte is in the file.
    pub finished: Vec<u64>,
    /// Archives to compress.
    pub rotated: Vec<PathBuf>,
    /// What went wrong, with the path; the bytes wait.
    pub trouble: Option<String>,
    /// There is more to do at once.
    pub more: bool,
}

impl Stream {
    /// A stream without a source; `kind` is `out` or `error`, and at `turns` stands whose turn it is.
    ///
    /// # Errors
    /// EMFILE.
    pub fn new(service: &str, kind: &str, turns: PathBuf, policy: LogPolicy) -> io::Result<Stream> {
        Ok(Stream {
            file: LogFile::new(format!("{service}-{kind}"), policy),
            sources: Sources::new(turns),
            share: 0,
            half_line: None,
            peek: Peek::new()?,
            pause_until: None,
            rotate_again: None,
        })
    }

    /// The log file.
    pub fn path(&self) -> PathBuf {
        self.file.path()
    }

    /// Replaces the policy; another folder holds from the next byte.
    pub fn set_policy(&mut self, policy: LogPolicy) {
        self.file.set_policy(policy);
    }

    /// Adds the FIFOs of a run.
    pub fn attach(&mut self, run: u64, channel: Channel) {
        self.sources.attach(run, channel);
    }

    /// The run is over; what it has written is still to come.
    pub fn finish(&mut self, run: u64) {
        self.sources.finish(run);
    }

    /// The run's bytes are not wanted any more.
    pub fn forget(&mut self, run: u64) {
        self.sources.forget(run);
        self.half_line = None;
    }

    /// Archives that wait to be compressed, if they shall be.
    pub fn uncompressed(&self) -> Vec<PathBuf> {
        self.file.uncompressed()
    }

    /// The FIFOs to wait for; none if the disk gets a pause. A run whose turn it is not can have written something, and
    /// wait for the end of a line of the one whose turn it is.
    pub fn waits_for(&self, now: Moment) -> impl Iterator<Item = BorrowedFd<'_>> {
        let paused = self.pause_until.is_some_and(|until| until > now);
        let all = self.half_line.is_none();
        self.sources.fifos(all).filter(move |_| !paused)
    }

    /// When a pause ends.
    pub fn pause_until(&self) -> Option<Moment> {
        self.pause_until
    }

    /// When there is something to do, even if nobody writes anything.
    pub fn wakes_at(&self) -> Option<Moment> {
        let half_line = self.half_line.map(|since| since.plus(HALF_LINE));
        self.pause_until.or(half_line)
    }

    /// Whether it pays to wait a moment for more bytes: little is there and nobody is in a hurry.
    pub fn is_trickle(&self) -> bool {
        self.sources.iter().all(|source| {
            let fifo = source.channel.fifo.as_fd();
            !source.finishing && fifo::waiting(fifo).is_ok_and(|bytes| bytes < fifo::capacity(fifo) / 8)
        })
    }

    /// Empties the log file.
    ///
    /// # Errors
    /// Those of opening and truncating.
    pub fn flush(&mut self, now: Now) -> io::Result<()> {
        self.file.flush(now.mono)
    }

    /// Moves what is there.
    pub fn turn(&mut self, now: Now) -> Turn {
        let mut turn = Turn::default();
        if self.sources.current().is_none() {
            return turn;
        }
        self.pause_until = None;
        if let Err(error) = self.try_turn(now, &mut turn) {
            self.pause_until = Some(now.mono.plus(TROUBLE_PAUSE));
            self.file.look_soon();
            turn.trouble = Some(format!("cannot write {}: {error}", self.path().display()));
            turn.more = false;
        }
        turn
    }

    fn try_turn(&mut self, now: Now, turn: &mut Turn) -> io::Result<()> {
        let mut moved = 0;
        self.half_line = self.half_line.filter(|_| self.sources.another_waits());
        while let Some(source) = self.sources.current() {
            let finishing = source.finishing;
            let before = moved;
            moved += self.empty_stage(now, turn)?;
            let taken = self.fill_stage()?;
            if taken > 0 {
                fault::point("between the splices");
                self.half_line = None;
                self.share += (moved - before) as u64;
                if self.share >= SHARE && self.sources.another_waits() && self.come_to_line_end(now)? {
                    self.change_turns()?;
                }
                if moved >= TURN {
                    turn.more = true;
                    return Ok(());
                }
                continue;
            }
            if self.staged()? > 0 {
                return Ok(());
            }
            if finishing {
                self.file.end_line(now.mono)?;
                turn.finished.extend(self.sources.pop());
                (self.share, self.half_line) = (0, None);
                continue;
            }
            if !self.sources.another_waits() {
                return Ok(());
            }
            if !self.file.at_line_start()? {
                let since = *self.half_line.get_or_insert(now.mono);
                if now.mono.since(since) < HALF_LINE {
                    return Ok(());
                }
                self.file.end_line(now.mono)?;
            }
            self.change_turns()?;
        }
        Ok(())
    }

    /// Bytes in the stage of the run whose turn it is.
    fn staged(&self) -> io::Result<usize> {
        self.sources.current().map_or(Ok(0), |source| fifo::waiting(source.channel.stage.as_fd()))
    }

    /// Moves what the run whose turn it is has written into its stage.
    fn fill_stage(&self) -> io::Result<usize> {
        self.sources.current().map_or(Ok(0), |source| {
            fifo::to_stage(source.channel.fifo.as_fd(), source.channel.stage.as_fd(), STAGE)
        })
    }

    fn change_turns(&mut self) -> io::Result<()> {
        self.sources.change()?;
        (self.share, self.half_line) = (0, None);
        Ok(())
    }

    /// Moves what is staged up to the end of the line that is being written. False if that is not there yet; a line
    /// that is too long is ended.
    fn come_to_line_end(&mut self, now: Now) -> io::Result<bool> {
        self.file.offset(now.mono)?;
        if self.file.at_line_start()? {
            return Ok(true);
        }
        let staged = self.staged()?;
        let most = self.up_to_line_end(staged)?;
        let written = self.write(now, most)?;
        if written == most && !self.file.at_line_start()? && self.share >= LONGEST_WAIT {
            self.file.end_line(now.mono)?;
        }
        self.file.at_line_start()
    }

    /// Moves everything from the stage into the file, rotating at the ends of lines.
    fn empty_stage(&mut self, now: Now, turn: &mut Turn) -> io::Result<usize> {
        let mut moved = 0;
        loop {
            let waiting = self.staged()?;
            if waiting == 0 {
                return Ok(moved);
            }
            let limit = self.file.policy().rotate_size;
            let offset = self.file.offset(now.mono)?;
            let most = if offset < limit {
                usize::try_from(limit - offset).unwrap_or(usize::MAX).min(waiting)
            } else if self.rotate_again.is_some_and(|again| again > now.mono) {
                waiting
            } else if self.file.at_line_start()? || offset >= limit + LONGEST_WAIT {
                if let Err(error) = self.rotate(now, turn) {
                    // The lines matter more than the size of the file.
                    self.rotate_again = Some(now.mono.plus(ROTATE_AGAIN));
                    let path = self.path();
                    turn.trouble = Some(format!("cannot rotate {}: {error}; it grows on", path.display()));
                }
                continue;
            } else {
                self.up_to_line_end(waiting)?
            };
            let written = self.write(now, most)?;
            if written == 0 {
                return Ok(moved);
            }
            moved += written;
        }
    }

    /// Moves up to `most` bytes from the stage into the file.
    fn write(&mut self, now: Now, most: usize) -> io::Result<usize> {
        let Some(source) = self.sources.current() else { return Ok(0) };
        self.file.take(source.channel.stage.as_fd(), most, now.mono)
    }

    /// How many of the waiting bytes belong to the line that is being written.
    fn up_to_line_end(&mut self, waiting: usize) -> io::Result<usize> {
        let Some(source) = self.sources.current() else { return Ok(waiting) };
        let bytes = self.peek.look(source.channel.stage.as_fd(), waiting)?;
        Ok(bytes.iter().position(|byte| *byte == b'\n').map_or(waiting, |at| at + 1))
    }

    fn rotate(&mut self, now: Now, turn: &mut Turn) -> io::Result<()> {
        let archived = self.file.rotate(now)?;
        turn.rotated.extend(archived.filter(|_| self.file.policy().compress));
        Ok(())
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
