//! What people write for a moment: `10m`, `09:30`, `2026-11-23 09:30`, `2026-11-23T09:30:00Z`.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Timestamp, Zoned};

use crate::model::units::parse_duration;

/// The forms, for whoever wrote something else.
pub const FORMS: &str =
    "write how long ago (10m, 1h 30m, 2d), a time of the day (09:30), or a date and time (2026-11-23 09:30)";

/// Reads a moment: nanoseconds since 1970. A time without a date is the latest one that is not ahead; a date without a
/// time is its first moment; without a zone, that of `now` is meant.
///
/// # Errors
/// A sentence.
pub fn parse(text: &str, now: &Zoned) -> Result<u64, String> {
    let text = text.trim();
    let moment = moment(text, now).ok_or_else(|| format!("{text:?} is not a time; {FORMS}"))?;
    u64::try_from(moment.as_nanosecond()).map_err(|_| format!("{text:?} is before 1970"))
}

fn moment(text: &str, now: &Zoned) -> Option<Timestamp> {
    let zone = now.time_zone();
    let local = |at: DateTime| Some(zone.to_ambiguous_zoned(at).compatible().ok()?.timestamp());
    match text {
        "now" => return Some(now.timestamp()),
        "today" => return local(now.date().at(0, 0, 0, 0)),
        "yesterday" => return local(now.date().yesterday().ok()?.at(0, 0, 0, 0)),
        _ => {}
    }
    if let Ok(ago) = parse_duration(text.strip_suffix(" ago").unwrap_or(text)) {
        return now.timestamp().checked_sub(ago).ok();
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return Timestamp::from_second(seconds.parse().ok()?).ok();
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let is_time = text.as_bytes().get(..5).is_some_and(|bytes| bytes.contains(&b':'));
    if is_time {
        let time: Time = text.parse().ok()?;
        let today = local(now.date().to_datetime(time))?;
        if today <= now.timestamp() {
            return Some(today);
        }
        return local(now.date().yesterday().ok()?.to_datetime(time));
    }
    match text.len() {
        ..=10 => local(text.parse::<Date>().ok()?.at(0, 0, 0, 0)),
        _ => local(text.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Result<String, String> {
        let now: Zoned = "2026-11-23T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let stamp = |ns| Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_string();
        parse(text, &now).map(stamp)
    }

    #[test]
    fn moments() {
        for (text, expected) in [
            ("10m", "2026-11-23T10:50:00Z"),
            ("1h 30m", "2026-11-23T09:30:00Z"),
            ("1h 30m ago", "2026-11-23T09:30:00Z"),
            ("2d", "2026-11-21T11:00:00Z"),
            ("09:30", "2026-11-23T08:30:00Z"),
            ("09:30:15", "2026-11-23T08:30:15Z"),
            ("13:00", "2026-11-22T12:00:00Z"),
            ("2026-11-20", "2026-11-19T23:00:00Z"),
            ("2026-11-20 09:30", "2026-11-20T08:30:00Z"),
            ("2026-11-20T09:30:15.5", "2026-11-20T08:30:15.5Z"),
            ("2026-11-20T09:30:15Z", "2026-11-20T09:30:15Z"),
            ("2026-11-20T09:30:15+05:30", "2026-11-20T04:00:15Z"),
            ("2026-07-01 00:00", "2026-06-30T22:00:00Z"),
            ("@1795373591", "2026-11-22T18:53:11Z"),
            ("now", "2026-11-23T11:00:00Z"),
            ("today", "2026-11-22T23:00:00Z"),
            ("yesterday", "2026-11-21T23:00:00Z"),
        ] {
            assert_eq!(at(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense() {
        for text in ["", "soon", "10", "25:00", "2026-13-01", "2026-11-23 9", "-5m", "1960-01-01", "@x", "é:"]
        {
            let error = at(text).unwrap_err();
            assert!(error.starts_with(&format!("{text:?} is ")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,30}") {
            let _ = at(&text);
        }
    }
}
