//! What waits in memory, in the order in which it came.
//!
//! Two threads take from it, the one for the database and the one for the spool, and only one at a time has something
//! *in hand*. It then tells that all is safe, or gives back what is not. So nothing is in two places, and everything
//! older is safe before anything newer:
//!
//! * While older entries may stand in the spool, none is taken for the database directly.
//! * The spool gets entries that have waited too long, or when half of the room is taken.
//!
//! No clock, no thread, no file: times are arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::line::Line;

pub(super) const MAX_ENTRIES: usize = 10_000;
pub(super) const MAX_BYTES: usize = 16 << 20;
/// How long an entry may be in memory only. A second after its receipt it must outlive a kill.
pub(super) const PATIENCE: Duration = Duration::from_millis(600);
/// How long a batch for the database waits for company.
const COMPANY: Duration = Duration::from_millis(20);

/// An entry and when it came.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) line: Line,
    since: Instant,
}

impl Waiting {
    /// The memory it takes.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.line.as_bytes().len()
    }
}

#[derive(Debug)]
pub(super) struct Backlog {
    waiting: VecDeque<Waiting>,
    /// Of all that waits or is in hand.
    bytes: usize,
    in_hand: Option<usize>,
    /// Older entries may stand in the spool.
    spilled: bool,
}

/// What the thread for the database finds to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Bring over what stands in the spool.
    TakeOver,
    /// Take a batch.
    Write,
    /// Nothing before this moment, or before something changes.
    Later(Option<Instant>),
}

