//! `pm2 logs`.

use std::path::Path;

use super::args::{Logs as Options, Streams};
use super::known::Known;
use super::says;
use super::voice::Voice;
use crate::cli::fail::Outcome;
use crate::cli::follow::{LogFile, Logs};
use crate::cli::here::Here;
use crate::cli::screen::Colour;
use crate::logs::render::{Label, Look};
use crate::logs::source::{Filter, Start};
use crate::wire::log_line::StreamName;

/// Prints the latest lines, and follows until somebody ends the command. Without a dogwatch that runs, the logs
/// of before are where ecosystem.toml says.
///
/// # Errors
/// An unknown word; a file that cannot be read.
pub fn run(here: &Here, voice: &Voice, options: &Options) -> Outcome {
    let known = Known::with_new(here)?;
    let word = options.target.clone().unwrap_or_else(|| "all".to_owned());
    let ids = known.resolve(std::slice::from_ref(&word))?;
    let chosen = || ids.iter().map(|id| (*id, &known.services[*id]));
    let width = chosen().map(|(_, service)| service.name.as_str().len()).max().unwrap_or(0);
    let mut files = Vec::new();
    for (id, service) in chosen() {
        let prefix = says::log_prefix(id, service.name.as_str(), width);
        let prefix = |colour| match options.raw {
            true => String::new(),
            false => voice.screen.paint(colour, &prefix),
        };
        let file = |path: &Path, stream, colour| LogFile {
            path: path.to_owned(),
            label: Label { service: service.name.to_string(), stream, prefix: prefix(colour) },
        };
        if options.streams != Streams::Err {
            files.push(file(&service.log_out, StreamName::Out, Colour::Green));
        }
        if options.streams != Streams::Out {
            files.push(file(&service.log_error, StreamName::Error, Colour::Red));
        }
    }
    let start = Start::Last(options.lines as u64);
    let mut logs = Logs::new(files, &Filter::default(), start, Look::default())?;
    match options.raw {
        true => logs.print_history_under(|_| String::new())?,
        false => {
            voice.say(&voice.screen.paint(Colour::Grey, &says::tailing(&word, options.lines)))?;
            logs.print_history_under(|path| {
                voice.screen.paint(Colour::Grey, &says::tail_of(path, options.lines)) + "\n"
            })?;
        }
    }
    if !options.follow {
        return Ok(());
    }
    logs.follow()
}
