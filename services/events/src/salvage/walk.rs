//! The way through a table with destroyed pages.
//!
//! Rows are read in the order of their ids. Where a page is destroyed the way goes on behind it, found by trying one id
//! after the other: a page holds few of them, and a failed attempt costs some microseconds. Where very many fail in a
//! row, because a page is destroyed that leads to many others, the steps double; then the first id that can be read is
//! found by halving the last step. What was stepped over counts as a gap, which is filled page by page. Every step leads
//! on, so there is an end whatever the file holds.

use std::ops::Range;

/// After so many failures in a row each step is twice the one before.
const PATIENCE: i64 = 1024;

/// A table that may be damaged.
pub(super) trait Source {
    type Row;

    /// Up to `limit` rows with ids from `from` to `to`, ascending, and why there are not more.
    fn read(&mut self, from: i64, to: i64, limit: usize) -> Read<Self::Row>;
}

pub(super) struct Read<R> {
    pub(super) rows: Vec<(i64, R)>,
    pub(super) end: End,
}

/// Why there are no more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Limit,
    /// There are none up to the last id.
    Table,
    /// The next one cannot be read.
    Damage,
}

#[derive(Debug)]
pub(super) struct Walk {
    next: i64,
    last: i64,
    gap: Option<Gap>,
    gaps: Vec<Range<i64>>,
}

/// Ids that cannot be read.
#[derive(Clone, Copy, Debug)]
struct Gap {
    start: i64,
    attempts: i64,
    last_failed: i64,
}

impl Walk {
    /// Through the ids from 1 to `last`.
    pub(super) fn new(last: i64) -> Self {
        Self { next: 1, last, gap: None, gaps: Vec::new() }
    }

    /// The ids that cannot be read, given or not, ascending.
    pub(super) fn gaps(&self) -> &[Range<i64>] {
        &self.gaps
    }

