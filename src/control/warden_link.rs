//! There is always a warden: when it dies, the next one inherits all that this process holds.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::alarm::Whom;
use super::link::{self, Link, ask_warden};
use super::plane::Plane;
use super::say::say;
use super::scope::Scope;
use crate::model::name::ServiceName;
use crate::model::pace::Pace;
use crate::model::signal::Signal;
use crate::os::launch::{Launch, launch, own_program};
use crate::os::process::{self, PidFd};
use crate::os::{clock, lock};
use crate::wire::warden::{Reply, Request};

/// A warden that starts answers within this time.
const START: Duration = Duration::from_secs(5);
/// Between attempts that fail.
const AGAIN: Duration = Duration::from_millis(500);
/// After this many failed attempts with a scope it is tried without.
const SCOPE_ATTEMPTS: u32 = 3;
/// The topic of problems about it.
const TOPIC: &str = "warden";

/// Sees to it that a warden lives, for ever.
pub async fn watch(plane: Arc<Plane>) {
    let mut failures: u32 = 0;
    let mut pace = Pace::default();
    loop {
        if plane.is_going_down() {
            return;
        }
        let began = clock::mono();
        match find_or_start(&plane, failures).await {
            Ok((pid, process)) => {
                plane.problem(TOPIC, None);
                plane.warden_found(pid);
                tokio::select! {
                    () = link::ended(&process) => {}
                    () = listen(&plane) => {}
                }
                plane.warden_lost();
                plane.alarm.look_at(Whom::Warden);
                if !plane.is_going_down() {
                    say(format_args!("warden {pid} is gone; starting another"));
                }
                failures = 0;
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                let text = format!("no warden: {error}; trying again");
                if plane.problem(TOPIC, Some(text.clone())) {
                    say(text);
                }
            }
        }
        let (next, pause) = pace.after(clock::mono().since(began));
        pace = next;
        sleep(if failures > 1 { pause.max(AGAIN) } else { pause }).await;
    }
}

/// Asks the present warden to keep a service.
///
/// # Errors
/// A sentence.
pub async fn keep(plane: &Plane, name: &ServiceName) -> Result<(), String> {
    let Some(pid) = plane.warden_pid() else {
        return Err("there is no warden at this moment".to_owned());
    };
    let request = Request::Keep { name: name.clone() };
    match ask_warden(&plane.paths.warden_sock(), request).await {
        Ok(Reply::Done | Reply::Keepers { .. }) => {
            plane.note_kept(pid, name);
            Ok(())
        }
        Ok(Reply::Error { message }) => Err(message),
        Ok(Reply::Stopped { .. }) => Err("the warden answered something else".to_owned()),
        Err(error) => {
            if error.kind() == io::ErrorKind::TimedOut {
                plane.alarm.unanswered(Whom::Warden);
            }
            Err(format!("asking the warden: {error}"))
        }
    }
}

/// Lets the warden watch this process, and hears which keepers were stopped; for ever.
async fn listen(plane: &Plane) {
    let converse = async || -> io::Result<()> {
        let link = Link::connect(&plane.paths.warden_sock())?;
        let switch = plane.switch().map(AsFd::as_fd);
        link.send_with(&Request::Watch, switch.as_slice()).await?;
        while let Some(packet) = link.receive().await? {
            if let Ok(Reply::Stopped { name }) = serde_json::from_slice(&packet.bytes) {
                plane.alarm.look_at(Whom::Keeper(name));
            }
        }
        Ok(())
    };
    loop {
        // If the warden has ended, so has this, in a moment.
        let _ = converse().await;
        sleep(AGAIN).await;
    }
}

async fn find_or_start(plane: &Plane, failures: u32) -> io::Result<(i32, PidFd)> {
    let path = plane.paths.warden_lock();
    let (pid, process) =
        match lock::named(&path).and_then(|holder| Some((holder.pid, process::open(&holder)?))) {
            Some(living) => living,
            None => start(plane, failures)?,
        };
    let deadline = Instant::now() + START;
    loop {
        if let Ok(Reply::Keepers { warden, .. }) = ask_warden(&plane.paths.warden_sock(), Request::Ping).await
            && warden == pid
        {
            return Ok((pid, process));
        }
        if process.has_ended() {
            // Somebody else's warden was quicker, perhaps: the next look finds it.
            let log = plane.paths.own_log();
            return Err(io::Error::other(format!("warden {pid} ended at once; see {}", log.display())));
        }
        if Instant::now() >= deadline {
            plane.alarm.unanswered(Whom::Warden);
            if lock::named(&path).is_none() {
                // It was stopped before it could do anything: nobody would ever find it.
                let _ = process.signal(Signal::KILL);
            }
            return Err(io::Error::other(format!("warden {pid} does not answer")));
        }
        sleep(Duration::from_millis(5)).await;
    }
}

fn start(plane: &Plane, failures: u32) -> io::Result<(i32, PidFd)> {
    let program = own_program()?;
    let args = vec![OsString::from("warden")];
    let mut env = Vec::new();
    if let Some(home) = &plane.home {
        env.push(("DOGWATCH_HOME".to_owned(), home.to_string_lossy().into_owned()));
    }
    let scope = plane.managed.then(Scope::of_this_process).flatten();
    let (program, args) = match scope {
        Some(scope) if failures < SCOPE_ATTEMPTS => scope.words(&program, &args),
        _ => (program, args),
    };
    if plane.managed {
        // systemd restarts the control plane; the warden leaves that to it.
        env.push(("DOGWATCH_MANAGED".to_owned(), "systemd".to_owned()));
    }
    let log = plane.paths.own_fifo();
    let started = plane.with_holdings(|holdings| {
        launch(&Launch { program, args, env, inherit: holdings.all(), output: &log })
    })?;
    say(format_args!("started warden {}", started.0));
    Ok(started)
}
