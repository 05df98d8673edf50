//! From the file as written to services that can be run: paths made absolute, defaults filled in, names
//! looked up, services put in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::address;
use super::command::Command;
use super::environment::{self, EnvFiles};
use super::file::{Entry, File};
use super::mistake::{At, Kind};
use super::order::start_order;
use super::suggest::did_you_mean;
use super::table::Found;
use super::{Compartment, Ecosystem, Surroundings, below, sinks};
use crate::model::name::ServiceName;
use crate::model::spec::{FILES_OF_BUDGET, LOG_BUDGET, LogPolicy, ServiceSpec};

/// The compartment of a service that names none.
const DEFAULT_COMPARTMENT: &str = "default";
/// Where logs go, unless written.
const LOG_DIR: &str = "logs";
/// A log is rotated at this size, unless written.
const ROTATE_SIZE: u64 = 10 << 20;
/// Archives kept per stream, unless written.
const KEEP: u32 = 14;
/// The same where the file is not wanted, and is there only so that a sink that is away for a while loses nothing: a
/// few mebibytes, which it is not worth the time to compress.
const BUFFER: (u64, u32, bool) = (4 << 20, 3, false);

/// Puts everything together. The result counts only if nothing was found to be wrong.
pub(super) fn resolve(file: File, path: PathBuf, around: &Surroundings, found: &mut Found) -> Ecosystem {
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let log_dir = below(&folder, file.log_dir.as_deref().unwrap_or(LOG_DIR));
    address::check_unique(&file, found);
    check_log_names(&file, found);
    let after = waits(&file, found);
    let order = order(&file, &after, found);
    let routes = sinks::routes(&file, found);
    let as_buffer: Vec<bool> = file
        .services
        .iter()
        .map(|entry| sinks::of(entry, &file).is_some_and(|names| !names.have_file()))
        .collect();
    let compartments: BTreeMap<String, Compartment> = file.compartments.iter().cloned().collect();
    let names = file.services.iter().map(|entry| entry.name.get_ref().clone()).collect();
    let mut env_files = EnvFiles::default();
    let mut specs: Vec<Option<ServiceSpec>> = Vec::with_capacity(file.services.len());
    for (entry, as_buffer) in file.services.into_iter().zip(as_buffer) {
        let home = Home { folder: &folder, log_dir: &log_dir, compartments: &compartments, around };
        specs.push(service(entry, as_buffer, &home, &mut env_files, found));
    }
    let own = environment::of_dogwatch(around);
    let notify = file.notify.and_then(|(at, words)| argv(&at, &words, &folder, &own, found));
    Ecosystem {
        notify,
        listen: file.listen.map(|listen| listen.address),
        log_dir,
        log_budget: file.log_budget,
        log_reserve: file.log_reserve,
        sinks: routes,
        group: None,
        compartments,
        services: order.into_iter().filter_map(|index| specs[index].take()).collect(),
        names,
        env_files: env_files.paths(),
        path,
    }
}

/// What the services of one file share.
struct Home<'a> {
    folder: &'a Path,
    log_dir: &'a Path,
    compartments: &'a BTreeMap<String, Compartment>,
    around: &'a Surroundings,
}

fn service(
    entry: Entry,
    as_buffer: bool,
    home: &Home<'_>,
    files: &mut EnvFiles,
    found: &mut Found,
) -> Option<ServiceSpec> {
    let (rotate_size, keep, compress) = if as_buffer { BUFFER } else { (ROTATE_SIZE, KEEP, true) };
    let compartment = compartment(&entry, home, found);
    let critical = entry.critical.unwrap_or_else(|| {
        let compartment = home.compartments.get(&compartment);
        compartment.is_some_and(|compartment| compartment.critical)
    });
    let together =
        home.compartments.get(&compartment).map(|compartment| compartment.together).unwrap_or_default();
    if critical && let Some(gives_up) = &entry.restart.gives_up {
        let at = gives_up.get_ref().clone();
        found.note(gives_up.span(), Kind::CriticalGivesUp { at });
    }
    let environment = environment::build(&entry, home.folder, home.around, files, found);
    let command = match entry.command? {
        Command::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line],
        Command::Words(at, words) => argv(&at, &words, home.folder, &environment, found)?,
    };
    let cwd = entry.cwd.map_or(home.folder.to_owned(), |cwd| below(home.folder, &cwd));
    let mut after: Vec<ServiceName> = Vec::with_capacity(entry.after.len());
    for name in &entry.after {
        let name = ServiceName::new(name.get_ref()).ok()?;
        if !after.contains(&name) {
            after.push(name);
        }
    }
    let rotate_size = entry.log.rotate_size.unwrap_or(rotate_size);
    let budget = LOG_BUDGET.max(rotate_size.saturating_mul(FILES_OF_BUDGET));
    let budget = entry.log.budget.unwrap_or(budget);
    Some(ServiceSpec {
        name: entry.name.into_inner(),
        compartment,
        critical,
        command,
        cwd,
        env: environment.env,
        user: entry.user,
        attributes: entry.attributes.below(home.folder),
        shares: entry.shares.or_critical(critical),
        together,
        after,
        listen: entry.listen.into_iter().map(|listen| listen.address).collect(),
        ready: entry.ready.unwrap_or_default(),
        restart: entry.restart.policy,
        stop: entry.stop,
        memory: entry.memory,
        log: LogPolicy {
            dir: home.log_dir.to_owned(),
            rotate_size: rotate_size.min(budget / FILES_OF_BUDGET),
            rotate_every: entry.log.rotate_every,
            keep: entry.log.keep.unwrap_or(keep),
            keep_for: entry.log.keep_for,
            compress: entry.log.compress.unwrap_or(compress),
            budget,
            on_full: entry.log.on_full,
            max_rate: entry.log.max_rate,
            dress: entry.log.dress,
            merge: entry.log.merge.unwrap_or(false),
        },
        access: entry.access,
    })
}

