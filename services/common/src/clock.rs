//! Time as it stands in JSON envelopes.

use jiff::Timestamp;

/// Now, as `2026-01-02T03:04:05.678Z`.
#[must_use]
pub fn now_iso() -> String {
    iso(Timestamp::now())
}

/// A moment, as `2026-01-02T03:04:05.678Z`.
#[must_use]
pub fn iso(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, iso};

    #[test]
    fn always_has_three_digits_of_a_second() {
        let moment = Timestamp::from_millisecond(1_767_323_045_000).expect("a moment in range");
        assert_eq!(iso(moment), "2026-01-02T03:04:05.000Z");
        let later = Timestamp::from_millisecond(1_767_323_045_678).expect("a moment in range");
        assert_eq!(iso(later), "2026-01-02T03:04:05.678Z");
    }
}
