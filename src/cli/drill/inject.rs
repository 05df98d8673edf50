//! Doing a fault, and seeing what becomes of it. Whatever is done here is a duty of the guard before.

use std::path::Path;
use std::time::{Duration, Instant};

use super::fault::{BOMB, FULL_LOGS_MIB, Fault, HELD, Misdeed, Own, flood_mib};
use super::guard::{self, Guard};
use super::lines::{self, Tally};
use super::neighbour;
use super::own::Work;
use super::probe::Probe;
use super::verdict::Course;
use super::watch::Watch;
use crate::cli::direct;
use crate::cli::fail::{Failure, Outcome};
use crate::model::name::ServiceName;
use crate::model::phase::State;
use crate::model::signal::Signal;
use crate::model::units::show_size;
use crate::os::process::{self, Identity};
use crate::os::{file, launch, mount, own};
use crate::paths::Paths;
use crate::wire::drill::{Duty, Lines};

/// A successor must be at work within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// The guard lets a process go this much later than the drill would.
const GRACE: Duration = Duration::from_secs(2);
/// A neighbour has done its misdeed within this time beyond the one it is watched for.
const LATE: Duration = Duration::from_secs(20);
/// A keeper tells of its service within this time.
const ANSWER: Duration = Duration::from_millis(500);
/// So little room is none, bytes: less than a stage's content.
const NO_ROOM: u64 = 64 << 10;
/// The leaking neighbour is not started on a machine with less memory to spare, MiB.
const SPARE_MIB: u64 = 768;

/// Everything a fault needs.
#[derive(Debug)]
pub struct Field<'a> {
    /// Of the dogwatch that is hurt.
    pub paths: &'a Paths,
    /// The service that is probed, if one is known.
    pub service: Option<&'a ServiceName>,
    /// Another one with a keeper.
    pub other: Option<&'a ServiceName>,
    /// For the logs of neighbours; none if there shall be none.
    pub folder: Option<&'a Path>,
    /// It is the drill's own dogwatch.
    pub scratch: bool,
    /// How long a fault is watched.
    pub watched: Duration,
    /// Clears away.
    pub guard: &'a mut Guard,
    /// Waits.
    pub watch: &'a mut Watch,
    /// Asks.
    pub probe: &'a Probe,
}

/// What came of a fault.
#[derive(Debug)]
pub struct Done {
    /// How it went.
    pub course: Course,
    /// The numbered lines of a neighbour.
    pub lines: Option<Lines>,
}

impl From<Course> for Done {
    fn from(course: Course) -> Done {
        Done { course, lines: None }
    }
}

