//! The process of the current run: how it is started, and how its end is found out.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::node;
use crate::model::attributes::Attributes;
use crate::model::end::Exit;
use crate::model::failure::{StartFailure, Step, cause};
use crate::model::ladder;
use crate::model::memory::Line;
use crate::model::moment::Moment;
use crate::model::phase::Run;
use crate::model::spec::ServiceSpec;
use crate::model::trend::Trend;
use crate::os::attributes::Prepared;
use crate::os::cgroup::Cgroup;
use crate::os::landlock::Writable;
use crate::os::notify::Notice;
use crate::os::process::{Identity, PidFd};
use crate::os::spawn::{Ids, Plan};
use crate::os::tree::Whose;
use crate::os::{clock, limits, own, process, tree, users, wait};
use crate::wire::environment::STATUS_FD;

/// The warden is asked this long how an adopted process ended.
const ASK: Duration = Duration::from_millis(300);
/// What is left of a tree is killed again and again, this long; then the next run starts all the same.
const CLEAR: Duration = Duration::from_secs(2);
/// Below it are standard input, output and error.
const FIRST_INHERITED: usize = 3;

/// The process of the current run.
#[derive(Debug)]
pub struct Child {
    /// Which run.
    pub run: Run,
    /// A handle on it; none if it had ended before it could be adopted.
    pidfd: Option<PidFd>,
    /// Its cgroup, where there is one.
    pub cgroup: Option<Cgroup>,
    /// It was let go after it was recorded; if not, it never became the service.
    pub released: bool,
    /// How its memory grows.
    pub trend: Trend,
    /// On which side of the memory limit it is.
    pub line: Line,
    ending: Ending,
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// It ended, and the warden is asked how.
    Asking {
        until: Moment,
    },
    /// It ended like this, and what it left behind is being killed.
    Clearing {
        exit: Exit,
        until: Moment,
    },
}

/// What came of looking after a child.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// It lives.
    Alive,
    /// It has ended; look again in a moment.
    Ending,
    /// Ask the warden how it ended, and look again.
    AskWarden,
    /// It and its whole tree are gone.
    Gone(Exit),
}

impl Child {
    /// A child that was just started.
    pub fn started(run: Run, pidfd: PidFd, cgroup: Option<Cgroup>) -> Child {
        Child::new(run, Some(pidfd), cgroup, true)
    }

    /// The child of a predecessor.
    ///
    /// # Errors
    /// Those of [`process::find`]. Whoever took it for dead then would kill it.
    pub fn adopted(run: Run, cgroup: Option<Cgroup>, released: bool) -> io::Result<Child> {
        let pidfd = process::find(&Identity { pid: run.pid, ticks: run.ticks, boot_id: clock::boot_id()? })?;
        Ok(Child::new(run, pidfd, cgroup, released))
    }

    fn new(run: Run, pidfd: Option<PidFd>, cgroup: Option<Cgroup>, released: bool) -> Child {
        let (trend, line) = (Trend::default(), Line::default());
        Child { run, pidfd, cgroup, released, trend, line, ending: Ending::No }
    }

    /// Whether the main process lives.
    pub fn is_alive(&self) -> bool {
        self.pidfd.as_ref().is_some_and(|pidfd| !pidfd.has_ended())
    }

