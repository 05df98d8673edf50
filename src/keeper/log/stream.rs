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
//!
//! What happens when the disk refuses, and when a service logs more than it may, is in [`super::trouble`]; what happens
//! when it does not answer, in [`super::relief`]. Where somebody wants times or objects in the file, the second step is
//! another one, by way of a buffer: [`super::dressing`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::dress::Rest;
use super::dressed::Staged;
use super::dressing::Dressing;
use super::dropping;
use super::log_file::LogFile;
pub use super::sources::Channel;
use super::sources::{Sources, WIDE};
use super::trouble::Trouble;
use crate::model::flood::Allowance;
use crate::model::moment::{Moment, Now};
use crate::model::spec::LogPolicy;
use crate::os::peek::{Peek, SIGHT};
use crate::os::switch::Switch;
use crate::os::{fault, fifo};
use crate::paths::ServicePaths;
use crate::wire::log_line::StreamName;

/// Until a rotation that failed is tried again.
pub(super) const ROTATE_AGAIN: Duration = Duration::from_secs(10);
/// A line without an end is cut by a rotation after this many bytes beyond the limit.
const LONGEST_WAIT: u64 = 1 << 20;
/// As much written at once is a flood.
const FLOOD: usize = 1 << 15;
/// Gone through in one turn, so that the other stream gets its own.
const TURN: usize = 4 << 20;
/// Of one run, while another one waits for its turn.
const SHARE: u64 = 256 << 10;
/// A run that stays in mid-line this long, while another one waits, gets its end of line.
const HALF_LINE: Duration = Duration::from_secs(1);

/// One stream.
#[derive(Debug)]
pub struct Stream {
    service: String,
    name: StreamName,
    /// What is on its way into a dressed log.
    pub(super) note: PathBuf,
    pub(super) file: LogFile,
    pub(super) sources: Sources,
    /// All runs of before are known: see [`Stream::take_over`].
    begun: bool,
    /// Bytes since the turn last changed.
    share: u64,
    /// Since when another run waits for the end of a line of the one whose turn it is, which says nothing.
    half_line: Option<Moment>,
    pub(super) peek: Peek,
    /// What is done to its lines, if anything.
    pub(super) dressing: Option<Dressing>,
    pub(super) dropping: dropping::Shared,
    pub(super) allowance: Option<Allowance>,
    pub(super) trouble: Option<Trouble>,
    rotate_again: Option<Moment>,
    /// Why it must be tried again.
    pub(super) not_rotated: Option<String>,
}

/// What a turn came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Runs whose last byte is in the file.
    pub finished: Vec<u64>,
    /// Archives to compress.
    pub rotated: Vec<PathBuf>,
    /// What the operator should know, one sentence each.
    pub said: Vec<String>,
    /// There is more to do at once.
    pub more: bool,
}

impl Stream {
    /// A stream without a source; in the files of `paths` stands what its predecessor knew. `dropping` is shared with
    /// whoever drops from it while the disk does not answer.
    ///
    /// # Errors
    /// EMFILE.
    pub fn new(
        service: &str,
        name: StreamName,
        paths: &ServicePaths,
        policy: LogPolicy,
        dropping: dropping::Shared,
    ) -> io::Result<Stream> {
        let (kind, note) = (name.word(), paths.log_dressed(name.word()));
        Ok(Stream {
            service: service.to_owned(),
            name,
            allowance: policy.max_rate.map(Allowance::new),
            dressing: Dressing::new(&policy.dress, service, name, note.clone()),
            note,
            file: LogFile::new(service, name, policy),
            sources: Sources::new(paths.log_source(kind)),
            begun: false,
            share: 0,
            half_line: None,
            peek: Peek::new()?,
            dropping,
            trouble: None,
            rotate_again: None,
            not_rotated: None,
        })
    }

    /// From now on this switch is held while there is work to do on the disk, and falls when that does not get on: if the
    /// service never waits.
    pub fn hold(&mut self, switch: Arc<Switch>) {
        self.file.hold(switch);
    }

    /// The log file.
    pub fn path(&self) -> PathBuf {
        self.file.path()
    }

    /// Replaces the policy; another folder holds from the next byte.
    pub fn set_policy(&mut self, policy: LogPolicy) {
        if policy.max_rate != self.file.policy().max_rate {
            self.allowance = policy.max_rate.map(Allowance::new);
        }
        if policy.dress != self.file.policy().dress {
            self.dressing = Dressing::new(&policy.dress, &self.service, self.name, self.note.clone());
        }
        self.file.set_policy(policy);
    }

    /// Which of the service's logs it writes.
    pub fn name(&self) -> StreamName {
        self.name
    }

    /// Whether anything is written into its log, or has been since it was taken over.
    pub fn is_used(&self) -> bool {
        self.sources.current().is_some() || self.file.opened().is_some()
    }

