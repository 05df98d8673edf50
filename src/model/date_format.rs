//! How a time stands before a line: the format of pm2's `log_date_format`, which has the tokens of moment.js.
//!
//! ```text
//! YYYY YY            year            H HH h hh k kk   hour: 0–23, 1–12, 1–24
//! M MM MMM MMMM      month           m mm s ss        minute, second
//! D DD Do DDD DDDD   day: of the     S SS SSS …       parts of a second, up to nine
//!                    month, year     A a              AM, am
//! d dd ddd dddd      day of the week Z ZZ             +02:00, +0200
//! Q                  quarter         X x              seconds, milliseconds since 1970
//! [any text]         as it stands, as is what is no letter
//! ```
//! Names are English. What moment.js knows beyond that is refused, so that no format means something else here.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::calendar::{DAY_MS, Date};

/// What pm2 takes for `time: true`.
pub const USUAL: &str = "YYYY-MM-DDTHH:mm:ss";
/// Between a time and its line, as pm2 has it.
pub const BEFORE_LINE: &str = ": ";
/// Longest format, bytes.
const LONGEST: usize = 64;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A format of times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFormat {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Number {
        what: Number,
        digits: usize,
    },
    /// Of the name of a month the first so many letters.
    Month(usize),
    /// Of the name of a day.
    Day(usize),
    /// 1st, 2nd.
    Ordinal,
    /// `am`, or `AM`.
    Half {
        upper: bool,
    },
    /// `+02:00`, or `+0200`.
    Zone {
        colon: bool,
    },
    /// So many digits behind the point.
    Fraction(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Year,
    YearOfCentury,
    Quarter,
    Month,
    DayOfMonth,
    DayOfYear,
    DayOfWeek,
    Hour,
    HourOfTwelve,
    HourFromOne,
    Minute,
    Second,
    UnixSeconds,
    UnixMillis,
}

/// Tokens, the longer one of two that begin alike first.
const TOKENS: &[(&str, Part)] = {
    const fn number(what: Number, digits: usize) -> Part {
        Part::Number { what, digits }
    }
    &[
        ("YYYY", number(Number::Year, 4)),
        ("YY", number(Number::YearOfCentury, 2)),
        ("Q", number(Number::Quarter, 1)),
        ("MMMM", Part::Month(usize::MAX)),
        ("MMM", Part::Month(3)),
        ("MM", number(Number::Month, 2)),
        ("M", number(Number::Month, 1)),
        ("DDDD", number(Number::DayOfYear, 3)),
        ("DDD", number(Number::DayOfYear, 1)),
        ("DD", number(Number::DayOfMonth, 2)),
        ("Do", Part::Ordinal),
        ("D", number(Number::DayOfMonth, 1)),
        ("dddd", Part::Day(usize::MAX)),
        ("ddd", Part::Day(3)),
        ("dd", Part::Day(2)),
        ("d", number(Number::DayOfWeek, 1)),
        ("HH", number(Number::Hour, 2)),
        ("H", number(Number::Hour, 1)),
        ("hh", number(Number::HourOfTwelve, 2)),
        ("h", number(Number::HourOfTwelve, 1)),
        ("kk", number(Number::HourFromOne, 2)),
        ("k", number(Number::HourFromOne, 1)),
        ("mm", number(Number::Minute, 2)),
        ("m", number(Number::Minute, 1)),
        ("ss", number(Number::Second, 2)),
        ("s", number(Number::Second, 1)),
        ("A", Part::Half { upper: true }),
        ("a", Part::Half { upper: false }),
        ("ZZ", Part::Zone { colon: false }),
        ("Z", Part::Zone { colon: true }),
        ("X", number(Number::UnixSeconds, 1)),
        ("x", number(Number::UnixMillis, 1)),
    ]
};
/// Of a fraction.
const MOST_DIGITS: usize = 9;
/// Letters that mean something to moment.js and nothing here.
const UNKNOWN: &str = "wWgGLlEeNyYzo";

impl DateFormat {
    /// Reads a format.
    ///
    /// # Errors
    /// A sentence that ends in what would be right.
    pub fn parse(text: &str) -> Result<DateFormat, String> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(format!("a format of times has 1 to {LONGEST} bytes; write {USUAL:?}"));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{text:?} has a control character in it; write {USUAL:?}"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        let mut unclosed = false;
        while let Some(first) = rest.chars().next() {
            if let Some((literal, behind)) = bracketed(rest) {
                add_text(&mut parts, literal);
                rest = behind;
            } else if let Some((token, part)) = token(rest) {
                rest = &rest[token..];
                parts.push(part);
            } else if UNKNOWN.contains(first) && unclosed {
                return Err(format!("{text:?} has a \"[\" that is not closed; as text, write [text]"));
            } else if UNKNOWN.contains(first) {
                return Err(format!(
                    "{text:?}: dogwatch has no token {first:?}; as a letter, write [{first}]"
                ));
            } else {
                unclosed |= first == '[';
                add_text(&mut parts, &rest[..first.len_utf8()]);
                rest = &rest[first.len_utf8()..];
            }
        }
        Ok(DateFormat { text: text.to_owned(), parts })
    }

    /// Adds a time to `to`: milliseconds since 1970, shown in a zone that is so many seconds ahead of UTC.
    pub fn write(&self, to: &mut Vec<u8>, unix_ms: u64, ahead: i32) {
        let time = Time::new(unix_ms, ahead);
        self.parts.iter().for_each(|part| time.write(part, to));
    }

    /// How many bytes of a line are a time in this format, and what stands between it and the line; none if it does not
    /// begin so.
    pub fn length_in(&self, line: &[u8]) -> Option<usize> {
        let mut rest = line;
        for part in &self.parts {
            rest = &rest[part.length_in(rest)?..];
        }
        let rest = rest.strip_prefix(BEFORE_LINE.as_bytes())?;
        Some(line.len() - rest.len())
    }
}