impl Field<'_> {
    /// Does it, and watches.
    ///
    /// # Errors
    /// Interrupted; the guard is gone.
    pub fn inflict(&mut self, fault: Fault) -> Outcome<Done> {
        let begin = Instant::now();
        let done = match fault {
            Fault::None => Course::Quiet.into(),
            Fault::Kill(own) => self.on(own, Field::kill)?.into(),
            Fault::Stop(own) => self.on(own, Field::stop)?.into(),
            Fault::Neighbour(misdeed) => self.misbehave(misdeed)?,
        };
        self.wait((begin + self.watched).saturating_duration_since(Instant::now()), || false)?;
        Ok(done)
    }

    /// Waits until all of dogwatch that the drill hurts is at work.
    ///
    /// # Errors
    /// Interrupted.
    pub fn settle(&mut self) -> Outcome {
        let keepers = [self.service, self.other].into_iter().flatten();
        let works: Vec<Work> =
            [Work::Control, Work::Warden].into_iter().chain(keepers.cloned().map(Work::Keeper)).collect();
        let paths = self.paths;
        self.wait(PATIENCE, || works.iter().all(|work| work.is_done(paths)))?;
        Ok(())
    }

    fn wait(&mut self, most: Duration, holds: impl FnMut() -> bool) -> Outcome<bool> {
        self.watch.until(most, Some(self.probe), holds)
    }

    fn on(
        &mut self,
        own: Own,
        hurt: impl Fn(&mut Self, &Work, &Identity) -> Outcome<Course>,
    ) -> Outcome<Course> {
        let keeper = |name: Option<&ServiceName>| name.cloned().map(Work::Keeper);
        let work = match own {
            Own::Control => Some(Work::Control),
            Own::Warden => Some(Work::Warden),
            Own::Keeper => keeper(self.service),
            Own::OtherKeeper => keeper(self.other),
        };
        let found = work.and_then(|work| work.holder(self.paths).map(|holder| (work, holder)));
        match found {
            Some((work, holder)) => hurt(self, &work, &holder),
            None => Ok(Course::NotShown(format!("{own} is not there"))),
        }
    }

    fn kill(&mut self, work: &Work, victim: &Identity) -> Outcome<Course> {
        let begin = Instant::now();
        if let Some(why) = signal(victim, Signal::KILL) {
            return Ok(Course::NotShown(why));
        }
        let paths = self.paths;
        match self.wait(PATIENCE, || work.is_taken_over(paths, victim))? {
            true => Ok(Course::Replaced(begin.elapsed())),
            false => Ok(Course::Lost(PATIENCE)),
        }
    }

    fn stop(&mut self, work: &Work, victim: &Identity) -> Outcome<Course> {
        let within = HELD + GRACE;
        self.guard.add(Duty::LetGo { process: victim.to_string(), within_ms: within.as_millis() as u64 })?;
        let begin = Instant::now();
        if let Some(why) = signal(victim, Signal::STOP) {
            return Ok(Course::NotShown(why));
        }
        let paths = self.paths;
        let replaced = self.wait(HELD, || work.is_taken_over(paths, victim))?;
        let after = begin.elapsed();
        signal(victim, Signal::CONT); // whoever replaced it has killed it, most likely
        if replaced {
            return Ok(Course::Replaced(after));
        }
        match self.wait(PATIENCE, || work.is_done(paths))? {
            true => Ok(Course::LetGo(HELD)),
            false => Ok(Course::Stuck(HELD)),
        }
    }

    fn misbehave(&mut self, misdeed: Misdeed) -> Outcome<Done> {
        let not_shown = |why: String| Ok(Course::NotShown(why).into());
        let Some(folder) = self.folder else {
            return not_shown("there is no folder for its logs".to_owned());
        };
        let logs = folder.join(neighbour::name(misdeed).as_str());
        if let Err(why) = self.prepare(misdeed, &logs)? {
            return not_shown(why);
        }
        let program = launch::own_program()
            .map_err(|error| Failure::failed(format!("cannot tell who I am: {error}")))?;
        let spec = neighbour::spec(misdeed, self.watched.as_secs().max(1), &program, &logs);
        self.guard.add(Duty::Retire { folders: guard::folders(self.paths), name: spec.name.clone() })?;
        if let Err(why) = neighbour::start(self.paths, &spec) {
            return not_shown(why);
        }
        let log = logs.join(format!("{}-out.log", spec.name));
        let course = self.witness(misdeed, &spec.name, &log)?;
        // Stopping a neighbour is part of what must not be noticed.
        if let Err(why) = neighbour::retire(self.paths, &spec.name) {
            return Ok(Course::Done(format!("it is still there: {why}")).into());
        }
        let lines = (misdeed == Misdeed::Flood).then(|| count(&log)).flatten();
        let course = match (course, lines) {
            (Course::Done(text), Some(lines)) => Course::Done(format!("{text}, {} lines", lines.found)),
            (course, _) => course,
        };
        Ok(Done { course, lines })
    }

    /// What must be so before it begins; or why it cannot.
    fn prepare(&mut self, misdeed: Misdeed, logs: &Path) -> Outcome<Result<(), String>> {
        let name = neighbour::name(misdeed);
        if neighbour::is_taken(self.paths, &name) {
            return Ok(Err(format!("a service {name} runs already")));
        }
        if misdeed == Misdeed::Leak && spare_mib().is_some_and(|spare| spare < SPARE_MIB) {
            return Ok(Err(format!("the machine has less than {SPARE_MIB} MiB of memory to spare")));
        }
        if let Err(error) = own::make_folder(logs) {
            return Ok(Err(format!("cannot make {}: {error}", logs.display())));
        }
        if misdeed == Misdeed::FullLogs {
            if !self.scratch {
                return Ok(Err("only with --scratch".to_owned()));
            }
            self.guard.add(Duty::Unmount { at: logs.to_owned() })?;
            if let Err(error) = mount::memory(logs, FULL_LOGS_MIB << 20) {
                return Ok(Err(format!("a small file system needs root ({error})")));
            }
        }
        Ok(Ok(()))
    }

    /// Watches the neighbour until it has done what it shall, and for as long as a fault is watched.
    fn witness(&mut self, misdeed: Misdeed, name: &ServiceName, log: &Path) -> Outcome<Course> {
        let paths = self.paths;
        let status = || direct::status(paths, name, ANSWER).ok();
        let mut begin = Instant::now();
        let most = self.watched + LATE;
        let seen = self.wait(most, || match misdeed {
            Misdeed::CrashLoop | Misdeed::Leak => status().is_some_and(|status| status.restarts > 0),
            Misdeed::Flood => status().is_some_and(|status| status.is_done()),
            Misdeed::ForkBomb => born(log).is_some_and(|born| born > 0),
            Misdeed::Spin => status().is_some_and(|status| status.state == State::Online),
            Misdeed::FullLogs => is_full(log),
        })?;
        if misdeed == Misdeed::FullLogs {
            begin = Instant::now(); // what counts is the time with a full folder
        }
        self.wait((begin + self.watched).saturating_duration_since(Instant::now()), || false)?;
        let last = status();
        // Once is how often it is started, so one that is online at the end has spun all the time.
        let spun = last.as_ref().is_some_and(|status| status.state == State::Online);
        if !seen || misdeed == Misdeed::Spin && !spun {
            let state = last.map_or("without a keeper", |status| status.state.word());
            return Ok(Course::NotShown(format!("{name} did not come to it: it is {state}")));
        }
        let restarts = last.as_ref().map_or(0, |status| status.restarts);
        let reason = last.and_then(|status| status.reason).unwrap_or_default();
        let seconds = self.watched.as_secs();
        Ok(Course::Done(match misdeed {
            Misdeed::CrashLoop => format!("it was started again {restarts} times"),
            Misdeed::Leak => format!("it was started again {restarts} times: {reason}"),
            Misdeed::Flood => format!("it wrote {}", show_size(flood_mib(seconds.max(1)) << 20)),
            Misdeed::ForkBomb => forked(born(log).unwrap_or_default()),
            Misdeed::Spin => format!("it kept {} processors busy for {seconds} s", processors()),
            Misdeed::FullLogs => {
                let size = show_size(FULL_LOGS_MIB << 20);
                let after = match self.make_room(log, || status().is_some_and(|status| status.is_done()))? {
                    true => "it went on",
                    false => "it did not go on",
                };
                format!("its folder of {size} was full for {seconds} s; when there was room again {after}")
            }
        }))
    }

    /// Empties a full log; true if that lets its service finish.
    fn make_room(&mut self, log: &Path, is_done: impl FnMut() -> bool) -> Outcome<bool> {
        let emptied = std::fs::OpenOptions::new().write(true).open(log).and_then(|file| file.set_len(0));
        Ok(emptied.is_ok() && self.wait(PATIENCE, is_done)?)
    }
}

