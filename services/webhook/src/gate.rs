//! Was this message here before? The platform sends again what was not answered in time, and sometimes what was.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// The newest keys are remembered: this many …
const KEYS: usize = 200_000;
/// … for this long; the platform repeats for seven days.
const AGE: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// Remembers keys by their fingerprints.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    known: HashSet<u64>,
    order: VecDeque<(u64, Instant)>,
}

impl Gate {
    /// True the first time a key comes.
    pub(crate) fn is_new(&mut self, key: u64, now: Instant) -> bool {
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back((key, now));
        while let Some((oldest, since)) = self.order.front().copied()
            && (self.order.len() > KEYS || now.duration_since(since) > AGE)
        {
            self.order.pop_front();
            self.known.remove(&oldest);
        }
        true
    }

    /// Adds keys known from before.
    pub(crate) fn remember(&mut self, keys: Vec<u64>, now: Instant) {
        for key in keys {
            self.is_new(key, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AGE, Duration, Gate, Instant, KEYS};

    #[test]
    fn a_key_is_new_once() {
        let mut gate = Gate::default();
        let now = Instant::now();
        gate.remember(vec![7], now);
        assert!(gate.is_new(1, now));
        assert!(!gate.is_new(1, now));
        assert!(!gate.is_new(7, now));
    }

    #[test]
    fn it_forgets_by_number_and_by_age() {
        let mut gate = Gate::default();
        let now = Instant::now();
        for key in 0..=KEYS as u64 {
            assert!(gate.is_new(key, now));
        }
        assert_eq!((gate.known.len(), gate.order.len()), (KEYS, KEYS));
        assert!(gate.is_new(0, now));
        assert!(gate.is_new(u64::MAX, now + AGE + Duration::from_secs(1)));
        assert_eq!(gate.known.len(), 1);
    }
}
