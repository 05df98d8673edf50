//! Starting the control plane, and knowing whether it is there.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::client::{CallError, Client};
use super::fail::{Failure, Outcome};
use super::here::Here;
use super::screen::tell;
use crate::exit_code;
use crate::model::end::Exit;
use crate::model::name::ServiceName;
use crate::os::launch::{Launch, launch, own_program};
use crate::os::process::PidFd;
use crate::os::{lock, own, process, wait};
use crate::wire::api::Health;

/// A control plane answers within this time.
const START: Duration = Duration::from_secs(15);
/// One that has died is started again by warden or systemd within this time.
const RESPAWN: Duration = Duration::from_secs(3);
/// One that hangs is replaced within this time.
const REPLACED: Duration = Duration::from_secs(20);

/// The control plane that answers, if one does.
///
/// # Errors
/// One is there but does not answer.
pub async fn health(here: &Here) -> Outcome<Option<Health>> {
    match Client::new(here.paths.control_sock()).get("/v1/health").await {
        Ok(health) => Ok(Some(health)),
        Err(CallError::Absent) => Ok(None),
        Err(error) => Err(error.into_failure().hint("try again; it replaces itself when it hangs")),
    }
}

/// The same, but one that does not answer is waited for until it does or is replaced: whoever watches it needs a few
/// seconds to be sure. Nobody else may end it.
///
/// # Errors
/// It stays silent.
pub async fn settled(here: &Here) -> Outcome<Option<Health>> {
    let deadline = Instant::now() + REPLACED;
    let mut told = false;
    loop {
        let failure = match health(here).await {
            Ok(health) => return Ok(health),
            Err(failure) => failure,
        };
        let silent = Silent::find(here);
        if Instant::now() >= deadline {
            return Err(silent.map_or(failure, Silent::into_failure));
        }
        if let Some(silent) = silent.filter(|_| !std::mem::replace(&mut told, true)) {
            tell(format_args!("{silent}: waiting until it does, or is replaced"));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The same, but one that has just died is waited for: as long as a warden lives somebody starts another one, and systemd
/// takes a moment for that. Who came first meanwhile would be in its way for ever.
///
/// # Errors
/// As [`settled`].
pub async fn returned(here: &Here) -> Outcome<Option<Health>> {
    let deadline = Instant::now() + RESPAWN;
    loop {
        if let Some(health) = settled(here).await? {
            return Ok(Some(health));
        }
        if Instant::now() >= deadline || lock::named(&here.paths.warden_lock()).is_none() {
            return Ok(None);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A control plane that lives and does not answer.
struct Silent {
    pid: i32,
    stopped: bool,
}

impl Silent {
    fn find(here: &Here) -> Option<Silent> {
        let holder = lock::named(&here.paths.control_lock())?;
        Some(Silent { pid: holder.pid, stopped: process::is_stopped(holder.pid) })
    }

    fn into_failure(self) -> Failure {
        Failure::new(exit_code::NOT_RUNNING, format!("{self}, and nobody has replaced it"))
            .hint(format!("end it, no service notices; then try again: kill -9 {}", self.pid))
    }
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stopped = if self.stopped { " (it is stopped)" } else { "" };
        write!(f, "the control plane (pid {}) does not answer{stopped}", self.pid)
    }
}

/// Starts a control plane for `file` in the background and waits until it answers. Of services that nobody has
/// wanted or unwanted yet it wants only those in `only`, or all if that is empty.
///
/// # Errors
/// It ends at once: what it said about that.
pub async fn start(here: &Here, file: &Path, only: &[ServiceName]) -> Outcome<Health> {
    let log = here.paths.own_log();
    let before = std::fs::metadata(&log).map_or(0, |about| about.len());
    let options: Vec<&str> = only.iter().flat_map(|name| ["--only", name.as_str()]).collect();
    let (mut pid, mut process) = launched(here, file, &options)?;
    let deadline = Instant::now() + START;
    let mut blocked = false;
    loop {
        match health(here).await {
            Ok(Some(health)) => return Ok(health),
            Err(failure) if Instant::now() >= deadline => return Err(failure),
            Ok(None) | Err(_) => {}
        }
        if blocked && lock::named(&here.paths.control_lock()).is_none() {
            // It was one that was just going down.
            (pid, process) = launched(here, file, &options)?;
            blocked = false;
        }
        if process.has_ended() {
            match wait::reap(pid).map(|ended| ended.exit()) {
                // Another one is just starting: it will answer.
                Some(Exit::Code(code))
                    if code == i32::from(exit_code::LOCKED) && Instant::now() < deadline =>
                {
                    blocked = true;
                }
                Some(Exit::Code(code)) => {
                    let said = since(&log, before);
                    let code = u8::try_from(code).unwrap_or(exit_code::FAILED);
                    return Err(Failure::new(code, format!("the control plane ended at once:\n{said}")));
                }
                Some(other) => return Err(Failure::failed(format!("the control plane was {other}"))),
                None if Instant::now() < deadline => {}
                None => {
                    return Err(Failure::failed("another control plane holds the lock and does not answer"));
                }
            }
        }
        if Instant::now() >= deadline {
            let path = log.display();
            let seconds = START.as_secs();
            return Err(Failure::failed(format!("the control plane does not answer within {seconds} s"))
                .hint(format!("see: tail {path}")));
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Starts a control plane that only takes everything down, and waits for its end. Returns its exit code.
///
/// # Errors
/// It cannot be started.
pub async fn take_down(here: &Here, file: &Path) -> Outcome<u8> {
    let (pid, process) = launched(here, file, &["--only-down"])?;
    while !process.has_ended() {
        sleep(Duration::from_millis(10)).await;
    }
    match wait::reap(pid).map(|ended| ended.exit()) {
        Some(Exit::Code(code)) => Ok(u8::try_from(code).unwrap_or(exit_code::FAILED)),
        _ => Ok(exit_code::FAILED),
    }
}

fn launched(here: &Here, file: &Path, options: &[&str]) -> Outcome<(i32, PidFd)> {
    for folder in here.paths.folders() {
        own::make_folder(&folder).map_err(|error| {
            Failure::failed(format!("cannot make the folder {}: {error}", folder.display()))
                .hint("keep everything in a folder of yours: dogwatch --home DIR up")
        })?;
    }
    let mut args: Vec<OsString> = vec!["control".into(), "-f".into(), file.into()];
    args.extend(options.iter().map(OsString::from));
    let mut env = Vec::new();
    if let Some(home) = &here.home {
        env.push(("DOGWATCH_HOME".to_owned(), home.to_string_lossy().into_owned()));
    }
    let failed = |error: std::io::Error| Failure::failed(format!("cannot start the control plane: {error}"));
    launch(&Launch {
        program: own_program().map_err(failed)?,
        args,
        env,
        inherit: Vec::new(),
        output: &here.paths.own_log(),
    })
    .map_err(failed)
}

/// Whether a control plane or a warden lives, with or without an answer.
pub fn anybody(here: &Here) -> bool {
    lock::named(&here.paths.control_lock()).is_some() || lock::named(&here.paths.warden_lock()).is_some()
}

/// What was added to dogwatch's own log after this byte.
fn since(log: &Path, position: u64) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log)
        && file.seek(SeekFrom::Start(position)).is_ok()
    {
        // Whatever can be read of it is better than nothing.
        let _ = file.take(64 * 1024).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).trim_end().to_owned()
}
