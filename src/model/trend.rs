//! Does the memory of a run grow, and how fast? A leak is told from what merely goes up and down.
//!
//! The run's life, or the latest hour of it, is cut into at most [`MOST`] pieces of equal length, of each of which the
//! lowest use counts: what is left after every collection of garbage. When all pieces are full, two each become one,
//! and the pieces are twice as long from then on, up to [`LONGEST`]; then the oldest is forgotten.
//!
//! The slope is the median of the slopes between all pairs of pieces (Theil and Sen), which a few outliers do not move.
//! Nothing is said unless it is a leak by all that can be seen:
//! - there are [`FEWEST`] pieces at least,
//! - the whole rise is [`LEAST_RISE`] at least,
//! - it never fell back by more than a third of that (a sawtooth does),
//! - each half rises by itself (after a step, one does not).
//!
//! All is of fixed size: nothing is allocated.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::moment::Moment;
use super::units::millis;

/// Most pieces.
const MOST: usize = 32;
/// Fewer pieces say nothing.
const FEWEST: usize = 12;
/// A piece's length at first.
const SHORTEST: Duration = Duration::from_secs(1);
/// A piece's length in the end: 32 of them are an hour.
const LONGEST: Duration = Duration::from_secs(128);
/// When nobody has looked for so many pieces, what was before says nothing about now.
const HOLE: u32 = 4;
/// Less is noise, bytes.
const LEAST_RISE: f64 = (1 << 20) as f64;
/// Further ahead nobody believes a forecast.
const FURTHEST: Duration = Duration::from_secs(30 * 86_400);

/// How fast memory grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rise {
    /// Bytes in a minute.
    pub bytes_per_minute: u64,
    /// Over which time it was measured; milliseconds in the record.
    #[serde(with = "millis")]
    pub span: Duration,
}

/// What is remembered of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    length: Duration,
    /// The lowest use of each full piece, oldest first, bytes.
    lowest: [u64; MOST],
    full: usize,
    /// The piece that is being filled: its begin, its lowest and its highest use.
    present: Option<(Moment, u64, u64)>,
    /// The highest use in the latest full piece.
    highest: u64,
}

impl Default for Trend {
    fn default() -> Trend {
        Trend { length: SHORTEST, lowest: [0; MOST], full: 0, present: None, highest: 0 }
    }
}

impl Trend {
    /// `used` bytes are in use now.
    pub fn add(&mut self, used: u64, now: Moment) {
        let (mut begin, mut lowest, mut highest) = self.present.unwrap_or((now, used, used));
        if now.since(begin) >= self.length * HOLE {
            *self = Trend::default();
            (begin, lowest, highest) = (now, used, used);
        }
        while now.since(begin) >= self.length {
            if self.full == MOST && self.length < LONGEST {
                self.double();
                continue; // the present piece is but half full now
            }
            self.push(lowest);
            self.highest = highest;
            begin = begin.plus(self.length);
            (lowest, highest) = (used, used);
        }
        self.present = Some((begin, lowest.min(used), highest.max(used)));
    }

    /// Makes one piece of two each.
    fn double(&mut self) {
        for half in 0..MOST / 2 {
            self.lowest[half] = self.lowest[2 * half].min(self.lowest[2 * half + 1]);
        }
        self.full = MOST / 2;
        self.length *= 2;
    }

    fn push(&mut self, lowest: u64) {
        if self.full == MOST {
            self.lowest.rotate_left(1);
            self.full -= 1;
        }
        self.lowest[self.full] = lowest;
        self.full += 1;
    }

    /// How fast it grows, if it does.
    pub fn rise(&self) -> Option<Rise> {
        let pieces = &self.lowest[..self.full];
        if pieces.len() < FEWEST {
            return None;
        }
        let (first, second) = pieces.split_at(pieces.len() / 2);
        let per_piece = slope(pieces);
        let rise = per_piece * (pieces.len() - 1) as f64;
        let least = per_piece / 3.0;
        let is_leak = rise >= LEAST_RISE
            && fall(pieces) as f64 <= rise / 3.0
            && slope(first) >= least
            && slope(second) >= least;
        is_leak.then(|| Rise {
            bytes_per_minute: (per_piece * 60.0 / self.length.as_secs_f64()).round() as u64,
            span: self.length * u32::try_from(pieces.len()).unwrap_or(u32::MAX),
        })
    }

    /// When `limit` will be crossed, if it goes on like that: how much longer, from now on.
    pub fn until(&self, limit: u64) -> Option<Duration> {
        let rise = self.rise()?;
        let highest = self.present.map_or(0, |(_, _, highest)| highest).max(self.highest);
        let minutes = limit.saturating_sub(highest) as f64 / rise.bytes_per_minute.max(1) as f64;
        (minutes * 60.0 <= FURTHEST.as_secs_f64()).then(|| Duration::from_secs_f64(minutes * 60.0))
    }
}

/// The median of the slopes between all pairs, per piece.
fn slope(pieces: &[u64]) -> f64 {
    let mut slopes = [0f64; MOST * (MOST - 1) / 2];
    let mut count = 0;
    for (from, before) in pieces.iter().enumerate() {
        for (steps, after) in pieces[from..].iter().enumerate().skip(1) {
            slopes[count] = (*after as f64 - *before as f64) / steps as f64;
            count += 1;
        }
    }
    let slopes = &mut slopes[..count];
    if slopes.is_empty() {
        return 0.0;
    }
    *slopes.select_nth_unstable_by(count / 2, f64::total_cmp).1
}