/// Expands the words; a program with a `/` in it is relative to the file's folder.
fn argv(
    at: &At,
    words: &[Spanned<String>],
    folder: &Path,
    environment: &environment::Environment<'_>,
    found: &mut Found,
) -> Option<Vec<String>> {
    let expanded: Vec<_> = words.iter().map(|word| environment.expand(word, at, &[], found)).collect();
    let mut argv = expanded.into_iter().collect::<Option<Vec<_>>>()?;
    let program = argv.first_mut()?;
    if program.is_empty() {
        let kind = Kind::Empty { at: at.clone(), help: "the variables in it are empty" };
        found.note(words[0].span(), kind);
        return None;
    }
    if program.contains('/') {
        *program = below(folder, program).to_string_lossy().into_owned();
    }
    Some(argv)
}

fn compartment(entry: &Entry, home: &Home<'_>, found: &mut Found) -> String {
    let Some(name) = &entry.compartment else {
        return DEFAULT_COMPARTMENT.to_owned();
    };
    let text = name.get_ref();
    if text != DEFAULT_COMPARTMENT && !home.compartments.contains_key(text) {
        let known: Vec<&str> = home.compartments.keys().map(String::as_str).collect();
        let help = match known.is_empty() {
            true => format!("add [compartments.{text}]"),
            false => did_you_mean(text, "compartment", &known),
        };
        let kind = Kind::Dangling {
            at: At { key: "compartment".to_owned(), place: entry.place.clone() },
            what: "compartment",
            name: text.escape_debug().to_string(),
            help,
        };
        found.note(name.span(), kind);
    }
    text.clone()
}

/// Whom each service waits for, as positions in the file.
fn waits(file: &File, found: &mut Found) -> Vec<Vec<usize>> {
    let positions: BTreeMap<&str, usize> = file
        .services
        .iter()
        .enumerate()
        .map(|(index, entry)| (entry.name.get_ref().as_str(), index))
        .collect();
    let written: std::collections::BTreeSet<&str> = file.names.iter().map(String::as_str).collect();
    let mut all = Vec::with_capacity(file.services.len());
    for entry in &file.services {
        let mut first = Vec::with_capacity(entry.after.len());
        for name in &entry.after {
            let text = name.get_ref().as_str();
            match positions.get(text) {
                Some(index) => first.push(*index),
                // A service with a mistake in its name is there all the same.
                None if written.contains(text) => {}
                None => {
                    let known: Vec<&str> = file.names.iter().map(String::as_str).collect();
                    let kind = Kind::Dangling {
                        at: At { key: "after".to_owned(), place: entry.place.clone() },
                        what: "service",
                        name: text.escape_debug().to_string(),
                        help: did_you_mean(text, "service", &known),
                    };
                    found.note(name.span(), kind);
                }
            }
        }
        all.push(first);
    }
    all
}

/// The order of start; each ring of services that wait for each other is a mistake of its first member.
fn order(file: &File, after: &[Vec<usize>], found: &mut Found) -> Vec<usize> {
    let rings = match start_order(after) {
        Ok(order) => return order,
        Err(rings) => rings,
    };
    let name = |index: usize| file.services[index].name.get_ref().as_str();
    for ring in rings {
        let first = ring[0];
        let next = ring.get(1).copied().unwrap_or(first);
        let mention = file.services[first].after.iter().find(|other| other.get_ref() == name(next));
        let kind = match ring.len() {
            1 => Kind::AfterItself(name(first).to_owned()),
            _ => {
                let around = ring.iter().chain([&first]).map(|index| name(*index));
                Kind::Cycle(around.collect::<Vec<_>>().join(" → "))
            }
        };
        let span = mention.map_or(file.services[first].name.span(), Spanned::span);
        found.note(span, kind);
    }
    // In file order, so that the services are still looked at for mistakes of their own.
    (0..file.services.len()).collect()
}

/// `web` has the archives `web-out.<time>.log.gz`: no other service's log files may begin like that.
fn check_log_names(file: &File, found: &mut Found) {
    let names: std::collections::BTreeSet<&str> =
        file.services.iter().map(|entry| entry.name.get_ref().as_str()).collect();
    for entry in &file.services {
        let name = entry.name.get_ref().as_str();
        let heads = name.match_indices("-out.").chain(name.match_indices("-error."));
        for (at, _) in heads {
            if names.contains(&name[..at]) {
                let kind = Kind::LogCollision { name: name.to_owned(), other: name[..at].to_owned() };
                found.note(entry.name.span(), kind);
            }
        }
        if entry.log.merge == Some(true) {
            check_merged(entry, &names, found);
        }
    }
}

/// A log of merged streams has the service's own name, which must not be that of another one's stream.
fn check_merged(entry: &Entry, names: &std::collections::BTreeSet<&str>, found: &mut Found) {
    let name = entry.name.get_ref().as_str();
    let streams_of = ["-out", "-error"].iter().find_map(|stream| name.strip_suffix(stream));
    let owner = match streams_of.filter(|other| names.contains(other)) {
        Some(other) => format!("`{other}`"),
        None if name == "dogwatch" => "dogwatch itself".to_owned(),
        None => return,
    };
    let kind = Kind::MergedCollision { name: name.to_owned(), file: format!("{name}.log"), owner };
    found.note(entry.name.span(), kind);
}
