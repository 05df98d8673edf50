//! How many files this process may open, and how many processes its user may have.
//!
//! Control plane and warden hold several descriptors for each service, and the usual soft limit of 1024 ends
//! at some 150 services. They raise their own to the hard limit. Nobody else shall inherit that: a program
//! that uses select(2) breaks with descriptors above 1023, so [`super::launch`] gives children what there was
//! before.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::exec;

/// Soft and hard limit from before [`raise_open_files`].
static BEFORE: OnceLock<(u64, u64)> = OnceLock::new();

/// Under this name a process that becomes another program tells it [`BEFORE`] (see [`super::exec`]).
pub(super) const MEMO: &str = "files";

/// Raises this process's limit of open files as far as it may. Where that fails the old limit holds.
pub fn raise_open_files() {
    if let Some((soft, hard)) = exec::told(MEMO).and_then(|told| parse(&told)) {
        let _ = BEFORE.set((soft, hard)); // raised already, by the program that this process was before
        return;
    }
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok()
    {
        let _ = BEFORE.set((soft, hard)); // a second call finds soft = hard and does not come here
    }
}

fn parse(text: &str) -> Option<(u64, u64)> {
    let (soft, hard) = text.split_once(':')?;
    Some((soft.parse().ok()?, hard.parse().ok()?))
}

/// What there was before, to be told on; none if nothing was raised.
pub(super) fn before() -> Option<String> {
    BEFORE.get().map(|(soft, hard)| format!("{soft}:{hard}"))
}

/// What a child is to have; none if nothing was raised.
pub fn for_children() -> Option<libc::rlimit> {
    let (soft, hard) = *BEFORE.get()?;
    Some(libc::rlimit { rlim_cur: soft, rlim_max: hard })
}

/// How many processes and threads the user of this process may have before one of its forks fails (RLIMIT_NPROC).
pub fn most_tasks() -> u64 {
    getrlimit(Resource::RLIMIT_NPROC).map_or(u64::MAX, |(soft, _)| soft)
}

/// How many files this process may open if it raises its limit ([`raise_open_files`]).
pub fn most_open_files() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(_, hard)| hard)
}