    /// What becomes readable when it ends; none once it has.
    pub fn polled(&self) -> Option<BorrowedFd<'_>> {
        (self.ending == Ending::No).then_some(self.pidfd.as_ref()).flatten().map(AsFd::as_fd)
    }

    /// The warden's answer.
    pub fn ended_like(&mut self, pid: i32, status: i32, now: Moment) {
        if pid == self.run.pid && matches!(self.ending, Ending::Asking { .. }) {
            self.ending = Ending::Clearing { exit: process::exit_of_status(status), until: now.plus(CLEAR) };
        }
    }

    /// Whether the warden is asked how it ended.
    pub fn is_asking(&self) -> bool {
        matches!(self.ending, Ending::Asking { .. })
    }

    /// Looks whether it has ended, finds out how, and clears up after it. `spared` is the main process of another run,
    /// `neighbours` finds those of other services.
    pub fn look(
        &mut self,
        service: &str,
        spared: Option<i32>,
        neighbours: impl Fn() -> Vec<i32>,
        now: Moment,
    ) -> Look {
        if self.ending == Ending::No {
            if self.is_alive() {
                return Look::Alive;
            }
            match self.how_it_ended() {
                Some(exit) => self.ending = Ending::Clearing { exit, until: now.plus(CLEAR) },
                None => {
                    self.ending = Ending::Asking { until: now.plus(ASK) };
                    return Look::AskWarden;
                }
            }
        }
        if let Ending::Asking { until } = self.ending {
            let known = self.pidfd.as_ref().and_then(PidFd::exit_from_kernel);
            if known.is_none() && now < until {
                return Look::Ending;
            }
            self.ending = Ending::Clearing { exit: known.unwrap_or(Exit::Unknown), until: now.plus(CLEAR) };
        }
        let Ending::Clearing { exit, until } = self.ending else {
            return Look::Alive;
        };
        // An unreaped child's number is its own. One that was reaped by somebody else may be anybody's by now.
        let certain = wait::peek(Some(self.run.pid)).is_some();
        let neighbours = if self.cgroup.is_none() { neighbours() } else { Vec::new() };
        let whose = Whose { service, run: self.run.number, spared, neighbours: &neighbours };
        let clear = tree::kill_rest(self.cgroup.as_ref(), self.run.pid, certain, whose);
        if !clear && now < until {
            return Look::Ending;
        }
        // Only now may the number of the process, and of its group, be used again.
        let _ = wait::reap(self.run.pid);
        Look::Gone(exit)
    }

    /// As its parent, or from a kernel that remembers.
    fn how_it_ended(&self) -> Option<Exit> {
        wait::peek(Some(self.run.pid))
            .map(|ended| ended.exit())
            .or_else(|| self.pidfd.as_ref().and_then(PidFd::exit_from_kernel))
    }

    /// Whether a report is the run's: its sender is in the tree.
    pub fn speaks(&self, notice: &Notice) -> bool {
        notice.pid == self.run.pid || self.members().contains(&notice.pid)
    }

    /// Whether a report may be the run's: its sender was a helper of the same user that has ended since.
    pub fn may_have_spoken(&self, notice: &Notice) -> bool {
        let same_user = || {
            let own = std::fs::metadata(format!("/proc/{}", self.run.pid));
            own.is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == notice.uid)
        };
        !Path::new(&format!("/proc/{}", notice.pid)).exists() && same_user()
    }

    /// The processes of the tree.
    pub fn members(&self) -> Vec<i32> {
        tree::members(self.cgroup.as_ref(), self.run.pid)
    }

    /// Sends a signal to the process group; to the main process at least.
    pub fn signal(&self, signal: crate::model::signal::Signal) {
        let Some(pidfd) = self.pidfd.as_ref().filter(|pidfd| !pidfd.has_ended()) else {
            return;
        };
        // The main process has not been reaped, or is not ours and has been compared: its number is its own.
        if tree::signal_group(self.run.pid, signal).is_err() {
            let _ = pidfd.signal(signal);
        }
    }

    /// SIGKILL for the whole tree.
    pub fn kill(&self) {
        if self.cgroup.as_ref().is_none_or(|cgroup| cgroup.kill().is_err()) {
            self.signal(crate::model::signal::Signal::KILL);
        }
    }
}

/// Who the service runs as.
#[derive(Debug, Clone)]
pub struct RunAs {
    /// Numbers to become; none: the keeper's own.
    pub ids: Option<Ids>,
    /// Owner of FIFOs and the notify socket; none: the keeper's own user.
    pub owner: Option<(u32, u32)>,
    /// The same in words: `user web`, `group adm`.
    pub what: String,
    /// HOME and USER, when it is another user.
    home: Option<(String, String)>,
}

