//! Waiting: for descriptors, and for children without stealing from anyone.

use std::io;

use nix::poll::{PollFd, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::process::exit_of_status;
use crate::model::end::Exit;

/// After poll(2) has failed.
const POLL_FAILED: u16 = 100;

/// Waits until one of these is ready, or time is over. Whoever calls this in a loop looks at everything after it, so a
/// signal is a wake-up like any other. Where the kernel cannot wait for them (EINVAL when they are more than the process
/// may have by now, ENOMEM) it is a moment, without which the loop would do nothing else any more.
pub fn for_any(fds: &mut [PollFd<'_>], timeout: PollTimeout) {
    match poll(fds, timeout) {
        Ok(_) | Err(nix::Error::EINTR) => {}
        Err(_) => drop(poll(&mut [], POLL_FAILED)),
    }
}

/// A child that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its number.
    pub pid: i32,
    /// Its wait status.
    pub status: i32,
}

impl Ended {
    /// How it ended.
    pub fn exit(&self) -> Exit {
        exit_of_status(self.status)
    }
}

/// Looks for a child that has ended and leaves it as it is, so that its group number cannot be used again
/// before its group is dealt with. With `only`, looks at that child alone. None if no such child has ended,
/// or there is none.
pub fn peek(only: Option<i32>) -> Option<Ended> {
    #[expect(unsafe_code, reason = "nix's waitid hides the pid of a peeked child in some states")]
    // SAFETY: a zeroed siginfo is valid, and lives through the call.
    unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let (kind, id) = only.map_or((libc::P_ALL, 0), |pid| (libc::P_PID, pid as libc::id_t));
        if libc::waitid(kind, id, &raw mut info, options) < 0 || info.si_pid() == 0 {
            return None;
        }
        // siginfo has code and value apart; put together they are the wait status again.
        let status = match info.si_code {
            libc::CLD_EXITED => (info.si_status() & 0xff) << 8,
            libc::CLD_DUMPED => info.si_status() | 0x80,
            _ => info.si_status(),
        };
        Some(Ended { pid: info.si_pid(), status })
    }
}

/// A child that was stopped by a signal, each stop told once; none if there is no more news. It leaves children
/// that have ended alone.
pub fn next_stopped() -> Option<i32> {
    #[expect(unsafe_code, reason = "nix's waitid hides the pid in some states")]
    // SAFETY: a zeroed siginfo is valid, and lives through the call.
    unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        let options = libc::WSTOPPED | libc::WNOHANG;
        let answer = libc::waitid(libc::P_ALL, 0, &raw mut info, options);
        (answer == 0 && info.si_pid() != 0).then(|| info.si_pid())
    }
}

/// Lets go of a child that has ended. None if it is not a child of this process, or has not ended.
pub fn reap(pid: i32) -> Option<Ended> {
    let mut status = 0;
    #[expect(unsafe_code, reason = "the raw wait status is what is passed on")]
    // SAFETY: `status` lives through the call.
    let answer = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
    (answer == pid && pid > 0).then_some(Ended { pid, status })
}

/// Becomes the parent of orphaned descendants (PR_SET_CHILD_SUBREAPER, Linux 3.4).
///
/// # Errors
/// Those of prctl(2); none are documented.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Lets all signals through. A program that has taken the place of another one finds them blocked (see
/// [`super::exec`]).
pub fn let_signals_through() {
    let _ = SigSet::empty().thread_set_mask(); // it fails for no signal that there is
}

/// Blocks these signals and no others, and returns a descriptor that is readable when one has come.
///
/// # Errors
/// Those of signalfd(2).
pub fn signals(which: &[NixSignal]) -> io::Result<SignalFd> {
    let set: SigSet = which.iter().copied().collect();
    // The descriptor first: none of them can come between.
    let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    set.thread_set_mask()?;
    Ok(signals)
}
