//! The roll-out: brings every process of dogwatch to run a new program, one after the other, or all of them back
//! (`back`).
//!
//! It runs the program that the control plane runs, the old one, which is known to work; in a session of its own, so
//! that neither Ctrl-C nor a closed terminal stops it halfway. It is nobody's keeper: killed at any moment it leaves
//! processes of two builds that work together, and a journal for the next one.
//!
//! Control plane first, then warden, then keepers, the least critical first: whatever is wrong with the new program
//! shows where it costs least. Each must answer as the new program within its time. In the end all are watched for a
//! while: a program that answers and then dies is no better.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::candidate::Candidate;
use super::place::Place;
use super::process::{Asked, Hello, Seen, Who};
use super::{report, services};
use crate::cli::args::Rollout as Options;
use crate::cli::client::block_on;
use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::exit_code;
use crate::os::file::{self, FileId};
use crate::os::lock::{self, Attempt};
use crate::os::packet::Connection;
use crate::os::process::Identity;
use crate::os::{fault, inherit, program};
use crate::own_log;
use crate::wire::VERSION;
use crate::wire::upgrade::{Build, Change, Ending, Progress, Step, Summary};

/// The name of the inherited connection to the command line.
pub const PROGRESS_FD: &str = "progress";
/// A process that has died under the new program so often will die again.
const DEATHS: usize = 2;
/// A process that has something else to do first is asked again and again for this long, unless another time is named.
pub const WAIT: Duration = Duration::from_secs(30);
/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// Runs the roll-out, to the file in the place already if no other is named.
///
/// # Errors
/// It did not work; that has been told to the command line.
pub fn run(here: &Here, options: &Options) -> Outcome {
    let voice = Voice(inherit::take().remove(PROGRESS_FD).map(Connection::from_owned));
    let summary = match attempt(here, options, &voice) {
        Ok(summary) => summary,
        Err(refused) => *refused,
    };
    let code = report::exit_code_of(summary.ending);
    voice.say(&Progress::End(Box::new(summary)));
    match code {
        exit_code::OK => Ok(()),
        code => Err(Failure::quiet(code)),
    }
}

/// Everything; the error is the summary of an upgrade that has touched nothing.
fn attempt(here: &Here, options: &Options, voice: &Voice) -> Result<Summary, Box<Summary>> {
    let refuse = |program: &Path, ending, why: String| Box::new(refusal(program, ending, why));
    let Some(control) = Who::Control.find(&here.paths) else {
        let why = "there is no control plane at this moment".to_owned();
        return Err(refuse(Path::new(""), Ending::Refused, why));
    };
    let path = control.program.path.clone();
    let lock = match lock::try_lock(&here.paths.upgrade_lock()) {
        Ok(Attempt::Held(lock)) => lock,
        Ok(Attempt::Busy(holder)) => {
            let who = holder.map_or("another process".to_owned(), |holder| format!("pid {}", holder.pid));
            return Err(refuse(&path, Ending::Locked, format!("another upgrade is under way: {who}")));
        }
        Err(error) => {
            let why = format!("cannot lock {}: {error}", here.paths.upgrade_lock().display());
            return Err(refuse(&path, Ending::Refused, why));
        }
    };
    let candidate = Candidate::examine(here, options.binary.as_deref().unwrap_or(&path))
        .map_err(|failure| refuse(&path, Ending::Refused, failure.to_string()))?;
    voice.say(&Progress::Checked { check: candidate.check.clone(), build: candidate.build.clone() });
    let rollout = Rollout {
        here,
        voice,
        place: Place::of(&here.paths, &path),
        given: options.binary.is_some(),
        watch: options.watch,
        wait: options.wait.unwrap_or(WAIT),
        to: candidate.build.clone(),
        target: (0, 0),
        steps: Vec::new(),
        moved: BTreeMap::new(),
        builds: BTreeMap::new(),
    };
    let summary = block_on(rollout.run(&control, &candidate))
        .map_err(|failure| refuse(&path, Ending::Refused, failure.to_string()))?;
    lock.release();
    Ok(summary)
}

