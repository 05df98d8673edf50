//! How many files this process may open, and how many processes its user may have.
//!
//! Control plane and warden hold several descriptors for each service, and the usual soft limit of 1024 ends
//! at some 150 services. They raise their own to the hard limit. Nobody else shall inherit that: a program
//! that uses select(2) breaks with descriptors above 1023, so [`super::launch`] gives children what there was
//! before.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Soft and hard limit from before [`raise_open_files`].
static BEFORE: OnceLock<(u64, u64)> = OnceLock::new();

/// Raises this process's limit of open files as far as it may. Where that fails the old limit holds.
pub fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok()
    {
        let _ = BEFORE.set((soft, hard)); // a second call finds soft = hard and does not come here
    }
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
