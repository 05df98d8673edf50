//! From many times to a few figures.

use std::fmt;
use std::time::Duration;

/// Times of the same thing, done often.
#[derive(Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that `share` of all stay below, 0 to 1.
    fn quantile(sorted: &[Duration], share: f64) -> Duration {
        let place = ((sorted.len() as f64 - 1.0) * share).round() as usize;
        sorted.get(place).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let ms = |share| Self::quantile(&sorted, share).as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:.2}, p95 {:.2}, p99 {:.2}, max {:.2} ms ({})",
            ms(0.5),
            ms(0.95),
            ms(0.99),
            ms(1.0),
            sorted.len()
        )
    }
}

/// How often per second.
pub(crate) fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
