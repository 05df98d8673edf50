//! What a service is doing, as keepers tell it and as the API and `--json` show it.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::archive_name;
use super::incidents::Incidents;
use super::log_line::StreamName;
use super::log_state::LogState;
use super::sinks::SinkStatus;
use crate::model::dress::Dress;
use crate::model::end::{End, Exit, Why};
use crate::model::name::ServiceName;
use crate::model::phase::{Beside, Goal, State};
use crate::model::spec::ServiceSpec;

/// One service, now. Times are milliseconds, sizes bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Version of this shape.
    pub v: u32,
    /// Its name.
    pub name: ServiceName,
    /// Its compartment.
    pub compartment: String,
    /// Whether its work outranks all.
    pub critical: bool,
    /// What the operator wants.
    pub goal: Goal,
    /// What is.
    pub state: State,
    /// Main process, while there is one.
    pub pid: Option<i32>,
    /// Number of the run of the main process, counted from 1; without one, of the latest run.
    pub run: u64,
    /// The second process, while one run takes over from another.
    #[serde(default)]
    pub beside: Option<Other>,
    /// Why the latest reload has not worked, in one sentence, while the run that it should have replaced goes on.
    #[serde(default)]
    pub reload_failure: Option<String>,
    /// The same in parts: the end of the run that should have taken over.
    #[serde(default)]
    pub refused: Option<End>,
    /// Since the main process was started.
    pub uptime_ms: Option<u64>,
    /// Starts that nobody asked for, since the last start on request.
    pub restarts: u64,
    /// Starts in a row that did not become stable.
    pub unstable: u32,
    /// Until the next start, while backing off.
    pub next_start_ms: Option<u64>,
    /// How the latest finished run ended, in one sentence.
    pub reason: Option<String>,
    /// What to do about it, where more is known than the reason.
    #[serde(default)]
    pub hint: Option<String>,
    /// The same in parts.
    pub last_end: Option<End>,
    /// Resident memory of the whole tree.
    pub memory_bytes: Option<u64>,
    /// The limit in force.
    pub memory_limit_bytes: Option<u64>,
    /// How fast it grows, bytes; absent unless it does, steadily.
    #[serde(default)]
    pub memory_bytes_per_minute: Option<u64>,
    /// Until it reaches the limit, if it goes on like that.
    #[serde(default)]
    pub memory_limit_in_ms: Option<u64>,
    /// CPU of the whole tree since the last look, percent of one core.
    pub cpu_percent: Option<f64>,
    /// Processes in the tree.
    pub processes: Option<u32>,
    /// Sockets that dogwatch listens on for it.
    pub listen: Vec<SocketAddr>,
    /// argv.
    pub command: Vec<String>,
    /// Working folder.
    pub cwd: PathBuf,
    /// User it runs as; absent: dogwatch's own.
    pub user: Option<String>,
    /// File of its standard output.
    pub log_out: PathBuf,
    /// File of its standard error: the same where both go into one.
    pub log_error: PathBuf,
    /// What the lines look like in them.
    #[serde(default, skip_serializing_if = "Dress::is_plain")]
    pub log_dress: Dress,
    /// How its log is, unless it is as usual.
    #[serde(default, skip_serializing_if = "LogState::is_usual")]
    pub log: LogState,
    /// Where its lines go beside their files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<SinkStatus>,
    /// Its keeper's process.
    pub keeper_pid: i32,
    /// Version of the program that its keeper runs; absent if there is no keeper, or it cannot tell.
    #[serde(default)]
    pub keeper_version: Option<String>,
    /// Its keeper runs another build than the control plane; filled in by the control plane.
    #[serde(default)]
    pub keeper_differs: bool,
    /// Fingerprint of the entry it runs with.
    pub fingerprint: u64,
    /// Its entry in ecosystem.toml differs from what it runs with; filled in by the control plane.
    #[serde(default)]
    pub changed: bool,
    /// A memory limit was set on the command line and stands until the next restart from the file.
    #[serde(default)]
    pub limit_overridden: bool,
    /// What has befallen its keeper in this boot, if anything; filled in by whoever asked the keeper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incidents: Option<Incidents>,
}

/// The second process of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// The number of its run.
    pub run: u64,
    /// The process.
    pub pid: i32,
    /// What it does.
    pub role: Role,
}

/// What a second process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It shall take over, when it is ready.
    Starting,
    /// It shall not take over, and is being killed.
    Failing,
    /// It was replaced, and finishes what it has begun.
    Draining,
}

