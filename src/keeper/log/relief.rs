//! A service that must not wait for its log does not wait for a disk that hangs, either. While the disk holds up the pump,
//! which can drop nothing then, the main thread drops the oldest lines of FIFOs that run full.
//!
//! ```text
//! service --write--> fifo --pump--> stage --pump, which waits--> file
//!                     └── main thread: the oldest lines are dropped
//! ```
//! Each stream of the pump holds a dead man's switch ([`super::hold`]) while it works on the disk: in peace the main thread
//! is not woken. It never touches a stage, whose lock a pump has that waits in the kernel. What it drops it counts where
//! the pump does ([`super::dropping`]), and when the disk goes on it is the pump that says so in the log.
//!
//! A disk that answers, with an error, holds nobody up: see [`super::trouble`].

use std::time::Duration;

use super::dropping::Head;
use super::pump::STREAMS;
use crate::keeper::event_loop::Keeper;
use crate::model::moment::Moment;
use crate::model::units::{group_digits, show_size};
use crate::os::peek::Peek;
use crate::os::{clock, fifo};
use crate::wire::log_line::StreamName;
use crate::wire::log_state::LogState;

/// What the log says why lines are missing.
const WHY: &str = "disk hangs";
/// Between two looks at FIFOs that fill up: the longest time that a service which floods its log may have to wait.
const SOON: Duration = Duration::from_millis(5);
/// Between two looks at FIFOs with room.
const LATER: Duration = Duration::from_millis(100);
/// Between two reports of how much was dropped.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What the main thread knows of it.
#[derive(Debug, Default)]
pub struct Relief {
    peek: Option<Peek>,
    /// When to look again; none in peace.
    again: Option<Moment>,
    told: Moment,
    /// What has been dropped since it began: bytes, lines.
    dropped: (u64, u64),
}

impl Relief {
    /// When to call [`Keeper::relieve`] next; none: when a switch falls.
    pub fn deadline(&self) -> Option<Moment> {
        self.again
    }
}

impl Keeper {
    /// Drops what must be dropped, as long as the pump is held up.
    pub(in crate::keeper) fn relieve(&mut self, now: Moment) {
        if self.relief.again.is_some_and(|again| again > now) {
            return;
        }
        let held_up: Vec<StreamName> = self.pump.held_up().collect();
        if held_up.is_empty() {
            self.end_relief();
            return;
        }
        if self.relief.peek.is_none() {
            self.relief.peek = Peek::new().ok(); // without descriptors it is tried again at the next look
        }
        let mut fills = false;
        for stream in held_up {
            for channels in &self.emptying {
                let Some(fifo) = channels.fifo(stream) else { continue };
                fills |= fifo::is_fuller_than(fifo, 1, 2);
                let Some(peek) = self.relief.peek.as_mut().filter(|_| fifo::is_fuller_than(fifo, 3, 4))
                else {
                    continue;
                };
                let mut dropping = self.pump.dropping(stream);
                let before = dropping.state();
                let unix_ms = clock::now().unix_ms;
                dropping.begin(WHY, unix_ms);
                let head = Head { run: channels.run, fifo, stage: None };
                // A FIFO that cannot be read cannot be relieved either: the service waits, as it would have.
                let _ = dropping.drop_lines(head, fifo::capacity(fifo) / 2, peek, unix_ms);
                let after = dropping.state();
                self.relief.dropped.0 += after.dropped_bytes - before.dropped_bytes;
                self.relief.dropped.1 += after.dropped_lines - before.dropped_lines;
            }
        }
        self.relief.again = Some(now.plus(if fills { SOON } else { LATER }));
        if now.since(self.relief.told) >= TELL_EVERY {
            self.relief.told = now;
            self.tell_dropped();
        }
    }

    /// The pump says nothing as long as it is held up.
    fn tell_dropped(&mut self) {
        let states = STREAMS.map(|stream| self.pump.dropping(stream).state());
        let LogState { trouble, since_unix_ms, .. } = std::mem::take(&mut self.log_state);
        self.log_state = LogState {
            trouble,
            since_unix_ms,
            ..states.into_iter().reduce(LogState::with).unwrap_or_default()
        };
        self.published = None;
    }

    fn end_relief(&mut self) {
        if self.relief.again.is_none() {
            return;
        }
        let relief = std::mem::take(&mut self.relief);
        let (bytes, lines) = relief.dropped;
        if bytes > 0 {
            let (size, lines) = (show_size(bytes), group_digits(lines));
            self.log(&format!("the log was held up, so {size} of the output, {lines} lines, were dropped"));
        }
        self.tell_dropped();
        self.busy = true;
    }
}
