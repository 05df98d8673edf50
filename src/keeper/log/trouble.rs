//! What a stream does when its file cannot be written, and when a service logs more than it may.
//!
//! When there is no room, the service's own oldest archives go first. Then, as the policy says: `block` lets everything
//! wait where it is, at last the service too; `drop` takes the oldest lines out of FIFOs that are half full, so that the
//! service never waits, and says so in the log when that can be written again. Every tenth of a second it is tried again.
//! All that is the pump's, as long as the disk answers; while it does not, [`super::relief`] does the same for it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::dropping::{Dropping, Head};
use super::stream::{Stream, Turn};
use crate::model::moment::{Moment, Now};
use crate::model::units::show_size;
use crate::os::fifo;
use crate::wire::log_state::LogState;

/// A pause after the disk refused.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at a FIFO that may run full meanwhile, and has something in it already.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Writing fails.
#[derive(Debug)]
pub struct Trouble {
    /// In a sentence, with the path.
    text: String,
    /// In a few words.
    why: &'static str,
    since_unix_ms: u64,
    again: Moment,
}

impl Stream {
    /// How it is.
    pub fn state(&self) -> LogState {
        LogState {
            trouble: self.trouble.as_ref().map(|trouble| trouble.text.clone()).or(self.not_rotated.clone()),
            since_unix_ms: self.trouble.as_ref().map(|trouble| trouble.since_unix_ms),
            ..self.dropping.lock().state()
        }
    }