impl Other {
    /// None while there is no process yet.
    pub fn of(beside: &Beside) -> Option<Other> {
        let role = match beside {
            Beside::Spawning { .. } | Beside::Starting { .. } => Role::Starting,
            Beside::Failing { .. } => Role::Failing,
            Beside::Draining { .. } => Role::Draining,
        };
        beside.run().map(|run| Other { run: run.number, pid: run.pid, role })
    }
}

/// What became of a start, a restart or a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is online.
    Up,
    /// A run since then ended, or could not be started.
    Failed,
    /// Neither yet.
    NotYet,
}

/// The files of a service's standard output and standard error: the same one, if they are merged.
#[must_use]
pub fn log_files(spec: &ServiceSpec, merged: bool) -> [PathBuf; 2] {
    let streams = match merged {
        true => [StreamName::Merged; 2],
        false => [StreamName::Out, StreamName::Error],
    };
    streams.map(|stream| {
        let stem = archive_name::stem(spec.name.as_str(), stream);
        spec.log.dir.join(archive_name::log(&stem))
    })
}

impl ServiceStatus {
    /// Its logs, each with the streams that it holds.
    pub fn logs(&self) -> impl Iterator<Item = (StreamName, &PathBuf)> {
        let merged = self.log_out == self.log_error;
        let first = if merged { StreamName::Merged } else { StreamName::Out };
        let error = (!merged).then_some((StreamName::Error, &self.log_error));
        std::iter::once((first, &self.log_out)).chain(error)
    }

    /// Whether a start is over. `before` is the latest run at the moment of the order: it and the runs before
    /// it belong to the past, what happens to later ones is the outcome (0: any run counts).
    ///
    /// A watcher may miss short phases, so the end of a later run is enough to call it a failure, whatever
    /// the state is by now; only a later run that is online outweighs it.
    #[must_use]
    pub fn settled(&self, before: u64) -> Settled {
        let refused_since = self.refused.as_ref().is_some_and(|end| end.run > before);
        let ended_since = self.last_end.as_ref().is_some_and(|end| end.run > before);
        match self.state {
            State::Online if self.run > before => Settled::Up,
            State::Online if refused_since => Settled::Failed,
            State::Online => Settled::NotYet,
            State::Failed | State::BackingOff | State::CrashLoop if ended_since || self.run > before => {
                Settled::Failed
            }
            State::Failed | State::BackingOff | State::CrashLoop => Settled::NotYet,
            State::Stopped if ended_since && self.is_done() => Settled::Up,
            State::Stopped if self.goal == Goal::Down || ended_since => Settled::Failed,
            State::Stopped => Settled::NotYet,
            State::Starting | State::Stopping if ended_since => Settled::Failed,
            State::Starting | State::Stopping => Settled::NotYet,
        }
    }

