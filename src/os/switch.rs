//! A dead man's switch: it falls unless somebody holds it again and again, and who waits for its fall sleeps
//! until then. One process holds it, another one that was handed a duplicate learns of the fall.
//!
//! It is a timer (timerfd_create(2)) whose end is put off each time; putting it off wakes nobody.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// The end of the one who holds it.
#[derive(Debug)]
pub struct Switch(TimerFd);

impl Switch {
    /// A switch that nobody has held yet: it does not fall.
    ///
    /// # Errors
    /// EMFILE.
    pub fn new() -> io::Result<Switch> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Switch(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?))
    }

    /// From now on it falls after `time`, unless it is held again. A fallen one stands again.
    ///
    /// # Errors
    /// None for a `time` that a clock can count.
    pub fn hold(&self, time: Duration) -> io::Result<()> {
        let end = Expiration::OneShot(TimeSpec::from_duration(time));
        Ok(self.0.set(end, TimerSetTimeFlags::empty())?)
    }

    /// Nobody needs to hold it until it is held again: it does not fall. A fallen one stands again.
    ///
    /// # Errors
    /// None that a timer of our own can meet.
    pub fn lay_down(&self) -> io::Result<()> {
        Ok(self.0.unset()?)
    }
}

impl AsFd for Switch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether a switch, or the one behind this duplicate, has fallen; it is readable then.
pub fn has_fallen(switch: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(switch.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_when_it_is_not_held_and_stands_again_when_it_is() {
        let switch = Switch::new().unwrap();
        let duplicate = switch.as_fd().try_clone_to_owned().unwrap();
        switch.hold(Duration::from_secs(1000)).unwrap();
        assert!(!has_fallen(&duplicate));
        switch.hold(Duration::from_nanos(1)).unwrap();
        let mut fds = [PollFd::new(duplicate.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(10_000_u16)), Ok(1));
        assert!(has_fallen(&duplicate));
        switch.hold(Duration::from_secs(1000)).unwrap();
        assert!(!has_fallen(&duplicate));
        switch.hold(Duration::from_nanos(1)).unwrap();
        assert_eq!(poll(&mut fds, PollTimeout::from(10_000_u16)), Ok(1));
        switch.lay_down().unwrap();
        assert!(!has_fallen(&duplicate));
    }
}
