//! How a command answers: what of it is printed, and how wide.

use super::args::Manner;
use super::known::Known;
use super::list::list;
use super::says;
use crate::cli::fail::Outcome;
use crate::cli::here::Here;
use crate::cli::screen::{Screen, print, tell};
use crate::os::own;
use crate::os::users;

/// A mini list is as wide as this terminal would have it.
const MINI: usize = 80;

/// The way of one command.
#[derive(Debug, Clone)]
pub struct Voice {
    /// Only what was asked for is printed.
    silent: bool,
    /// Where it goes.
    pub screen: Screen,
    /// The width of the table of services.
    columns: Option<usize>,
    /// Dogwatch's user.
    pub me: String,
}

impl Voice {
    /// For this terminal, or whatever standard output is.
    pub fn new(here: &Here, manner: Manner) -> Voice {
        let found = Screen::of_stdout();
        let screen = Screen { colour: found.colour && !manner.no_colour, ..found };
        let columns = if manner.mini { Some(screen.width.unwrap_or(MINI).min(MINI)) } else { screen.width };
        let uid = own::owner(&here.paths.run).unwrap_or_else(|_| own::effective_uid());
        let me = users::name_of(uid).unwrap_or_else(|| uid.to_string());
        Voice { silent: manner.silent, screen, columns, me }
    }

    /// Prints a line around the answer.
    ///
    /// # Errors
    /// Nobody reads stdout.
    pub fn say(&self, line: &str) -> Outcome {
        if self.silent {
            return Ok(());
        }
        print(&format!("{line}\n"))
    }

    /// Prints a warning on stderr.
    pub fn warn(&self, text: &str) {
        if !self.silent {
            tell(says::warning(text));
        }
    }

    /// Prints the table of services, and what is not as it should be.
    ///
    /// # Errors
    /// Nobody reads stdout.
    pub fn table(&self, known: &Known) -> Outcome {
        print(&list(&known.services, self.columns, &self.me, self.screen))?;
        for problem in &known.problems {
            self.warn(problem);
        }
        Ok(())
    }

    /// The same after an order.
    ///
    /// # Errors
    /// Nobody reads stdout; nothing runs any more.
    pub fn table_after(&self, here: &Here) -> Outcome {
        match self.silent {
            true => Ok(()),
            false => self.table(&Known::of_running(here)?),
        }
    }
}
