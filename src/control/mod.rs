//! The control plane: reads ecosystem.toml, has services kept, tells how they are, passes orders on.
//!
//! It owns no service and remembers nothing: what it knows it finds again in the run folder and hears again
//! from the keepers. So it may be killed at any moment, and starting it is the only way of repairing it.
//!
//! ```text
//! book (the file) ──► reconcile ──► warden_link ──► warden ──► keepers
//! api ──► orders, up, down ─────────────────────────────────────► keepers
//! api ◄── view ◄── roster ◄── keeper_link ◄──────────────────── keepers
//!          └────► viewers ◄─────────────────► services that may look
//! roster ──► alerts ────────────────────────────────────────────► the operator's command
//! all ──► alarm ──► sentinel ──► pings, kills, relief ──────────► warden, keepers
//! ```
//! One thread runs all of it. Each service has two tasks (`keeper_link`), and one more if it may look (`viewers`); each
//! request has one.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollTimeout, poll};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::exit_code;
use crate::holder::Holdings;
use crate::model::ladder::OWN_OOM_SCORE;
use crate::model::name::ServiceName;
use crate::model::phase::Goal;
use crate::os::lock::{self, Attempt};
use crate::os::{clock, exec, fault, file, inherit, limits, own, wait};
use crate::start::Start;
use crate::wire::environment::{LOCK_FD, ORPHANS, REQUESTS_FD, TCP_FD};

mod alarm;
mod alerts;
mod api;
mod book;
mod builds;
mod down;
mod folder;
mod forwarder;
mod host;
mod keeper_link;
mod link;
mod log_budget;
mod logs;
mod orders;
mod own_log;
mod ping;
mod plane;
mod reconcile;
mod relief;
mod renewal;
mod roster;
mod say;
mod scope;
mod sentinel;
mod serve;
mod up;
mod view;
mod viewers;
mod warden_link;
mod watch;

use book::Look;
use plane::{Ending, Plane};
use say::say;

/// Runs the control plane until it is told to end. Returns the exit code.
pub fn run(start: Start) -> u8 {
    fault::point("a control plane begins");
    let (holdings, mut others) = Holdings::from_inherited(inherit::take());
    own::private_umask();
    own::set_oom_score(OWN_OOM_SCORE);
    limits::raise_open_files();
    match prepare(&start, others.remove(LOCK_FD)) {
        Ok(lock) => {
            if exec::has_happened() {
                fault::point("the control plane after exec");
            }
            let managed = std::env::var_os("NOTIFY_SOCKET").is_some();
            let mut plane = Plane::new(start.paths, start.home, managed, &start.file, holdings);
            if sd_notify::watchdog_enabled().is_none() {
                plane.make_switch();
            }
            for door in [REQUESTS_FD, TCP_FD] {
                others.remove(door).into_iter().for_each(|fd| plane.keep_door(door, fd));
            }
            plane.note_orphans(&exec::told(ORPHANS).unwrap_or_default());
            let mut plane = Arc::new(plane);
            let code = loop {
                if let Some(code) = open_book(&plane, start.only_down) {
                    break code;
                }
                unwant_others(&plane, &start.only);
                match in_runtime(&plane, start.only_down) {
                    End::Code(code) => break code,
                    End::Exec(program) => plane = Arc::new(renewal::become_program(&plane, &lock, program)),
                }
            };
            own_log::finish(&plane.paths);
            lock.release();
            code
        }
        Err((code, text)) => {
            say(text);
            code
        }
    }
}

/// How the work ends.
enum End {
    /// With this exit code.
    Code(u8),
    /// This process is to become that program.
    Exec(PathBuf),
}

/// A control plane that systemd starts waits so long for one that somebody has started by hand; less than the unit's
/// TimeoutStartSec.
const QUEUE: Duration = Duration::from_secs(25);
/// Between two looks meanwhile, milliseconds.
const QUEUE_LOOK: u8 = 250;

