//! Which lines are wanted: a pattern, and the neighbours of those that match it.

use std::collections::VecDeque;

use regex::bytes::{Regex, RegexBuilder};

use super::cursor::Place;

/// What to look for in a line.
#[derive(Debug, Clone)]
pub struct Pattern {
    line: Regex,
    /// The same over many lines at once; none where it could mean something else there.
    block: Option<Regex>,
}

impl Pattern {
    /// A regular expression of the regex crate, on bytes.
    ///
    /// # Errors
    /// A sentence: where it is wrong, and why.
    pub fn new(text: &str, ignore_case: bool) -> Result<Pattern, String> {
        let build = |text: &str| {
            let mut builder = RegexBuilder::new(text);
            builder.multi_line(true).case_insensitive(ignore_case).build()
        };
        let line = build(text).map_err(|error| error.to_string())?;
        let strict = [r"\A", r"\z", "(?"].iter().any(|special| text.contains(special));
        Ok(Pattern { line: line.clone(), block: (!strict).then_some(line) })
    }

    /// Exactly this text.
    pub fn text(text: &str) -> Pattern {
        let line = Regex::new(&regex::escape(text)).expect("an escaped text is a regular expression");
        Pattern { line: line.clone(), block: Some(line) }
    }

    /// Whether a line has it.
    pub fn matches(&self, line: &[u8]) -> bool {
        self.line.is_match(line)
    }

    /// Whether any of these lines may have it.
    pub fn may_match(&self, lines: &[u8]) -> bool {
        self.block.as_ref().is_none_or(|block| block.is_match(lines))
    }

    /// Where it stands in a line.
    pub fn find<'a>(&'a self, line: &'a [u8]) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
        self.line.find_iter(line).map(|found| found.range())
    }
}

/// How many lines around a match are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context {
    /// Before it.
    pub before: usize,
    /// After it.
    pub after: usize,
}

/// A line that is wanted, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// Nanoseconds since 1970, if it is known.
    pub at: Option<u64>,
    /// What it is ordered by, nanoseconds.
    pub key: u64,
    /// Its bytes without the line feed.
    pub bytes: Vec<u8>,
    /// It begins a line.
    pub begins: bool,
    /// A line feed follows, or its end is not waited for.
    pub ends: bool,
    /// No line feed follows: its end has not been written.
    pub unfinished: bool,
    /// It matches, and is not just a neighbour.
    pub hit: bool,
    /// There are lines between it and the one before that nobody wanted.
    pub gap: bool,
    /// Right behind it.
    pub end: Place,
}

/// What passes. Memory: the lines that wait, and the neighbours before a possible match.
#[derive(Debug, Default)]
pub struct Sieve {
    context: Context,
    before: VecDeque<Line>,
    after_left: usize,
    /// A line was dropped since the last one that passed.
    dropped: bool,
    passed_any: bool,
    ready: VecDeque<Line>,
    /// Bytes of all that are ready.
    ready_bytes: usize,
    /// Memory of lines that are gone.
    spare: Vec<Vec<u8>>,
}

/// So much memory of lines is kept for others.
const SPARE: usize = 64;
/// Of no more than this size each, bytes.
const LARGE: usize = 4096;

impl Sieve {
    /// With neighbours.
    pub fn new(context: Context) -> Sieve {
        Sieve { context, ..Sieve::default() }
    }

    /// The next line, which may have no bytes yet; `bytes` are its own.
    pub fn offer(&mut self, mut line: Line, bytes: &[u8]) {
        let passes = line.hit || self.after_left > 0;
        if !passes && self.context.before == 0 {
            self.dropped = true;
            return;
        }
        line.bytes = self.spare.pop().unwrap_or_default();
        line.bytes.extend_from_slice(bytes);
        if line.hit {
            while let Some(neighbour) = self.before.pop_front() {
                self.pass(neighbour);
            }
            self.after_left = self.context.after;
            self.pass(line);
        } else if self.after_left > 0 {
            self.after_left -= 1;
            self.pass(line);
        } else {
            self.before.push_back(line);
            if self.before.len() > self.context.before
                && let Some(old) = self.before.pop_front()
            {
                self.dropped = true;
                self.recycle(old);
            }
        }
    }

    fn pass(&mut self, mut line: Line) {
        line.gap = self.dropped && self.passed_any;
        (self.dropped, self.passed_any) = (false, true);
        self.ready_bytes += line.bytes.len();
        self.ready.push_back(line);
    }

