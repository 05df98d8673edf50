//! `dogwatch doctor`: what is wrong, or may go wrong, with this dogwatch and its machine. It needs no control plane,
//! and never changes anything.
//!
//! `probe` finds out, the others judge what it has found, each from plain data; `finding` shows it.

mod containment;
mod finding;
mod machine;
mod probe;
mod rights;
mod services;

use finding::{Finding, Report, count};
use rights::Trusted;

use super::args::Json;
use super::ask;
use super::fail::Outcome;
use super::here::Here;
use super::screen::{Screen, print, print_json};
use crate::config::{self, Ecosystem, Surroundings};
use crate::model::spec::ServiceSpec;
use crate::os::{clock, file, landlock, limits, own};
use crate::wire::api::Services;

/// Looks at everything. Returns the exit code: 0 all well, 1 warnings, 2 errors.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(here: &Here, options: &Json) -> Outcome<u8> {
    let report = Report::new(examine(here));
    if options.json {
        print_json(&report)?;
    } else {
        print(&report.text(Screen::of_stdout()))?;
    }
    Ok(report.code())
}

fn examine(here: &Here) -> Vec<Finding> {
    let (mut all, ecosystem) = file_in_force(here);
    let specs: Vec<&ServiceSpec> = ecosystem.iter().flat_map(|ecosystem| &ecosystem.services).collect();
    let living = probe::living(&here.paths);
    all.extend(services::processes(living.control.as_ref(), living.warden.as_ref(), &living.keepers));
    let asked = living.all().next().and_then(|_| ask::services_now(here).ok());
    let Services { services, problems, .. } =
        asked.unwrap_or(Services { v: 1, services: Vec::new(), problems: Vec::new() });
    if living.all().next().is_some() {
        all.extend(services::states(&services, &problems));
    }
    all.extend(services::ports(&probe::ports(&specs, &services, &living)));
    all.push(containment::judge(&probe::containment(&here.paths, &services), ecosystem.as_ref()));
    all.extend(machine(here, &specs, &living));
    all.extend(ecosystem.iter().flat_map(files));
    all
}

/// The file, and what it says if it is right.
fn file_in_force(here: &Here) -> (Vec<Finding>, Option<Ecosystem>) {
    let named = here.file_as_typed().or_else(|| here.file_in_force().filter(|file| file.exists()));
    let Some(path) = named.or_else(|| here.file()) else {
        let finding = Finding::warning("config", format!("there is no {} here", config::FILE_NAME))
            .because("without it nothing can be said about what shall run")
            .fix("dogwatch init, or name the file with -f FILE");
        return (vec![finding], None);
    };
    let shown = path.display();
    match config::load(&path, &Surroundings::of_this_process()) {
        Ok(ecosystem) => {
            let found = format!("{shown}: {}, no mistakes", count(ecosystem.services.len(), "service"));
            (vec![Finding::ok("config", found)], Some(ecosystem))
        }
        Err(mistakes) => {
            let finding =
                Finding::error("config", format!("{shown} has {}", count(mistakes.len(), "mistake")))
                    .because("nothing is started from it; what runs keeps the last good one")
                    .fix(format!("dogwatch check {shown}"));
            (vec![finding], None)
        }
    }
}

fn machine(here: &Here, specs: &[&ServiceSpec], living: &probe::Living) -> Vec<Finding> {
    let paths = &here.paths;
    let root = own::effective_uid() == 0;
    let count = specs.len() as u64;
    let critical = specs.iter().filter(|spec| spec.critical).count() as u64;
    let mut all = machine::kernel(&probe::kernel_release(), landlock::version());
    all.extend(machine::clock(clock::is_synchronised()));
    if let Ok(in_memory) = file::is_in_memory(&probe::there(&paths.run)) {
        all.push(machine::run_folder(&paths.run, in_memory, here.home.is_some()));
    }
    if !root && here.home.is_none() {
        let (name, lingers) = probe::linger();
        all.push(machine::linger(&name, lingers));
    }
    let log_dir = specs.first().map_or(&paths.log, |spec| &spec.log.dir);
    let folders = [("logs", log_dir.as_path()), ("state", &paths.state), ("dogwatch's log", &paths.log)];
    all.extend(probe::disks(&folders).iter().flat_map(machine::disk));
    all.extend(machine::logs(&probe::logs(paths, specs)));
    all.push(machine::pipes(root, probe::pipe_pages(), count, critical));
    let holders = living.control.iter().chain(&living.warden);
    let open: Vec<Finding> = holders
        .filter_map(|process| {
            let (open, most) = probe::open_files(process.pid)?;
            Some(machine::files_of(&process.name, open, most))
        })
        .collect();
    match open.is_empty() {
        true => all.push(machine::files_needed(count, limits::most_open_files())),
        false => all.extend(open),
    }
    all
}

fn files(ecosystem: &Ecosystem) -> Vec<Finding> {
    let trusted = Trusted { uid: own::effective_uid(), gid: own::effective_gid() };
    let mut all = rights::changeable(&probe::kept(ecosystem), trusted);
    let env_files: Vec<_> = ecosystem.env_files.iter().filter_map(|path| probe::rights(path)).collect();
    all.extend(rights::secrets(&env_files, trusted));
    all.extend(probe::rights(&ecosystem.log_dir).map(|folder| rights::log_folder(&folder, trusted)));
    all
}