impl RunAs {
    /// Looks the user of a spec up.
    ///
    /// # Errors
    /// A [`StartFailure`] at step `User`.
    pub fn find(spec: &ServiceSpec) -> Result<RunAs, StartFailure> {
        let group = spec.attributes.group.as_deref().map(find_group).transpose()?;
        let as_own_user = || RunAs {
            ids: group.map(with_own_user),
            owner: None,
            what: format!("group {}", spec.attributes.group.as_deref().unwrap_or_default()),
            home: None,
        };
        let Some(name) = &spec.user else {
            return Ok(as_own_user());
        };
        let user = users::find(name).map_err(|cause| {
            let hint = "check `user` in ecosystem.toml; see: getent passwd";
            StartFailure::new(Step::User, name, cause, Some(hint.to_owned()))
        })?;
        if user.ids.uid == nix::unistd::geteuid().as_raw() {
            return Ok(as_own_user());
        }
        let mut ids = user.ids;
        if let Some(group) = group {
            ids.gid = group;
            if !ids.groups.contains(&group) {
                ids.groups.push(group);
            }
        }
        let owner = Some((ids.uid, ids.gid));
        let what = format!("user {name}");
        Ok(RunAs { ids: Some(ids), owner, what, home: Some((user.home, user.name)) })
    }
}

fn find_group(name: &str) -> Result<u32, StartFailure> {
    users::find_group(name).map_err(|cause| {
        let hint = "check `group` in ecosystem.toml; see: getent group";
        StartFailure::new(Step::User, name, cause, Some(hint.to_owned()))
    })
}

/// The keeper's own user in another group.
fn with_own_user(group: u32) -> Ids {
    let mut groups: Vec<u32> =
        nix::unistd::getgroups().unwrap_or_default().into_iter().map(nix::unistd::Gid::as_raw).collect();
    if !groups.contains(&group) {
        groups.push(group);
    }
    Ids { uid: nix::unistd::geteuid().as_raw(), gid: group, groups }
}

/// Finds the program of a command: as it is if it has a folder, else in the service's PATH.
///
/// # Errors
/// A [`StartFailure`] at step `Find`.
pub fn find_program(spec: &ServiceSpec) -> Result<PathBuf, StartFailure> {
    let name = &spec.command[0];
    if name.contains('/') {
        let path = spec.cwd.join(name);
        let about = std::fs::metadata(&path)
            .map_err(|error| not_found(&path.to_string_lossy(), error.raw_os_error()))?;
        if about.is_dir() || about.permissions().mode() & 0o111 == 0 {
            return Err(not_found(&path.to_string_lossy(), Some(libc::EACCES)));
        }
        return Ok(path);
    }
    let path = spec.env.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
    let mut candidates =
        path.split(':').filter(|folder| !folder.is_empty()).map(|folder| Path::new(folder).join(name));
    let runnable = |path: &PathBuf| {
        path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    candidates.find(runnable).ok_or_else(|| {
        let hint = "write the full path in `command`, or set PATH in `env`".to_owned();
        StartFailure::new(Step::Find, name, format!("not in the service's PATH ({path})"), Some(hint))
    })
}

fn not_found(object: &str, errno: Option<i32>) -> StartFailure {
    StartFailure::from_errno(Step::Find, object, errno.unwrap_or(libc::ENOENT))
}

/// What a run is handed besides its spec.
pub struct Handed<'a> {
    /// Where it reports.
    pub notify: Option<PathBuf>,
    /// Its output and its errors.
    pub output: [BorrowedFd<'a>; 2],
    /// The sockets it listens on.
    pub listen: Vec<BorrowedFd<'a>>,
    /// Its end of its view, the number after the sockets.
    pub view: Option<BorrowedFd<'a>>,
    /// What alone it may change.
    pub writable: Option<BorrowedFd<'a>>,
    /// Most processes and threads of its user.
    pub nproc: Option<u64>,
    /// Its options for Node, if they differ from the spec's.
    pub node: Option<String>,
}

/// Everything that the child needs, prepared.
///
/// # Errors
/// A [`StartFailure`] for a word with a NUL byte.
pub fn plan<'a>(
    spec: &ServiceSpec,
    program: &Path,
    run_as: &RunAs,
    run: u64,
    handed: Handed<'a>,
) -> Result<Plan<'a>, StartFailure> {
    let mut env = spec.env.clone();
    if let Some((home, user)) = &run_as.home {
        for (name, value) in [("HOME", home), ("USER", user)] {
            // Not if the entry has one of its own.
            if env.get(name) == std::env::var(name).ok().as_ref() {
                env.insert(name.to_owned(), value.clone());
            }
        }
    }
    env.insert("DOGWATCH_SERVICE".to_owned(), spec.name.to_string());
    env.insert("DOGWATCH_RUN".to_owned(), run.to_string());
    if let Some(path) = &handed.notify {
        env.insert("NOTIFY_SOCKET".to_owned(), path.to_string_lossy().into_owned());
    }
    if !handed.listen.is_empty() {
        env.insert("LISTEN_FDS".to_owned(), handed.listen.len().to_string());
        let names: Vec<String> = spec.listen.iter().map(|address| format!("tcp{}", address.port())).collect();
        env.insert("LISTEN_FDNAMES".to_owned(), names.join(":"));
    }
    if let Some(options) = handed.node {
        env.insert(node::VARIABLE.to_owned(), options);
    }
    if handed.view.is_some() {
        env.insert(STATUS_FD.to_owned(), (FIRST_INHERITED + handed.listen.len()).to_string());
    }
    let env = env.iter().map(|(name, value)| text(format!("{name}={value}")));
    Ok(Plan {
        program: text(program.as_os_str().as_bytes())?,
        argv: spec.command.iter().map(|word| text(word.as_bytes())).collect::<Result<_, _>>()?,
        env: env.collect::<Result<_, _>>()?,
        cwd: text(spec.cwd.as_os_str().as_bytes())?,
        attributes: Prepared::new(&Attributes { nproc: handed.nproc, ..spec.attributes.clone() }),
        ids: run_as.ids.clone(),
        output: handed.output,
        listen: handed.listen,
        view: handed.view,
        writable: handed.writable,
        oom_score: ladder::oom_score(own::oom_score(), spec.critical),
        nice: ladder::nice(spec.critical),
    })
}