/// An upgrade that has touched nothing.
fn refusal(program: &Path, ending: Ending, reason: String) -> Summary {
    let (reason, hint) = match reason.split_once("\n  ") {
        Some((reason, hint)) => (reason.to_owned(), Some(hint.to_owned())),
        None => (reason, None),
    };
    Summary {
        v: VERSION,
        ending,
        reason: Some(reason),
        hint,
        program: program.to_owned(),
        previous: None,
        from: Build::default(),
        to: Build::default(),
        steps: Vec::new(),
        untouched: Vec::new(),
        changed: Vec::new(),
        ms: 0,
    }
}

/// What a roll-out says: to the command line, if it is still there, and into dogwatch's own log.
pub(super) struct Voice(Option<Connection>);

impl Voice {
    pub(super) fn say(&self, progress: &Progress) {
        own_log::line("upgrade", &report::line(progress));
        if let Some(connection) = &self.0 {
            let bytes = serde_json::to_vec(progress).expect("it has only string keys and whole numbers");
            let _ = connection.send(&bytes, &[]);
        }
    }
}

/// A roll-out under way.
pub(super) struct Rollout<'a> {
    pub(super) here: &'a Here,
    pub(super) voice: &'a Voice,
    pub(super) place: Place,
    /// The new program was named, and did not stand in the place already.
    pub(super) given: bool,
    /// All processes must live this long after the last one has answered.
    watch: Duration,
    /// See [`WAIT`].
    pub(super) wait: Duration,
    pub(super) to: Build,
    /// The file that all are to run.
    pub(super) target: FileId,
    steps: Vec<Step>,
    /// Who has answered as the new program, as which process, and how often it has died since.
    moved: BTreeMap<Who, (Identity, usize)>,
    builds: BTreeMap<FileId, String>,
}

/// One process, and what is done with it.
pub(super) struct Turn<'w> {
    pub(super) who: &'w Who,
    pub(super) before: Option<Seen>,
    pub(super) from: Build,
    pub(super) begun: Instant,
}

/// What became of bringing one process to run the new program.
enum Renewed {
    /// It does.
    Yes,
    /// It did already, or nobody wants it any more.
    Needless,
    /// It does not yet: this comes first, and ends by itself.
    Waits(String),
    /// It does not, and that is not the program's fault.
    PutOff,
    /// The program is no good; why.
    Bad(String),
}

