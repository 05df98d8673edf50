//! `pm2 start`: names, or a pm2 ecosystem file. Everything is started from its entry in ecosystem.toml.

use std::path::Path;

use super::act::{self, name, waiting};
use super::args::{Start, StartWhat};
use super::known::Known;
use super::says::{self, Action};
use super::voice::Voice;
use super::words::memory;
use crate::cli::client::block_on;
use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::cli::{order, up};
use crate::config::Surroundings;
use crate::config::pm2_file::{self, Pm2App};
use crate::exit_code;
use crate::model::phase::State;
use crate::wire::api::{self, Answer, Verb};
use crate::wire::status::ServiceStatus;

/// One service to start.
#[derive(Debug, Clone, Copy)]
struct Wish {
    id: usize,
    /// The memory limit that it is to have, unless it has it already.
    limit: Option<u64>,
}

/// Starts services and waits until they are up. Those that run are left alone, but get the memory limit.
///
/// # Errors
/// An unknown word, with how to add it; it did not work.
pub fn run(here: &Here, voice: &Voice, options: &Start) -> Outcome {
    if let Some(name) = &options.name {
        return Err(Failure::new(
            exit_code::USAGE,
            format!("pm2 start --name {name}: a service has the name that ecosystem.toml gives it"),
        ));
    }
    let known = Known::with_new(here)?;
    let wishes = match &options.what {
        StartWhat::Targets(words) => {
            let ids = known.resolve(words).map_err(|failure| match unknown_script(&known, words) {
                Some(better) => better,
                None => failure,
            })?;
            act::announce(voice, &known, Action::Start, words)?;
            ids.into_iter().map(|id| Wish { id, limit: options.max_memory_restart }).collect()
        }
        StartWhat::File { path, only } => of_file(voice, &known, path, only, options.max_memory_restart)?,
    };
    let mut answers = match known.runs {
        true => Vec::new(),
        false => wake(here, voice, &known, &wishes)?,
    };
    let is_up = |id: usize, answers: &[Answer]| {
        answers.iter().any(|answer| {
            answer.service.name == known.services[id].name && answer.outcome == api::Outcome::Up
        })
    };
    let mut orders = Vec::new();
    for wish in &wishes {
        let service = &known.services[wish.id];
        let limit = wish.limit.filter(|limit| !has_limit(service, *limit));
        if known.runs && limit.is_none() && service.state == State::Online {
            let text = left_alone(service, options.max_memory_restart);
            voice.say(&says::note(&format!("{}: {text}", service.name)))?;
        }
        // What was just started, or failed to, needs no other start.
        if known.runs || limit.is_some() && is_up(wish.id, &answers) {
            orders.push((name(&known, wish.id), waiting(limit)));
        }
    }
    let later = block_on(order::give_each(here, Verb::Start, orders))??.answers;
    answers.retain(|answer| !later.iter().any(|other| other.service.name == answer.service.name));
    answers.extend(later);
    act::report(here, voice, &known, Verb::Start, &answers)
}

/// What is said of a service for which there is nothing to do.
fn left_alone(service: &ServiceStatus, limit: Option<u64>) -> String {
    match limit {
        Some(_) => format!("its memory limit is {} already, as ecosystem.toml has it", memory(limit)),
        None => format!("online already, and left alone; to restart it: pm2 restart {}", service.name),
    }
}

/// Whether the limit is the one that ecosystem.toml gives the service.
fn has_limit(service: &ServiceStatus, limit: u64) -> bool {
    service.memory_limit_bytes == Some(limit) && !service.limit_overridden && !service.changed
}

/// No dogwatch runs: it is started in the background. As after a boot, all services come up that were not
/// stopped before, and those of the command in any case.
fn wake(here: &Here, voice: &Voice, known: &Known, wishes: &[Wish]) -> Outcome<Vec<Answer>> {
    let file = here.need_file()?;
    voice.say(&says::note(&format!(
        "dogwatch did not run: starting it in the background, from {}",
        file.display()
    )))?;
    let names = wishes.iter().map(|wish| name(known, wish.id)).collect();
    let answers = block_on(up::bring_up(here, &file, names))??;
    Ok(answers.answers)
}