/// Makes the folders and takes the lock; it may be kept already.
fn prepare(start: &Start, kept: Option<OwnedFd>) -> Result<lock::Lock, (u8, String)> {
    let failed = |what: String, error: std::io::Error| (exit_code::FAILED, format!("{what}: {error}"));
    for folder in start.paths.folders() {
        own::make_folder(&folder)
            .map_err(|error| failed(format!("cannot make the folder {}", folder.display()), error))?;
    }
    let path = start.paths.control_lock();
    let failed_to_lock = |error| failed(format!("cannot lock {}", path.display()), error);
    let mut attempt = lock::take_over(kept, &path).map_err(failed_to_lock)?;
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        // systemd would try again ten times a second, for ever.
        let deadline = clock::mono().plus(QUEUE);
        while matches!(attempt, Attempt::Busy(_)) && clock::mono() < deadline {
            let _ = poll(&mut [], PollTimeout::from(QUEUE_LOOK));
            attempt = lock::try_lock(&path).map_err(failed_to_lock)?;
        }
    }
    let lock = match attempt {
        Attempt::Held(lock) => lock,
        Attempt::Busy(holder) => {
            let who =
                holder.map_or("a process that is ending".to_owned(), |holder| format!("pid {}", holder.pid));
            let text = format!("another control plane runs here already: {who}\n  see: dogwatch status");
            return Err((exit_code::LOCKED, text));
        }
    };
    if let Err(error) = own_log::start(&start.paths) {
        say(format_args!("cannot make {}: {error}", start.paths.own_fifo().display()));
    }
    let path = start.paths.ecosystem();
    let content = start.file.to_string_lossy().into_owned();
    if let Err(error) = file::replace(&path, content.as_bytes(), false) {
        let path = path.display();
        say(format_args!(
            "cannot write {path}: {error}; only systemd or `dogwatch up` can restart this process"
        ));
    }
    Ok(lock)
}

/// Reads the file; an exit code, if it has mistakes and nothing runs that could go on.
fn open_book(plane: &Plane, only_down: bool) -> Option<u8> {
    match plane.book.look() {
        Look::Wrong(mistakes) if !only_down && !reconcile::anything_lives(plane) => {
            say(format_args!("nothing is started:\n{}", mistakes.text));
            Some(exit_code::CONFIG)
        }
        Look::Wrong(mistakes) => {
            say(format_args!("what runs goes on as it was:\n{}", mistakes.text));
            None
        }
        Look::Same | Look::Changed(_) => None,
    }
}

/// `up a` on a machine where nothing has run yet: the operator wants a, and nothing else until told.
fn unwant_others(plane: &Plane, wanted: &[ServiceName]) {
    if wanted.is_empty() {
        return;
    }
    for name in plane.book.names().iter().filter(|name| !wanted.contains(name)) {
        let paths = plane.paths.service(name);
        if !paths.goal.exists()
            && let Err(error) = folder::write_goal(&paths, Goal::Down)
        {
            say(format_args!("{name} starts although only others were asked for: {error}"));
        }
    }
}

fn in_runtime(plane: &Arc<Plane>, only_down: bool) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.and_then(|runtime| {
        let result = runtime.block_on(live(plane, only_down));
        // A thread that waits for a disk that hangs is not waited for.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(end) => end,
        Err(error) => {
            say(format_args!("cannot go on: {error}"));
            End::Code(exit_code::FAILED)
        }
    }
}

async fn live(plane: &Arc<Plane>, only_down: bool) -> std::io::Result<End> {
    // First of all, so that no end of a child goes unseen.
    let mut signals = Signals::new()?;
    wait::let_signals_through();
    wait::become_subreaper()?;
    reap(plane);
    let new_places = || Arc::new(Semaphore::new(serve::CONNECTIONS as usize));
    let (places, tcp_places) = (new_places(), new_places());
    let socket = serve::open_unix(plane)?;
    let adopted = Arc::new(Notify::new());
    own_log::speak(&plane.paths);
    let mut parts = JoinSet::new();
    let no_warden = lock::named(&plane.paths.warden_lock()).is_none();
    if no_warden {
        reconcile::clear_leftovers(plane);
    }
    // Before there is a warden, so that a successor finds it done.
    let begins = !only_down && no_warden && !reconcile::anything_lives(plane);
    let unadmitted = begins && reconcile::admit_all(plane).is_err();
    parts.spawn(warden_link::watch(Arc::clone(plane)));
    parts.spawn(sentinel::run(Arc::clone(plane)));
    if only_down {
        let plane = Arc::clone(plane);
        parts.spawn(async move {
            // A service without a keeper can be stopped only when a warden has given it one.
            let mut bell = plane.roster.subscribe();
            let warden = async { while plane.warden_pid().is_none() && bell.changed().await.is_ok() {} };
            let _ = timeout(WARDEN_PATIENCE, warden).await;
            down::down(&plane).await;
            plane.end(Ending::Down);
        });
    } else {
        parts.spawn(reconcile::run(Arc::clone(plane), Arc::clone(&adopted), unadmitted));
        parts.spawn(watch::run(Arc::clone(plane)));
        parts.spawn(alerts::run(Arc::clone(plane)));
        parts.spawn(forwarder::run(Arc::clone(plane)));
        parts.spawn(serve::unix(Arc::clone(plane), socket, Arc::clone(&places)));
        parts.spawn(open_tcp(Arc::clone(plane), Arc::clone(&tcp_places)));
    }
    parts.spawn(async move {
        adopted.notified().await;
        notify(NotifyState::Ready);
    });
    let end = main_loop(plane, &mut signals, &mut parts).await;
    // A service manager that is told nothing sees nothing: the process stays, and its watchdog has just been fed.
    notify(if matches!(end, End::Exec(_)) { NotifyState::Watchdog } else { NotifyState::Stopping });
    if matches!(end, End::Code(_)) {
        plane.close_doors();
    }
    // The doors are closed; those who are being answered get their answers.
    parts.shutdown().await;
    let patience = if matches!(end, End::Exec(_)) { serve::LONG_CALL } else { serve::LAST_CALL };
    let all = async {
        for door in [places, tcp_places] {
            drop(door.acquire_many(serve::CONNECTIONS).await);
        }
    };
    let _ = timeout(patience, all).await;
    Ok(end)
}

