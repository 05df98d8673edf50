//! A critical service never waits for its log. While a disk holds up the pump, or refuses what it writes, the main
//! thread drops the oldest lines of FIFOs that run full.
//!
//! ```text
//! service --write--> fifo --pump--> stage --pump, which waits--> file
//!                     └── main thread: the oldest lines are dropped, a gap is left
//! ```
//! Each stream of the pump holds a dead man's switch ([`crate::os::switch`]) while it works on the disk: in peace the main
//! thread is not woken. It never touches a stage, whose lock a pump has that waits in the kernel. What belongs to the
//! place where lines are missing, the rest of a line that was begun and a line of our own, is a [`Gap`], which the
//! pump writes down before it takes more from that FIFO.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::event_loop::Keeper;
use crate::incidents;
use crate::model::moment::Moment;
use crate::model::units::show_size;
use crate::os::fifo;
use crate::os::overflow::{Dropped, Scratch};
use crate::paths::ServicePaths;
use crate::wire::incidents::MARK;

/// A pump that gets no further for this long is held up.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at FIFOs that fill up: the longest time that a service which floods its log may have to wait.
const SOON: Duration = Duration::from_millis(5);
/// Between two looks at FIFOs with room.
const LATER: Duration = Duration::from_millis(100);
/// Between two notes of what was dropped.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// What is to be written to the log of one stream in the place of what was dropped, by run.
#[derive(Debug, Default)]
pub struct Gaps(Mutex<BTreeMap<u64, Gap>>);

/// The rest of the line that was begun, and a line that says that others are missing.
pub type Gap = Vec<u8>;

impl Gaps {
    /// Takes from the FIFO of a run with `work`, if nothing is missing before what is there now; else the gap, which is
    /// to be written first. Nobody else takes from it meanwhile.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn take_or<T>(&self, run: u64, work: impl FnOnce() -> io::Result<T>) -> io::Result<Result<T, Gap>> {
        let mut gaps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match gaps.remove(&run) {
            Some(gap) => Ok(Err(gap)),
            None => work().map(Ok),
        }
    }

    /// What is left of a gap that could not be written; a newer one comes right behind it.
    pub fn put_back(&self, run: u64, mut gap: Gap) {
        let mut gaps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gap.extend(gaps.remove(&run).unwrap_or_default());
        gaps.insert(run, gap);
    }

    /// The run's output is not wanted any more.
    pub fn forget(&self, run: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    /// Drops the oldest lines of the FIFO of a run.
    fn widen(&self, run: u64, fifo: BorrowedFd<'_>, scratch: &mut Scratch) -> io::Result<Dropped> {
        let mut gaps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let std::collections::btree_map::Entry::Vacant(gap) = gaps.entry(run) {
            let begun = scratch.take_first_line(fifo)?.unwrap_or_else(|| vec![b'\n']);
            gap.insert([&begun, MARK.as_bytes()].concat());
        }
        scratch.drop_half(fifo)
    }
}

/// What the main thread knows of it.
#[derive(Debug, Default)]
pub struct Relief {
    scratch: Option<Scratch>,
    /// When to look again; none in peace.
    again: Option<Moment>,
    noted: Moment,
    unnoted: Dropped,
    all: Dropped,
}

impl Relief {
    /// When to call [`Keeper::relieve`] next; none: when a switch falls.
    pub fn deadline(&self) -> Option<Moment> {
        self.again
    }
}

impl Keeper {
    /// Drops what must be dropped, as long as the pump is held up.
    pub(super) fn relieve(&mut self, now: Moment) {
        if self.relief.again.is_some_and(|again| again > now) {
            return;
        }
        let held_up = self.pump.held_up();
        if held_up == [false; 2] || !self.spec.critical {
            self.end_relief(now);
            return;
        }
        if self.relief.scratch.is_none() {
            self.relief.scratch = Scratch::new().ok(); // without descriptors it is tried again at the next look
        }
        let mut fills = false;
        for stream in (0..2).filter(|stream| held_up[*stream]) {
            for channels in &self.emptying {
                let fifo = channels.fifo(stream);
                fills |= fifo::is_fuller_than(fifo, 1, 2);
                if let Some(scratch) =
                    self.relief.scratch.as_mut().filter(|_| fifo::is_fuller_than(fifo, 3, 4))
                {
                    // A FIFO that cannot be read cannot be relieved either: the service waits, as it would have.
                    let dropped = self.pump.gaps(stream).widen(channels.run, fifo, scratch);
                    self.relief.unnoted.add(dropped.unwrap_or_default());
                }
            }
        }
        self.relief.again = Some(now.plus(if fills { SOON } else { LATER }));
        if now.since(self.relief.noted) >= NOTE_EVERY {
            self.relief.noted = now;
            self.relief.note(&self.own);
        }
    }

    fn end_relief(&mut self, now: Moment) {
        if self.relief.again.is_none() {
            return;
        }
        if !self.relief.note(&self.own) {
            self.relief.again = Some(now.plus(LATER));
            return;
        }
        let relief = std::mem::take(&mut self.relief);
        if relief.all.bytes > 0 {
            let (size, lines) = (show_size(relief.all.bytes), relief.all.lines);
            self.log(&format!("the log was held up, so {size} of the output, {lines} lines, were dropped"));
        }
        self.busy = true;
    }
}

impl Relief {
    /// Writes down what was dropped; false if somebody else is writing there at this moment.
    fn note(&mut self, own: &ServicePaths) -> bool {
        let dropped = self.unnoted;
        if dropped == Dropped::default() {
            return true;
        }
        let noted = incidents::note(own, |incidents| incidents.add_dropped(dropped.bytes, dropped.lines));
        if noted {
            self.unnoted = Dropped::default();
            self.all.add(dropped);
        }
        noted
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_gap_stands_before_what_is_left_and_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fifo::make(&path, None).unwrap();
        let end = fifo::open_pump(&path).unwrap();
        nix::unistd::write(&end, b" of it\n").unwrap();
        while nix::unistd::write(&end, b"a line\n").is_ok() {}
        let (gaps, mut scratch) = (Gaps::default(), Scratch::new().unwrap());
        let dropped = gaps.widen(7, end.as_fd(), &mut scratch).unwrap();
        assert_eq!(dropped.bytes, 7 * dropped.lines);
        while nix::unistd::write(&end, b"a line\n").is_ok() {}
        gaps.widen(7, end.as_fd(), &mut scratch).unwrap();
        let waiting = || fifo::waiting(end.as_fd());
        assert!(gaps.take_or(8, waiting).unwrap().is_ok(), "another run");
        let gap = gaps.take_or(7, waiting).unwrap().unwrap_err();
        assert_eq!(String::from_utf8(gap.clone()).unwrap(), format!(" of it\n{MARK}"));
        // Half of it could be written, and meanwhile there was more to drop.
        while nix::unistd::write(&end, b"a line\n").is_ok() {}
        gaps.widen(7, end.as_fd(), &mut scratch).unwrap();
        gaps.put_back(7, gap[3..].to_vec());
        let both = gaps.take_or(7, waiting).unwrap().unwrap_err();
        assert_eq!(String::from_utf8(both).unwrap(), format!(" it\n{MARK}a line\n{MARK}"));
        assert!(gaps.take_or(7, waiting).unwrap().is_ok());
    }
}
