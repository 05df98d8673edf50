//! The warden: parent of all keepers. It has no policy and no configuration.
//!
//! It restarts a keeper that dies, at once; it is the second holder of every FIFO and socket, and hands them
//! to the new keeper; services whose keeper has died come to it as orphans, and it remembers how they ended
//! until their new keeper asks. Without systemd it also restarts the control plane, and ends one that stalls.
//!
//! It can be killed at any moment: the control plane, or a keeper when both are gone, starts a new one, which
//! finds the living keepers by their locks.
//!
//! ```text
//! event_loop   the one loop: keepers are started, heard and started again
//! keepers      a keeper's process                orphans    how services without a keeper have ended
//! control      the control plane's process       overseen   whether that stands still
//! requests     what a warden is asked            renewal    another program, the same process
//! cells        where the cgroups of services are made
//! ```

mod cells;
mod control;
mod event_loop;
mod keepers;
mod orphans;
mod overseen;
mod renewal;
mod requests;

use std::os::fd::OwnedFd;

use nix::sys::signal::Signal;

use crate::holder::Holdings;
use crate::model::ladder::OWN_OOM_SCORE;
use crate::os::lock::{self, Attempt};
use crate::os::packet::Listener;
use crate::os::{exec, fault, heap, inherit, limits, own, wait};
use crate::paths::Paths;
use crate::wire::environment::{BY_SYSTEMD, LOCK_FD, MANAGED, ORPHANS, REQUESTS_FD};
use crate::{exit_code, own_log};
use event_loop::{Heritage, Warden};
use orphans::Orphans;

/// Runs until it is told to quit. Returns the exit code.
pub fn run(paths: &Paths) -> u8 {
    heap::keep_small();
    limits::raise_open_files();
    own::set_oom_score(OWN_OOM_SCORE);
    let (holdings, mut others) = Holdings::from_inherited(inherit::take());
    let lock = match lock::take_over(others.remove(LOCK_FD), &paths.warden_lock()) {
        Ok(Attempt::Held(lock)) => lock,
        Ok(Attempt::Busy(holder)) => {
            let holder =
                holder.map_or_else(|| "another process".to_owned(), |holder| format!("pid {}", holder.pid));
            log(&format!("{holder} is the warden already"));
            return exit_code::LOCKED;
        }
        Err(error) => {
            log(&format!("cannot lock {}: {error}", paths.warden_lock().display()));
            return exit_code::FAILED;
        }
    };
    if exec::has_happened() {
        fault::point("the warden after exec");
    }
    let orphans = Orphans::from_memo(&exec::told(ORPHANS).unwrap_or_default());
    match set_up(paths, others.remove(REQUESTS_FD), Heritage { holdings, orphans, lock }) {
        Ok(warden) => warden.run(),
        Err(message) => {
            log(&message);
            exit_code::FAILED
        }
    }
}

fn set_up(paths: &Paths, socket: Option<OwnedFd>, heritage: Heritage) -> Result<Warden, String> {
    let failed = |what: &'static str| move |error: std::io::Error| format!("cannot {what}: {error}");
    wait::become_subreaper().map_err(failed("become the parent of orphans"))?;
    // USR2 is for the control plane and for keepers; sent to all of dogwatch, it must not end this one.
    let known = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR2];
    let signals = wait::signals(&known).map_err(failed("receive signals"))?;
    let listener = Listener::take_over(socket, &paths.warden_sock())
        .map_err(|error| format!("cannot listen on {}: {error}", paths.warden_sock().display()))?;
    let managed = std::env::var(MANAGED).is_ok_and(|by| by == BY_SYSTEMD);
    let cells = cells::find(paths, managed);
    Ok(Warden::new(paths.clone(), signals, listener, heritage, managed, cells))
}

fn log(what: &str) {
    own_log::line("warden", what);
}
