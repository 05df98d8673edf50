//! `dogwatch up`: everything runs. In the foreground its end is the end of everything.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, interval};

use super::args::Up as Options;
use super::ask;
use super::client::{Client, block_on};
use super::down;
use super::engine;
use super::fail::{Failure, Outcome};
use super::follow::{EVERY, Logs, Which, files_of};
use super::here::Here;
use super::order::{self, LONGEST_WAIT};
use super::printer::{self, Printer};
use super::screen::{Colour, Screen, tell};
use crate::config;
use crate::config::Ecosystem;
use crate::exit_code;
use crate::forward::{self, Stop};
use crate::logs::render::Look;
use crate::logs::source::{Filter, Start};
use crate::model::name::ServiceName;
use crate::os::{clock, lock};
use crate::wire::api::{self, Answers, Health, Services, Up, Verb};
use crate::wire::sinks::{Followed, PlannedSink};
use crate::wire::status::ServiceStatus;

/// How often the foreground looks whether somebody else has taken everything down.
const LOOK: Duration = Duration::from_secs(1);

/// Brings services up.
///
/// # Errors
/// The file has mistakes; a service did not come up.
pub fn run(here: &Here, options: &Options) -> Outcome {
    let file = here.need_file()?;
    let ecosystem = config::load(&file, &config::Surroundings::of_this_process())
        .map_err(|mistakes| Failure::new(exit_code::CONFIG, mistakes.to_string()))?;
    let names = ask::names(&options.names)?;
    let known: Vec<&str> = ecosystem.services.iter().map(|service| service.name.as_str()).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Failure::unknown(name.as_str(), &known));
    }
    // For who does the work, no names mean all.
    let names = if ask::means_all(&options.names) { Vec::new() } else { names };
    let screen = Screen::of_stdout();
    if options.detach {
        let answers = block_on(bring_up(here, &file, names))??;
        return summary(here, &answers, screen, false);
    }
    let sinks = Sinks::begin(here, &ecosystem)?;
    // The logs are followed from where they end before anything is started.
    let promised: Vec<ServiceStatus> = ecosystem.services.iter().map(ServiceStatus::of_spec).collect();
    let which = Which { out: true, err: true };
    let files = files_of(&promised.iter().collect::<Vec<_>>(), which, true, screen);
    let logs = match &sinks {
        Some(_) => None,
        None => Some(Logs::new(files, &Filter::default(), Start::Last(0), Look::default())?),
    };
    let outcome = block_on(foreground(here, &file, names, Printer::begin(logs)?, screen))?;
    if let Some(sinks) = sinks {
        sinks.finish();
    }
    outcome
}

/// Sinks that are standard output: this process's own, so their threads run here.
struct Sinks {
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

impl Sinks {
    /// Begins, from now on or where they stopped; none if there are none.
    fn begin(here: &Here, ecosystem: &Ecosystem) -> Outcome<Option<Sinks>> {
        let failed =
            |error: std::io::Error| Failure::failed(format!("cannot write lines to stdout: {error}"));
        let stop = Stop::new().map_err(failed)?;
        let since_unix_ms = clock::now().unix_ms;
        let mut threads = Vec::new();
        for route in ecosystem.sinks.iter().filter(|route| !route.services.is_empty()) {
            if forward::stdout_format(&route.sink.to).is_none() {
                continue;
            }
            if let Some(other) = lock::named(&here.paths.sink(&route.sink.name).lock) {
                tell(format_args!("its lines are written by another `dogwatch up`, pid {}", other.pid));
            }
            let dir = &ecosystem.log_dir;
            let followed = |name: &ServiceName| Followed {
                name: name.clone(),
                dir: dir.clone(),
                since_unix_ms,
                dress: ecosystem.dress_of(name),
            };
            let services = route.services.iter().map(followed).collect();
            let planned = PlannedSink { sink: route.sink.clone(), services };
            threads.push(forward::begin(&here.paths, planned, &stop).map_err(failed)?);
        }
        Ok((!threads.is_empty()).then_some(Sinks { stop, threads }))
    }

