//! The parameters of a request: digits only, once, in bounds.

use std::ops::RangeInclusive;

use service_common::query;

/// What a request was asked with.
pub(crate) struct Params(Vec<(Vec<u8>, Vec<u8>)>);

/// A parameter that cannot be used, in a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid(pub(crate) String);

impl Params {
    pub(crate) fn of(query: Option<&str>) -> Self {
        Self(query::pairs(query.unwrap_or_default()))
    }

    /// The number `name`, or its default.
    pub(crate) fn number(
        &self,
        name: &str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Result<u32, Invalid> {
        let mut values = self.0.iter().filter(|(given, _)| given == name.as_bytes()).map(|(_, value)| value);
        let Some(value) = values.next() else {
            return Ok(default);
        };
        let (low, high) = (range.start(), range.end());
        digits(value)
            .filter(|number| range.contains(number) && values.next().is_none())
            .ok_or_else(|| Invalid(format!("{name} must be an integer between {low} and {high}")))
    }
}

fn digits(value: &[u8]) -> Option<u32> {
    let text = str::from_utf8(value).ok()?;
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::Params;

    #[test]
    fn digits_once_and_in_bounds() {
        let days = |query: &str| Params::of(Some(query)).number("days", 7, 1..=365).ok();
        assert_eq!(Params::of(None).number("days", 7, 1..=365).ok(), Some(7));
        assert_eq!(days("other=x"), Some(7));
        assert_eq!(days("days=1"), Some(1));
        assert_eq!(days("days=0365"), Some(365));
        for wrong in [
            "days=0",
            "days=366",
            "days=-1",
            "days=%2B1",
            "days=1.0",
            "days=",
            "days=x",
            "days=1&days=1",
            "days=99999999999",
        ] {
            assert_eq!(days(wrong), None, "{wrong}");
        }
        let told = Params::of(Some("days=0")).number("days", 7, 1..=365).expect_err("out of bounds");
        assert_eq!(told.0, "days must be an integer between 1 and 365");
    }
}
