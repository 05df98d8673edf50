//! Waiting: the only way in which a drill lets time pass. Ctrl-C ends every wait, and meanwhile the operator sees
//! how it goes.

use std::io::{IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::probe::Probe;
use crate::cli::fail::{Failure, Outcome};
use crate::exit_code;
use crate::os::{own, wait};

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(2);
/// Between two pictures of the progress.
const DRAW: Duration = Duration::from_millis(100);
/// Characters of the bar.
const BAR: usize = 20;

/// Waits, with an ear for signals and a voice on standard error.
#[derive(Debug)]
pub struct Watch {
    signals: SignalFd,
    interrupted: bool,
    /// Columns of the terminal; none: nobody looks.
    width: Option<usize>,
    drawn: Option<Instant>,
    /// Steps done, of all, and the present one.
    step: (usize, usize, String),
}

impl Watch {
    /// From now on Ctrl-C, a polite kill and a hang-up end the next wait, not the process. To be made before any
    /// thread is: they inherit what is blocked.
    ///
    /// # Errors
    /// Signals cannot be received.
    pub fn new() -> Outcome<Watch> {
        let signals = wait::signals(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let signals =
            signals.map_err(|error| Failure::failed(format!("cannot wait for signals: {error}")))?;
        let width = stderr().is_terminal().then(|| own::terminal_width(stderr()).unwrap_or(80).into());
        Ok(Watch { signals, interrupted: false, width, drawn: None, step: (0, 0, String::new()) })
    }

    /// The next step, of so many.
    pub fn step(&mut self, done: usize, all: usize, what: &str) {
        self.step = (done, all, what.to_owned());
        self.drawn = None;
    }

    /// Waits until the condition holds, at most so long. True if it does.
    ///
    /// # Errors
    /// Interrupted by a signal.
    pub fn until(
        &mut self,
        most: Duration,
        probe: Option<&Probe>,
        mut holds: impl FnMut() -> bool,
    ) -> Outcome<bool> {
        let deadline = Instant::now() + most;
        loop {
            if holds() {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.draw(probe);
            self.pause(LOOK.min(deadline.saturating_duration_since(Instant::now())))?;
        }
    }

    /// Fails once a signal has come.
    ///
    /// # Errors
    /// Interrupted by a signal.
    pub fn check(&mut self) -> Outcome {
        self.pause(Duration::ZERO)
    }

    fn pause(&mut self, most: Duration) -> Outcome {
        let millis = most.as_nanos().div_ceil(1_000_000);
        let mut fds = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX));
        if matches!(self.signals.read_signal(), Ok(Some(_))) {
            self.interrupted = true;
        }
        match self.interrupted {
            true => Err(Failure::new(exit_code::USAGE, "interrupted: everything is let go and cleared away")),
            false => Ok(()),
        }
    }

    fn draw(&mut self, probe: Option<&Probe>) {
        let Some(width) = self.width else { return };
        if self.drawn.is_some_and(|at| at.elapsed() < DRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let (done, all, what) = &self.step;
        let (requests, failed) = probe.map_or((0, 0), Probe::so_far);
        let text = picture(*done, *all, what, requests, failed);
        let text: String = text.chars().take(width.saturating_sub(1)).collect();
        let _ = write!(stderr(), "\r\x1b[K{text}"); // a picture that nobody sees is not missed
    }

    /// Leaves an empty line.
    pub fn wipe(&mut self) {
        if self.width.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn picture(done: usize, all: usize, what: &str, requests: usize, failed: usize) -> String {
    let full = BAR * done / all.max(1);
    let bar: String = (0..BAR).map(|at| if at < full { '█' } else { '░' }).collect();
    let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    format!("{bar} {done}/{all} {what}: {requests} requests{failures}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows() {
        assert_eq!(picture(5, 10, "leak", 120, 0), "██████████░░░░░░░░░░ 5/10 leak: 120 requests");
        assert!(picture(10, 10, "done", 5, 2).ends_with("5 requests, 2 failed"));
    }
}
