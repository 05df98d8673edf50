//! How much a service may log in a second, where somebody has set a limit.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::moment::Moment;
use super::units::{group_digits, parse_size, show_size};

/// What is allowed comes anew after this time.
const WINDOW: Duration = Duration::from_secs(1);

/// The most of one stream in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Lines.
    Lines(u64),
    /// Bytes.
    Bytes(u64),
}

impl Rate {
    /// Reads `1000 lines/s` or `1MiB/s`.
    ///
    /// # Errors
    /// A sentence that ends in what would be right.
    pub fn parse(text: &str) -> Result<Rate, String> {
        let wrong = || format!("{text:?} is no rate; write \"1000 lines/s\" or \"1MiB/s\"");
        let amount = text.trim().strip_suffix("/s").ok_or_else(wrong)?.trim_end();
        let rate = match amount.strip_suffix("lines").or_else(|| amount.strip_suffix("line")) {
            Some(number) => Rate::Lines(number.trim().parse().map_err(|_| wrong())?),
            None => Rate::Bytes(parse_size(amount).map_err(|_| wrong())?),
        };
        match rate {
            Rate::Lines(0) | Rate::Bytes(0) => {
                Err(format!("{text:?} lets nothing through; leave it out for no limit"))
            }
            rate => Ok(rate),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rate::Lines(lines) => write!(to, "{} lines/s", group_digits(*lines)),
            Rate::Bytes(bytes) => write!(to, "{}/s", show_size(*bytes)),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Rate::Lines(lines) => format!("{lines} lines/s").serialize(to),
            Rate::Bytes(bytes) => format!("{bytes}B/s").serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Rate, D::Error> {
        Rate::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// What is left of it.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    rate: Rate,
    left: u64,
    ends: Moment,
    /// A line has been let through in part: its rest may follow.
    in_line: bool,
}

impl Allowance {
    /// All of it.
    pub fn new(rate: Rate) -> Allowance {
        Allowance { rate, left: 0, ends: Moment(0), in_line: false }
    }

    /// How much it is in a second.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// When it comes anew, if it is used up.
    pub fn used_up_until(&self, now: Moment) -> Option<Moment> {
        (self.left == 0 && self.ends > now).then_some(self.ends)
    }

    /// How many of these bytes may pass: whole lines, and the beginning of one if there is something left for it. A line
    /// that has begun to pass passes to its end, whatever it costs.
    pub fn admit(&mut self, bytes: &[u8], now: Moment) -> usize {
        if self.ends <= now {
            self.ends = now.plus(WINDOW);
            self.left = match self.rate {
                Rate::Lines(most) | Rate::Bytes(most) => most,
            };
        }
        let mut passed = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.left == 0 && !self.in_line {
                break;
            }
            let ends = line.ends_with(b"\n");
            let cost = match self.rate {
                Rate::Lines(_) => u64::from(ends),
                Rate::Bytes(_) => line.len() as u64,
            };
            self.left = self.left.saturating_sub(cost);
            self.in_line = !ends;
            passed += line.len();
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates() {
        assert_eq!(Rate::parse("1000 lines/s"), Ok(Rate::Lines(1000)));
        assert_eq!(Rate::parse(" 64K/s"), Ok(Rate::Bytes(64 << 10)));
        assert_eq!(Rate::Lines(12_000).to_string(), "12,000 lines/s");
        assert_eq!(Rate::Bytes(1 << 20).to_string(), "1 MiB/s");
        for bad in ["1000", "1000/s", "lines/s", "0 lines/s", "0B/s", "-1 lines/s", "1M/m"] {
            assert!(Rate::parse(bad).unwrap_err().starts_with(&format!("{bad:?} ")), "{bad}");
        }
        for rate in [Rate::Lines(7), Rate::Bytes(1234)] {
            let json = serde_json::to_string(&rate).unwrap();
            assert_eq!(serde_json::from_str::<Rate>(&json).unwrap(), rate, "{json}");
        }
    }

    #[test]
    fn so_many_lines_in_a_second() {
        let mut allowance = Allowance::new(Rate::Lines(2));
        let at = |ms: u64| Moment(1_000_000_000 + ms * 1_000_000);
        assert_eq!(allowance.admit(b"one\ntw", at(0)), 6);
        assert_eq!(allowance.used_up_until(at(0)), None);
        assert_eq!(allowance.admit(b"o\nthree\n", at(10)), 2);
        assert_eq!(allowance.used_up_until(at(10)), Some(at(1000)));
        assert_eq!(allowance.admit(b"three\n", at(999)), 0);
        assert_eq!(allowance.admit(b"three\n", at(1000)), 6);
    }

    #[test]
    fn a_line_that_has_begun_passes_to_its_end() {
        let mut allowance = Allowance::new(Rate::Bytes(10));
        assert_eq!(allowance.admit(b"0123456789abc", Moment(1)), 13);
        assert_eq!(allowance.admit(b"def\nnext\n", Moment(2)), 4);
        assert_eq!(allowance.admit(b"next\n", Moment(3)), 0);
    }

    proptest! {
        /// However the lines come, no more of them pass in a second, and none in part.
        #[test]
        fn never_more_than_that(pieces in prop::collection::vec("[a-c\n]{0,9}", 0..40), most in 1_u64..5) {
            let mut allowance = Allowance::new(Rate::Lines(most));
            let mut waiting = Vec::new();
            let mut passed = Vec::new();
            for piece in &pieces {
                waiting.extend_from_slice(piece.as_bytes());
                let count = allowance.admit(&waiting, Moment(5));
                passed.extend(waiting.drain(..count));
            }
            let lines = passed.iter().filter(|byte| **byte == b'\n').count() as u64;
            prop_assert!(lines <= most);
            prop_assert!(lines == most || waiting.is_empty());
            prop_assert!(waiting.is_empty() || passed.ends_with(b"\n"));
        }
    }
}
