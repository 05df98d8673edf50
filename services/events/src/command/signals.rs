//! Ctrl-C and its relatives: what is under way ends in good order, then the process with the signal's exit code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use events::upkeep::Stop;
use nix::sys::signal::{SigSet, Signal};

use super::exit_code;
use super::failure::{Failure, Outcome};

/// Asks a job to stop when one of the signals comes.
pub struct Signals {
    /// What is asked.
    pub stop: Stop,
    /// The first that came; 0 while none has.
    first: Arc<AtomicU8>,
}

impl Signals {
    /// From now on the signals come here.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn watch() -> Outcome<Self> {
        let failed = |error| Failure::new(exit_code::FAILED, format!("cannot wait for signals: {error}"));
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        // Blocked in this thread and all that it starts: only `wait` takes them.
        set.thread_block().map_err(|error| failed(error.into()))?;
        let signals = Self { stop: Stop::default(), first: Arc::default() };
        let (stop, first) = (signals.stop.clone(), Arc::clone(&signals.first));
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                if let Ok(signal) = set.wait() {
                    first.store(u8::try_from(signal as i32).unwrap_or(0), Ordering::Relaxed);
                    stop.ask();
                }
            })
            .map_err(failed)?;
        Ok(signals)
    }

    /// The end of a command that was stopped, if a signal came.
    pub fn stopped(&self) -> Option<Failure> {
        match self.first.load(Ordering::Relaxed) {
            0 => None,
            signal => {
                let message = "stopped before the end; nothing is left half done";
                Some(Failure::new(exit_code::STOPPED + signal, message))
            }
        }
    }
}
