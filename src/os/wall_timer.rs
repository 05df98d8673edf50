//! Being woken at a time of day, and when somebody sets the clock.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// A timer of the wall clock (timerfd_create(2)); it costs nothing until it is due.
#[derive(Debug)]
pub struct WallTimer {
    timer: TimerFd,
    due_ms: Option<u64>,
}

impl WallTimer {
    /// One that is never due.
    ///
    /// # Errors
    /// EMFILE.
    pub fn new() -> io::Result<WallTimer> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(WallTimer { timer: TimerFd::new(ClockId::CLOCK_REALTIME, flags)?, due_ms: None })
    }

    /// It is readable at that time, milliseconds since 1970, or when the clock is set; never, if there is no time. What it
    /// was set to before is forgotten.
    ///
    /// # Errors
    /// EINVAL for a time that the kernel cannot count.
    pub fn set(&mut self, due_ms: Option<u64>) -> io::Result<()> {
        if self.due_ms == due_ms {
            return Ok(());
        }
        match due_ms {
            None => self.timer.unset()?,
            Some(ms) => {
                // All zeroes would mean never.
                let time = TimeSpec::new((ms / 1000) as i64, (ms % 1000) as i64 * 1_000_000 + 1);
                let how = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
                self.timer.set(Expiration::OneShot(time), how)?;
            }
        }
        self.due_ms = due_ms;
        Ok(())
    }

    /// It was due, or the clock was set: it may be set again.
    pub fn clear(&mut self) {
        // ECANCELED says that the clock was set; either way it is not readable any more.
        let mut count = [0; 8];
        let _ = nix::unistd::read(self.timer.as_fd(), &mut count);
        self.due_ms = None;
    }
}

impl AsFd for WallTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn is_due(timer: &WallTimer, millis: u16) -> bool {
        poll(&mut [PollFd::new(timer.as_fd(), PollFlags::POLLIN)], PollTimeout::from(millis)) == Ok(1)
    }

    #[test]
    fn is_due_at_its_time_and_not_before() {
        let mut timer = WallTimer::new().unwrap();
        assert!(!is_due(&timer, 0));
        timer.set(Some(clock::now().unix_ms + 3_600_000)).unwrap();
        assert!(!is_due(&timer, 0));
        timer.set(Some(clock::now().unix_ms + 20)).unwrap();
        assert!(is_due(&timer, 10_000));
        timer.clear();
        assert!(!is_due(&timer, 0));
        timer.set(Some(0)).unwrap();
        assert!(is_due(&timer, 10_000), "what is past is due at once");
        timer.clear();
        timer.set(None).unwrap();
        assert!(!is_due(&timer, 0));
    }
}