/// How long a control plane that is only to take everything down waits for a warden, also for the successor of one
/// that hangs.
const WARDEN_PATIENCE: Duration = Duration::from_secs(20);

/// Until the end: signals, children, the watchdog. A hang anywhere in this thread stops the heartbeat, and
/// the service manager replaces the process.
async fn main_loop(plane: &Arc<Plane>, signals: &mut Signals, parts: &mut JoinSet<()>) -> End {
    let mut ending = plane.ending();
    let watchdog = sd_notify::watchdog_enabled();
    let mut heartbeat = interval(watchdog.map_or(Duration::from_secs(3600), |time| time / 2));
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = signals.term.recv() => plane.end(Ending::Alone),
            _ = signals.int.recv() => plane.end(Ending::Alone),
            _ = signals.hup.recv() => watch::report(plane),
            _ = signals.reopen.recv() => drop(tokio::spawn(logs::reopen_all(Arc::clone(plane)))),
            _ = signals.child.recv() => reap(plane),
            _ = heartbeat.tick() => if watchdog.is_some() { notify(NotifyState::Watchdog) },
            Some(Err(error)) = parts.join_next() => {
                say(format_args!("a part of the control plane has failed, so it starts anew: {error}"));
                return End::Code(exit_code::FAILED);
            }
            _ = ending.changed() => match *ending.borrow_and_update() {
                Some(Ending::Alone) => return End::Code(exit_code::OK),
                Some(Ending::Exec) => {
                    if let Some(program) = plane.wanted_program() {
                        return End::Exec(program);
                    }
                }
                Some(Ending::Down) => {
                    // Nobody is to think that it still runs. What is left is removed by the next start.
                    let _ = std::fs::remove_file(plane.paths.control_sock());
                    return End::Code(if plane.managed { exit_code::DOWN } else { exit_code::OK });
                }
                Some(Ending::Downing) | None => {}
            },
        }
    }
}

async fn open_tcp(plane: Arc<Plane>, places: Arc<Semaphore>) {
    let Some(address) = plane.book.listen() else {
        plane.doors().remove(TCP_FD); // what it was before had one
        return;
    };
    match serve::open_tcp(&plane, address).await {
        Ok(listener) => {
            plane.set_tcp(address);
            serve::tcp(plane, listener, places).await;
        }
        Err(text) => {
            say(&text);
            plane.problem("tcp", Some(text));
        }
    }
}

/// Reaps every child that has ended: wardens, and keepers and services that fell to this process while there
/// was no warden. Their keepers may ask how they ended.
fn reap(plane: &Plane) {
    while let Some(pid) = wait::next_stopped() {
        plane.child_stopped(pid);
    }
    while let Some(ended) = wait::peek(None) {
        plane.note_orphan(ended);
        if wait::reap(ended.pid).is_none() {
            return;
        }
    }
}

fn notify(state: NotifyState<'_>) {
    // Without a service manager this does nothing.
    if let Err(error) = sd_notify::notify(&[state]) {
        say(format_args!("telling the service manager: {error}"));
    }
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    /// What pm2 and logrotate's users send.
    reopen: Signal,
    child: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined2())?,
            child: signal(SignalKind::child())?,
        })
    }
}