/// `[text]` at the beginning: the text, and what stands behind it.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('[')?.split_once(']')
}

/// The token at the beginning, and its length.
fn token(text: &str) -> Option<(usize, Part)> {
    let digits = text.bytes().take_while(|byte| *byte == b'S').count().min(MOST_DIGITS);
    if digits > 0 {
        return Some((digits, Part::Fraction(digits)));
    }
    let (token, part) = TOKENS.iter().find(|(token, _)| text.starts_with(token))?;
    Some((token.len(), part.clone()))
}

fn add_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(before)) => before.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// A point in time, taken apart.
struct Time {
    date: Date,
    /// Since 1970-01-01, in the zone.
    days: u64,
    /// Of the day.
    second: u64,
    unix_ms: u64,
    ahead: i32,
}

impl Time {
    fn new(unix_ms: u64, ahead: i32) -> Time {
        let local_ms = unix_ms.saturating_add_signed(i64::from(ahead) * 1000);
        let days = local_ms / DAY_MS;
        Time { date: Date::of_days(days), days, second: local_ms % DAY_MS / 1000, unix_ms, ahead }
    }

    fn number(&self, what: Number) -> u64 {
        let hour = self.second / 3600;
        match what {
            Number::Year => self.date.year,
            Number::YearOfCentury => self.date.year % 100,
            Number::Quarter => u64::from(self.date.month - 1) / 3 + 1,
            Number::Month => self.date.month.into(),
            Number::DayOfMonth => self.date.day.into(),
            Number::DayOfYear => {
                let first = Date { month: 1, day: 1, ..self.date }.days().unwrap_or(self.days);
                self.days - first + 1
            }
            Number::DayOfWeek => (self.days + 4) % 7, // 1970 began on a Thursday
            Number::Hour => hour,
            Number::HourOfTwelve => (hour + 11) % 12 + 1,
            Number::HourFromOne => (hour + 23) % 24 + 1,
            Number::Minute => self.second / 60 % 60,
            Number::Second => self.second % 60,
            Number::UnixSeconds => self.unix_ms / 1000,
            Number::UnixMillis => self.unix_ms,
        }
    }

