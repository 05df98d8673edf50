//! How many messages a client may send.

use std::time::Instant;

const PER_SECOND: f64 = 20.0;
const BURST: f64 = 60.0;

/// A bucket that fills by twenty a second up to sixty; every message takes one.
#[derive(Debug)]
pub(crate) struct Rate {
    left: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    /// False: this message is one too many.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        let filled = now.duration_since(self.at).as_secs_f64() * PER_SECOND;
        self.left = (self.left + filled).min(BURST);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Instant, Rate};

    #[test]
    fn a_burst_and_then_twenty_a_second() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert_eq!((0..100).filter(|_| rate.allows(start)).count(), 60);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| rate.allows(later)).count(), 20);
    }
}
