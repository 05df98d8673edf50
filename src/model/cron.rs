//! Five fields that say at which minutes something is due, as in crontab(5): minute, hour, day, month, weekday.

use std::fmt;

use super::calendar::{DAY_MS, Date};

/// Such an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Day and weekday are both restricted: then either is enough.
    either_day: bool,
}

/// Why a text is no such expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

/// One of the fields.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, words: &[] },
    Field { name: "hour", least: 0, most: 23, words: &[] },
    Field { name: "day", least: 1, most: 31, words: &[] },
    Field {
        name: "month",
        least: 1,
        most: 12,
        words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    // 7 is Sunday, too.
    Field { name: "weekday", least: 0, most: 7, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];
/// Short forms.
const NICKNAMES: [(&str, &str); 5] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
];
/// The 29th of February comes within this time, whatever the year.
const LONGEST_WAIT_DAYS: u64 = 9 * 366;

impl Cron {
    /// Reads it: `*`, numbers, names, lists, ranges and steps, or a nickname like `@daily`.
    ///
    /// # Errors
    /// What is wrong with it; also a date that never comes.
    pub fn parse(text: &str) -> Result<Cron, CronError> {
        let lower = text.trim().to_ascii_lowercase();
        let meant =
            NICKNAMES.iter().find(|(name, _)| *name == lower).map_or(lower.as_str(), |(_, meant)| meant);
        let fields: Vec<&str> = meant.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(CronError(format!(
                "{text:?} has {} fields instead of 5: minute, hour, day, month, weekday",
                fields.len()
            )));
        };
        let weekdays = FIELDS[4].parse(weekday)?;
        let cron = Cron {
            text: text.trim().to_owned(),
            minutes: FIELDS[0].parse(minute)?,
            hours: FIELDS[1].parse(hour)?,
            days: FIELDS[2].parse(day)?,
            months: FIELDS[3].parse(month)?,
            weekdays: weekdays | weekdays >> 7 & 1,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        match cron.next_after(0) {
            Some(_) => Ok(cron),
            None => Err(CronError(format!("{text:?} never comes: no such month has such a day"))),
        }
    }

    /// The first such minute after that time, both milliseconds since 1970, in UTC.
    pub fn next_after(&self, unix_ms: u64) -> Option<u64> {
        let minute = unix_ms / 60_000 + 1;
        let (today, now) = (minute / 1440, minute % 1440);
        (today..=today + LONGEST_WAIT_DAYS).filter(|day| self.is_on(*day)).find_map(|day| {
            let earliest = if day == today { now } else { 0 };
            let minute = (earliest..1440).find(|minute| self.is_at(*minute))?;
            Some(day * DAY_MS + minute * 60_000)
        })
    }

    fn is_on(&self, day: u64) -> bool {
        let date = Date::of_days(day);
        let weekday = (day + 4) % 7; // 1970 began on a Thursday
        let (on_day, on_weekday) = (self.days >> date.day & 1 == 1, self.weekdays >> weekday & 1 == 1);
        let right = if self.either_day { on_day || on_weekday } else { on_day && on_weekday };
        right && self.months >> date.month & 1 == 1
    }

    fn is_at(&self, minute: u64) -> bool {
        self.hours >> (minute / 60) & 1 == 1 && self.minutes >> (minute % 60) & 1 == 1
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}

impl Field {
    /// The numbers that it names, as bits.
    fn parse(&self, text: &str) -> Result<u64, CronError> {
        text.split(',').try_fold(0, |all, part| Ok(all | self.part(part)?))
    }

