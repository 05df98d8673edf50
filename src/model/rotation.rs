//! When a log file is old enough to be moved to the archive.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cron::Cron;
use super::units::{parse_duration, show_duration};

/// Shorter ones are not taken.
const SHORTEST: Duration = Duration::from_secs(60);
/// 1970-01-05 was a Monday: weeks begin there, and so do days and hours.
const FIRST_MONDAY_MS: u64 = 4 * 86_400_000;

/// How often: `1h`, `1d`, or a cron expression. All in UTC, as the names of archives are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Every {
    /// At the full hour, at midnight, on Mondays: whenever so much time is over, counted from a Monday's midnight.
    Period(Duration),
    /// At these minutes.
    At(Cron),
}

impl Every {
    /// Reads it.
    ///
    /// # Errors
    /// A sentence that ends in what would be right.
    pub fn parse(text: &str) -> Result<Every, String> {
        match parse_duration(text) {
            Ok(period) if period >= SHORTEST => return Ok(Every::Period(period)),
            Ok(_) => return Err(format!("{text:?} is less than a minute; write \"1h\" or \"1d\"")),
            Err(_) => {}
        }
        let looks_like_cron = text.trim_start().starts_with('@') || text.split_whitespace().count() > 2;
        match Cron::parse(text) {
            Ok(cron) => Ok(Every::At(cron)),
            Err(why) if looks_like_cron => Err(format!("{why}; write \"1h\", \"1d\" or \"0 4 * * *\"")),
            Err(_) => Err(format!("{text:?} is no time; write \"1h\", \"1d\" or \"0 4 * * *\"")),
        }
    }

    /// When a file is due that was begun at that moment; both in milliseconds since 1970. None: never.
    pub fn due(&self, begun_ms: u64) -> Option<u64> {
        match self {
            Every::Period(period) => {
                let period = u64::try_from(period.as_millis()).ok().filter(|ms| *ms > 0)?;
                let shift = FIRST_MONDAY_MS % period;
                // How far into its period it was begun.
                let into = (begun_ms + (period - shift)) % period;
                begun_ms.checked_add(period - into)
            }
            Every::At(cron) => cron.next_after(begun_ms),
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Period(period) => to.write_str(&show_duration(*period).replace(' ', "")),
            Every::At(cron) => cron.fmt(to),
        }
    }
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            // In one unit, so that nothing is rounded.
            Every::Period(period) => format!("{}ms", period.as_millis()).serialize(to),
            Every::At(cron) => cron.to_string().serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Every, D::Error> {
        Every::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::calendar::{parse_utc_stamp, utc_stamps};
    use proptest::prelude::*;

    #[test]
    fn when_a_file_is_due() {
        for (every, begun, due) in [
            ("1h", "20261123T014500.123Z", "20261123T020000.000Z"),
            ("1d", "20261123T014500.123Z", "20261124T000000.000Z"),
            ("1d", "20261123T000000.000Z", "20261124T000000.000Z"),
            ("1w", "20261122T235900.000Z", "20261123T000000.000Z"), // a Monday
            ("6h", "20261123T014500.123Z", "20261123T060000.000Z"),
            ("0 4 * * *", "20261123T014500.123Z", "20261123T040000.000Z"),
            ("@monthly", "20261123T014500.123Z", "20261201T000000.000Z"),
        ] {
            let due_ms = Every::parse(every).unwrap().due(parse_utc_stamp(begun).unwrap()).unwrap();
            assert_eq!(utc_stamps(due_ms).1, due, "{every} from {begun}");
        }
    }

    #[test]
    fn what_is_wrong() {
        let error = |text: &str| Every::parse(text).unwrap_err();
        assert_eq!(error("30s"), "\"30s\" is less than a minute; write \"1h\" or \"1d\"");
        assert_eq!(error("daily"), "\"daily\" is no time; write \"1h\", \"1d\" or \"0 4 * * *\"");
        assert!(error("61 4 * * *").starts_with("the minute \"61\" is not between 0 and 59"));
    }

    #[test]
    fn stands_in_a_spec_as_text() {
        for text in ["1d", "90m", "0 4 * * 1-5"] {
            let every = Every::parse(text).unwrap();
            let json = serde_json::to_string(&every).unwrap();
            assert_eq!(serde_json::from_str::<Every>(&json).unwrap(), every, "{json}");
        }
        assert_eq!(Every::parse("90m").unwrap().to_string(), "1h30m");
    }

    proptest! {
        /// A file is due after it was begun, within one period, and one that is begun then a whole period later.
        #[test]
        fn periods_follow_each_other(minutes in 1_u64..20_000, begun in 0_u64..4_102_444_800_000) {
            let period = Duration::from_secs(minutes * 60);
            let every = Every::Period(period);
            let due = every.due(begun).unwrap();
            let period = period.as_millis() as u64;
            prop_assert!(due > begun && due - begun <= period);
            prop_assert_eq!(every.due(due), Some(due + period));
            prop_assert_eq!(every.due(due - 1), Some(due));
        }
    }
}
