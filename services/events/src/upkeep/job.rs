//! One piece of upkeep under way: on which database, who is shown how far it is, and who may stop it.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::Error;
use crate::error::Doing;

/// Steps of SQLite's machine between two looks at [`Stop`]; some tens of microseconds.
const STEPS: i32 = 5_000;

/// A piece of upkeep.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The database.
    pub database: &'a Path,
    /// How long others are waited for.
    pub patience: Duration,
    /// Who may stop it.
    pub stop: &'a Stop,
    /// Who is shown how far it is.
    pub progress: &'a dyn Progress,
}

/// Is shown how far a job is.
pub trait Progress: Sync {
    /// The job now does this, in words that follow "now".
    fn stage(&self, what: &str);
    /// Of the stage, `done` of `all` is done, in whatever the stage counts.
    fn at(&self, done: u64, all: u64);
}

/// Nobody looks.
impl Progress for () {
    fn stage(&self, _: &str) {}
    fn at(&self, _: u64, _: u64) {}
}

/// Asks jobs to end before they are done; all copies are one.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Asks for the end.
    pub fn ask(&self) {
        let (asked, changed) = &*self.0;
        *asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    /// Was it asked for?
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `time`, less if the end is asked for meanwhile. Tells whether it was.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let (asked, changed) = &*self.0;
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, _) =
            changed.wait_timeout_while(asked, time, |asked| !*asked).unwrap_or_else(PoisonError::into_inner);
        *asked
    }

    /// An error, if it was asked for.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_asked() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Does `work` on the connection so that it ends when the end is asked for, even within one statement.
    pub(crate) fn watch<T>(
        &self,
        connection: &Connection,
        work: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        const DOING: &str = "listening for the end";
        let stop = self.clone();
        connection.progress_handler(STEPS, Some(move || stop.is_asked())).doing(DOING)?;
        let outcome = work(connection);
        connection.progress_handler(0, None::<fn() -> bool>).doing(DOING)?;
        match outcome {
            Err(error) if self.is_asked() && is_interruption(&error) => Err(Error::Stopped),
            outcome => outcome,
        }
    }
}

fn is_interruption(error: &Error) -> bool {
    matches!(error, Error::Sql(_, rusqlite::Error::SqliteFailure(failure, _)) if failure.code == ErrorCode::OperationInterrupted)
}
