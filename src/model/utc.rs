//! The calendar, for display only.

/// `2026-11-22 18:53:11` in UTC, from milliseconds since 1970 (Howard Hinnant's civil_from_days).
pub fn show_utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        assert_eq!(show_utc(0), "1970-01-01 00:00:00");
        assert_eq!(show_utc(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(show_utc(1_795_373_591_999), "2026-11-22 18:53:11");
        assert_eq!(show_utc(4_107_542_399_000), "2100-02-28 23:59:59");
    }
}