    fn write(&self, part: &Part, to: &mut Vec<u8>) {
        match part {
            Part::Text(text) => to.extend_from_slice(text.as_bytes()),
            Part::Number { what, digits } => write_number(to, self.number(*what), *digits),
            Part::Month(letters) => write_name(to, MONTHS[usize::from(self.date.month) - 1], *letters),
            Part::Day(letters) => write_name(to, DAYS[self.number(Number::DayOfWeek) as usize], *letters),
            Part::Ordinal => {
                write_number(to, self.date.day.into(), 1);
                to.extend_from_slice(match (self.date.day / 10, self.date.day % 10) {
                    (0 | 2.., 1) => b"st",
                    (0 | 2.., 2) => b"nd",
                    (0 | 2.., 3) => b"rd",
                    _ => b"th",
                });
            }
            Part::Half { upper } => to.extend_from_slice(match (self.second < 12 * 3600, upper) {
                (true, false) => b"am",
                (true, true) => b"AM",
                (false, false) => b"pm",
                (false, true) => b"PM",
            }),
            Part::Zone { colon } => {
                let minutes = u64::from(self.ahead.unsigned_abs()) / 60;
                to.push(if self.ahead < 0 { b'-' } else { b'+' });
                write_number(to, minutes / 60, 2);
                to.extend(colon.then_some(b':'));
                write_number(to, minutes % 60, 2);
            }
            Part::Fraction(digits) => {
                let nanos = self.unix_ms % 1000 * 1_000_000;
                write_number(to, nanos / 10_u64.pow(9 - *digits as u32), *digits);
            }
        }
    }
}

