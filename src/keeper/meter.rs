//! How much memory and processor time the service's tree uses, and when to look again.

use std::time::Duration;

use crate::model::moment::Moment;
use crate::os::tree::Usage;

/// A process cannot fault in memory much faster than this, bytes per second: so a look that comes after
/// (limit − used) / this overshoots the limit only by what comes while looking.
const FASTEST: f64 = 2e9;
const SOONEST: Duration = Duration::from_millis(5);
const LATEST: Duration = Duration::from_secs(1);
/// CPU shares over less than this would be noise.
const SHORTEST_SHARE: Duration = Duration::from_millis(200);

/// How long to wait before the next look at a tree that uses `used` of `limit` bytes.
pub fn next_look(used: u64, limit: u64) -> Duration {
    Duration::from_secs_f64(limit.saturating_sub(used) as f64 / FASTEST).clamp(SOONEST, LATEST)
}

/// Turns the running total of processor time into a share.
#[derive(Debug, Default)]
pub struct CpuShare {
    since: Option<(Moment, u64)>,
    last: Option<f64>,
}

impl CpuShare {
    /// Percent of one core since the last time this was asked, or since `started`. None for a process that
    /// has only just begun.
    pub fn of(&mut self, usage: Usage, started: Moment, now: Moment) -> Option<f64> {
        let (from, before) = self.since.filter(|(at, _)| *at >= started).unwrap_or((started, 0));
        let passed = now.since(from);
        if passed < SHORTEST_SHARE {
            return self.last;
        }
        let used = usage.cpu_ns.saturating_sub(before) as f64;
        self.since = Some((now, usage.cpu_ns));
        self.last = Some((used / passed.as_nanos() as f64 * 1000.0).round() / 10.0);
        self.last
    }

    /// Forgets the last run.
    pub fn reset(&mut self) {
        *self = CpuShare::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_sooner_when_it_is_close() {
        assert_eq!(next_look(0, 100 << 30), LATEST);
        assert_eq!(next_look(0, 200_000_000), Duration::from_millis(100));
        assert_eq!(next_look(300, 200), SOONEST);
    }

    #[test]
    fn shares() {
        let usage = |ms: u64| Usage { cpu_ns: ms * 1_000_000, ..Usage::default() };
        let at = |ms: u64| Moment(ms * 1_000_000);
        let mut share = CpuShare::default();
        assert_eq!(share.of(usage(5), at(1000), at(1010)), None);
        assert_eq!(share.of(usage(500), at(1000), at(2000)), Some(50.0));
        assert_eq!(share.of(usage(500), at(1000), at(2010)), Some(50.0));
        assert_eq!(share.of(usage(1500), at(1000), at(3000)), Some(100.0));
        assert_eq!(share.of(usage(100), at(4000), at(5000)), Some(10.0));
    }
}
