//! Sizes as people write and read them.

const UNITS: [(&str, u64); 4] = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40)];

/// As `38.2 MiB`.
pub fn show_size(bytes: u64) -> String {
    match UNITS.iter().rev().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}iB", bytes as f64 / *size as f64),
        None => format!("{bytes} B"),
    }
}

/// Reads `500M`, `2G`, `2GiB` (all powers of 1024) or a bare number of bytes.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "write a whole number with a unit, such as 500M or 2G".to_owned();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = text[digits..].trim();
    let unit = unit.strip_suffix("iB").or_else(|| unit.strip_suffix('B')).unwrap_or(unit);
    let size = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, size)) => *size,
        None if unit.is_empty() => 1,
        None => return Err(wrong()),
    };
    number.checked_mul(size).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes) in
            [("0", 0), ("500M", 500 << 20), ("2GiB", 2 << 30), ("2 GB", 2 << 30), ("12B", 12)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "1X", "99999999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!([show_size(999), show_size(40 << 20)], ["999 B", "40.0 MiB"]);
    }
}
