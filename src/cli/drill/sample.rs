//! What requests came to, and figures of many: pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it was begun, since the drill began.
    pub at: Duration,
    /// How long it took, until its answer or its failure.
    pub took: Duration,
    /// Why it failed; none if it was answered well.
    pub miss: Option<Miss>,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Miss {
    /// Nobody listened.
    Refused,
    /// The connection was closed or reset before the answer was there.
    Cut,
    /// No answer in time.
    TimedOut,
    /// An answer with this status, which is neither 2xx nor 3xx.
    Status(u16),
    /// The answer was no HTTP.
    NoHttp,
    /// The connection could not be made for another reason (errno(3)).
    Failed(i32),
}

/// Figures of many requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many.
    pub requests: u64,
    /// How many of them failed, for each reason.
    pub misses: BTreeMap<Miss, u64>,
    /// Of those that were answered well: half took no longer.
    pub p50: Option<Duration>,
    /// 99 of 100 took no longer.
    pub p99: Option<Duration>,
    /// The slowest.
    pub max: Option<Duration>,
}

impl Figures {
    /// Adds up.
    pub fn of<'a>(samples: impl Iterator<Item = &'a Sample>) -> Figures {
        let mut figures = Figures::default();
        let mut times = Vec::new();
        for sample in samples {
            figures.requests += 1;
            match sample.miss {
                Some(miss) => *figures.misses.entry(miss).or_default() += 1,
                None => times.push(sample.took),
            }
        }
        times.sort_unstable();
        figures.p50 = percentile(&times, 50);
        figures.p99 = percentile(&times, 99);
        figures.max = times.last().copied();
        figures
    }

    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.misses.values().sum()
    }
}

/// The smallest of these ascending values that `percent` of a hundred do not exceed (nearest rank).
pub fn percentile(ascending: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (ascending.len() * percent).div_ceil(100).max(1);
    ascending.get(rank - 1).copied()
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Refused => f.write_str("refused"),
            Miss::Cut => f.write_str("cut off without an answer"),
            Miss::TimedOut => f.write_str("not answered in time"),
            Miss::Status(status) => write!(f, "answered with status {status}"),
            Miss::NoHttp => f.write_str("answered with something that is no HTTP"),
            Miss::Failed(errno) => {
                write!(f, "not connected ({})", std::io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn percentiles_by_nearest_rank() {
        let hundred: Vec<Duration> = (1..=100).map(ms).collect();
        assert_eq!(percentile(&hundred, 50), Some(ms(50)));
        assert_eq!(percentile(&hundred, 99), Some(ms(99)));
        assert_eq!(percentile(&hundred, 100), Some(ms(100)));
        assert_eq!(percentile(&[ms(7)], 99), Some(ms(7)));
        assert_eq!(percentile(&[ms(7)], 0), Some(ms(7)));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn the_time_of_a_failure_is_no_latency() {
        let sample = |took, miss| Sample { at: ms(0), took: ms(took), miss };
        let samples = [sample(3, None), sample(5000, Some(Miss::TimedOut)), sample(1, None)];
        let figures = Figures::of(samples.iter());
        assert_eq!((figures.requests, figures.failed(), figures.max), (3, 1, Some(ms(3))));
    }
}
