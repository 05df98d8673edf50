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

/// What is left of numbered lines, and what marks say of those that were dropped.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Whole lines.
    pub kept: u64,
    /// Numbers that are missing before or between them.
    pub missing: u64,
    /// The sum of all marks.
    pub dropped: u64,
    /// Marks.
    pub marks: u64,
    /// Marks of the control plane, which tell no number.
    pub uncounted: u64,
    /// One of them says `at least`.
    pub at_least: bool,
}

/// Reads these files one after the other; a line that is torn or comes twice fails the test.
#[track_caller]
pub fn account(files: &[PathBuf]) -> Account {
    let mut account = Account::default();
    let mut next = None;
    for line in files.iter().flat_map(|file| BufReader::new(open(file)).split(b'\n')) {
        let mut line = line.unwrap();
        line.push(b'\n');
        if let Some(n) = number(&line) {
            let expected = next.unwrap_or(if account.marks + account.uncounted > 0 { 0 } else { n });
            assert!(n >= expected, "{n} comes after {expected}");
            account.missing += n - expected;
            account.kept += 1;
            next = Some(n + 1);
            continue;
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        let mark = text.strip_prefix("[dogwatch: ").unwrap_or_else(|| panic!("torn: {text:?}"));
        if mark.starts_with("lines dropped, ") {
            account.uncounted += 1;
            continue;
        }
        let exact = mark.strip_prefix("at least ");
        let count = exact.unwrap_or(mark).split_once(" line").unwrap().0.replace(',', "");
        account.dropped += count.parse::<u64>().unwrap();
        account.marks += 1;
        account.at_least |= exact.is_some();
    }
    account
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
