//! `dogwatch drill`: hurts dogwatch while a service is asked again and again, and says what the service noticed.
//!
//! Pure: [`fault`] (what there is), [`plan`] (what is done), [`sample`], [`lines`] and [`verdict`] (what it comes
//! to), [`table`] and [`html`] (how it looks). Edges: [`probe`] asks, [`inject`] hurts, [`own`] finds dogwatch's
//! processes, [`neighbour`] starts throw-away services of [`victim`], [`scratch`] makes a dogwatch to hurt, and
//! [`guard`] puts everything back, however the drill ends.

mod confirm;
pub mod fault;
pub mod guard;
mod html;
mod inject;
mod lines;
mod live;
mod neighbour;
mod own;
mod plan;
mod probe;
mod sample;
mod scratch;
mod session;
mod table;
mod target;
mod verdict;
pub mod victim;
mod watch;

use std::path::Path;

use super::args::Drill as Options;
use super::fail::{Failure, Outcome};
use super::here::Here;
use super::screen::{Screen, print, print_json, tell};
use crate::exit_code;
use crate::wire::drill::{Report, Verdict};
use plan::Place;
use sample::Sample;

/// Does the drill. Ends with [`exit_code::FAILED`] if the promise was broken, and with [`exit_code::USAGE`] if there
/// could be no drill, whatever was in its way.
///
/// # Errors
/// Those two.
pub fn run(here: &Here, options: &Options) -> Outcome {
    let place = match options.scratch {
        true => Place::Scratch,
        false => Place::Live { neighbours: options.neighbours },
    };
    let faults = plan::faults(place, &options.only)?;
    if options.list {
        return print(&fault::ALL.map(|(fault, name)| format!("{name:<19}{fault}\n")).concat());
    }
    let impossible = |failure: Failure| failure.with_code(exit_code::USAGE);
    if let Some(path) = &options.html {
        write(path, "").map_err(impossible)?; // better known before than after
    }
    let (report, samples) = session::hold(here, options, &faults).map_err(impossible)?;
    if let Some(path) = &options.html {
        write(path, &html::render(&report, &samples)).map_err(impossible)?;
        tell(format_args!("report: {}", path.display()));
    }
    match options.json {
        true => print_json(&report)?,
        false => print(&table::render(&report, Screen::of_stdout()))?,
    }
    let broken = report.rows.iter().any(|row| row.verdict == Verdict::Broken);
    match (report.kept, broken) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::quiet(exit_code::FAILED)),
        (false, false) => Err(Failure::quiet(exit_code::USAGE)),
    }
}

/// A report, and all requests that it is about.
type Findings = (Report, Vec<Sample>);

fn write(path: &Path, text: &str) -> Outcome {
    std::fs::write(path, text)
        .map_err(|error| Failure::failed(format!("cannot write the report {}: {error}", path.display())))
}
