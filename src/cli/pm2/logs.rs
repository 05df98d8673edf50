//! `pm2 logs`.

use super::args::{LogShape, Logs as Options, Streams};
use super::known::Known;
use super::says;
use super::voice::Voice;
use crate::cli::fail::Outcome;
use crate::cli::follow::{LogFile, Logs, Which};
use crate::cli::here::Here;
use crate::cli::screen::{Colour, Screen};
use crate::logs::render::{Label, Look, Shape, TimeFormat};
use crate::logs::sieve::Pattern;
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
    let (mut files, mut numbers) = (Vec::new(), Vec::new());
    for (id, service) in chosen() {
        let prefix = says::log_prefix(id, service.name.as_str(), width);
        let prefix = |colour| match options.shape {
            LogShape::Usual => voice.screen.paint(colour, &prefix),
            LogShape::Raw | LogShape::Json | LogShape::Pairs => String::new(),
        };
        let which = Which { out: options.streams != Streams::Err, err: options.streams != Streams::Out };
        for (stream, path) in service.logs().filter(|(stream, _)| which.has(*stream)) {
            let colour = if stream == StreamName::Error { Colour::Red } else { Colour::Green };
            let (service, dress) = (service.name.to_string(), service.log_dress.clone());
            let label = Label { service, stream, dress, prefix: prefix(colour) };
            files.push(LogFile { path: path.clone(), label });
            numbers.push(id);
        }
    }
    let start = Start::Last(options.lines as u64);
    let mut logs = Logs::new(files, &Filter::default(), start, look(options, numbers, voice.screen))?;
    match options.shape {
        // For programs there is nothing but lines.
        LogShape::Json | LogShape::Pairs => logs.print_history(!options.follow)?,
        LogShape::Raw => logs.print_history_under(|_| String::new())?,
        LogShape::Usual => {
            voice.say(&voice.screen.paint(Colour::Grey, &says::tailing(&word, options.lines)))?;
            logs.print_history_under(|path| {
                voice.screen.paint(Colour::Grey, &says::tail_of(path, options.lines)) + "\n"
            })?;
        }
    }
    if !options.follow {
        return logs.end();
    }
    logs.follow()
}

/// What the lines look like; `ids` are those of their services.
fn look(options: &Options, ids: Vec<usize>, screen: Screen) -> Look {
    let shape = match options.shape {
        LogShape::Usual | LogShape::Raw => Shape::Text,
        LogShape::Json => Shape::Pm2Json,
        LogShape::Pairs => Shape::Pairs,
    };
    // Raw is raw, as in pm2.
    let usual = options.shape == LogShape::Usual;
    Look {
        shape,
        ids,
        time: options.timestamp.clone().filter(|_| usual).map(TimeFormat::Tokens),
        highlight: options
            .highlight
            .as_ref()
            .filter(|_| usual && screen.colour)
            .map(|text| Pattern::text(text)),
        ..Look::default()
    }
}