/// Sends a signal to exactly that process; why it could not be done, if it could not.
fn signal(to: &Identity, signal: Signal) -> Option<String> {
    let Some(process) = process::open(to) else {
        return Some(format!("process {} has just ended", to.pid));
    };
    process.signal(signal).err().map(|error| format!("cannot send {signal} to process {}: {error}", to.pid))
}

fn forked(born: u64) -> String {
    match born < BOMB.into() {
        true => format!("the kernel let {born} of {BOMB} processes be, which forked again and again"),
        false => format!("nothing stopped its {BOMB} processes, which forked again and again"),
    }
}

/// How many processes the fork bomb says there are.
fn born(log: &Path) -> Option<u64> {
    std::fs::read_to_string(log).ok()?.lines().next()?.parse().ok()
}

fn is_full(log: &Path) -> bool {
    let folder = log.parent().and_then(|folder| file::space(folder).ok());
    folder.is_some_and(|space| space.free < NO_ROOM)
}

/// The lines of a neighbour that has written all it wanted to.
fn count(log: &Path) -> Option<Lines> {
    let mut tally = Tally::new(vec![0]);
    lines::of_log(&mut tally, log).ok()?;
    tally.finish(0).pop()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Memory that programs can still get (proc_meminfo(5)).
fn spare_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? >> 10)
}
