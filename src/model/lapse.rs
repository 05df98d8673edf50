//! A heartbeat that may have stopped.
//!
//! Whoever beats holds a switch that falls when it has not been held for a while. A fallen switch may also mean
//! that the whole machine paused, so it is looked at once more: only one that is still down then counts.

use std::time::Duration;

use super::moment::Moment;

/// A switch falls when it was not held for this long: two beats.
pub const FALLS_AFTER: Duration = Duration::from_secs(10);
/// Between the two looks at a fallen switch, for whoever is to act first.
pub const GRACE: Duration = Duration::from_secs(1);
/// Who looks later than this was stalled itself, and looks once more.
const LATE: Duration = Duration::from_millis(200);

/// What is known of one heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lapse {
    look_at: Option<Moment>,
}

/// What a look comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It beats.
    Beats,
    /// It has been missed; look again when [`Lapse::look_at`] says.
    Doubtful,
    /// It has stopped.
    Stopped,
}

impl Lapse {
    /// A switch that is known to have fallen, and is looked at again at this time.
    pub fn again(look_at: Moment) -> Lapse {
        Lapse { look_at: Some(look_at) }
    }

    /// When to look again; none: when the switch falls.
    pub fn look_at(self) -> Option<Moment> {
        self.look_at
    }

    /// The switch was looked at; between the two looks `grace` is to pass.
    pub fn step(self, fallen: bool, grace: Duration, now: Moment) -> (Lapse, Verdict) {
        let again = Lapse::again(now.plus(grace));
        match self.look_at {
            _ if !fallen => (Lapse::default(), Verdict::Beats),
            None => (again, Verdict::Doubtful),
            Some(at) if now < at => (self, Verdict::Doubtful),
            Some(at) if now.since(at) >= LATE => (again, Verdict::Doubtful),
            Some(_) => (again, Verdict::Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_is_not_enough_and_a_late_one_counts_for_nothing() {
        let at = |millis: u64| Moment(millis * 1_000_000);
        let mut lapse = Lapse::default();
        let mut look = |fallen, millis| {
            let verdict;
            (lapse, verdict) = lapse.step(fallen, GRACE, at(millis));
            verdict
        };
        assert_eq!(look(false, 0), Verdict::Beats);
        assert_eq!(look(true, 10_000), Verdict::Doubtful);
        assert_eq!(look(true, 10_500), Verdict::Doubtful);
        assert_eq!(look(false, 11_000), Verdict::Beats);
        assert_eq!(look(true, 20_000), Verdict::Doubtful);
        assert_eq!(look(true, 21_300), Verdict::Doubtful, "the one who looks was late");
        assert_eq!(look(true, 22_350), Verdict::Stopped);
        assert_eq!(look(true, 22_400), Verdict::Doubtful, "it takes a moment to end");
    }
}