/// Most processes and threads of the service's user: what its entry says; else, so that a service that forks without
/// end stops itself alone, what leaves room for others. Not needed where a cgroup counts them, nor heard by root.
pub fn most_tasks(spec: &ServiceSpec, run_as: &RunAs, cgroup: Option<&Cgroup>) -> Option<u64> {
    let uid = run_as.ids.as_ref().map_or_else(own::effective_uid, |ids| ids.uid);
    let counted = spec.shares.pids_max.is_some() && cgroup.is_some_and(|cgroup| cgroup.counts_processes());
    if spec.attributes.nproc.is_some() || spec.critical || uid == 0 || counted {
        return spec.attributes.nproc;
    }
    ladder::most_tasks(tree::tasks_of(uid), limits::most_tasks())
}

/// What alone a run may change, if its entry says so: also the FIFOs of its output, which programs open by the name
/// /dev/stdout.
///
/// # Errors
/// A [`StartFailure`] where the kernel cannot do it, or one of the paths is not there: what is asked for holds, or the
/// service does not run.
pub fn writable(spec: &ServiceSpec, fifos: &Path) -> Result<Option<Writable>, StartFailure> {
    let Some(paths) = &spec.attributes.writable else { return Ok(None) };
    let failed = |cause: String, hint: Option<String>| StartFailure::new(Step::Attributes, "", cause, hint);
    let writable = Writable::nothing().map_err(|error| {
        let hint = "boot Linux 5.13 or later with lsm=…,landlock, or remove `writable`".to_owned();
        match error.kind() {
            std::io::ErrorKind::Unsupported => {
                failed("`writable` needs Landlock, which this kernel has not".to_owned(), Some(hint))
            }
            _ => failed(format!("`writable`: {}", cause(&error)), None),
        }
    })?;
    for path in paths {
        // What a run may change it may replace by a link, before the next run is started.
        let top =
            paths.iter().filter(|above| path.starts_with(above)).min_by_key(|above| above.as_os_str().len());
        writable.add(path, top.unwrap_or(path)).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::InvalidInput => {
                    "write the path that it leads to, or remove it".to_owned()
                }
                _ => format!("run: mkdir -p {}; or check `writable`", path.display()),
            };
            failed(format!("`writable`: {}: {}", path.display(), cause(&error)), Some(hint))
        })?;
    }
    writable
        .add_files_in(fifos)
        .map_err(|error| failed(format!("{}: {}", fifos.display(), cause(&error)), None))?;
    Ok(Some(writable))
}

fn text(bytes: impl Into<Vec<u8>>) -> Result<CString, StartFailure> {
    CString::new(bytes).map_err(|_| {
        StartFailure::new(Step::Exec, "the command", "a word or a variable contains a NUL byte", None)
    })
}