    /// The disk gets a pause.
    pub(super) fn is_paused(&self, now: Moment) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.again > now)
    }

    /// More than what it may has been logged in this second.
    pub(super) fn is_used_up(&self, now: Moment) -> bool {
        self.allowance.as_ref().is_some_and(|allowance| allowance.used_up_until(now).is_some())
    }

    /// Whether bytes stay in the FIFOs for a while, of which some may have to go.
    pub(super) fn is_holding_back(&self, now: Moment) -> bool {
        self.is_paused(now) && self.file.drops() || self.is_used_up(now)
    }

    /// Whether the first byte in this FIFO is a reason to wake up.
    pub(super) fn listens_to(&self, fifo: BorrowedFd<'_>, now: Moment) -> bool {
        match self.is_holding_back(now) {
            true => fifo::waiting(fifo).is_ok_and(|bytes| bytes == 0),
            false => !self.is_paused(now),
        }
    }

    /// When bytes that are held back are looked at again.
    pub(super) fn hold_ends(&self, now: Moment) -> Option<Moment> {
        let again = self.trouble.as_ref().map(|trouble| trouble.again);
        let anew = self.allowance.as_ref().and_then(|allowance| allowance.used_up_until(now));
        let has_any = |fifo: BorrowedFd<'_>| fifo::waiting(fifo).is_ok_and(|bytes| bytes > 0);
        let look = self.is_holding_back(now) && self.sources.fifos(true).any(has_any);
        [again, anew, look.then(|| now.plus(LOOK_EVERY))].into_iter().flatten().min()
    }

    /// Writing has failed.
    pub(super) fn meet(&mut self, error: &io::Error, now: Now, turn: &mut Turn) {
        self.file.look_soon();
        let no_room = matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT));
        if no_room && let Some((name, bytes)) = self.file.give_up_oldest_archive() {
            turn.said.push(format!("{}: deleted the archive {name} ({})", in_short(error), show_size(bytes)));
            turn.more = true;
            return;
        }
        turn.more = false;
        let since_unix_ms = self.trouble.as_ref().map_or(now.unix_ms, |trouble| trouble.since_unix_ms);
        let text = format!("cannot write {}: {error}", self.path().display());
        let again = now.mono.plus(PAUSE);
        self.trouble = Some(Trouble { text, why: in_short(error), since_unix_ms, again });
        // What it cannot do it tries again: a FIFO that cannot be read holds nobody up.
        let _ = self.relieve(now, turn);
    }

    /// Drops the older lines of FIFOs that are half full, if this service never waits.
    ///
    /// # Errors
    /// Those of [`Dropping::drop_lines`].
    pub(super) fn relieve(&mut self, now: Now, turn: &mut Turn) -> io::Result<()> {
        let Some(why) = self.trouble.as_ref().map(|trouble| trouble.why).filter(|_| self.file.drops()) else {
            return Ok(());
        };
        for source in self.sources.iter() {
            let fifo = source.channel.fifo.as_fd();
            let room = fifo::capacity(fifo);
            if fifo::waiting(fifo)? * 2 <= room {
                continue;
            }
            let mut dropping = self.dropping.lock();
            dropping.begin(why, now.unix_ms);
            let gone = dropping.drop_lines(Head::of(source), room / 4, &mut self.peek, now.unix_ms)?;
            turn.more |= gone > 0;
        }
        Ok(())
    }

    /// Whether lines are missing of which the log does not say so yet, or the end of the one that stands in the stage.
    pub(super) fn lacks_lines(&self) -> bool {
        let dropping = self.dropping.lock();
        dropping.is_on() || self.sources.current().is_some_and(|source| dropping.end_of(source.run).is_some())
    }

    /// Lines have been dropped: if no more have to be, what is staged is written, then that they are missing. False if
    /// that must wait.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn go_on_after_drop(&mut self, now: Now, turn: &mut Turn) -> io::Result<bool> {
        let shared = self.dropping.clone();
        let is_over = self.sources.current().is_none_or(|source| source.finishing);
        if self.is_used_up(now.mono) && !is_over {
            let mut dropping = shared.lock();
            if let Some(source) = self.sources.current().filter(|_| dropping.is_on()) {
                dropping.drop_lines(Head::of(source), 0, &mut self.peek, now.unix_ms)?;
                return Ok(false);
            }
        }
        self.empty_stage(now, turn)?;
        if self.staged()? > 0 && !self.holds_rest() {
            return Ok(false);
        }
        if let Some(run) = self.sources.current().map(|source| source.run) {
            let end = shared.lock().end_of(run);
            if let Some(end) = end {
                self.put_end(&end, now)?;
                shared.lock().has_its_end(run);
            }
        }
        self.end_rest(now)?;
        if self.staged()? > 0 {
            return Ok(false);
        }
        let mark = {
            let mut dropping = shared.lock();
            if !dropping.is_on() {
                return Ok(true);
            }
            if !dropping.drop_rests(self.sources.iter(), &mut self.peek, now.unix_ms)? {
                return Ok(false);
            }
            dropping.mark()
        };
        if let Some(mark) = mark {
            self.end_line(now)?;
            self.put_mark(&mark, now)?;
            shared.lock().is_marked(&mark);
        }
        Ok(true)
    }

    /// How many of the waiting bytes may pass, at most `most`. If none may, what follows is dropped. The last words of a
    /// run pass.
    ///
    /// # Errors
    /// Those of looking.
    pub(super) fn let_through(
        &mut self,
        most: usize,
        dropping: &mut Dropping,
        now: Now,
    ) -> io::Result<usize> {
        let (Some(allowance), Some(source)) = (&mut self.allowance, self.sources.current()) else {
            return Ok(most);
        };
        if source.finishing {
            return Ok(most);
        }
        let seen = self.peek.look(source.channel.fifo.as_fd(), most)?;
        let passes = allowance.admit(&seen, now.mono);
        if passes == 0 && seen.contains(&b'\n') {
            dropping.begin(&format!("more than {}", allowance.rate()), now.unix_ms);
            dropping.is_at_line_start(source.run);
        }
        Ok(passes)
    }
}

fn in_short(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => "disk full",
        Some(libc::EDQUOT) => "disk quota exceeded",
        Some(libc::EROFS) => "read-only file system",
        Some(libc::EIO) => "input/output error",
        Some(libc::EACCES | libc::EPERM) => "permission denied",
        _ => "log not writable",
    }
}