impl Backlog {
    /// Empty. There may be a spool from an earlier life.
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, in_hand: None, spilled: true }
    }

    /// How many entries wait or are in hand.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.in_hand.unwrap_or(0)
    }

    /// Takes an entry in; false: there is no room for it.
    pub(super) fn push(&mut self, line: Line, now: Instant) -> bool {
        let new = Waiting { line, since: now };
        if self.len() >= MAX_ENTRIES || self.bytes + new.weight() > MAX_BYTES {
            return false;
        }
        self.bytes += new.weight();
        self.waiting.push_back(new);
        true
    }

    /// What there is to do for the database. Whoever is `hurried` waits for no company.
    pub(super) fn work(&self, batch: usize, now: Instant, hurried: bool) -> Work {
        match self.waiting.front() {
            _ if self.spilled => Work::TakeOver,
            // The other thread tells when it is through.
            _ if self.in_hand.is_some() => Work::Later(None),
            None => Work::Later(None),
            Some(first) => {
                let complete = first.since + COMPANY;
                let ready = hurried || self.waiting.len() >= batch || complete <= now;
                if ready { Work::Write } else { Work::Later(Some(complete)) }
            }
        }
    }

    /// The oldest entries for the database. None while older ones may stand in the spool.
    pub(super) fn take_for_database(&mut self, limit: usize) -> Option<Vec<Waiting>> {
        (!self.spilled).then(|| self.take(limit)).flatten()
    }

    /// The oldest entries for the spool, all that may wait no longer.
    pub(super) fn take_for_spool(
        &mut self,
        limit: usize,
        now: Instant,
        hurried: bool,
    ) -> Option<Vec<Waiting>> {
        if self.spool_is_due_at(hurried).is_none_or(|due| due > now) {
            return None;
        }
        let taken = self.take(limit)?;
        self.spilled = true;
        Some(taken)
    }

    /// When something must go to the spool, if nothing changes.
    pub(super) fn spool_is_due_at(&self, hurried: bool) -> Option<Instant> {
        let first = self.waiting.front().filter(|_| self.in_hand.is_none())?;
        let pressed = self.waiting.len() >= MAX_ENTRIES / 2 || self.bytes >= MAX_BYTES / 2;
        Some(if hurried || pressed { first.since } else { first.since + PATIENCE })
    }

    /// What was taken is safe elsewhere, as far as it was not given back.
    pub(super) fn is_safe(&mut self, taken: &[Waiting]) {
        self.bytes -= taken.iter().map(Waiting::weight).sum::<usize>();
        self.in_hand = None;
    }

    /// What was taken stays, before everything else.
    pub(super) fn give_back(&mut self, taken: Vec<Waiting>) {
        self.in_hand = None;
        for waiting in taken.into_iter().rev() {
            self.waiting.push_front(waiting);
        }
    }

    /// Something older than all that waits may stand in the spool.
    pub(super) fn spool_may_hold_something(&mut self) {
        self.spilled = true;
    }

    /// The spool was found empty. Not while something may be on the way there.
    pub(super) fn spool_is_empty(&mut self) {
        self.spilled &= self.in_hand.is_some();
    }

    fn take(&mut self, limit: usize) -> Option<Vec<Waiting>> {
        if self.in_hand.is_some() || self.waiting.is_empty() {
            return None;
        }
        let count = limit.min(self.waiting.len());
        self.in_hand = Some(count);
        Some(self.waiting.drain(..count).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Entry;

    fn line_of(key: String) -> Line {
        Line::of(&Entry { key: Some(key), events: Vec::new() })
    }

    fn line(number: usize) -> Line {
        line_of(number.to_string())
    }

    fn number(waiting: &Waiting) -> usize {
        waiting.line.entry().key.and_then(|key| key.parse().ok()).expect("a number")
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push,
        Wait(u64),
        /// A batch for the database, and whether it can be written.
        Write(usize, bool),
        /// A batch for the spool, and how many of it there is room for.
        Spill(usize, usize),
        /// So many entries of the spool go to the database; at its end it is found empty.
        TakeOver(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Push),
            2 => (0_u64..700).prop_map(Step::Wait),
            3 => (1_usize..5, any::<bool>()).prop_map(|(limit, works)| Step::Write(limit, works)),
            2 => (1_usize..5, 0_usize..5).prop_map(|(limit, room)| Step::Spill(limit, room)),
            2 => (0_usize..6).prop_map(Step::TakeOver),
        ]
    }

    proptest! {
        /// Whatever fails and in whatever order the two threads come: each entry gets to the database once, in order.
        #[test]
        fn all_arrive_once_and_in_order(steps in prop::collection::vec(step(), 0..200)) {
            let (mut backlog, mut spool, mut database) = (Backlog::new(), VecDeque::new(), Vec::new());
            let (mut pushed, mut now) = (0, Instant::now());
            for step in steps {
                match step {
                    Step::Push => {
                        prop_assert!(backlog.push(line(pushed), now));
                        pushed += 1;
                    }
                    Step::Wait(time) => now += Duration::from_millis(time),
                    Step::Write(limit, works) => {
                        if let Some(taken) = backlog.take_for_database(limit) {
                            prop_assert!(backlog.take_for_spool(1, now, true).is_none(), "one hand at a time");
                            if works {
                                database.extend(taken.iter().map(number));
                                backlog.is_safe(&taken);
                            } else {
                                backlog.give_back(taken);
                            }
                        }
                    }
                    Step::Spill(limit, room) => {
                        if let Some(mut taken) = backlog.take_for_spool(limit, now, false) {
                            // Meanwhile the other thread looks at a spool that is still empty.
                            backlog.spool_is_empty();
                            prop_assert!(backlog.take_for_database(1).is_none());
                            let rest = taken.split_off(room.min(taken.len()));
                            spool.extend(taken.iter().map(number));
                            backlog.is_safe(&taken);
                            backlog.give_back(rest);
                        }
                    }
                    Step::TakeOver(count) => {
                        database.extend(spool.drain(..count.min(spool.len())));
                        if spool.is_empty() {
                            backlog.spool_is_empty();
                        }
                    }
                }
                prop_assert_eq!(database.len() + spool.len() + backlog.len(), pushed);
                prop_assert!(database.iter().copied().eq(0..database.len()), "{database:?}");
            }
            let left = (database.len()..).zip(spool.iter().copied().chain(backlog.waiting.iter().map(number)));
            prop_assert!(left.into_iter().all(|(expected, found)| expected == found));
        }
    }

    #[test]
    fn it_has_an_end() {
        let (mut backlog, now) = (Backlog::new(), Instant::now());
        for number in 0..MAX_ENTRIES {
            assert!(backlog.push(line(number), now));
        }
        assert!(!backlog.push(line(MAX_ENTRIES), now));
        let taken = backlog.take_for_spool(100, now, false).expect("half of the room is taken");
        assert!(!backlog.push(line(0), now), "what is in hand still takes its room");
        backlog.is_safe(&taken);
        assert!(backlog.push(line(0), now));

        let mut backlog = Backlog::new();
        let large = || line_of("x".repeat(MAX_BYTES / 2));
        assert!(backlog.push(large(), now) && !backlog.push(large(), now));
    }

    #[test]
    fn only_what_waited_goes_to_the_spool() {
        let (mut backlog, now) = (Backlog::new(), Instant::now());
        assert!(backlog.push(line(1), now));
        assert!(backlog.take_for_spool(10, now, false).is_none());
        assert_eq!(backlog.spool_is_due_at(false), Some(now + PATIENCE));
        assert!(backlog.take_for_spool(10, now, true).is_some());
        assert_eq!(backlog.spool_is_due_at(false), None, "it is in hand");
    }
}
