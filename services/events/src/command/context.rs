//! What all subcommands share: which database, which form of answer, and how a job is run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use events::Error;
use events::upkeep::{Job, backups_folder};
use serde::Serialize;

use super::exit_code;
use super::failure::{Failure, Outcome};
use super::output::{print, print_json};
use super::progress::Bar;
use super::signals::Signals;

const DATABASE: &str = "data/webhook_events.db";

/// What was said before the subcommand.
pub struct Context {
    /// The database.
    pub database: PathBuf,
    /// Answer in JSON.
    pub json: bool,
    /// How long others are waited for.
    pub patience: Duration,
}

impl Context {
    /// An empty path counts as not given, as an empty variable does for the services.
    pub fn new(database: Option<PathBuf>, json: bool, patience: Duration) -> Self {
        let database = database.filter(|path| !path.as_os_str().is_empty());
        Self { database: database.unwrap_or_else(|| DATABASE.into()), json, patience }
    }

    /// Where the backups are, unless it is said: beside the folder of the database.
    pub fn backups(&self, said: Option<PathBuf>) -> PathBuf {
        said.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| backups_folder(&self.database))
    }

    /// Does `work`, shows how far it is, and lets it be stopped. `what` follows "cannot".
    ///
    /// # Errors
    /// The end of the command.
    pub fn job<T>(&self, what: &str, work: impl FnOnce(Job<'_>) -> Result<T, Error>) -> Outcome<T> {
        let signals = Signals::watch()?;
        let bar = Bar::start();
        let job =
            Job { database: &self.database, patience: self.patience, stop: &signals.stop, progress: &bar };
        let outcome = work(job);
        drop(bar);
        outcome.map_err(|error| match (&error, signals.stopped()) {
            (Error::Stopped, Some(stopped)) => stopped,
            _ => self.failure(what, &error),
        })
    }

    /// `what` could not be done to the database.
    pub fn failure(&self, what: &str, error: &Error) -> Failure {
        Failure::of(what, &self.database, error)
    }

    /// Answers, in the form that was asked for.
    ///
    /// # Errors
    /// The end of the command.
    pub fn answer<T: Serialize>(&self, answer: &T, text: impl FnOnce(&T) -> String) -> Outcome<ExitCode> {
        if self.json {
            print_json(answer)?
        } else {
            print(&text(answer))?
        }
        Ok(ExitCode::from(exit_code::OK))
    }
}