    fn part(&self, part: &str) -> Result<u64, CronError> {
        let wrong = |why: String| CronError(format!("the {} {part:?} {why}", self.name));
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let step_of = |text: &str| text.parse::<u8>().ok().filter(|step| *step > 0);
        let every = match step {
            Some(text) => {
                step_of(text).ok_or_else(|| wrong("has a step that is no number above 0".to_owned()))?
            }
            None => 1,
        };
        let number = |text: &str| {
            let word = self.words.iter().position(|word| *word == text);
            let number = word.map(|at| at as u8 + self.least).or_else(|| text.parse().ok());
            number
                .filter(|number| (self.least..=self.most).contains(number))
                .ok_or_else(|| wrong(format!("is not between {} and {}", self.least, self.most)))
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => {
                (self.least, self.most.min(if self.words.len() == 7 { 6 } else { self.most }))
            }
            Some((from, to)) => (number(from)?, number(to)?),
            None if step.is_some() => (number(range)?, self.most),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(wrong("ends before it begins".to_owned()));
        }
        Ok((from..=to).step_by(usize::from(every)).fold(0, |bits, number| bits | 1 << number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::calendar::{parse_utc_stamp, utc_stamps};
    use proptest::prelude::*;

    #[test]
    fn the_next_time() {
        // 2026-11-23 is a Monday.
        for (text, after, expected) in [
            ("0 4 1 * *", "20261123T014500.000Z", "20261201T040000.000Z"),
            ("0 0 * * *", "20261123T000000.000Z", "20261124T000000.000Z"),
            ("0 0 * * *", "20261122T235959.999Z", "20261123T000000.000Z"),
            ("*/15 * * * *", "20261123T014500.000Z", "20261123T020000.000Z"),
            ("5-20/10,50 1 * * *", "20261123T011500.000Z", "20261123T015000.000Z"),
            ("30 3 * * sun", "20261123T014500.000Z", "20261129T033000.000Z"),
            ("30 3 * * 7", "20261123T014500.000Z", "20261129T033000.000Z"),
            ("0 0 29 2 *", "20261123T014500.000Z", "20280229T000000.000Z"),
            ("0 0 29 2 *", "20960301T000000.000Z", "21040229T000000.000Z"),
            ("0 0 13 * FRI", "20261123T014500.000Z", "20261127T000000.000Z"), // either
            ("0 0 */2 * fri", "20261123T014500.000Z", "20261127T000000.000Z"), // both
            ("59 23 31 dec *", "20261123T014500.000Z", "20261231T235900.000Z"),
            ("@hourly", "20261123T014500.000Z", "20261123T020000.000Z"),
            ("@monthly", "20261123T014500.000Z", "20261201T000000.000Z"),
        ] {
            let next = Cron::parse(text).unwrap().next_after(parse_utc_stamp(after).unwrap()).unwrap();
            assert_eq!(utc_stamps(next).1, expected, "{text} after {after}");
        }
    }

    #[test]
    fn what_is_wrong() {
        let error = |text: &str| Cron::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("0 4 1 *"),
            "\"0 4 1 *\" has 4 fields instead of 5: minute, hour, day, month, weekday"
        );
        assert_eq!(error("60 * * * *"), "the minute \"60\" is not between 0 and 59");
        assert_eq!(error("0 0 30 feb *"), "\"0 0 30 feb *\" never comes: no such month has such a day");
        assert_eq!(error("0 0 * * fri-mon"), "the weekday \"fri-mon\" ends before it begins");
        for bad in
            ["", "* * * * x", "*/0 * * * *", "1- * * * *", "1,,2 * * * *", "@never", "0 0 * * 8", "0 0 0 * *"]
        {
            assert!(Cron::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn is_later_on_a_minute_and_the_first(
            (minute, hour, day, weekday) in (0..60_u8, 0..24_u8, 1..29_u8, 0..7_u8),
            kind in 0..4_u8,
            after in 0_u64..4_102_444_800_000,
        ) {
            let text = match kind {
                0 => format!("{minute} {hour} * * *"),
                1 => format!("{minute} {hour} {day} * *"),
                2 => format!("{minute} * * * {weekday}"),
                _ => format!("{minute} {hour} {day} * {weekday}"),
            };
            let cron = Cron::parse(&text).unwrap();
            let next = cron.next_after(after).unwrap();
            prop_assert!(next > after && next.is_multiple_of(60_000));
            // Nothing between: the one after any earlier moment is the same.
            prop_assert_eq!(cron.next_after(next - 1), Some(next));
            prop_assert_eq!(cron.next_after(after + (next - after) / 2).unwrap(), next);
        }

        #[test]
        fn never_panics(text in "[-0-9*/, a-z@]{0,24}") {
            let _ = Cron::parse(&text);
        }
    }
}
