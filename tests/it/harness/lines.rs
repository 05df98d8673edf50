//! Checks numbered lines, as `unruly` writes them: every one once, whole, in order.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// What was found in a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whole lines.
    pub lines: u64,
    /// Numbers that are missing.
    pub lost: u64,
    /// Numbers that come again.
    pub doubled: u64,
    /// Lines that are no number line.
    pub torn: u64,
    /// Files that do not end at the end of a line.
    pub ragged: u64,
}

/// Reads these files one after the other.
pub fn tally(files: &[PathBuf]) -> Tally {
    let mut tally = Tally::default();
    let mut next = 0;
    for file in files {
        let mut reader = BufReader::with_capacity(1 << 20, open(file));
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).unwrap() > 0 {
            if line.last() != Some(&b'\n') {
                tally.ragged += 1;
            }
            match number(&line) {
                None => tally.torn += 1,
                Some(n) => {
                    tally.lines += 1;
                    if n < next {
                        tally.doubled += 1;
                    } else {
                        tally.lost += n - next;
                        next = n + 1;
                    }
                }
            }
            line.clear();
        }
    }
    tally
}

/// `0000000042 xxx…\n`, all of one width.
fn number(line: &[u8]) -> Option<u64> {
    let (digits, rest) = line.split_at_checked(10)?;
    let body = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    let whole = digits.iter().all(u8::is_ascii_digit) && body.iter().all(|byte| *byte == b'x');
    let width = matches!(line.len(), 50 | 100);
    (whole && width).then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

fn open(path: &Path) -> Box<dyn Read> {
    if path.extension().is_none_or(|end| end != "gz") {
        if let Ok(file) = File::open(path) {
            return Box::new(file);
        }
        // An archive that has been compressed since it was listed.
        return open(&PathBuf::from(format!("{}.gz", path.display())));
    }
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Box::new(GzDecoder::new(file))
}
