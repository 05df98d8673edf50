//! Lines of logs on their way to sinks: systemd's journal, a syslog receiver, standard output.
//!
//! A sink follows the log files, as `dogwatch logs` does. So the files are its buffer: however slow or dead a sink is, no
//! service, no keeper, no file and no other sink waits for it, and nothing is lost as long as the archives are there.
//! How far each stream has come is written down after the sink has got it, so every line comes at least once: whoever
//! goes on after a SIGKILL repeats at most what had not been written down yet ([`follower::MARK`]).
//!
//! ```text
//! worker     one thread for each sink: waits, delivers, tries again
//! watch      knows which logs were written, and that one was rotated        ledger     which archives went unread
//! service    one service in one sink, if its logs can be read                position   how far they have come
//! follower   its streams in the order of time
//! outlet     what can be sent a line, and the kinds of it                   rfc5424    a line as a syslog message
//! stop       tells all threads to end                                       state      tells everybody how a sink is
//! ```
//! `dogwatch forward` is a helper of the control plane for all sinks but standard output, which belongs to the
//! `dogwatch up` in the foreground: there the same threads run.

use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::model::ladder::HELPERS_OOM_SCORE;
use crate::model::sink::{Format, Target};
use crate::os::{limits, own, priority, wait};
use crate::paths::Paths;
use crate::wire::sinks::{Plan, PlannedSink};
use crate::{exit_code, own_log};

mod follower;
mod ledger;
mod outlet;
mod position;
mod rfc5424;
mod service;
mod state;
mod stop;
mod watch;
mod worker;

pub use stop::Stop;

/// What was written before the end is forwarded for so long.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// A thread that has not ended then is left to its fate.
const PATIENCE: Duration = Duration::from_millis(500);
/// Stack of a thread, bytes; what is not used of it is no memory.
const STACK: usize = 1024 * 1024;

/// Runs the helper until it is told to end. `parent` has started it. Returns the exit code.
pub fn run(paths: &Paths, parent: i32) -> u8 {
    own::private_umask();
    own::set_oom_score(HELPERS_OOM_SCORE);
    limits::raise_open_files();
    match forward(paths, parent) {
        Ok(true) => exit_code::OK,
        Ok(false) => exit_code::FAILED,
        Err(error) => {
            own_log::line("forward", &format!("cannot forward any line: {error}"));
            exit_code::FAILED
        }
    }
}

/// False if a thread has failed.
fn forward(paths: &Paths, parent: i32) -> io::Result<bool> {
    // Before anything may want this process to end, and before there are threads that would take the signal.
    let signals = wait::signals(&[Signal::SIGTERM, Signal::SIGINT])?;
    if !priority::become_companion(parent) {
        return Ok(true);
    }
    let plan = Plan::decode(&std::fs::read(paths.forward_plan())?);
    let stop = Stop::new()?;
    let mut threads = Vec::new();
    for planned in plan.routes {
        if !matches!(planned.sink.to, Target::Stdout { .. }) {
            threads.push(begin(paths, planned, &stop)?);
        }
    }
    let mut fds = [
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        PollFd::new(stop.failed().as_fd(), PollFlags::POLLIN),
    ];
    while matches!(poll(&mut fds, PollTimeout::NONE), Err(nix::errno::Errno::EINTR)) {}
    stop.ring(LAST_WORDS);
    finish(threads);
    Ok(!stop.has_failed())
}

/// Starts a thread for a sink.
///
/// # Errors
/// Those of starting a thread.
pub fn begin(paths: &Paths, planned: PlannedSink, stop: &Stop) -> io::Result<JoinHandle<()>> {
    let (paths, stop) = (paths.clone(), stop.clone());
    let thread = thread::Builder::new().name(format!("sink-{}", planned.sink.name)).stack_size(STACK);
    thread.spawn(move || {
        // What a thread cannot put right by trying again is put right by a new process.
        if catch_unwind(AssertUnwindSafe(|| worker::run(&paths, &planned, &stop))).is_err() {
            own_log::line("forward", &format!("sink {} has failed; it begins anew", planned.sink.name));
            stop.fail();
        }
    })
}

/// Waits for threads that were told to stop, but not for ever. False if one is left.
pub fn finish(threads: Vec<JoinHandle<()>>) -> bool {
    let deadline = std::time::Instant::now() + LAST_WORDS + PATIENCE;
    for thread in threads {
        while !thread.is_finished() {
            if std::time::Instant::now() >= deadline {
                return false;
            }
            let _ = poll(&mut [], PollTimeout::from(5_u8));
        }
        let _ = thread.join(); // it has caught its own panics
    }
    true
}

/// How lines look on standard output, if a sink is that.
pub fn stdout_format(target: &Target) -> Option<Format> {
    match target {
        Target::Stdout { format } => Some(*format),
        Target::Journald { .. } | Target::Syslog { .. } => None,
    }
}
