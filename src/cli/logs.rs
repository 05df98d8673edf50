//! `dogwatch logs`: the latest lines, then what comes.

use super::args::Logs as Options;
use super::ask;
use super::fail::Outcome;
use super::follow::{Logs, Which};
use super::here::Here;
use super::screen::Screen;
use crate::config;
use crate::exit_code;
use crate::wire::status::ServiceStatus;

/// Prints logs, and follows them until somebody ends the command.
///
/// # Errors
/// There is no such service, or no service at all.
pub fn run(here: &Here, options: &Options) -> Outcome {
    let services = match ask::services_now(here) {
        Ok(services) => services.services,
        Err(failure) if failure.code == exit_code::NOT_RUNNING => of_file(here).ok_or(failure)?,
        Err(failure) => return Err(failure),
    };
    let chosen = ask::select(&services, &options.names)?;
    let which = Which { out: !options.err, err: !options.out };
    let named = chosen.len() > 1 || !options.nostream;
    let mut logs = Logs::new(&chosen, which, named, Screen::of_stdout());
    logs.print_last(options.lines)?;
    if options.nostream {
        return Ok(());
    }
    logs.follow()
}

/// Nothing runs: the logs of before are where the file says.
fn of_file(here: &Here) -> Option<Vec<ServiceStatus>> {
    let ecosystem = config::load(&here.file()?, &config::Surroundings::of_this_process()).ok()?;
    Some(ecosystem.services.iter().map(ServiceStatus::of_spec).collect())
}
