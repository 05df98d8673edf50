//! Days, months and years of the Gregorian calendar in UTC, without a time zone or a leap second.

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// From 1970 on.
    pub year: u64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Date {
    /// The day that begins so many days after 1970-01-01.
    pub fn of_days(days: u64) -> Date {
        // The year begins in March, so that leap days come last.
        let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        Date { year, month: month as u8, day: day as u8 }
    }

    /// Days since 1970-01-01; none if there is no such day, or it lies before.
    pub fn days(self) -> Option<u64> {
        let (month, day) = (u64::from(self.month), u64::from(self.day));
        if !(1..=12).contains(&month) || day == 0 || self.year > 999_999 {
            return None;
        }
        let year = self.year.checked_sub(u64::from(month <= 2))?;
        let (era, year_of_era) = (year / 400, year % 400);
        let march_month = (month + 9) % 12;
        let day_of_year = (153 * march_month + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
        (Date::of_days(days) == self).then_some(days)
    }
}

/// A point in time in UTC, for file names: `2026-11`, and `20261122T184500.123Z`.
pub fn utc_stamps(unix_ms: u64) -> (String, String) {
    let Date { year, month, day } = Date::of_days(unix_ms / DAY_MS);
    let millis = unix_ms % DAY_MS;
    let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
    let (second, milli) = (millis / 1000 % 60, millis % 1000);
    (
        format!("{year:04}-{month:02}"),
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{milli:03}Z"),
    )
}

/// Reads `20261122T184500.123Z`; none if it is not exactly such a stamp.
pub fn parse_utc_stamp(stamp: &str) -> Option<u64> {
    let number = |from: usize, to: usize| {
        let digits = stamp.get(from..to).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<u64>().ok()
    };
    let date = Date { year: number(0, 4)?, month: number(4, 6)? as u8, day: number(6, 8)? as u8 };
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    let millis = ((hour * 60 + minute) * 60 + second) * 1000 + number(16, 19)?;
    let unix_ms = date.days()? * DAY_MS + millis;
    (hour < 24 && utc_stamps(unix_ms).1 == stamp).then_some(unix_ms)
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
        for wrong in
            ["", "20260230T000000.000Z", "20261122T240000.000Z", "20261122T190500.123", "2026112éT190500.12"]
        {
            assert_eq!(parse_utc_stamp(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn days_that_there_are_not() {
        for (year, month, day) in
            [(2026, 2, 29), (2100, 2, 29), (2026, 0, 1), (2026, 13, 1), (2026, 4, 31), (1969, 12, 31)]
        {
            assert_eq!(Date { year, month, day }.days(), None, "{year}-{month}-{day}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(unix_ms in 0_u64..253_402_300_800_000) {
            proptest::prop_assert_eq!(parse_utc_stamp(&utc_stamps(unix_ms).1), Some(unix_ms));
        }

        #[test]
        fn days_follow_each_other(days in 0_u64..2_000_000) {
            proptest::prop_assert_eq!(Date::of_days(days).days(), Some(days));
            proptest::prop_assert!(Date::of_days(days) < Date::of_days(days + 1));
        }

        #[test]
        fn never_panics(text in ".{0,24}") {
            let _ = parse_utc_stamp(&text);
        }
    }
}