/// At least so many digits.
fn write_number(to: &mut Vec<u8>, number: u64, digits: usize) {
    let mut room = [b'0'; 20];
    let (mut at, mut left) = (room.len(), number);
    while left > 0 || room.len() - at < digits {
        at -= 1;
        room[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    to.extend_from_slice(&room[at..]);
}

fn write_name(to: &mut Vec<u8>, name: &str, letters: usize) {
    to.extend_from_slice(&name.as_bytes()[..letters.min(name.len())]);
}

impl Part {
    /// How many bytes at the beginning of `text` can be this part; none if they cannot.
    fn length_in(&self, text: &[u8]) -> Option<usize> {
        let name = |names: &[&str], letters: usize| {
            let mut begun = names.iter().map(|name| &name.as_bytes()[..letters.min(name.len())]);
            begun.find(|name| text.starts_with(name)).map(<[u8]>::len)
        };
        match self {
            Part::Text(literal) => text.starts_with(literal.as_bytes()).then_some(literal.len()),
            Part::Number { what, digits } => {
                let most = match what {
                    Number::UnixSeconds | Number::UnixMillis => 20,
                    Number::DayOfYear => 3,
                    Number::Year => 4,
                    _ => 2,
                };
                let found = digits_in(text).min(most);
                (found >= *digits).then_some(found)
            }
            Part::Month(letters) => name(&MONTHS, *letters),
            Part::Day(letters) => name(&DAYS, *letters),
            Part::Ordinal => {
                let found = digits_in(text).min(2);
                let ending = text.get(found..found + 2)?;
                let known = [&b"st"[..], b"nd", b"rd", b"th"].contains(&ending);
                (found > 0 && known).then_some(found + 2)
            }
            Part::Half { upper } => {
                let words = if *upper { [&b"AM"[..], b"PM"] } else { [&b"am"[..], b"pm"] };
                words.iter().any(|word| text.starts_with(word)).then_some(2)
            }
            Part::Zone { colon } => {
                let length = if *colon { 6 } else { 5 };
                let found = text.get(..length)?;
                let sign = matches!(found[0], b'+' | b'-');
                let digits = found[1..].iter().enumerate().all(|(at, byte)| match (*colon, at) {
                    (true, 2) => *byte == b':',
                    _ => byte.is_ascii_digit(),
                });
                (sign && digits).then_some(length)
            }
            Part::Fraction(digits) => (digits_in(text) >= *digits).then_some(*digits),
        }
    }
}

fn digits_in(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

impl fmt::Display for DateFormat {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}

impl Default for DateFormat {
    fn default() -> DateFormat {
        DateFormat::parse(USUAL).expect("pm2's own format has known tokens only")
    }
}

impl Serialize for DateFormat {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(to)
    }
}

impl<'de> Deserialize<'de> for DateFormat {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<DateFormat, D::Error> {
        DateFormat::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-22 19:05:00.123 UTC, a Sunday.
    const AT: u64 = 1_795_374_300_123;

    fn shown(format: &str, unix_ms: u64, ahead: i32) -> String {
        let mut to = Vec::new();
        DateFormat::parse(format).unwrap().write(&mut to, unix_ms, ahead);
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn formats_that_people_have() {
        for (format, expected) in [
            (USUAL, "2026-11-22T21:05:00"),
            ("YYYY-MM-DD HH:mm:ss Z", "2026-11-22 21:05:00 +02:00"),
            ("YYYY-MM-DD HH:mm:ss.SSS ZZ", "2026-11-22 21:05:00.123 +0200"),
            ("DD-MM-YYYY", "22-11-2026"),
            ("YYYY-MM-DDTHH:mm:ss.SSSZ", "2026-11-22T21:05:00.123+02:00"),
            ("MMM Do YY, h:mm:ss a", "Nov 22nd 26, 9:05:00 pm"),
            ("dddd, MMMM D YYYY [at] hh A", "Sunday, November 22 2026 at 09 PM"),
            ("X x", "1795374300 1795374300123"),
            ("M/D ddd dd d DDD DDDD Q k kk H m s", "11/22 Sun Su 0 326 326 4 21 21 21 5 0"),
            ("S SS SSSSSS SSSSSSSSS", "1 12 123000 123000000"),
            ("[[] [YYYY] é |", "[ YYYY é |"),
        ] {
            assert_eq!(shown(format, AT, 7200), expected, "{format}");
        }
        assert_eq!(
            shown("YYYY-MM-DD HH:mm Z", 0, -12_600),
            "1970-01-01 00:00 -03:30",
            "nothing is before 1970"
        );
        assert_eq!(shown("HH Z", AT, -12_600), "15 -03:30");
        assert_eq!(shown("h a k DDDD", 1_767_225_600_000, 0), "12 am 24 001");
        let ordinals = [0, 1, 2, 3, 10, 11, 12, 20, 21, 22, 30].map(|day| shown("Do", day * DAY_MS, 0));
        assert_eq!(
            ordinals,
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "31st"]
        );
    }

    #[test]
    fn what_is_no_format() {
        for (text, says) in [
            ("", "1 to 64 bytes"),
            ("a\nb", "control character"),
            ("YYYY-ww", "no token 'w'; as a letter, write [w]"),
            ("YYY", "no token 'Y'"),
            ("LLLL", "no token 'L'"),
            ("[unclosed", "has a \"[\" that is not closed; as text, write [text]"),
            (&"Y".repeat(68), "1 to 64 bytes"),
        ] {
            let error = DateFormat::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(serde_json::from_str::<DateFormat>("\"LLLL\"").is_err());
        assert_eq!(serde_json::to_string(&DateFormat::default()).unwrap(), format!("{USUAL:?}"));
    }

    #[test]
    fn a_line_that_begins_with_a_time() {
        let format = DateFormat::default();
        assert_eq!(format.length_in(b"2026-11-22T21:05:00: hello"), Some(21));
        for other in ["", "2026-11-22T21:05:00 hello", "2026-11-22 21:05:00: hello", "hello", "2026-11"] {
            assert_eq!(format.length_in(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_known_again(
            tokens in prop::collection::vec(0..TOKENS.len(), 1..6), unix_ms in 0_u64..253_402_300_800_000,
            minutes in -720_i32..840, line in "[a-z ]{0,12}"
        ) {
            let format: Vec<&str> = tokens.iter().map(|token| TOKENS[*token].0).collect();
            let format = DateFormat::parse(&format.join(" ")).unwrap();
            let mut text = Vec::new();
            format.write(&mut text, unix_ms, minutes * 60);
            text.extend_from_slice(BEFORE_LINE.as_bytes());
            let length = text.len();
            text.extend_from_slice(line.as_bytes());
            prop_assert_eq!(format.length_in(&text), Some(length));
        }

        #[test]
        fn never_panics(text in ".{0,70}", line in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(format) = DateFormat::parse(&text) {
                format.write(&mut Vec::new(), u64::MAX / 2, i32::MIN);
                let _ = format.length_in(&line);
            }
        }
    }
}