    /// Whether lines that do not match cannot matter now: they may be skipped, if [`Sieve::skip`] is told.
    pub fn needs_only_hits(&self) -> bool {
        self.after_left == 0 && self.context.before == 0
    }

    /// Lines that do not match were skipped.
    pub fn skip(&mut self) {
        self.dropped = true;
    }

    /// The next line that has passed.
    pub fn head(&self) -> Option<&Line> {
        self.ready.front()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// And their bytes.
    pub fn waiting_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Takes it.
    pub fn pop(&mut self) {
        if let Some(line) = self.ready.pop_front() {
            self.ready_bytes -= line.bytes.len();
            self.recycle(line);
        }
    }

    fn recycle(&mut self, line: Line) {
        let mut bytes = line.bytes;
        if self.spare.len() < SPARE && bytes.capacity() <= LARGE {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sift(context: Context, hits: &[bool]) -> Vec<(usize, bool, bool)> {
        let mut sieve = Sieve::new(context);
        for (number, hit) in hits.iter().enumerate() {
            sieve.offer(Line { key: number as u64, hit: *hit, ..Line::default() }, b"x");
        }
        let mut passed = Vec::new();
        while let Some(line) = sieve.head() {
            assert_eq!(line.bytes, b"x");
            passed.push((line.key as usize, line.hit, line.gap));
            sieve.pop();
        }
        passed
    }

    #[test]
    fn neighbours_and_gaps() {
        let hits = [false, false, true, false, false, false, false, true, true, false];
        let none = Context::default();
        assert_eq!(sift(none, &hits), [(2, true, false), (7, true, true), (8, true, false)]);
        let both = Context { before: 1, after: 2 };
        assert_eq!(
            sift(both, &hits),
            [
                (1, false, false),
                (2, true, false),
                (3, false, false),
                (4, false, false),
                (6, false, true),
                (7, true, false),
                (8, true, false),
                (9, false, false),
            ]
        );
    }

    #[test]
    fn patterns() {
        let pattern = Pattern::new("^b.*d$", false).unwrap();
        assert!(pattern.matches(b"b\xff d") || !pattern.matches(b"bcd2"));
        assert!(pattern.matches(b"bcd") && !pattern.matches(b"abcd"));
        assert!(pattern.may_match(b"a\nbcd\ne\n") && !pattern.may_match(b"abcd\n"));
        assert!(Pattern::new("ERR", true).unwrap().matches(b"an error"));
        assert!(Pattern::new(r"\Ab", false).unwrap().may_match(b"a\nb\n"), "not told by the block");
        assert!(Pattern::new("a(", false).unwrap_err().contains("unclosed group"));
        let found: Vec<_> = Pattern::new("o", false).unwrap().find(b"foo").collect();
        assert_eq!(found, [1..2, 2..3]);
    }

    proptest! {
        #[test]
        fn a_line_passes_if_a_hit_is_near(
            hits in prop::collection::vec(prop::bool::weighted(0.2), 0..40), before in 0_usize..4, after in 0_usize..4
        ) {
            let passed = sift(Context { before, after }, &hits);
            let near = |at: usize| {
                let from = at.saturating_sub(after);
                let to = (at + before + 1).min(hits.len());
                hits[from..to].iter().any(|hit| *hit)
            };
            let expected: Vec<usize> = (0..hits.len()).filter(|at| near(*at)).collect();
            let numbers: Vec<usize> = passed.iter().map(|line| line.0).collect();
            prop_assert_eq!(&numbers, &expected);
            let gaps: Vec<bool> = passed.iter().map(|line| line.2).collect();
            let expected: Vec<bool> =
                (0..numbers.len()).map(|n| n > 0 && numbers[n] != numbers[n - 1] + 1).collect();
            prop_assert_eq!(gaps, expected);
        }

        #[test]
        fn a_block_never_hides_a_line(
            lines in prop::collection::vec("[ab ]{0,6}", 0..6),
            pattern in prop::sample::select(vec!["a", "^a", "b$", "^$", "a b", r"\ba", r"\Bb", "a|^b$", r"\s", "[^a]b", "a*$"])
        ) {
            let pattern = Pattern::new(pattern, false).unwrap();
            let block: String = lines.iter().map(|line| format!("{line}\n")).collect();
            if lines.iter().any(|line| pattern.matches(line.as_bytes())) {
                prop_assert!(pattern.may_match(block.as_bytes()));
            }
        }
    }
}