impl Rollout<'_> {
    async fn run(mut self, control: &Seen, candidate: &Candidate) -> Summary {
        let paths = &self.here.paths;
        let program = self.place.program.clone();
        let before = services::runs(paths);
        let mut from = Build { version: String::new(), build: self.build_of(control) };
        if self.all_run(candidate) {
            let reason = format!("every process runs {} already", candidate.build);
            let _ = self.place.finish(); // what an interrupted one has left to do is done
            return Summary {
                from: candidate.build.clone(),
                to: candidate.build.clone(),
                ..refusal(&program, Ending::Nothing, reason)
            };
        }
        self.target = match self.place.install(&candidate.path, &candidate.build.build, control.identity.pid)
        {
            Ok(id) => id,
            Err(failure) => {
                let _ = self.place.finish();
                return refusal(&program, Ending::Refused, failure.to_string());
            }
        };
        let previous = self.place.previous.clone();
        self.voice.say(&Progress::Installed { program: program.clone(), previous: previous.clone() });
        fault::point("an upgrade after the file is in its place");
        let begun = Instant::now();
        let (ending, reason) = match self.roll_out().await {
            Ok(0) => (Ending::Done, None),
            Ok(count) => {
                let noun = if count == 1 { "process was" } else { "processes were" };
                (Ending::Partly, Some(format!("{count} {noun} put off and run the old program on")))
            }
            Err(why) => self.turn_back(why).await,
        };
        let ms = begun.elapsed().as_millis() as u64;
        from.version = self.steps.first().map(|step| step.from.version.clone()).unwrap_or_default();
        let hint = match ending {
            Ending::Partly => Some("later: dogwatch upgrade".to_owned()),
            Ending::RolledBack | Ending::Stuck => Some(format!("see: tail {}", paths.own_log().display())),
            Ending::Done | Ending::Nothing | Ending::Refused | Ending::Locked => None,
        };
        if ending == Ending::RolledBack {
            // Not what ran, if an upgrade was interrupted, but what runs now.
            from.build = program::build(&program).unwrap_or(from.build);
        }
        if ending != Ending::Stuck {
            let _ = self.place.finish(); // a journal that stays only makes the next one more careful
        }
        let (untouched, changed) = services::compare(paths, before);
        Summary {
            v: VERSION,
            ending,
            reason,
            hint,
            program,
            previous: Some(previous),
            from,
            to: self.to,
            steps: self.steps,
            untouched,
            changed,
            ms,
        }
    }

    /// All processes, in the order in which they are renewed.
    pub(super) fn processes(&self) -> Vec<Who> {
        let keepers = services::least_critical_first(&self.here.paths).into_iter().map(Who::Keeper);
        [Who::Control, Who::Warden].into_iter().chain(keepers).collect()
    }

    /// Whether there is nothing to do.
    fn all_run(&mut self, candidate: &Candidate) -> bool {
        let wanted = &candidate.build.build;
        let all = self.processes();
        let seen: Vec<Seen> = all.iter().filter_map(|who| who.find(&self.here.paths)).collect();
        let installed = program::build(&self.place.program).is_ok_and(|build| build == *wanted);
        installed && seen.iter().all(|seen| self.build_of(seen) == *wanted)
    }

    /// Which build a process runs; empty if it has just ended.
    pub(super) fn build_of(&mut self, seen: &Seen) -> String {
        let link = program::link(seen.identity.pid);
        let known = self.builds.entry(seen.program.id);
        known.or_insert_with(|| program::build(&link).unwrap_or_default()).clone()
    }

    /// Renews one after the other, in the end those that have had to wait; returns how many were put off, or why the new
    /// program is no good.
    async fn roll_out(&mut self) -> Result<usize, String> {
        let mut put_off = 0;
        let mut left = VecDeque::from(self.processes());
        let mut waiting = BTreeSet::new();
        let mut until = None;
        while let Some(who) = left.pop_front() {
            if waiting.len() > left.len() {
                // Nobody is left who does not wait.
                sleep(10 * LOOK).await;
                until.get_or_insert_with(|| Instant::now() + self.wait);
            }
            let is_last_time = until.is_some_and(|until| until <= Instant::now());
            match self.renew(&who, is_last_time).await {
                Renewed::Waits(why) => {
                    if waiting.insert(who.clone()) {
                        self.voice.say(&Progress::Waiting { who: who.to_string(), why });
                    }
                    left.push_back(who);
                    continue;
                }
                Renewed::Yes => fault::point(match who {
                    Who::Control => "an upgrade after the control plane",
                    Who::Warden => "an upgrade after the warden",
                    Who::Keeper(_) => "an upgrade after a keeper",
                }),
                Renewed::Needless => {}
                Renewed::PutOff => put_off += 1,
                Renewed::Bad(why) => return Err(why),
            }
            waiting.remove(&who);
        }
        self.voice.say(&Progress::Watching { ms: self.watch.as_millis() as u64 });
        self.look_on().await?;
        Ok(put_off)
    }

    /// Brings one process to run the new program. `is_last_time`: it is put off rather than asked again.
    async fn renew(&mut self, who: &Who, is_last_time: bool) -> Renewed {
        let paths = &self.here.paths;
        let mut turn = Turn { who, before: who.find(paths), from: Build::default(), begun: Instant::now() };
        let mut note = None;
        if let Some(before) = turn.before.clone() {
            if before.program.id == self.target {
                // It has been started since the file is in its place; it is watched as the others are.
                self.moved.insert(who.clone(), (before.identity, 0));
                return Renewed::Needless;
            }
            turn.from.build = self.build_of(&before);
            match who.hello(paths, who.patience()).await {
                Some(hello) => {
                    turn.from.version = hello.version;
                    match who.ask(paths, &self.place.program).await {
                        Asked::Taken | Asked::Silent => {}
                        Asked::Later(why) if !is_last_time => return Renewed::Waits(why),
                        Asked::Later(why) => return self.put_off(turn, why),
                        Asked::Refused(why) => {
                            return self.loss().map_or_else(|| self.put_off(turn, why), Renewed::Bad);
                        }
                    }
                }
                None => {
                    // It hangs, or has just died. Killing it costs nothing: its successor runs the new program.
                    note = Some("it did not answer, and was replaced".to_owned());
                    before.kill();
                }
            }
        }
        let (seen, hello) = match self.until_heard(who).await {
            Ok(Some(found)) => found,
            Ok(None) => return Renewed::Needless,
            Err(_) if turn.is_unchanged(who.find(paths)) => {
                let why = "it has not become the new program".to_owned();
                return self.loss().map_or_else(|| self.put_off(turn, why), Renewed::Bad);
            }
            Err(why) => return Renewed::Bad(why),
        };
        self.moved.insert(who.clone(), (seen.identity.clone(), 0));
        self.to.version = hello.version;
        let same = turn.before.as_ref().is_some_and(|before| before.identity == seen.identity);
        let change = if same { Change::Became } else { Change::Replaced };
        let to = self.to.clone();
        self.tell(turn.step(Some(&seen), to, change, note));
        Renewed::Yes
    }

    /// Whether the new program is still the file in the place.
    pub(super) fn is_in_place(&self) -> bool {
        file::id_at(&self.place.program) == Some(self.target)
    }

    /// Why nobody could be started from the place any more, if that is so.
    fn loss(&self) -> Option<String> {
        let program = self.place.program.display();
        if !self.is_in_place() {
            return Some(format!("somebody has removed or replaced {program} meanwhile"));
        }
        let why = program::examine(&self.place.program).err()?;
        let why = why.lines().next().unwrap_or_default();
        Some(format!("{program} cannot be run any more: {why}"))
    }

    /// A process that will not become another program now. Without the control plane there is no upgrade.
    fn put_off(&mut self, turn: Turn<'_>, why: String) -> Renewed {
        if *turn.who == Who::Control {
            return Renewed::Bad(format!("the {} says: {why}", turn.who));
        }
        let (now, from) = (turn.before.clone(), turn.from.clone());
        self.tell(turn.step(now.as_ref(), from, Change::PutOff, Some(why)));
        Renewed::PutOff
    }

    /// Waits until the process answers as the new program; none if nobody wants it any more.
    async fn until_heard(&self, who: &Who) -> Result<Option<(Seen, Hello)>, String> {
        let paths = &self.here.paths;
        let deadline = Instant::now() + who.patience();
        let mut lives: Vec<Identity> = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(seen) = who.find(paths).filter(|seen| seen.program.id == self.target) {
                if !lives.contains(&seen.identity) {
                    lives.push(seen.identity.clone());
                }
                if let Some(hello) = who.hello(paths, left).await
                    && hello.pid == seen.identity.pid
                {
                    return Ok(Some((seen, hello)));
                }
            }
            if who.is_retired(paths) {
                return Ok(None);
            }
            if lives.len() > DEATHS || (left.is_zero() && who.find(paths).is_none()) {
                return Err(format!("the {who} ends again and again with it"));
            }
            if left.is_zero() {
                let seconds = who.patience().as_secs();
                return Err(format!("the {who} did not answer within {seconds} s with it"));
            }
            sleep(LOOK).await;
        }
    }

    /// Sees to it that all who have answered go on living.
    async fn look_on(&mut self) -> Result<(), String> {
        let paths = &self.here.paths;
        let mut until = Instant::now() + self.watch;
        while Instant::now() < until {
            self.moved.retain(|who, _| !who.is_retired(paths));
            for (who, (identity, deaths)) in &mut self.moved {
                let Some(seen) = who.find(paths) else { continue };
                if seen.identity != *identity {
                    *identity = seen.identity;
                    *deaths += 1;
                    until = Instant::now() + self.watch;
                }
                if *deaths >= DEATHS {
                    return Err(format!("the {who} answered with it, and ends again and again"));
                }
            }
            sleep(10 * LOOK).await;
        }
        for who in self.moved.keys() {
            self.until_heard(who).await?;
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, step: Step) {
        self.voice.say(&Progress::Step(step.clone()));
        self.steps.push(step);
    }
}

impl Turn<'_> {
    /// Whether it is the process from before, and still runs what it ran.
    fn is_unchanged(&self, now: Option<Seen>) -> bool {
        self.before.is_some() && self.before == now
    }

    /// What became of it.
    pub(super) fn step(self, now: Option<&Seen>, to: Build, change: Change, note: Option<String>) -> Step {
        let pid = |seen: Option<&Seen>| seen.map_or(0, |seen| seen.identity.pid);
        Step {
            who: self.who.to_string(),
            was: pid(self.before.as_ref()),
            pid: pid(now),
            from: self.from,
            to,
            change,
            ms: self.begun.elapsed().as_millis() as u64,
            note,
        }
    }
}