/// The deepest fall from any piece to a later one.
fn fall(pieces: &[u64]) -> u64 {
    let mut highest = 0;
    let falls = pieces.iter().map(|now| {
        highest = highest.max(*now);
        highest - now
    });
    falls.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: f64 = (1 << 20) as f64;

    /// What is seen of `seconds` of a run, looked at four times a second.
    fn seen(seconds: u64, used: impl Fn(f64) -> f64) -> Trend {
        let mut trend = Trend::default();
        for quarter in 0..seconds * 4 {
            let bytes = used(quarter as f64 / 4.0).max(0.0) as u64;
            trend.add(bytes, Moment(7 + quarter * 250_000_000));
        }
        trend
    }

    /// Noise from -1 to 1 that is the same each time.
    fn noise(seed: u64, at: f64) -> f64 {
        let mut x = (at * 4.0) as u64 ^ (seed << 32) ^ 0x9e37_79b9_7f4a_7c15;
        for _ in 0..3 {
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            x = x.wrapping_mul(0x2545_f491_4f6c_dd1d);
        }
        (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    #[test]
    fn a_leak_of_hours_is_forecast() {
        let trend = seen(3 * 3600, |at| 40.0 * MIB + at / 60.0 * 1.2 * MIB);
        let rise = trend.rise().unwrap();
        assert!((1_250_000..=1_266_000).contains(&rise.bytes_per_minute), "{rise:?}");
        assert!(rise.span >= Duration::from_secs(3600), "{rise:?}");
        // At 256 MiB now; 240 MiB more at 1.2 MiB/min are 200 minutes.
        let until = trend.until((496.0 * MIB) as u64).unwrap();
        assert!((11_880..=12_120).contains(&until.as_secs()), "{until:?}");
        assert_eq!(trend.until(0), Some(Duration::ZERO));
        assert_eq!(trend.until(1 << 60), None, "thousands of years");
    }

    #[test]
    fn a_fast_leak_is_seen_within_seconds() {
        let rise = seen(15, |at| at * 5.0 * MIB).rise().unwrap();
        assert!((rise.bytes_per_minute as f64 / MIB - 300.0).abs() < 3.0, "{rise:?}");
        assert_eq!(seen(10, |at| at * 5.0 * MIB).rise(), None, "too early to say");
    }

    #[test]
    fn nothing_is_said_of_what_is_steady_or_goes_down() {
        assert_eq!(seen(4000, |_| 100.0 * MIB).rise(), None);
        assert_eq!(seen(4000, |at| 500.0 * MIB - at * 0.1 * MIB).rise(), None);
        assert_eq!(seen(4000, |at| 100.0 * MIB + at * 200.0).rise(), None, "less than a mebibyte in an hour");
        assert_eq!(Trend::default().until(1), None);
    }

    #[test]
    fn after_a_long_time_without_a_look_it_begins_anew() {
        let mut trend = seen(60, |at| at * MIB);
        assert!(trend.rise().is_some());
        trend.add(5, Moment(3_600_000_000_000));
        assert_eq!(trend.rise(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// Noise alone is no leak, whatever its size.
        #[test]
        fn noise_is_none(seed: u64, amplitude in 0.1f64..200.0, seconds in 20u64..6000) {
            let trend = seen(seconds, |at| 300.0 * MIB + amplitude * MIB * noise(seed, at));
            prop_assert_eq!(trend.rise(), None);
        }

        /// A collector of garbage that comes often enough to be seen twice is no leak.
        #[test]
        fn a_sawtooth_is_none(period in 0.5f64..1500.0, amplitude in 1.0f64..200.0, phase in 0.0f64..1.0) {
            let seconds = ((period * 2.5) as u64).max(60);
            let tooth = |at: f64| 100.0 * MIB + amplitude * MIB * (at / period + phase).fract();
            prop_assert_eq!(seen(seconds, tooth).rise(), None);
        }

        /// A leak below the collector's teeth is one, and its slope is found.
        #[test]
        fn a_sawtooth_on_a_leak_is_one(period in 0.5f64..20.0, amplitude in 1.0f64..100.0, rate in 0.5f64..20.0) {
            let used = |at: f64| rate * MIB * at / 60.0 + amplitude * MIB * (at / period).fract();
            let found = seen(6000, used).rise();
            prop_assert!(found.is_some());
            let found = found.map_or(0.0, |rise| rise.bytes_per_minute as f64 / MIB);
            prop_assert!((found / rate - 1.0).abs() < 0.1, "{} for {}", found, rate);
        }

        /// A cache that is filled once is no leak.
        #[test]
        fn a_step_is_none(at_part in 0.1f64..0.9, height in 1.0f64..500.0, seconds in 60u64..6000) {
            let edge = seconds as f64 * at_part;
            let used = |at: f64| 50.0 * MIB + if at < edge { 0.0 } else { height * MIB };
            prop_assert_eq!(seen(seconds, used).rise(), None);
        }

        /// A leak with noise on it is found, with its slope.
        #[test]
        fn a_leak_with_noise_is_one(seed: u64, rate in 1.0f64..50.0, part in 0.0f64..0.15) {
            let rise = rate * 3000.0 / 60.0;
            let used = |at: f64| 50.0 * MIB + rate * MIB * at / 60.0 + part * rise * MIB * noise(seed, at);
            let found = seen(3000, used).rise().map_or(0.0, |rise| rise.bytes_per_minute as f64 / MIB);
            prop_assert!((found / rate - 1.0).abs() < 0.25, "{} for {}", found, rate);
        }
    }
}
