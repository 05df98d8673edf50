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

/// A point in time in UTC, for file names: `2026-11`, and `20261122T184500.123Z`.
pub fn utc_stamps(unix_ms: u64) -> (String, String) {
    // Civil from days, proleptic Gregorian calendar; the year begins in March, so that leap days come last.
    let (days, millis) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
    let (second, milli) = (millis / 1000 % 60, millis % 1000);
    (
        format!("{year:04}-{month:02}"),
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{milli:03}Z"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps() {
        for (unix_ms, month, stamp) in [
            (0, "1970-01", "19700101T000000.000Z"),
            (951_782_400_000, "2000-02", "20000229T000000.000Z"),
            (1_795_374_300_123, "2026-11", "20261122T190500.123Z"),
            (4_107_542_399_999, "2100-02", "21000228T235959.999Z"),
        ] {
            assert_eq!(utc_stamps(unix_ms), (month.to_owned(), stamp.to_owned()));
        }
    }
}
