//! `dogwatch status`, `list`, `ls`.

use super::args::Json;
use super::ask;
use super::fail::{Failure, Outcome};
use super::here::Here;
use super::screen::{Colour, Screen, print, print_json};
use super::table;
use crate::exit_code;
use crate::model::phase::{Goal, State};
use crate::wire::api::Services;

/// Shows all services.
///
/// # Errors
/// Nothing runs here; a service that shall run is not online.
pub fn run(here: &Here, options: &Json) -> Outcome {
    let services = ask::services_now(here)?;
    if options.json {
        print_json(&services)?;
    } else {
        print(&text(&services, Screen::of_stdout()))?;
    }
    let well = services
        .services
        .iter()
        .all(|service| service.goal == Goal::Down || service.state == State::Online || service.is_done());
    match well {
        true => Ok(()),
        false => Err(Failure::quiet(exit_code::FAILED)),
    }
}

/// The table and what is not as it should be.
pub fn text(services: &Services, screen: Screen) -> String {
    let mut text = match services.services.as_slice() {
        [] => "no services\n".to_owned(),
        services => table::render(services, screen),
    };
    for problem in &services.problems {
        text += &screen.paint(Colour::Yellow, problem);
        text.push('\n');
    }
    text
}