    /// The next rows, perhaps none of them. None: the end.
    pub(super) fn step<S: Source>(&mut self, source: &mut S, limit: usize) -> Option<Vec<(i64, S::Row)>> {
        if self.next > self.last {
            self.close_gap(self.last + 1);
            return None;
        }
        let Read { rows, end } = source.read(self.next, self.last, limit);
        let is_readable = !rows.is_empty() || end != End::Damage;
        if let Some(gap) = self.gap
            && is_readable
            && self.next - gap.last_failed > 1
        {
            self.step_back(gap, source);
            return Some(Vec::new());
        }
        if let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) {
            self.close_gap(*first);
            self.next = last + 1;
            if end == End::Table {
                self.next = self.last + 1;
            }
            return Some(rows);
        }
        match end {
            End::Damage => self.skip(),
            End::Limit | End::Table => {
                self.close_gap(self.next);
                self.next = self.last + 1;
            }
        }
        Some(rows)
    }

    fn skip(&mut self) {
        let gap = self.gap.get_or_insert(Gap { start: self.next, attempts: 0, last_failed: self.next });
        gap.attempts += 1;
        gap.last_failed = self.next;
        let doublings = u32::try_from((gap.attempts - PATIENCE).clamp(0, 50)).unwrap_or(0);
        let next = self.next.saturating_add(1 << doublings);
        // The last one is tried before the end.
        self.next = if self.next < self.last { next.min(self.last) } else { next };
    }

    /// The last step was longer than one id: finds where it should have ended.
    fn step_back<S: Source>(&mut self, mut gap: Gap, source: &mut S) {
        let (mut fails, mut works) = (gap.last_failed, self.next);
        while works - fails > 1 {
            let middle = fails + (works - fails) / 2;
            let Read { rows, end } = source.read(middle, self.last, 1);
            if rows.is_empty() && end == End::Damage { fails = middle } else { works = middle }
        }
        gap.last_failed = works - 1;
        self.gap = Some(gap);
        self.next = works;
    }

    fn close_gap(&mut self, end: i64) {
        if let Some(gap) = self.gap.take() {
            self.gaps.push(gap.start..end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Rows by id, and spans of ids whose pages are destroyed.
    #[derive(Clone, Debug)]
    struct Table {
        rows: BTreeSet<i64>,
        destroyed: Vec<(i64, i64)>,
        reads: u32,
    }

    impl Table {
        fn is_destroyed(&self, id: i64) -> bool {
            self.destroyed.iter().any(|(first, last)| (*first..=*last).contains(&id))
        }
    }

    impl Source for Table {
        type Row = ();

        fn read(&mut self, from: i64, to: i64, limit: usize) -> Read<()> {
            self.reads += 1;
            let mut rows = Vec::new();
            let mut at = from;
            while rows.len() < limit {
                // As SQLite: it fails when it comes to the page, whether it holds a row or not.
                if self.is_destroyed(at) {
                    return Read { rows, end: End::Damage };
                }
                if at > to {
                    return Read { rows, end: End::Table };
                }
                if self.rows.contains(&at) {
                    rows.push((at, ()));
                }
                at += 1;
            }
            Read { rows, end: End::Limit }
        }
    }

    fn walk(table: &mut Table, last: i64) -> (Vec<i64>, u64) {
        let (mut walk, mut found) = (Walk::new(last), Vec::new());
        while let Some(rows) = walk.step(table, 7) {
            found.extend(rows.into_iter().map(|(id, ())| id));
        }
        let lost = walk.gaps().iter().map(|gap| u64::try_from(gap.end - gap.start).expect("ascending")).sum();
        (found, lost)
    }

    proptest! {
        #[test]
        fn all_that_can_be_read_is_found_once(
            rows in prop::collection::btree_set(1_i64..2_000, 0..400),
            destroyed in prop::collection::vec((1_i64..2_000, 0_i64..200), 0..5),
            beyond in 0_i64..50,
        ) {
            let last = rows.last().copied().unwrap_or(0) + beyond;
            // Five spans of 200 are no thousand failures in a row, which would make the steps longer.
            let destroyed = destroyed.into_iter().map(|(first, length)| (first, first + length)).collect();
            let mut table = Table { rows, destroyed, reads: 0 };
            let readable: Vec<i64> = table.rows.iter().copied().filter(|id| !table.is_destroyed(*id)).collect();
            let (found, lost) = walk(&mut table, last);
            let missing = (table.rows.len() - readable.len()) as u64;
            prop_assert_eq!(found, readable);
            prop_assert!(lost >= missing, "{lost} said, {missing} missing");
        }
    }

    #[test]
    fn a_large_hole_is_crossed_in_few_steps_and_left_where_it_ends() {
        let rows: BTreeSet<i64> = (1..=100).chain(2_990_001..=3_000_000).collect();
        let mut table = Table { rows, destroyed: vec![(101, 2_990_000)], reads: 0 };
        let (found, lost) = walk(&mut table, 3_000_000);
        assert_eq!((found.len(), lost), (10_100, 2_989_900));
        assert!(table.reads < 3_000, "{}", table.reads);
    }

    /// The steps have become long, the last one goes over the only row and ends where nothing is left to read.
    #[test]
    fn a_row_between_a_hole_and_the_end_is_found() {
        let mut table = Table { rows: BTreeSet::from([1358]), destroyed: vec![(1087, 1279)], reads: 0 };
        assert_eq!(walk(&mut table, 1359).0, [1358]);
    }

    #[test]
    fn a_table_that_cannot_be_read_at_all_has_an_end() {
        let mut table = Table { rows: BTreeSet::new(), destroyed: vec![(0, i64::MAX)], reads: 0 };
        let (found, lost) = walk(&mut table, 1 << 50);
        assert_eq!((found.len(), lost), (0, 1 << 50));
        assert!(table.reads < 1_100, "{}", table.reads);
    }
}