/// The services that a pm2 ecosystem file names.
fn of_file(
    voice: &Voice,
    known: &Known,
    path: &Path,
    only: &[String],
    limit: Option<u64>,
) -> Outcome<Vec<Wish>> {
    let file = pm2_file::read(path, &Surroundings::of_this_process())
        .map_err(|error| Failure::new(exit_code::CONFIG, error.to_string()))?;
    if let Some(missing) = only.iter().find(|name| !file.apps.iter().any(|app| app.name == **name)) {
        let names: Vec<&str> = file.apps.iter().map(|app| app.name.as_str()).collect();
        return Err(Failure::new(
            exit_code::USAGE,
            format!("--only {missing}: {} has no such app", path.display()),
        )
        .hint(format!("apps: {}", names.join(", "))));
    }
    let chosen = || file.apps.iter().filter(|app| only.is_empty() || only.contains(&app.name));
    let unknown: Vec<&Pm2App> = chosen().filter(|app| known.position(&app.name).is_none()).collect();
    if !unknown.is_empty() {
        return Err(not_in_file(known, &unknown));
    }
    let mut wishes = Vec::new();
    for app in chosen() {
        let Some(id) = known.position(&app.name) else { continue };
        let limit = limit.or(app.max_memory_restart);
        voice.say(&says::note(&adopted(app, path, limit)))?;
        wishes.push(Wish { id, limit });
    }
    Ok(wishes)
}

/// What of the file counts, and what does not.
fn adopted(app: &Pm2App, path: &Path, limit: Option<u64>) -> String {
    let mut text = format!("{}: from its entry in ecosystem.toml", app.name);
    if let Some(limit) = limit {
        text += &format!(", with the memory limit of {}, {}", path.display(), memory(Some(limit)));
    }
    // What runs it is the entry's affair in any case.
    const HOW: [&str; 3] = ["interpreter", "interpreter_args", "exec_mode"];
    let env = (!app.env.is_empty()).then_some("env");
    let unused = app.unused.iter().map(String::as_str).filter(|field| !HOW.contains(field));
    let log = app.log.entry().map(|log| format!("what its logs look like (here: log = {log})"));
    let unused: Vec<&str> = env.into_iter().chain(unused).chain(log.as_deref()).collect();
    if !unused.is_empty() {
        text += &format!("; not used of that file: {}", unused.join(", "));
    }
    text
}

fn not_in_file(known: &Known, apps: &[&Pm2App]) -> Failure {
    let names: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
    let entries: Vec<String> = apps
        .iter()
        .map(|app| {
            let entry = entry(&app.name, app.script.as_deref().unwrap_or("./app"));
            entry + &app.log.entry().map(|log| format!("\n    log = {log}")).unwrap_or_default()
        })
        .collect();
    let (file, names) = (known.file_name(), names.join(", "));
    Failure::new(exit_code::UNKNOWN_SERVICE, format!("not in {file}: {names}; nothing was started"))
        .hint(format!("add what is missing, then say it again:\n{}", entries.join("\n")))
}

/// A word that looks like a program was meant as one.
fn unknown_script(known: &Known, words: &[String]) -> Option<Failure> {
    let script = words.iter().find(|word| {
        super::target::meant(word, &known.services).is_empty() && (word.contains('/') || word.contains('.'))
    })?;
    let stem = Path::new(script).file_stem()?.to_string_lossy().into_owned();
    let text = format!("{script} is no service: dogwatch starts what {} describes", known.file_name());
    Some(
        Failure::new(exit_code::UNKNOWN_SERVICE, text)
            .hint(format!("add this to it, then: pm2 start {stem}\n{}", entry(&stem, script))),
    )
}

/// The lines to add to ecosystem.toml for a script.
fn entry(name: &str, script: &str) -> String {
    let interpreter = match Path::new(script).extension().and_then(|ending| ending.to_str()) {
        Some("js" | "cjs" | "mjs") => "\"node\", ",
        Some("py") => "\"python3\", ",
        Some("sh") => "\"sh\", ",
        _ => "",
    };
    format!("    [services.{name}]\n    command = [{interpreter}{script:?}]")
}