    /// What was written goes out, if somebody reads it.
    fn finish(self) {
        self.stop.ring(forward::LAST_WORDS);
        forward::finish(self.threads);
    }
}

/// Sees to it that a control plane runs, and has it bring the services up.
///
/// # Errors
/// It does not start, or runs another file.
pub async fn bring_up(here: &Here, file: &Path, names: Vec<ServiceName>) -> Outcome<Answers> {
    join_or_start(here, file, &names).await?;
    raise(here, names).await
}

/// The control plane that runs already, or a new one.
async fn join_or_start(here: &Here, file: &Path, names: &[ServiceName]) -> Outcome<Health> {
    let health = match engine::returned(here).await? {
        Some(health) => {
            let by = if health.managed { ", run by systemd" } else { "" };
            tell(format_args!(
                "dogwatch runs here already (control plane pid {}{by}): joining it",
                health.pid
            ));
            health
        }
        None => engine::start(here, file, names).await?,
    };
    refuse_another_file(here, file, &health.config)?;
    Ok(health)
}

/// Has the control plane bring services up.
async fn raise(here: &Here, names: Vec<ServiceName>) -> Outcome<Answers> {
    let order = Up { names, wait_ms: LONGEST_WAIT.as_millis() as u64 };
    let client = Client::new(here.paths.control_sock());
    let answer = client.post("/v1/up", &order, LONGEST_WAIT).await;
    answer.map_err(super::client::CallError::into_failure)
}

/// One dogwatch runs one file.
fn refuse_another_file(here: &Here, wanted: &Path, running: &Path) -> Outcome {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    if real(wanted) == real(running) {
        return Ok(());
    }
    let folder = here.paths.run.display();
    let (running, wanted) = (running.display(), wanted.display());
    Err(Failure::failed(format!("dogwatch already runs in {folder}, from {running}, not from {wanted}"))
        .hint("take that down first (dogwatch down), or run this one beside it: dogwatch --home DIR up"))
}

/// The table, what went wrong, and where everything is.
fn summary(here: &Here, answers: &Answers, screen: Screen, aside: bool) -> Outcome {
    let services: Vec<ServiceStatus> = answers.answers.iter().map(|answer| answer.service.clone()).collect();
    let table = super::status::text(&Services { v: answers.v, services, problems: Vec::new() }, screen);
    printer::say(aside, &table)?;
    let mut code = exit_code::OK;
    for answer in &answers.answers {
        if answer.outcome != api::Outcome::Up {
            order::report(answer, Verb::Start)?;
        }
        code = code.max(order::exit_code_of(answer));
    }
    for problem in &answers.problems {
        tell(problem);
    }
    let paths = &here.paths;
    let mut logs: Vec<PathBuf> = answers
        .answers
        .iter()
        .filter_map(|answer| Some(answer.service.log_out.parent()?.to_owned()))
        .collect();
    logs.push(paths.log.clone());
    logs.sort();
    logs.dedup();
    let logs: Vec<String> = logs.iter().map(|path| path.display().to_string()).collect();
    let (run, state) = (paths.run.display(), paths.state.display());
    let folders = format!("run: {run}  state: {state}  logs: {}", logs.join(" "));
    printer::say(aside, &(screen.paint(Colour::Grey, &folders) + "\n"))?;
    order::end(code)
}

async fn foreground(
    here: &Here,
    file: &Path,
    names: Vec<ServiceName>,
    mut printer: Printer,
    screen: Screen,
) -> Outcome {
    let mut endings = Endings::new()?;
    let mut clock = interval(EVERY);
    let managed = Cell::new(false);
    let rising = async {
        managed.set(join_or_start(here, file, &names).await?.managed);
        raise(here, names).await
    };
    tokio::pin!(rising);
    let mut up = false;
    let mut next_look = Instant::now() + LOOK;
    loop {
        tokio::select! {
            answers = &mut rising, if !up => {
                up = true;
                let answers = answers?;
                let (here, aside) = (here.clone(), printer.is_aside());
                printer.later(move || match summary(&here, &answers, screen, aside) {
                    // A service that did not come up is no reason to take the others down.
                    Err(failure) if failure.code != exit_code::OK && failure.to_string().is_empty() => Ok(()),
                    outcome => outcome,
                });
                let end = if managed.get() { "Ctrl-C leaves all running\n" } else { "Ctrl-C stops all\n" };
                printer.say(screen.paint(Colour::Grey, end));
            }
            () = endings.any() => break,
            _ = clock.tick() => {
                printer.check()?;
                if up && Instant::now() >= next_look {
                    next_look = Instant::now() + LOOK;
                    if !engine::anybody(here) {
                        printer.say("dogwatch was taken down\n".to_owned());
                        return printer.finish();
                    }
                }
            }
        }
    }
    if managed.get() {
        // What systemd has started is not for whoever happens to look in to stop.
        printer.later(|| {
            tell("left; systemd runs the services; to stop them: dogwatch down");
            Ok(())
        });
        return printer.finish();
    }
    printer.later(|| {
        tell("stopping all services; once more to leave at once");
        Ok(())
    });
    let falling = down::take_down(here);
    tokio::pin!(falling);
    loop {
        tokio::select! {
            down = &mut falling => {
                if let Some(down) = down? {
                    let aside = printer.is_aside();
                    printer.later(move || {
                        down.problems.iter().for_each(tell);
                        printer::say(aside, &down::text(&down))
                    });
                }
                return printer.finish();
            }
            () = endings.any() => {
                tell("left; what still runs is seen with: dogwatch status");
                return Err(Failure::quiet(exit_code::FAILED));
            }
            _ = clock.tick() => printer.check()?,
        }
    }
}

/// The signals that mean `down`: Ctrl-C, a polite kill, a terminal that was closed.
struct Endings {
    int: Signal,
    term: Signal,
    hup: Signal,
}

impl Endings {
    fn new() -> Outcome<Endings> {
        let on =
            |kind| signal(kind).map_err(|error| Failure::failed(format!("cannot wait for signals: {error}")));
        Ok(Endings {
            int: on(SignalKind::interrupt())?,
            term: on(SignalKind::terminate())?,
            hup: on(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
            _ = self.hup.recv() => {}
        }
    }
}
