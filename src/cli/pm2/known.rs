//! The services that a command can mean, numbered as pm2 numbers them.

use std::path::PathBuf;

use super::target;
use crate::cli::ask;
use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::config::{self, Ecosystem, Surroundings};
use crate::exit_code;
use crate::wire::names::suggest;
use crate::wire::status::ServiceStatus;

/// What there is. A service's id is its position.
#[derive(Debug)]
pub struct Known {
    /// In the order of their start, as ecosystem.toml has it; what is not in the file comes last.
    pub services: Vec<ServiceStatus>,
    /// What is not as it should be, one sentence each.
    pub problems: Vec<String>,
    /// Dogwatch runs.
    pub runs: bool,
    /// The ecosystem.toml.
    pub file: Option<PathBuf>,
}

impl Known {
    /// The services of a dogwatch that runs.
    ///
    /// # Errors
    /// None runs here.
    pub fn of_running(here: &Here) -> Outcome<Known> {
        let answer = ask::services_now(here)?;
        let file = here.file_in_force().or_else(|| here.file());
        let mut known = Known { services: answer.services, problems: answer.problems, runs: true, file };
        if let Some(ecosystem) = known.ecosystem() {
            let place = |service: &ServiceStatus| {
                ecosystem.services.iter().position(|entry| entry.name == service.name).unwrap_or(usize::MAX)
            };
            known.services.sort_by_key(place);
        }
        Ok(known)
    }

    /// The same, and those that only ecosystem.toml knows: all of them, if no dogwatch runs.
    ///
    /// # Errors
    /// No dogwatch runs, and there is no file, or it has mistakes.
    pub fn with_new(here: &Here) -> Outcome<Known> {
        let mut known = match Known::of_running(here) {
            Err(failure) if failure.code == exit_code::NOT_RUNNING => {
                let file = here.need_file()?;
                let ecosystem = config::load(&file, &Surroundings::of_this_process())
                    .map_err(|mistakes| Failure::new(exit_code::CONFIG, mistakes.to_string()))?;
                let services = ecosystem.services.iter().map(ServiceStatus::of_spec).collect();
                return Ok(Known { services, problems: Vec::new(), runs: false, file: Some(file) });
            }
            other => other?,
        };
        let entries = known.ecosystem().map(|ecosystem| ecosystem.services).unwrap_or_default();
        for entry in entries {
            if !known.services.iter().any(|service| service.name == entry.name) {
                known.services.push(ServiceStatus::of_spec(&entry));
            }
        }
        Ok(known)
    }

    /// What the file says, if it is without mistakes.
    fn ecosystem(&self) -> Option<Ecosystem> {
        config::load(self.file.as_ref()?, &Surroundings::of_this_process()).ok()
    }

    /// The positions that the words mean.
    ///
    /// # Errors
    /// A word that means nothing.
    pub fn resolve(&self, words: &[String]) -> Outcome<Vec<usize>> {
        target::resolve(words, &self.services).map_err(|word| self.unknown(&word))
    }

    /// What is said about a word that means nothing.
    pub fn unknown(&self, word: &str) -> Failure {
        let names: Vec<&str> = self.services.iter().map(|service| service.name.as_str()).collect();
        Failure::new(exit_code::UNKNOWN_SERVICE, target::unknown(word)).hint(suggest(word, &names))
    }

    /// The service of that name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.services.iter().position(|service| service.name.as_str() == name)
    }

    /// Where entries are to be written.
    pub fn file_name(&self) -> String {
        self.file.as_ref().map_or_else(|| config::FILE_NAME.to_owned(), |file| file.display().to_string())
    }
}
