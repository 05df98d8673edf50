//! `dogwatch upgrade`: all of dogwatch runs a newer program, and no service notices.
//!
//! This command finds what runs, starts the roll-out (`rollout`) and tells what that says. `candidate` and
//! `selfcheck` are the two sides of the question whether a program may take over, `place` is about files, `process`
//! about dogwatch's processes, `services` about theirs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::args::Upgrade;
use super::engine;
use super::fail::{Failure, Outcome};
use super::here::Here;
use super::screen::{print, print_json, tell};
use crate::model::name::ServiceName;
use crate::os::launch::{Launch, launch};
use crate::os::packet::Connection;
use crate::os::{program, wait};
use crate::wire::upgrade::{Ending, Progress, Summary};

mod back;
mod candidate;
mod place;
mod process;
mod report;
pub mod rollout;
pub mod selfcheck;
mod services;

use candidate::Candidate;
use process::{Seen, Who};
use rollout::PROGRESS_FD;

/// A roll-out is never silent for longer, but for the time that it watches.
const SILENCE: Duration = Duration::from_secs(60);

/// Upgrades, or only checks.
///
/// # Errors
/// Nothing runs here; the program must not take over; it did not work.
pub fn run(here: &Here, options: &Upgrade) -> Outcome {
    let control = control(here)?;
    // The roll-out is started in the root folder.
    let binary = options.binary.as_ref().map(|path| absolute(here, path)).transpose()?;
    if options.check {
        let candidate = Candidate::examine(here, binary.as_ref().unwrap_or(&control.program.path))?;
        if options.json {
            return print_json(&candidate.check);
        }
        let (check, build) = (candidate.check, candidate.build);
        return print(&format!("{}\n", report::line(&Progress::Checked { check, build })));
    }
    let summary = roll_out(here, &control, binary, options)?;
    if options.json {
        print_json(&summary)?;
    } else if matches!(summary.ending, Ending::Done | Ending::Nothing) {
        print(&format!("{}\n", report::end(&summary)))?;
    } else {
        tell(report::end(&summary));
    }
    super::order::end(report::exit_code_of(summary.ending))
}

/// The control plane, which says what runs here and from where.
fn control(here: &Here) -> Outcome<Seen> {
    if let Some(control) = Who::Control.find(&here.paths) {
        return Ok(control);
    }
    match engine::anybody(here) || services::all(&here.paths).into_iter().any(|name| is_kept(here, name)) {
        true => Err(Failure::failed("cannot upgrade: there is no control plane at this moment")
            .hint("it is being started again; if not: dogwatch up")),
        false => Err(Failure::not_running(&here.paths)),
    }
}

fn is_kept(here: &Here, name: ServiceName) -> bool {
    Who::Keeper(name).find(&here.paths).is_some()
}

fn absolute(here: &Here, path: &std::path::Path) -> Outcome<PathBuf> {
    let path = here.cwd().join(path);
    std::fs::canonicalize(&path).map_err(|error| {
        let (path, why) = (
            path.display(),
            match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
                _ => error.to_string(),
            },
        );
        Failure::failed(format!("cannot upgrade to {path}: {why}"))
    })
}

/// Starts the roll-out, in the program that runs now, and tells what it says.
fn roll_out(here: &Here, control: &Seen, binary: Option<PathBuf>, options: &Upgrade) -> Outcome<Summary> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot start the upgrade: {error}"));
    let (ours, theirs) = Connection::pair().map_err(failed)?;
    // The program that runs may be older than this one: it is told what it does not know only if that is asked for.
    let times = [("--watch", Some(options.watch)), ("--wait", options.wait)];
    let mut args: Vec<OsString> = vec!["rollout".into()];
    for (word, time) in times.into_iter().filter_map(|(word, time)| Some((word, time?))) {
        args.extend([word.into(), format!("{}ms", time.as_millis()).into()]);
    }
    args.extend(binary.map(PathBuf::into_os_string));
    let mut env = Vec::new();
    if let Some(home) = &here.home {
        env.push(("DOGWATCH_HOME".to_owned(), home.to_string_lossy().into_owned()));
    }
    let output = here.paths.own_fifo();
    let (pid, _) = launch(&Launch {
        program: program::link(control.identity.pid),
        args,
        env,
        inherit: vec![(PROGRESS_FD.to_owned(), std::os::fd::AsFd::as_fd(&theirs))],
        output: &output,
    })
    .map_err(failed)?;
    drop(theirs);
    let patience = options.watch + options.wait.unwrap_or(rollout::WAIT) + SILENCE;
    let summary = follow(&ours, patience, options.json)?;
    let _ = wait::reap(pid);
    summary.ok_or_else(|| {
        Failure::failed(
            "the upgrade was interrupted: some processes may run the new program, the others run the old one on",
        )
        .hint("both work together; finish it: dogwatch upgrade")
    })
}

/// Tells what comes; none if it ends before the end.
fn follow(connection: &Connection, patience: Duration, quiet: bool) -> Outcome<Option<Summary>> {
    loop {
        let deadline = Instant::now() + patience;
        while !connection.wait(1000).map_err(broken)? {
            if Instant::now() < deadline {
                continue;
            }
            return Err(Failure::failed("the upgrade does not go on").hint("see: dogwatch status"));
        }
        let Some(packet) = connection.receive().map_err(broken)? else { return Ok(None) };
        match serde_json::from_slice(&packet.bytes) {
            Ok(Progress::End(summary)) => return Ok(Some(*summary)),
            Ok(progress) if !quiet => print(&format!("{}\n", report::line(&progress)))?,
            Ok(_) => {}
            Err(error) => tell(format_args!("the upgrade says something unknown: {error}")),
        }
    }
}

fn broken(error: std::io::Error) -> Failure {
    Failure::failed(format!("the upgrade cannot be heard: {error}")).hint("see: dogwatch status")
}
