//! Was this message here before? The platform sends again what was not answered in time, and sometimes what was.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fingerprint::Fingerprint;

/// The newest keys are remembered: this many …
pub(crate) const KEYS: usize = 200_000;
/// … for this long, in seconds; the platform repeats for seven days.
pub(crate) const AGE: u32 = 8 * 24 * 60 * 60;
/// So many more are held before the oldest are looked for. All together take about 5 MB.
const SLACK: usize = KEYS / 10;
const SHELVES: usize = 256;

/// Keys of messages, by their fingerprints. Times are seconds since 1970.
#[derive(Debug)]
pub(crate) struct Seen(Mutex<Known>);

/// A shelf for each first byte, each in order: 20 bytes a key and little room between, where a tree or a hash table
/// takes twice that.
#[derive(Debug)]
struct Known {
    shelves: Vec<Vec<Sight>>,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Sight {
    key: Fingerprint,
    /// The time in units of two seconds, and whether the key is in the database; else it is on the way there.
    at_and_written: u32,
}

impl Sight {
    fn new(key: Fingerprint, at: u32, written: bool) -> Self {
        Self { key, at_and_written: at & !1 | u32::from(written) }
    }

    fn at(self) -> u32 {
        self.at_and_written & !1
    }

    fn is_written(self) -> bool {
        self.at_and_written & 1 == 1
    }

    fn is_fresh(self, now: u32) -> bool {
        now.saturating_sub(self.at()) <= AGE
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self(Mutex::new(Known { shelves: vec![Vec::new(); SHELVES], count: 0 }))
    }
}

impl Seen {
    /// True the first time a key comes.
    pub(crate) fn is_new(&self, key: Fingerprint, now: u32) -> bool {
        let mut known = self.lock();
        if known.get(key).is_some_and(|sight| sight.is_fresh(now)) {
            return false;
        }
        known.put(Sight::new(key, now, false));
        true
    }

    /// This one is in the database.
    pub(crate) fn is_written(&self, key: Fingerprint, at: u32) {
        self.lock().put(Sight::new(key, at, true));
    }

    /// All that are in the database and not too old, and when they came.
    pub(crate) fn written(&self, now: u32) -> Vec<(Fingerprint, i64)> {
        let known = self.lock();
        let fresh = known.all().filter(|sight| sight.is_written() && sight.is_fresh(now));
        fresh.map(|sight| (sight.key, i64::from(sight.at()))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn get(&self, key: Fingerprint) -> Option<Sight> {
        let shelf = &self.shelves[key.first_byte()];
        place(shelf, key).ok().map(|place| shelf[place])
    }

    fn put(&mut self, sight: Sight) {
        let shelf = &mut self.shelves[sight.key.first_byte()];
        match place(shelf, sight.key) {
            Ok(place) => shelf[place] = sight,
            Err(place) => {
                shelf.insert(place, sight);
                self.count += 1;
            }
        }
        if self.count >= KEYS + SLACK {
            self.forget_the_oldest();
        }
    }

    fn all(&self) -> impl Iterator<Item = Sight> {
        self.shelves.iter().flatten().copied()
    }

    fn forget_the_oldest(&mut self) {
        let mut times: Vec<u32> = self.all().map(Sight::at).collect();
        // Those of the very time at the border are kept if there is room.
        let border = *times.select_nth_unstable(SLACK).1;
        let mut room = KEYS.saturating_sub(self.all().filter(|sight| sight.at() > border).count());
        for shelf in &mut self.shelves {
            shelf.retain(|sight| {
                let at_border = sight.at() == border && room > 0;
                room -= usize::from(at_border);
                sight.at() > border || at_border
            });
        }
        self.count = self.all().count();
    }
}

/// Where the key is, or belongs.
fn place(shelf: &[Sight], key: Fingerprint) -> Result<usize, usize> {
    shelf.binary_search_by_key(&key, |sight| sight.key)
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
                let expected = model.get(&number).is_none_or(|at| now - (at & !1) > AGE);
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
        assert!((KEYS..KEYS + SLACK).contains(&known.count), "{}", known.count);
        assert_eq!(known.all().count(), known.count);
        // Of those of the same two seconds any may go.
        for number in 2 * SLACK + 14..KEYS + 2 * SLACK {
            assert!(known.get(key(number)).is_some(), "{number}");
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
