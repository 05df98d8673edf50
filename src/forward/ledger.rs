//! Which archives of a stream a sink has ahead of it, so that it can be told which went before it came to them.
//!
//! The oldest archives go first. So as long as the one that was read last is there, nothing has gone that was not read;
//! and of those that went, what was known while they were there is known still.

use std::collections::BTreeMap;

/// The archives that a sink has not come to.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By the moments at which they were made.
    ahead: BTreeMap<u64, Known>,
    /// Archives that were made while somebody watched, and those of them that were seen.
    made: u64,
    seen: u64,
}

/// What is known of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Bytes that were written to it.
    pub bytes: u64,
    /// Lines, if they could be counted.
    pub lines: Option<u64>,
}

/// What a sink will never get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
    /// It may be more.
    pub at_least: bool,
}

impl Lost {
    /// Both together.
    #[must_use]
    pub fn with(self, other: Lost) -> Lost {
        Lost {
            lines: self.lines + other.lines,
            bytes: self.bytes + other.bytes,
            at_least: self.at_least || other.at_least,
        }
    }

    /// Whether it is nothing at all.
    pub fn is_nothing(&self) -> bool {
        *self == Lost::default()
    }
}

impl Ledger {
    /// Whether this archive has been seen.
    pub fn knows(&self, at_ms: u64) -> bool {
        self.ahead.contains_key(&at_ms)
    }

    /// This archive is there. `new`: it was made since somebody watches.
    pub fn note(&mut self, at_ms: u64, known: Known, new: bool) {
        if self.ahead.insert(at_ms, known).is_none() && new {
            self.seen += 1;
        }
    }

    /// So many archives were made; they are being looked for.
    pub fn made(&mut self, count: u64) {
        self.made += count;
    }

    /// The newest one that has been seen; 0: none.
    pub fn newest(&self) -> u64 {
        self.ahead.keys().next_back().copied().unwrap_or(0)
    }

    /// How many bytes were written to the one of that moment, if it has been seen.
    pub fn bytes_of(&self, at_ms: u64) -> Option<u64> {
        self.ahead.get(&at_ms).map(|known| known.bytes)
    }

    /// After the archive of the moment `from` the one of the moment `to` was begun, or the present file. `sure`: the one
    /// before is still there, so nothing can be missing.
    pub fn passed(&mut self, from: u64, to: Option<u64>, sure: bool) -> Lost {
        let to = to.unwrap_or(u64::MAX).max(from + 1);
        let mut lost = Lost::default();
        for known in self.ahead.range(from + 1..to).map(|(_, known)| known) {
            lost.bytes += known.bytes;
            lost.lines += known.lines.unwrap_or(0);
            lost.at_least |= known.lines.is_none();
        }
        if self.made > self.seen && !sure {
            // Some came and went without being seen.
            lost.at_least = true;
            self.seen = self.made;
        }
        lost
    }

    /// The sink has all that was written before this archive was made, and all in it.
    pub fn forget(&mut self, up_to_ms: u64) {
        self.ahead = self.ahead.split_off(&(up_to_ms + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(archives: &[(u64, Option<u64>)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (at_ms, lines) in archives {
            ledger.note(*at_ms, Known { bytes: 100, lines: *lines }, true);
        }
        ledger.made(archives.len() as u64);
        ledger
    }

    #[test]
    fn what_lies_between_two_files_was_not_read() {
        let mut all = ledger(&[(10, Some(1)), (20, Some(2)), (30, Some(3)), (40, None)]);
        assert!(all.passed(10, Some(20), false).is_nothing());
        assert_eq!(all.passed(10, Some(30), false), Lost { lines: 2, bytes: 100, at_least: false });
        assert_eq!(all.passed(10, Some(40), false), Lost { lines: 5, bytes: 200, at_least: false });
        assert_eq!(all.passed(10, None, false), Lost { lines: 5, bytes: 300, at_least: true });
        assert!(all.passed(40, None, false).is_nothing());
        assert_eq!((all.bytes_of(20), all.bytes_of(50), all.newest()), (Some(100), None, 40));
        all.forget(20);
        assert!(!all.knows(20) && all.knows(30));
        assert!(all.passed(0, Some(30), false).is_nothing(), "it has had those");
    }

    #[test]
    fn an_archive_that_nobody_saw_is_told_once() {
        let mut some = ledger(&[(10, Some(1))]);
        some.made(1);
        assert!(some.passed(10, None, true).is_nothing(), "the one before it is still there");
        assert_eq!(some.passed(10, None, false), Lost { at_least: true, ..Lost::default() });
        assert!(some.passed(10, None, false).is_nothing());
        let mut early = ledger(&[]);
        early.note(10, Known { bytes: 1, lines: Some(1) }, true);
        early.made(1);
        assert!(early.passed(10, None, false).is_nothing(), "seen before it was told");
    }
}
