//! `dogwatch logs`: what was written, then what comes.

use jiff::Zoned;

use super::args::Logs as Options;
use super::ask;
use super::fail::{Failure, Outcome};
use super::follow::{Logs, Which, files_of};
use super::here::Here;
use super::screen::{Screen, tell};
use crate::config;
use crate::exit_code;
use crate::logs::render::{Look, Shape, TimeFormat, check_time_format};
use crate::logs::sieve::{Context, Pattern};
use crate::logs::source::{Filter, Start};
use crate::logs::{former, moments};
use crate::wire::log_line::StreamName;
use crate::wire::spec::SpecFile;
use crate::wire::status::ServiceStatus;

/// Lines of each file, unless somebody wants another number.
const LINES: u64 = 15;

/// Prints logs, and follows them until somebody ends the command.
///
/// # Errors
/// There is no such service, or no service at all; a time, a pattern or a format is none; a file cannot be read.
pub fn run(here: &Here, options: &Options) -> Outcome {
    let filter = filter(options, &Zoned::now())?;
    let screen = Screen::of_stdout();
    let look = look(options, &filter, screen)?;
    let services = services(here)?;
    let chosen = ask::select(&services, &options.names)?;
    let which = Which { out: !options.err, err: !options.out };
    if let (true, only) = (options.err || options.out, if options.err { "--err" } else { "--out" }) {
        for service in &chosen {
            let name = &service.name;
            if service.logs().any(|(stream, _)| stream == StreamName::Merged) {
                tell(format!(
                    "{name}: its streams are merged (log.merge), so {only} cannot tell them apart: all is shown"
                ));
            } else if former::of(service).iter().any(|(stream, _)| *stream == StreamName::Merged) {
                tell(format!(
                    "{name}: its streams were merged once (log.merge), so {only} cannot tell what is of then \
                     apart: all of that is shown"
                ));
            }
        }
    }
    let follow = !options.nostream && options.until.is_none();
    let named = !options.raw && (chosen.len() > 1 || follow);
    let all = filter.pattern.is_some() || filter.since.is_some() || filter.until.is_some();
    let start = match options.lines {
        Some(count) => Start::Last(count),
        None if all => Start::Oldest,
        None => Start::Last(LINES),
    };
    let mut logs = Logs::new(files_of(&chosen, which, named, screen), &filter, start, look)?;
    logs.print_history(!follow)?;
    if !follow {
        return logs.end();
    }
    logs.follow()
}

fn filter(options: &Options, now: &Zoned) -> Outcome<Filter> {
    let wrong = |option: &str, why: String| Failure::new(exit_code::USAGE, format!("{option}: {why}"));
    let moment = |option: &str, text: &Option<String>| {
        text.as_ref().map(|text| moments::parse(text, now).map_err(|why| wrong(option, why))).transpose()
    };
    let (since, until) = (moment("--since", &options.since)?, moment("--until", &options.until)?);
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(wrong("--until", "it is before --since: no line can be between them".to_owned()));
    }
    let pattern = |text: &String| Pattern::new(text, options.ignore_case).map_err(|why| wrong("--grep", why));
    let around = options.context.unwrap_or(0);
    Ok(Filter {
        since,
        until,
        pattern: options.grep.as_ref().map(pattern).transpose()?,
        context: Context { before: options.before.unwrap_or(around), after: options.after.unwrap_or(around) },
    })
}

fn look(options: &Options, filter: &Filter, screen: Screen) -> Outcome<Look> {
    if let Some(format) = &options.timestamp {
        check_time_format(format)
            .map_err(|why| Failure::new(exit_code::USAGE, format!("--timestamp: {why}")))?;
    }
    let coloured = screen.colour && !options.raw;
    Ok(Look {
        shape: match (options.json, options.format) {
            (true, _) => Shape::Json,
            (_, true) => Shape::Pairs,
            _ => Shape::Text,
        },
        time: options.timestamp.clone().map(TimeFormat::Strftime),
        matches: filter.pattern.clone().filter(|_| coloured),
        highlight: options.highlight.as_ref().filter(|_| coloured).map(|text| Pattern::text(text)),
        groups: !options.raw && filter.context != Context::default(),
        raw: options.raw,
        ids: Vec::new(),
    })
}

/// The services that run, and those that the file has. If nothing runs and there is no file: those that ran.
fn services(here: &Here) -> Outcome<Vec<ServiceStatus>> {
    let mut services = match ask::services_now(here) {
        Ok(services) => services.services,
        Err(failure) if failure.code == exit_code::NOT_RUNNING => {
            let known = [of_file(here), of_run_folder(here)].into_iter().find(|known| !known.is_empty());
            return known.ok_or(failure);
        }
        Err(failure) => return Err(failure),
    };
    for entry in of_file(here) {
        if !services.iter().any(|service| service.name == entry.name) {
            services.push(entry);
        }
    }
    Ok(services)
}

fn of_file(here: &Here) -> Vec<ServiceStatus> {
    let load = |file: std::path::PathBuf| config::load(&file, &config::Surroundings::of_this_process()).ok();
    let ecosystem = here.file().and_then(load);
    ecosystem.iter().flat_map(|ecosystem| &ecosystem.services).map(ServiceStatus::of_spec).collect()
}

/// The entries that keepers ran with last.
fn of_run_folder(here: &Here) -> Vec<ServiceStatus> {
    let folders = std::fs::read_dir(here.paths.services()).into_iter().flatten().flatten();
    let specs = folders.filter_map(|folder| {
        let bytes = std::fs::read(folder.path().join("spec.json")).ok()?;
        Some(ServiceStatus::of_spec(&SpecFile::decode(&bytes).ok()?.spec))
    });
    let mut found: Vec<ServiceStatus> = specs.collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
