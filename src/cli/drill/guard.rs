//! The guard: a process that outlives the drill and puts everything back, however the drill ended.
//!
//! Before the drill does something that must not last, it writes a [`Duty`] into a pipe. When the pipe is closed,
//! at the end of the drill or by its SIGKILL, the guard does all duties: there is no other way of clearing away.
//! A process that was stopped is let go after its time even while the drill itself stands still.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::neighbour;
use crate::cli::client::block_on;
use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::cli::{down, screen};
use crate::exit_code;
use crate::model::end::Exit;
use crate::model::signal::Signal;
use crate::os::launch::{Launch, launch, own_program};
use crate::os::process::{self, Identity, PidFd};
use crate::os::{inherit, mount, wait};
use crate::paths::Paths;
use crate::wire::drill::{Duty, Folders};

/// The hidden command that is the guard.
pub const COMMAND: &str = "drill-guard";
/// The pipe's name (see [`inherit`]).
const PIPE: &str = "duties";
/// The guard waits so long for a duty while none is due.
const IDLE: Duration = Duration::from_secs(3600);
/// Clearing away takes no longer: each duty has an end of its own.
const PATIENCE: Duration = Duration::from_secs(120);
/// Taking a scratch dogwatch down.
const DOWN: Duration = Duration::from_secs(60);

/// The drill's end.
#[derive(Debug)]
pub struct Guard {
    pipe: PipeWriter,
    pid: i32,
    process: PidFd,
    duties: Vec<Duty>,
}

impl Guard {
    /// Starts the guard.
    ///
    /// # Errors
    /// It cannot be started: then there must be no drill.
    pub fn start() -> Outcome<Guard> {
        let failed = |error: std::io::Error| Failure::failed(format!("cannot start the guard: {error}"));
        let (theirs, pipe) = std::io::pipe().map_err(failed)?;
        let (pid, process) = launch(&Launch {
            program: own_program().map_err(failed)?,
            args: vec![COMMAND.into()],
            env: Vec::new(),
            inherit: vec![(PIPE.to_owned(), theirs.as_fd())],
            output: Path::new("/dev/stderr"),
        })
        .map_err(failed)?;
        Ok(Guard { pipe, pid, process, duties: Vec::new() })
    }

    /// Gives it a duty. Only then may be done what makes it one.
    ///
    /// # Errors
    /// The guard is gone.
    pub fn add(&mut self, duty: Duty) -> Outcome {
        let mut line = serde_json::to_vec(&duty)
            .map_err(|error| Failure::failed(format!("cannot tell the guard: {error}")))?;
        line.push(b'\n');
        self.duties.push(duty);
        let told = self.pipe.write_all(&line);
        told.map_err(|error| Failure::failed(format!("the guard is gone ({error}): the drill ends")))
    }

    /// The drill is over: waits until everything is as it was. What could not be put back, one sentence each.
    pub fn finish(self) -> Vec<String> {
        drop(self.pipe);
        let deadline = Instant::now() + PATIENCE;
        while !self.process.has_ended() && Instant::now() < deadline {
            neighbour::pause();
        }
        match wait::reap(self.pid).map(|ended| ended.exit()) {
            // It has said itself what went wrong.
            Some(Exit::Code(_)) => Vec::new(),
            // Somebody has killed it.
            _ => carry_out(&self.duties),
        }
    }
}

/// Runs the guard. Returns the exit code.
pub fn run() -> u8 {
    let Some(pipe) = inherit::take().remove(PIPE) else {
        return exit_code::USAGE;
    };
    let duties = collect(PipeReader::from(pipe));
    let problems = carry_out(&duties);
    problems.iter().for_each(screen::tell);
    if problems.is_empty() { exit_code::OK } else { exit_code::FAILED }
}

/// Takes duties until the drill is over; lets go meanwhile what has stood still for its time.
fn collect(pipe: PipeReader) -> Vec<Duty> {
    let (give, take) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(pipe).lines().map_while(Result::ok);
        // A line that was cut off by a SIGKILL is of something that had not been done yet.
        lines.filter_map(|line| serde_json::from_str(&line).ok()).try_for_each(|duty| give.send(duty))
    });
    let mut duties: Vec<(Duty, Option<Instant>)> = Vec::new();
    loop {
        let now = Instant::now();
        for (duty, due) in duties.iter_mut().filter(|(_, due)| due.is_some_and(|due| due <= now)) {
            do_one(duty);
            *due = None;
        }
        let due = duties.iter().filter_map(|(_, due)| *due).min();
        match take.recv_timeout(due.map_or(IDLE, |due| due.saturating_duration_since(now))) {
            Ok(duty) => {
                let within = match &duty {
                    Duty::LetGo { within_ms, .. } => Some(Duration::from_millis(*within_ms)),
                    _ => None,
                };
                duties.push((duty, within.map(|within| Instant::now() + within)));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    duties.into_iter().map(|(duty, _)| duty).collect()
}

/// Does all: first what stands still goes on, then services end before the dogwatch that runs them, and folders go
/// last. What could not be done, one sentence each.
fn carry_out(duties: &[Duty]) -> Vec<String> {
    let rank = |duty: &Duty| match duty {
        Duty::LetGo { .. } => 0,
        Duty::Retire { .. } => 1,
        Duty::TakeDown { .. } => 2,
        Duty::Unmount { .. } => 3,
        Duty::Remove { .. } => 4,
    };
    let mut ordered: Vec<&Duty> = duties.iter().collect();
    ordered.sort_by_key(|duty| rank(duty));
    ordered.into_iter().filter_map(do_one).collect()
}

/// Does one; a sentence if it could not be done.
fn do_one(duty: &Duty) -> Option<String> {
    match duty {
        Duty::LetGo { process, .. } => {
            let process = process.parse::<Identity>().ok().and_then(|identity| process::open(&identity))?;
            process.signal(Signal::CONT).err().map(|error| format!("cannot let a process go on: {error}"))
        }
        Duty::Retire { folders, name } => neighbour::retire(&paths(folders), name).err(),
        Duty::TakeDown { home } => take_down(home).err(),
        Duty::Unmount { at } => {
            let left = mount::unmount(at).err().filter(|_| mount::is_mounted(at));
            left.map(|error| format!("cannot unmount {}: {error}", at.display()))
        }
        Duty::Remove { folder } => match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Some(format!("cannot remove {}: {error}", folder.display()))
            }
            _ => None,
        },
    }
}

fn take_down(home: &Path) -> Result<(), String> {
    let failed = |why: String| format!("the drill's own dogwatch in {} still runs: {why}", home.display());
    let here = Here::exactly(Some(home.to_owned()), None).map_err(|failure| failed(failure.to_string()))?;
    let fell = block_on(async { tokio::time::timeout(DOWN, down::take_down(&here)).await });
    match fell {
        Ok(Ok(Ok(_))) => Ok(()),
        // It never came up.
        Ok(Ok(Err(failure))) if failure.code == exit_code::NOT_RUNNING => Ok(()),
        Ok(Ok(Err(failure))) | Err(failure) => Err(failed(failure.to_string())),
        Ok(Err(_)) => Err(failed(format!("it is not down after {} s", DOWN.as_secs()))),
    }
}

/// As they stand in a duty.
pub fn folders(paths: &Paths) -> Folders {
    Folders { run: paths.run.clone(), state: paths.state.clone(), log: paths.log.clone() }
}

fn paths(folders: &Folders) -> Paths {
    let Folders { run, state, log } = folders.clone();
    Paths { run, state, log }
}
