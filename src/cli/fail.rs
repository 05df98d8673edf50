//! Why a command did not do what it was asked.

use std::fmt;

use crate::exit_code;
use crate::paths::Paths;
use crate::wire::api::Refusal;

/// The end of a command that did not work: the exit code, and what to print on stderr, if anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// See [`exit_code`].
    pub code: u8,
    message: String,
    hint: Option<String>,
}

/// What a command comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with a sentence: what was being done, to what, why it did not work.
    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: None }
    }

    /// The same with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub fn with_code(self, code: u8) -> Failure {
        Failure { code, ..self }
    }

    /// Everything has been said already.
    pub fn quiet(code: u8) -> Failure {
        Failure::new(code, "")
    }

    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::new(exit_code::FAILED, message)
    }

    /// Nothing of dogwatch is there.
    pub fn not_running(paths: &Paths) -> Failure {
        let folder = paths.run.display();
        Failure::new(
            exit_code::NOT_RUNNING,
            format!("dogwatch does not run here (no control plane and no keeper in {folder})"),
        )
        .hint("start it: dogwatch up")
    }

    /// There is no such service.
    pub fn unknown(name: &str, names: &[&str]) -> Failure {
        Failure::new(exit_code::UNKNOWN_SERVICE, format!("there is no service {name}"))
            .hint(crate::wire::names::suggest(name, names))
    }

    /// The control plane said no.
    pub fn refused(code: u8, refusal: Refusal) -> Failure {
        Failure { code, message: refusal.error, hint: refusal.hint }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}
