//! Why a command did not do what it was asked.

use std::path::Path;
use std::process::ExitCode;

use events::upkeep::is_disk_full;
use events::{Error, Trouble};

use super::exit_code;
use super::output::tell;

/// The end of a command that did not work: the exit code, and what to print on stderr, if anything.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
    hint: Option<String>,
}

/// What a command comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with a sentence: what was being done, to what, why it did not work.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Everything has been said already.
    pub fn quiet(code: u8) -> Self {
        Self::new(code, "")
    }

    /// `what` could not be done to the database.
    pub fn of(what: &str, database: &Path, error: &Error) -> Self {
        let shown = database.display();
        let is_other = matches!(error, Error::NotWhole(path, _) | Error::File(path, _) | Error::Path(_, path, _) if path != database);
        if error.is_missing() && !is_other {
            return Self::new(exit_code::MISSING, format!("cannot {what} {shown}: there is no such file"))
                .hint("say where it is: events --db FILE, or set EVENTS_DB");
        }
        let failure = |code| Self::new(code, format!("cannot {what} {shown}: {error}"));
        if error.is_missing() {
            return failure(exit_code::MISSING);
        }
        if is_disk_full(database, error) {
            return failure(exit_code::NO_ROOM)
                .hint("make room: df -h shows what is full, events prune --days 30 deletes old events");
        }
        match error.trouble() {
            Trouble::Locked => {
                failure(exit_code::LOCKED).hint("try again in a moment; events check tells who holds it")
            }
            Trouble::Corrupt if is_other => {
                failure(exit_code::DAMAGED).hint("nothing was changed; take an older backup")
            }
            Trouble::Corrupt => failure(exit_code::DAMAGED).hint(
                "events repair keeps what can be read; events restore BACKUP puts a backup in its place",
            ),
            Trouble::TooSlow | Trouble::Unavailable => match error {
                Error::Newer(_) => failure(exit_code::FAILED),
                _ => failure(exit_code::FAILED).hint("events check tells more"),
            },
        }
    }

    /// Says it, and gives the exit code of the process.
    pub fn tell(self) -> ExitCode {
        if !self.message.is_empty() {
            tell(&self.message);
        }
        if let Some(hint) = &self.hint {
            tell(format!("  {hint}"));
        }
        ExitCode::from(self.code)
    }
}
