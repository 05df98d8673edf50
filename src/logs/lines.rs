//! Bytes into lines. A line of any length passes: one that is too long for memory comes in parts.

use memchr::{memchr, memrchr};

/// A line longer than this comes in parts of this size, bytes.
pub const LONGEST: usize = 256 * 1024;
/// Asked of a file at a time, bytes.
const BLOCK: usize = 64 * 1024;

/// A line, or a part of one, without its line feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its bytes, whatever they are.
    pub bytes: &'a [u8],
    /// Where it begins in its file.
    pub offset: u64,
    /// Its first byte is the first one of the line.
    pub begins: bool,
    /// A line feed follows.
    pub ends: bool,
}

/// Cuts what is read from files, one after the other, into lines.
#[derive(Debug)]
pub struct Lines {
    buffer: Vec<u8>,
    /// The bytes that wait: `buffer[from..to]`, of which those before `seen` hold no line feed.
    from: usize,
    seen: usize,
    to: usize,
    /// Where `buffer[from]` stands in the file.
    offset: u64,
    /// `buffer[from]` begins a line.
    begins: bool,
    /// What comes before the next line feed belongs to a line that nobody wants.
    aligning: bool,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines { buffer: Vec::new(), from: 0, seen: 0, to: 0, offset: 0, begins: true, aligning: false }
    }
}

impl Lines {
    /// What comes next comes from another file, or from elsewhere in it. A line goes on that has not ended.
    pub fn go_to(&mut self, offset: u64) {
        debug_assert!(self.from == self.to, "nothing waits");
        self.offset = offset;
    }

    /// What comes next begins a line.
    pub fn begin_line(&mut self) {
        self.begins = true;
    }

    /// What comes next is in the middle of something: the first line is the one after the next line feed.
    pub fn align(&mut self) {
        self.aligning = true;
    }

    /// Room for bytes that are read.
    pub fn room(&mut self) -> &mut [u8] {
        if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.seen, self.to) = (self.seen - self.from, self.to - self.from);
            self.from = 0;
        }
        if self.buffer.len() < self.to + BLOCK {
            self.buffer.resize(self.to + BLOCK, 0);
        }
        let to = self.to;
        &mut self.buffer[to..to + BLOCK]
    }

    /// So many bytes have been read into [`Lines::room`].
    pub fn filled(&mut self, count: usize) {
        self.to += count;
        if self.aligning {
            match memchr(b'\n', &self.buffer[self.from..self.to]) {
                Some(at) => (self.aligning, self.begins) = (self.forget(at + 1), true),
                None => _ = self.forget(self.to - self.from),
            }
        }
    }

    /// Drops bytes. Always false.
    fn forget(&mut self, count: usize) -> bool {
        self.from += count;
        self.offset += count as u64;
        self.seen = self.from;
        false
    }

    /// The next line, or a part of one that is too long.
    pub fn piece(&mut self) -> Option<Piece<'_>> {
        let feed = memchr(b'\n', &self.buffer[self.seen..self.to]).map(|at| self.seen + at);
        match feed {
            Some(feed) if feed - self.from <= LONGEST => Some(self.cut(feed - self.from, true)),
            _ if self.to - self.from >= LONGEST => Some(self.cut(LONGEST, false)),
            _ => {
                self.seen = self.to;
                None
            }
        }
    }

    /// The beginning of a line whose end has not come.
    pub fn rest(&mut self) -> Option<Piece<'_>> {
        (self.to > self.from).then(|| self.cut(self.to - self.from, false))
    }

    fn cut(&mut self, length: usize, ends: bool) -> Piece<'_> {
        let (from, offset, begins) = (self.from, self.offset, self.begins);
        self.forget(length + usize::from(ends));
        self.begins = ends;
        Piece { bytes: &self.buffer[from..from + length], offset, begins, ends }
    }

    /// All lines that wait and have ended, in one piece.
    pub fn whole(&self) -> &[u8] {
        let waiting = &self.buffer[self.from..self.to];
        &waiting[..memrchr(b'\n', waiting).map_or(0, |at| at + 1)]
    }

    /// Drops what [`Lines::whole`] has shown.
    pub fn skip_whole(&mut self) {
        let length = self.whole().len();
        if length > 0 {
            self.forget(length);
            self.begins = true;
        }
    }

    /// Where the next piece begins in its file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether nothing of a line has been given whose end has not.
    pub fn at_line_start(&self) -> bool {
        self.begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(lines: &mut Lines, mut bytes: &[u8], mut give: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let room = lines.room();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            lines.filled(count);
            bytes = &bytes[count..];
            while let Some(piece) = lines.piece() {
                give(piece);
            }
        }
    }

    #[test]
    fn a_long_line_comes_in_parts_and_memory_stays_small() {
        let mut lines = Lines::default();
        let mut long = vec![b'x'; 10 * LONGEST + 5];
        long.extend(b"\nshort\n");
        let mut seen = Vec::new();
        feed(&mut lines, &long, |piece| {
            seen.push((piece.bytes.len(), piece.offset, piece.begins, piece.ends));
        });
        let part = |n: usize| (LONGEST, (n * LONGEST) as u64, n == 0, false);
        let mut expected: Vec<_> = (0..10).map(part).collect();
        expected.push((5, (10 * LONGEST) as u64, false, true));
        expected.push((5, (10 * LONGEST + 6) as u64, true, true));
        assert_eq!(seen, expected);
        assert!(lines.buffer.capacity() <= LONGEST + 2 * BLOCK);
    }

    #[test]
    fn begins_in_the_middle() {
        let mut lines = Lines::default();
        lines.go_to(100);
        lines.align();
        let mut seen = Vec::new();
        for text in ["of a", " line", "\nfirst", "\nsecond\nha"] {
            feed(&mut lines, text.as_bytes(), |piece| {
                seen.push((piece.bytes.to_vec(), piece.offset, piece.begins));
            });
        }
        assert_eq!(seen, [(b"first".to_vec(), 110, true), (b"second".to_vec(), 116, true)]);
        assert_eq!(lines.rest().unwrap().bytes, b"ha");
        assert!(!lines.at_line_start());
    }

    proptest! {
        #[test]
        fn what_comes_in_comes_out(
            blocks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..40), 0..20)
        ) {
            let mut lines = Lines::default();
            let mut out = Vec::new();
            let mut begins = true;
            let mut wrong = 0;
            for block in &blocks {
                feed(&mut lines, block, |piece| {
                    wrong += usize::from(piece.offset != out.len() as u64 || piece.begins != begins);
                    wrong += usize::from(piece.bytes.contains(&b'\n'));
                    out.extend_from_slice(piece.bytes);
                    out.extend(piece.ends.then_some(b'\n'));
                    begins = piece.ends;
                });
            }
            out.extend(lines.rest().map(|piece| piece.bytes.to_vec()).unwrap_or_default());
            prop_assert_eq!(out, blocks.concat());
            prop_assert_eq!(wrong, 0);
        }

        #[test]
        fn whole_lines_can_be_skipped_in_one_go(text in "[a\n]{0,60}") {
            let mut lines = Lines::default();
            let room = lines.room();
            room[..text.len()].copy_from_slice(text.as_bytes());
            lines.filled(text.len());
            let whole = lines.whole().to_vec();
            lines.skip_whole();
            prop_assert_eq!(lines.offset(), whole.len() as u64);
            prop_assert!(lines.piece().is_none());
            let rest = lines.rest().map(|piece| piece.bytes.to_vec()).unwrap_or_default();
            prop_assert_eq!([whole, rest].concat(), text.into_bytes());
        }
    }
}