    /// Goes on where a predecessor was killed; all that it has left is attached. Before that nothing is written. Returns
    /// archives that wait to be compressed.
    pub fn take_over(&mut self, now: Now) -> Vec<PathBuf> {
        if std::mem::replace(&mut self.begun, true) {
            return Vec::new();
        }
        let uncompressed = self.file.take_over(now);
        self.settle(now);
        uncompressed
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
        self.dropping.lock().forget(run);
        self.half_line = None;
    }

    /// The FIFOs to wait for. A run whose turn it is not can have written something, and wait for the end of a line of the
    /// one whose turn it is.
    pub fn waits_for(&self, now: Moment) -> impl Iterator<Item = BorrowedFd<'_>> {
        let all = self.half_line.is_none() || self.is_holding_back(now);
        self.sources.fifos(all).filter(move |fifo| self.listens_to(*fifo, now))
    }

    /// When there is something to do, even if nobody writes anything.
    pub fn wakes_at(&self, now: Moment) -> Option<Moment> {
        let half_line = self.half_line.map(|since| since.plus(HALF_LINE));
        let rotate_again = self.rotate_again.filter(|again| *again > now);
        [half_line, rotate_again, self.hold_ends(now)].into_iter().flatten().min()
    }

    /// When there is something to do for the time of day, milliseconds since 1970. What has been due at the latest turn,
    /// at `turned`, and could not be done waits for something else: the end of a line, or another try.
    pub fn next_due_ms(&self, turned: Now) -> Option<u64> {
        self.file.next_due_ms(turned.unix_ms)
    }

    /// Whether it pays to wait a moment for more bytes: little is there and nobody is in a hurry.
    pub fn is_trickle(&self) -> bool {
        self.sources.iter().all(|source| {
            let fifo = source.channel.fifo.as_fd();
            !source.finishing && fifo::waiting(fifo).is_ok_and(|bytes| bytes < fifo::capacity(fifo) / 8)
        })
    }

    /// Moves the log file to the archive; the next byte begins a new one, which is there at once.
    ///
    /// # Errors
    /// Those of [`LogFile::rotate`] and of making the new one.
    pub fn flush(&mut self, now: Now, turn: &mut Turn) -> io::Result<()> {
        self.file.look_soon();
        if self.file.offset(now)? > 0 {
            self.file.mark_flushed();
        }
        self.rotate(now, turn)?;
        self.file.offset(now).map(drop)
    }

    /// Opens what has the log's name now: whatever tool has moved the old one away finds it complete.
    ///
    /// # Errors
    /// Those of opening.
    pub fn reopen(&mut self, now: Now) -> io::Result<()> {
        self.file.reopen(now)
    }

    /// Moves what is there.
    pub fn turn(&mut self, now: Now) -> Turn {
        let mut turn = Turn::default();
        if !self.begun {
            return turn;
        }
        let result = match self.is_paused(now.mono) {
            true => self.relieve(now, &mut turn),
            false => self.try_turn(now, &mut turn).map(|()| self.trouble = None),
        };
        if let Err(error) = result {
            self.meet(&error, now, &mut turn);
        }
        self.file.end_work();
        turn
    }

    fn try_turn(&mut self, now: Now, turn: &mut Turn) -> io::Result<()> {
        self.keep_time(now, turn)?;
        // Turns that were changed since anything was moved.
        let (mut moved, mut changes) = (0, 0);
        self.half_line = self.half_line.filter(|_| self.sources.another_waits());
        loop {
            if self.lacks_lines() && !self.go_on_after_drop(now, turn)? {
                return Ok(());
            }
            let Some(source) = self.sources.current() else { return Ok(()) };
            let finishing = source.finishing;
            let before = moved;
            let written = self.empty_stage(now, turn)?;
            if written >= FLOOD && !self.is_looked_at() {
                self.sources.widen();
            }
            moved += written;
            let taken = self.fill_stage(now)?;
            if taken > 0 {
                fault::point("between the splices");
                (self.half_line, changes) = (None, 0);
                self.share += (moved - before) as u64;
                if self.share >= SHARE && self.sources.another_waits() && self.come_to_line_end(now)? {
                    self.change_turns();
                }
                if moved >= TURN {
                    turn.more = true;
                    return Ok(());
                }
                continue;
            }
            if self.lacks_lines() {
                continue;
            }
            if self.is_used_up(now.mono) && !finishing {
                return Ok(());
            }
            match self.look_at_rest(now)? {
                Staged::Nothing => {}
                Staged::Waits if self.sources.another_waits() && changes < self.sources.iter().count() => {}
                Staged::Waits | Staged::Stuck => return Ok(()),
                Staged::Went(bytes) if moved + bytes < TURN => {
                    moved += bytes;
                    continue;
                }
                Staged::Went(_) => {
                    turn.more = true;
                    return Ok(());
                }
            }
            if finishing {
                self.end_line(now)?;
                let run = self.sources.pop();
                run.inspect(|run| self.dropping.lock().forget(*run));
                turn.finished.extend(run);
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
                self.end_line(now)?;
            }
            self.change_turns();
            changes += 1;
        }
    }

    /// What is due for the time of day.
    fn keep_time(&mut self, now: Now, turn: &mut Turn) -> io::Result<()> {
        self.file.expire(now);
        let waits = self.rotate_again.is_some_and(|again| again > now.mono);
        if !waits && self.file.is_due(now) && self.file.at_line_start()? {
            self.rotate_or_go_on(now, turn);
        }
        Ok(())
    }

    /// Bytes in the stage of the run whose turn it is.
    pub(super) fn staged(&self) -> io::Result<usize> {
        self.sources.current().map_or(Ok(0), |source| fifo::waiting(source.channel.stage.as_fd()))
    }

    /// Moves what the run whose turn it is has written into its stage, as far as it may: nothing before the log says where
    /// lines are missing.
    pub(super) fn fill_stage(&mut self, now: Now) -> io::Result<usize> {
        let shared = self.dropping.clone();
        let mut dropping = shared.lock();
        let Some(run) = self.sources.current().map(|source| source.run) else { return Ok(0) };
        if dropping.is_on() || dropping.end_of(run).is_some() {
            return Ok(0);
        }
        let most = if self.is_looked_at() { SIGHT } else { WIDE };
        let most = self.let_through(most, &mut dropping, now)?;
        match self.sources.current() {
            Some(source) if most > 0 => {
                fifo::to_stage(source.channel.fifo.as_fd(), source.channel.stage.as_fd(), most)
            }
            _ => Ok(0),
        }
    }

    /// Whether somebody has to see the bytes on their way.
    fn is_looked_at(&self) -> bool {
        self.allowance.is_some() || self.dressing.is_some()
    }

    fn change_turns(&mut self) {
        self.sources.change();
        (self.share, self.half_line) = (0, None);
    }

    /// Moves what is staged up to the end of the line that is being written. False if that is not there yet; a line
    /// that is too long is ended.
    fn come_to_line_end(&mut self, now: Now) -> io::Result<bool> {
        self.file.offset(now)?;
        if self.file.at_line_start()? {
            return Ok(true);
        }
        let staged = self.staged()?;
        let most = self.up_to_line_end(staged)?;
        let written = self.write(now, most, 0)?;
        let is_all = written == most || self.holds_rest();
        if is_all && !self.file.at_line_start()? && self.share >= LONGEST_WAIT {
            self.end_line(now)?;
        }
        self.file.at_line_start()
    }

    /// Moves everything from the stage into the file, rotating at the ends of lines.
    pub(super) fn empty_stage(&mut self, now: Now, turn: &mut Turn) -> io::Result<usize> {
        let mut moved = 0;
        loop {
            let waiting = self.staged()?;
            if waiting == 0 {
                return Ok(moved);
            }
            let offset = self.file.offset(now)?;
            let limit = self.file.policy().rotate_size;
            let limit = if self.file.is_due(now) { limit.min(offset) } else { limit };
            let (most, room) = if offset < limit {
                let room = limit - offset;
                (usize::try_from(room).unwrap_or(usize::MAX).min(waiting), room)
            } else if self.rotate_again.is_some_and(|again| again > now.mono) {
                (waiting, u64::MAX)
            } else if self.file.at_line_start()? || offset >= limit + LONGEST_WAIT {
                self.rotate_or_go_on(now, turn);
                continue;
            } else {
                (self.up_to_line_end(waiting)?, 0)
            };
            let written = self.write(now, most, room)?;
            if written == 0 {
                return Ok(moved);
            }
            moved += written;
        }
    }

    /// Moves up to `most` bytes from the stage into the file. Dressed, they are others: then it is up to the first end of a
    /// line where `room` bytes have been written.
    fn write(&mut self, now: Now, most: usize, room: u64) -> io::Result<usize> {
        if self.dressing.is_some() {
            return self.write_dressed(room, Rest::Waits, now);
        }
        let Some(source) = self.sources.current() else { return Ok(0) };
        self.file.take(source.channel.stage.as_fd(), most, &mut self.peek, now)
    }

    /// How many of the waiting bytes belong to the line that is being written.
    fn up_to_line_end(&mut self, waiting: usize) -> io::Result<usize> {
        let Some(source) = self.sources.current() else { return Ok(waiting) };
        let bytes = self.peek.look(source.channel.stage.as_fd(), waiting.min(SIGHT))?;
        Ok(bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1))
    }

    /// Rotates; if that is not possible the file grows on: the lines matter more than its size.
    fn rotate_or_go_on(&mut self, now: Now, turn: &mut Turn) {
        if let Err(error) = self.rotate(now, turn) {
            self.rotate_again = Some(now.mono.plus(ROTATE_AGAIN));
            let path = self.path();
            self.not_rotated = Some(format!("cannot rotate {}: {error}; it grows on", path.display()));
        }
    }

    fn rotate(&mut self, now: Now, turn: &mut Turn) -> io::Result<()> {
        let archived = self.file.rotate(now)?;
        (self.rotate_again, self.not_rotated) = (None, None);
        turn.rotated.extend(archived.filter(|_| self.file.policy().compress));
        Ok(())
    }
}
