//! Everything that `dogwatch up` in the foreground says, by a thread of its own: an output that nobody reads holds up
//! neither a signal nor the stopping of services.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::fail::{Failure, Outcome};
use super::follow::{EVERY, Logs};
use super::screen::{print, tell};
use crate::forward;

/// So much may wait to be said; more is forgotten.
const MOST: usize = 64;

/// Something to be said.
type Job = Box<dyn FnOnce() -> Outcome + Send>;

/// The thread.
#[derive(Debug)]
pub struct Printer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<Outcome>>,
    /// Standard output is for lines of services alone.
    aside: bool,
}

impl Printer {
    /// Begins to follow these logs; without any, standard output is somebody else's, and everything is said on standard
    /// error.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn begin(logs: Option<Logs>) -> Outcome<Printer> {
        let aside = logs.is_none();
        let (jobs, work) = sync_channel(MOST);
        let thread = thread::Builder::new().name("printer".to_owned()).spawn(move || speak(logs, &work));
        let thread = thread.map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
        Ok(Printer { jobs: Some(jobs), thread: Some(thread), aside })
    }

    /// Whether standard output is for lines of services alone.
    pub fn is_aside(&self) -> bool {
        self.aside
    }

    /// Has something done that may wait for whoever reads.
    pub fn later(&self, job: impl FnOnce() -> Outcome + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.try_send(Box::new(job)); // who does not read misses it
        }
    }

    /// Says something.
    pub fn say(&self, text: String) {
        let aside = self.aside;
        self.later(move || say(aside, &text));
    }

    /// Nobody reads any more, or what was to be said is the end of the command.
    ///
    /// # Errors
    /// That end.
    pub fn check(&mut self) -> Outcome {
        match self.thread.take_if(|thread| thread.is_finished()).map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(Failure::failed("following the logs has failed")),
            None => Ok(()),
        }
    }

    /// All that was written and said goes out, if somebody reads it.
    ///
    /// # Errors
    /// As [`Printer::check`].
    pub fn finish(mut self) -> Outcome {
        self.jobs = None;
        let end = std::time::Instant::now() + forward::LAST_WORDS;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            if std::time::Instant::now() >= end {
                return Ok(());
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        self.check()
    }
}

/// Says something on standard output, or aside.
///
/// # Errors
/// Nobody reads standard output.
pub fn say(aside: bool, text: &str) -> Outcome {
    if aside {
        tell(text.trim_end_matches('\n'));
        return Ok(());
    }
    print(text)
}

/// Until nobody can have anything more to say.
fn speak(mut logs: Option<Logs>, work: &Receiver<Job>) -> Outcome {
    loop {
        match work.recv_timeout(EVERY) {
            Ok(job) => {
                if let Some(logs) = &mut logs {
                    logs.print_all()?; // what comes before it
                }
                job()?;
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Some(logs) = &mut logs {
                    logs.print_new()?;
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return logs.as_mut().map_or(Ok(()), Logs::print_all);
            }
        }
    }
}
