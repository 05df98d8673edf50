//! How soon something that died is started again: at once, unless it dies faster than it can be of use.

use std::time::Duration;

/// Deaths beyond what the time lived has paid for, before there is a pause.
const GRACE: u32 = 100;
/// Living this long pays for one death.
const WORTH: Duration = Duration::from_millis(50);
/// The pause.
const PAUSE: Duration = Duration::from_secs(1);

/// The deaths that time has not paid for yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace(u32);

impl Pace {
    /// It has died after `lived`: the pace from now on, and the time to wait.
    #[must_use]
    pub fn after(self, lived: Duration) -> (Pace, Duration) {
        let paid = u32::try_from(lived.as_millis() / WORTH.as_millis()).unwrap_or(u32::MAX);
        let debt = self.0.saturating_sub(paid).saturating_add(1);
        (Pace(debt.min(GRACE + 1)), if debt > GRACE { PAUSE } else { Duration::ZERO })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_kills_are_borne_but_no_endless_loop() {
        let waits = |lived: u64, times: usize| {
            let mut pace = Pace::default();
            let each = (0..times).map(|_| {
                let (next, wait) = pace.after(Duration::from_millis(lived));
                pace = next;
                wait
            });
            each.filter(|wait| !wait.is_zero()).count()
        };
        assert_eq!(waits(60, 100_000), 0, "killed every 60 ms: always back at once");
        assert_eq!(waits(2, 1000), 900, "dies at once by itself: a hundred attempts, then one a second");
    }
}
