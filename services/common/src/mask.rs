//! Numbers of people in logs.

/// The last four characters, as `…1234`. Shorter values are hidden whole.
#[must_use]
pub fn mask(number: &str) -> String {
    let count = number.chars().count();
    if count <= 4 {
        return "…".to_owned();
    }
    let tail: String = number.chars().skip(count - 4).collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn keeps_four_characters_at_most() {
        assert_eq!(mask("15550100001"), "…0001");
        assert_eq!(mask("0001"), "…");
        assert_eq!(mask(""), "…");
    }
}
