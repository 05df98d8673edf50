//! Was this message here before? The platform sends again what was not answered in time, and sometimes what was.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fingerprint::Fingerprint;

/// The newest keys are remembered: this many …
pub(crate) const KEYS: usize = 200_000;
/// … for this long, in seconds; the platform repeats for seven days.
pub(crate) const AGE: u32 = 8 * 24 * 60 * 60;
/// So many more are held before the oldest are looked for. All together take about 8 MB.
const SLACK: usize = KEYS / 10;

/// Keys of messages, by their fingerprints. Times are seconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<BTreeMap<Fingerprint, Sight>>);

#[derive(Clone, Copy, Debug)]
struct Sight {
    at: u32,
    /// It is in the database; else it is on the way there.
    written: bool,
}

impl Seen {
    /// True the first time a key comes.
    pub(crate) fn is_new(&self, key: Fingerprint, now: u32) -> bool {
        let mut known = self.lock();
        if known.get(&key).is_some_and(|sight| now.saturating_sub(sight.at) <= AGE) {
            return false;
        }
        put(&mut known, key, Sight { at: now, written: false });
        true
    }

    /// This one is in the database.
    pub(crate) fn is_written(&self, key: Fingerprint, at: u32) {
        put(&mut self.lock(), key, Sight { at, written: true });
    }

    /// All that are in the database and not too old, and when they came.
    pub(crate) fn written(&self, now: u32) -> Vec<(Fingerprint, i64)> {
        let known = self.lock();
        let fresh = known.iter().filter(|(_, sight)| sight.written && now.saturating_sub(sight.at) <= AGE);
        fresh.map(|(key, sight)| (*key, i64::from(sight.at))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Fingerprint, Sight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(known: &mut BTreeMap<Fingerprint, Sight>, key: Fingerprint, sight: Sight) {
    known.insert(key, sight);
    if known.len() >= KEYS + SLACK {
        let mut times: Vec<u32> = known.values().map(|sight| sight.at).collect();
        // Those of the very second at the border are kept if there is room.
        let border = *times.select_nth_unstable(SLACK).1;
        let mut room = KEYS.saturating_sub(known.values().filter(|sight| sight.at > border).count());
        known.retain(|_, sight| {
            let at_border = sight.at == border && room > 0;
            room -= usize::from(at_border);
            sight.at > border || at_border
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn key(number: usize) -> Fingerprint {
        Fingerprint::of_stored(&format!("#{number:032x}"))
    }

    proptest! {
        #[test]
        fn a_key_is_new_once_in_eight_days(steps in prop::collection::vec((0_usize..8, 0_u32..AGE / 2), 0..60)) {
            let (seen, mut model, mut now) = (Seen::default(), HashMap::new(), 0);
            for (number, later) in steps {
                now += later;
                let expected = model.get(&number).is_none_or(|at| now - at > AGE);
                prop_assert_eq!(seen.is_new(key(number), now), expected);
                if expected {
                    model.insert(number, now);
                }
            }
        }
    }

    #[test]
    fn it_forgets_the_oldest_and_stays_small() {
        let seen = Seen::default();
        for number in 0..KEYS + 2 * SLACK {
            assert!(seen.is_new(key(number), u32::try_from(number / 7).expect("small")));
        }
        let known = seen.lock();
        assert!((KEYS..KEYS + SLACK).contains(&known.len()), "{}", known.len());
        // Of those of one second any may go.
        for number in 2 * SLACK + 7..KEYS + 2 * SLACK {
            assert!(known.contains_key(&key(number)), "{number}");
        }
    }

    #[test]
    fn only_what_is_written_is_told_to_be() {
        let seen = Seen::default();
        assert!(seen.is_new(key(1), 10) && seen.is_new(key(2), 10));
        seen.is_written(key(2), 10);
        assert_eq!(seen.written(20), [(key(2), 10)]);
        assert_eq!(seen.written(11 + AGE), []);
    }
}