    /// Whether it has done all there was to do: it ended by itself, with code 0, and shall not run again.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let well = |end: &End| end.why == Why::ByItself && end.exit.is_some_and(Exit::is_success);
        self.state == State::Stopped && self.goal == Goal::Up && self.last_end.as_ref().is_some_and(well)
    }

    /// A service that has an entry but no keeper yet.
    #[must_use]
    pub fn of_spec(spec: &ServiceSpec) -> ServiceStatus {
        let [log_out, log_error] = log_files(spec, spec.log.merge);
        ServiceStatus {
            v: super::VERSION,
            name: spec.name.clone(),
            compartment: spec.compartment.clone(),
            critical: spec.critical,
            goal: Goal::Up,
            state: State::Stopped,
            pid: None,
            run: 0,
            beside: None,
            reload_failure: None,
            refused: None,
            uptime_ms: None,
            restarts: 0,
            unstable: 0,
            next_start_ms: None,
            reason: None,
            hint: None,
            last_end: None,
            memory_bytes: None,
            memory_limit_bytes: spec.memory.map(|memory| memory.limit),
            memory_bytes_per_minute: None,
            memory_limit_in_ms: None,
            cpu_percent: None,
            processes: None,
            listen: spec.listen.clone(),
            command: spec.command.clone(),
            cwd: spec.cwd.clone(),
            user: spec.user.clone(),
            log_out,
            log_error,
            log_dress: spec.log.dress.clone(),
            log: LogState::default(),
            sinks: Vec::new(),
            keeper_pid: 0,
            keeper_version: None,
            keeper_differs: false,
            fingerprint: spec.fingerprint(),
            changed: false,
            limit_overridden: false,
            incidents: None,
        }
    }

    /// The same service with the time that has passed since it said so: what only counts on is counted on.
    #[must_use]
    pub fn aged(mut self, by_ms: u64) -> ServiceStatus {
        self.uptime_ms = self.uptime_ms.map(|ms| ms.saturating_add(by_ms));
        self.next_start_ms = self.next_start_ms.map(|ms| ms.saturating_sub(by_ms));
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::end::{Exit, Why};

    /// A service that has run `run` times, of which `ended` is the latest that is over.
    pub(crate) fn status(state: State, run: u64, ended: Option<u64>) -> ServiceStatus {
        ServiceStatus {
            v: 1,
            name: ServiceName::new("web").unwrap(),
            compartment: "default".to_owned(),
            critical: false,
            goal: Goal::Up,
            state,
            pid: None,
            run,
            beside: None,
            reload_failure: None,
            refused: None,
            uptime_ms: None,
            restarts: 0,
            unstable: 0,
            next_start_ms: None,
            reason: None,
            hint: None,
            last_end: ended.map(|run| End {
                run,
                why: Why::ByItself,
                exit: Some(Exit::Code(1)),
                oom: None,
                forced: false,
                replaced: false,
                lived_ms: 5,
                at_unix_ms: 0,
            }),
            memory_bytes: None,
            memory_limit_bytes: None,
            memory_bytes_per_minute: None,
            memory_limit_in_ms: None,
            cpu_percent: None,
            processes: None,
            listen: Vec::new(),
            command: vec!["./app".to_owned()],
            cwd: "/".into(),
            user: None,
            log_out: "/l/web-out.log".into(),
            log_error: "/l/web-error.log".into(),
            log_dress: Dress::Plain,
            log: LogState::default(),
            sinks: Vec::new(),
            keeper_pid: 1,
            keeper_version: None,
            keeper_differs: false,
            fingerprint: 0,
            changed: false,
            limit_overridden: false,
            incidents: None,
        }
    }

    #[test]
    fn a_start_is_over_when_a_later_run_is_up_or_has_ended() {
        use Settled::{Failed, NotYet, Up};
        use State::{BackingOff, CrashLoop, Online, Starting, Stopped, Stopping};
        // (state, run, latest ended run) after an order at run 5.
        let table = [
            (Online, 6, Some(5), Up),
            (Online, 7, Some(6), Up),
            (Online, 5, Some(4), NotYet),
            (Stopping, 5, Some(4), NotYet),
            (Starting, 6, Some(5), NotYet),
            (Starting, 7, Some(6), Failed),
            (Stopping, 6, Some(5), NotYet),
            (Stopping, 7, Some(6), Failed),
            (BackingOff, 5, Some(5), NotYet),
            (BackingOff, 6, Some(6), Failed),
            (CrashLoop, 9, Some(9), Failed),
            (State::Failed, 5, Some(5), NotYet),
            (State::Failed, 6, Some(6), Failed),
            (Stopped, 5, Some(5), NotYet),
            (Stopped, 6, Some(6), Failed),
            (Stopped, 0, None, NotYet),
        ];
        for (state, run, ended, expected) in table {
            assert_eq!(status(state, run, ended).settled(5), expected, "{state:?} {run} {ended:?}");
        }
        let stopped_by_someone = ServiceStatus { goal: Goal::Down, ..status(Stopped, 5, Some(5)) };
        assert_eq!(stopped_by_someone.settled(5), Failed);
    }

    #[test]
    fn a_reload_is_over_when_the_new_run_serves_or_was_refused() {
        let refused = |run| {
            let end = status(State::Online, 5, Some(run)).last_end;
            ServiceStatus { refused: end, ..status(State::Online, 5, Some(4)) }
        };
        assert_eq!(status(State::Online, 6, Some(4)).settled(5), Settled::Up);
        assert_eq!(refused(6).settled(5), Settled::Failed);
        assert_eq!(refused(6).settled(6), Settled::NotYet, "that was an earlier one");
        assert_eq!(refused(6).settled(4), Settled::Up, "what was started then serves");
    }

    #[test]
    fn any_run_counts_from_zero() {
        assert_eq!(status(State::Online, 1, None).settled(0), Settled::Up);
        assert_eq!(status(State::Starting, 1, None).settled(0), Settled::NotYet);
        assert_eq!(status(State::BackingOff, 1, Some(1)).settled(0), Settled::Failed);
    }
}
