//! Answers that are kept for a while: the same bytes for everyone, one query for all who ask at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;

const ENTRIES: usize = 64;

/// What an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Metrics { days: u32 },
    Conversations { days: u32, limit: u32 },
    Numbers { days: u32 },
    Database,
}

/// An answer, and how old it is.
#[derive(Clone, Debug)]
pub(crate) struct Cached {
    pub(crate) body: Bytes,
    pub(crate) age: Duration,
    pub(crate) hit: bool,
}

#[derive(Clone, Debug)]
struct Kept {
    body: Bytes,
    since: Instant,
}

/// Who asks for a key holds its slot's lock until the answer is there; the others wait and take it.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

#[derive(Debug)]
pub(crate) struct Cache {
    keep: Duration,
    slots: Mutex<HashMap<Key, Slot>>,
}

impl Cache {
    /// Keeps answers for `keep`; zero keeps none.
    pub(crate) fn new(keep: Duration) -> Self {
        Self { keep, slots: Mutex::default() }
    }

    /// The kept answer, or the one that `make` makes now. Failures are not kept.
    pub(crate) async fn get<E>(
        &self,
        key: Key,
        make: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Cached, E> {
        if self.keep.is_zero() {
            return Ok(Cached { body: make.await?, age: Duration::ZERO, hit: false });
        }
        let slot = self.slot(key);
        let mut kept = slot.lock().await;
        if let Some(Kept { body, since }) = &*kept
            && since.elapsed() < self.keep
        {
            return Ok(Cached { body: body.clone(), age: since.elapsed(), hit: true });
        }
        let body = make.await?;
        *kept = Some(Kept { body: body.clone(), since: Instant::now() });
        Ok(Cached { body, age: Duration::ZERO, hit: false })
    }

    fn slot(&self, key: Key) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if !slots.contains_key(&key) && slots.len() >= ENTRIES {
            self.make_room(&mut slots);
        }
        Arc::clone(slots.entry(key).or_default())
    }

    /// Drops what is too old, else anything: keys beyond the limit are no dashboard's.
    fn make_room(&self, slots: &mut HashMap<Key, Slot>) {
        slots.retain(|_, slot| match slot.try_lock() {
            Ok(kept) => kept.as_ref().is_some_and(|kept| kept.since.elapsed() < self.keep),
            Err(_) => true,
        });
        if slots.len() >= ENTRIES
            && let Some(key) = slots.keys().next().copied()
        {
            slots.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Cache, Duration, ENTRIES, Key};

    async fn get(cache: &Cache, days: u32, body: Result<&'static str, ()>) -> Result<(Bytes, bool), ()> {
        let make = async { body.map(|body| Bytes::from_static(body.as_bytes())) };
        cache.get(Key::Metrics { days }, make).await.map(|cached| (cached.body, cached.hit))
    }

    #[tokio::test]
    async fn the_same_bytes_until_they_are_old() {
        let cache = Cache::new(Duration::from_secs(3600));
        assert_eq!(get(&cache, 7, Err(())).await, Err(()));
        assert_eq!(get(&cache, 7, Ok("one")).await, Ok(("one".into(), false)));
        assert_eq!(get(&cache, 7, Ok("two")).await, Ok(("one".into(), true)));
        assert_eq!(get(&cache, 8, Ok("three")).await, Ok(("three".into(), false)));
    }

    #[tokio::test]
    async fn zero_keeps_nothing() {
        let cache = Cache::new(Duration::ZERO);
        assert_eq!(get(&cache, 7, Ok("one")).await, Ok(("one".into(), false)));
        assert_eq!(get(&cache, 7, Ok("two")).await, Ok(("two".into(), false)));
    }

    #[tokio::test]
    async fn it_stays_small() {
        let cache = Cache::new(Duration::from_secs(3600));
        for days in 0..1000 {
            assert!(get(&cache, days, Ok("x")).await.is_ok());
        }
        assert!(cache.slots.lock().expect("no panic").len() <= ENTRIES);
    }
}
