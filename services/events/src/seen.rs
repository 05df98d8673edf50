//! Was this message here before? The platform sends again what was not answered in time, and sometimes what was.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fingerprint::Fingerprint;

/// The newest keys are remembered, at least this many …
#[cfg(test)]
const KEYS: usize = 200_000;
/// … for this long, in seconds; the platform repeats for seven days.
pub(crate) const AGE: u32 = 8 * 24 * 60 * 60;

/// A shelf for each first byte of a fingerprint.
const SHELVES: usize = 256;
/// All shelves together take 5 MB, and only as they fill.
const PLACES: usize = 1024;
/// So many of the oldest leave a full shelf together. What stays is 924 a shelf. Of the newest 200,000 keys a shelf has
/// 781, give or take 28: five times that is never seen.
const LEAVE: usize = 100;

/// Keys of messages, by their fingerprints. Times are seconds since 1970.
#[derive(Debug)]
pub(crate) struct Seen(Mutex<Known>);

/// The shelves, one after the other, each in order up to its length: 20 bytes a key, where a tree or a hash table takes
/// twice that, and two pieces of memory that leave no holes. Plain numbers, for zeros cost nothing until they change.
#[derive(Debug)]
struct Known {
    keys: Vec<u128>,
    sights: Vec<u32>,
    lengths: [usize; SHELVES],
}

/// When a key came, in units of two seconds, and whether it is in the database; else it is on the way there.
#[derive(Clone, Copy, Debug)]
struct Sight(u32);

impl Sight {
    fn new(at: u32, written: bool) -> Self {
        Self(at & !1 | u32::from(written))
    }

    fn at(self) -> u32 {
        self.0 & !1
    }

    fn is_written(self) -> bool {
        self.0 & 1 == 1
    }

    fn is_fresh(self, now: u32) -> bool {
        now.saturating_sub(self.at()) <= AGE
    }
}

impl Default for Seen {
    fn default() -> Self {
        let all = SHELVES * PLACES;
        Self(Mutex::new(Known { keys: vec![0; all], sights: vec![0; all], lengths: [0; SHELVES] }))
    }
}

impl Seen {
    /// True the first time a key comes.
    pub(crate) fn is_new(&self, key: Fingerprint, now: u32) -> bool {
        let mut known = self.lock();
        if known.get(key).is_some_and(|sight| sight.is_fresh(now)) {
            return false;
        }
        known.put(key, Sight::new(now, false));
        true
    }

    /// This one is in the database.
    pub(crate) fn is_written(&self, key: Fingerprint, at: u32) {
        self.lock().put(key, Sight::new(at, true));
    }

    /// All that are in the database and not too old, and when they came.
    pub(crate) fn written(&self, now: u32) -> Vec<(Fingerprint, i64)> {
        let known = self.lock();
        let fresh = known.all().filter(|(_, sight)| sight.is_written() && sight.is_fresh(now));
        fresh.map(|(key, sight)| (key, i64::from(sight.at()))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn all(&self) -> impl Iterator<Item = (Fingerprint, Sight)> {
        (0..SHELVES).flat_map(|shelf| {
            let taken = shelf * PLACES..shelf * PLACES + self.lengths[shelf];
            let sights = self.sights[taken.clone()].iter().map(|&sight| Sight(sight));
            self.keys[taken].iter().map(|&key| Fingerprint::of_number(key)).zip(sights)
        })
    }

    fn get(&self, key: Fingerprint) -> Option<Sight> {
        let (shelf, key) = (shelf_of(key), key.number());
        let first = shelf * PLACES;
        let place = self.keys[first..first + self.lengths[shelf]].binary_search(&key).ok()?;
        Some(Sight(self.sights[first + place]))
    }

    fn put(&mut self, key: Fingerprint, sight: Sight) {
        let (shelf, key) = (shelf_of(key), key.number());
        let all = shelf * PLACES..(shelf + 1) * PLACES;
        let (keys, sights) = (&mut self.keys[all.clone()], &mut self.sights[all]);
        let length = &mut self.lengths[shelf];
        if let Ok(place) = keys[..*length].binary_search(&key) {
            sights[place] = sight.0;
            return;
        }
        if *length == PLACES {
            *length = without_the_oldest(keys, sights);
        }
        let place = keys[..*length].partition_point(|other| *other < key);
        keys.copy_within(place..*length, place + 1);
        sights.copy_within(place..*length, place + 1);
        (keys[place], sights[place]) = (key, sight.0);
        *length += 1;
    }
}

fn shelf_of(key: Fingerprint) -> usize {
    // The first byte: a fingerprint is as good as drawn by lot.
    (key.number() >> 120) as usize
}

/// Makes room on a full shelf. Returns how many stay; of those of the same time any may leave.
fn without_the_oldest(keys: &mut [u128], sights: &mut [u32]) -> usize {
    let at = |sight: u32| Sight(sight).at();
    let mut times: Vec<u32> = sights.iter().copied().map(at).collect();
    let newest_to_leave = *times.select_nth_unstable(LEAVE - 1).1;
    let (mut leave, mut stay) = (LEAVE, 0);
    for place in 0..keys.len() {
        if leave > 0 && at(sights[place]) <= newest_to_leave {
            leave -= 1;
        } else {
            (keys[stay], sights[stay]) = (keys[place], sights[place]);
            stay += 1;
        }
    }
    stay
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn key(number: usize) -> Fingerprint {
        Fingerprint::of(&number.to_string())
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
    fn it_forgets_the_oldest_only() {
        let (seen, all) = (Seen::default(), KEYS + KEYS / 2);
        for number in 0..all {
            assert!(seen.is_new(key(number), u32::try_from(number / 7).expect("small")));
        }
        let known = seen.lock();
        for number in all - KEYS..all {
            assert!(known.get(key(number)).is_some(), "{number}");
        }
        assert!(known.get(key(0)).is_none());
        assert!(known.all().is_sorted_by_key(|(key, _)| key));
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
