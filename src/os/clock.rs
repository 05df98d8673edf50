//! The clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::model::moment::{Moment, Now};

/// Reads CLOCK_MONOTONIC.
pub fn mono() -> Moment {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists since Linux 2.6");
    Moment(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// Reads both clocks.
pub fn now() -> Now {
    let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    Now { mono: mono(), unix_ms }
}

/// The kernel's name for this boot: what pids and monotonic times are relative to.
///
/// # Errors
/// When /proc is not mounted.
pub fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Whether anything keeps the wall clock right (adjtimex(2)); none where the kernel does not say.
pub fn is_synchronised() -> Option<bool> {
    const TIME_ERROR: i32 = 5;
    #[expect(unsafe_code, reason = "nix has no adjtimex")]
    // SAFETY: all zeroes is a valid timex, and with `modes` 0 the call only fills it in.
    let state = unsafe {
        let mut about = std::mem::zeroed::<libc::timex>();
        libc::adjtimex(&raw mut about)
    };
    (state >= 0).then_some(state != TIME_ERROR)
}
