//! Durations and sizes with units: "10s", "300M", and back.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a duration or a size. The message ends in what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

/// Units of time: name, milliseconds.
const TIME: [(&str, f64); 6] =
    [("ms", 1.0), ("s", 1e3), ("m", 60e3), ("h", 3600e3), ("d", 86_400e3), ("w", 604_800e3)];

/// Reads a duration: numbers with units, `500ms`, `10s`, `1m 30s`, `1.5h`, `1d`. A day has 24 hours. The
/// longest is 1000 days.
///
/// # Errors
/// A bare number, an unknown unit, a negative or a far too large value.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = |why: &str| {
        Err(UnitError(format!(
            "{why}; write a number with a unit, like \"500ms\", \"10s\", \"5m\", \"2h\" or \"1d\""
        )))
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return wrong("a duration must not be empty");
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let Some((number, unit, after)) = split_number(rest) else {
            return wrong(&format!("{text:?} is not a duration"));
        };
        if unit.is_empty() {
            return wrong(&format!("{text:?} has no unit"));
        }
        let Some((_, millis)) = TIME.iter().find(|(name, _)| *name == unit) else {
            return wrong(&format!("{unit:?} is not a unit of time"));
        };
        total += number * millis;
        rest = after;
    }
    if total > 1000.0 * 86_400e3 {
        return wrong("more than 1000 days");
    }
    Ok(Duration::from_micros((total * 1e3).round() as u64))
}

/// Reads a size in bytes: `300M`, `300MB` and `300MiB` are all 300·1024² (as pm2 and systemd have it),
/// `1.5GiB`, `64K`, `100B`.
///
/// # Errors
/// A bare number, an unknown unit, or a value above 2⁶².
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let wrong = |why: &str| {
        Err(UnitError(format!("{why}; write a number with a unit, like \"64K\", \"300M\" or \"1.5GiB\"")))
    };
    let Some((number, unit, "")) = split_number(text.trim()) else {
        return wrong(&format!("{text:?} is not a size"));
    };
    let power = match unit.to_ascii_uppercase().as_str() {
        "" => return wrong(&format!("{text:?} has no unit")),
        "B" => 0,
        "K" | "KB" | "KIB" => 1,
        "M" | "MB" | "MIB" => 2,
        "G" | "GB" | "GIB" => 3,
        "T" | "TB" | "TIB" => 4,
        _ => return wrong(&format!("{unit:?} is not a unit of size")),
    };
    let bytes = number * 1024f64.powi(power);
    if bytes > 2f64.powi(62) {
        return wrong(&format!("{text:?} is more than any machine has"));
    }
    Ok(bytes.round() as u64)
}

/// Splits `1.5h rest` into 1.5, `h` and `rest`.
fn split_number(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let after = text[digits..].trim_start();
    let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
    Some((number, &after[..letters], after[letters..].trim_start()))
}

/// Prints a size with a binary unit and three figures: `1.5 GiB`, `312 MiB`, `42 B`.
pub fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.95 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        let text = format!("{value:.1}");
        format!("{} {}", text.trim_end_matches('0').trim_end_matches('.'), UNITS[unit])
    }
}

/// Prints a size with a decimal unit and one place: `3.1 MB`, `80 B`.
pub fn show_decimal_size(bytes: u64) -> String {
    const UNITS: [(&str, f64); 4] = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let value = bytes as f64;
    match UNITS.iter().find(|(_, size)| value >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", value / size),
        None => format!("{bytes} B"),
    }
}

/// Prints a number with a comma before each three digits: `12,345`.
pub fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints a duration with one or two units: `450 ms`, `12 s`, `3m 20s`, `5h 2m`, `12d 3h`.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{millis} ms"),
        1..=59 if !millis.is_multiple_of(1000) && seconds < 10 => format!("{:.1} s", millis as f64 / 1e3),
        1..=59 => format!("{seconds} s"),
        60..=3599 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..=86_399 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit} {small}{small_unit}"),
    }
}

/// Durations in records and messages: whole milliseconds under a plain number.
pub mod millis {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    /// Writes whole milliseconds.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        (duration.as_millis() as u64).serialize(to)
    }

    /// Reads whole milliseconds.
    ///
    /// # Errors
    /// Anything but a non-negative whole number.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// The same for one that may be absent.
pub mod optional_millis {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    /// Writes whole milliseconds.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        duration.map(|duration| duration.as_millis() as u64).serialize(to)
    }

    /// Reads whole milliseconds.
    ///
    /// # Errors
    /// Anything but a non-negative whole number or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let table = [
            ("500ms", 500),
            ("10s", 10_000),
            ("0s", 0),
            ("1.5h", 5_400_000),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            ("1d", 86_400_000),
            (" 2w ", 1_209_600_000),
        ];
        for (text, millis) in table {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "90", "-5s", "5 parsecs", "s", "1..5s", "1s,", "99999d", "1M"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("300M", 300 << 20),
            ("300MB", 300 << 20),
            ("300MiB", 300 << 20),
            ("1.5GiB", 3 << 29),
            ("64k", 64 << 10),
            ("100B", 100),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "90", "-5M", "5 parsecs", "M", "1G 5M", "99999999T"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shown() {
        assert_eq!(show_size(42), "42 B");
        assert_eq!(show_size(1536), "1.5 KiB");
        assert_eq!(show_size(1 << 30), "1 GiB");
        assert_eq!(show_size(312 << 20), "312 MiB");
        assert_eq!(show_decimal_size(999), "999 B");
        assert_eq!(show_decimal_size(3_100_000), "3.1 MB");
        assert_eq!(group_digits(999), "999");
        assert_eq!(group_digits(1_234_567), "1,234,567");
        assert_eq!(show_duration(Duration::from_millis(450)), "450 ms");
        assert_eq!(show_duration(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(show_duration(Duration::from_secs(200)), "3m 20s");
        assert_eq!(show_duration(Duration::from_secs(3600)), "1h");
        assert_eq!(show_duration(Duration::from_secs(90_000)), "1d 1h");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,24}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
        }
    }
}
