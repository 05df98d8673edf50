//! Numbered lines: how they are written, and whether all of them are in the log, each once and whole.
//!
//! `0000000042 1795374300123 request` is number and time of writing (milliseconds since 1970). The time says which
//! fault a missing line belongs to.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use crate::archive;
use crate::wire::drill::Lines;

/// The line with this number.
pub fn line(number: u64, unix_ms: u64, text: &str) -> String {
    format!("{number:010} {unix_ms:013} {text}\n")
}

/// Lines are counted separately for each of these times.
#[derive(Debug, Clone)]
pub struct Tally {
    /// When each part begins, milliseconds since 1970, ascending. What is earlier belongs to the first.
    begins: Vec<u64>,
    counts: Vec<Lines>,
    /// The number that comes next.
    next: u64,
    /// The part of the last line that could be read.
    part: usize,
}

impl Tally {
    /// Nothing counted yet; at least one part.
    pub fn new(begins: Vec<u64>) -> Tally {
        let counts = vec![Lines::default(); begins.len().max(1)];
        Tally { begins, counts, next: 0, part: 0 }
    }

    /// Counts the lines of a file, which follow those of the files before it.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read(&mut self, mut from: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line)? > 0 {
            self.count(&line);
            line.clear();
        }
        Ok(())
    }

    fn count(&mut self, line: &[u8]) {
        let Some((number, unix_ms)) = parse(line) else {
            self.counts[self.part].torn += 1;
            return;
        };
        // A line that is missing was written before this one, and after the last one that is there.
        self.counts[self.part].lost += number.saturating_sub(self.next);
        self.part = self.begins.partition_point(|begin| *begin <= unix_ms).saturating_sub(1);
        let lines = &mut self.counts[self.part];
        if number < self.next {
            lines.doubled += 1;
        } else {
            lines.found += 1;
            self.next = number + 1;
        }
    }

    /// The end of what was written: so many lines there must be at least. Returns the count of each part.
    pub fn finish(mut self, written: u64) -> Vec<Lines> {
        self.counts[self.part].lost += written.saturating_sub(self.next);
        self.counts
    }
}

/// Number and time.
fn parse(line: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (number, rest) = text.split_once(' ')?;
    let (time, _) = rest.split_once(' ')?;
    let digits = |text: &str, width| text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(number, 10) && digits(time, 13)).then_some(())?;
    Some((number.parse().ok()?, time.parse().ok()?))
}

/// Counts one stream of a service that has stopped: its archives, none of them compressed, then its log file.
///
/// # Errors
/// A file cannot be read.
pub fn of_log(tally: &mut Tally, log: &Path) -> io::Result<()> {
    let folder = log.parent().unwrap_or(Path::new(""));
    let stem = log.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let mut files = archive::list(folder, stem);
    files.push(log.to_owned());
    for file in files {
        tally.read(BufReader::with_capacity(1 << 20, File::open(file)?))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u64 = 1_795_374_300_000;

    fn tally(text: &str, written: u64) -> Vec<Lines> {
        let mut tally = Tally::new(vec![FIRST, FIRST + 100, FIRST + 200]);
        tally.read(text.as_bytes()).unwrap();
        tally.finish(written)
    }

    fn text(lines: &[(u64, u64)]) -> String {
        lines.iter().map(|(number, after)| line(*number, FIRST + after, "x")).collect()
    }

    #[test]
    fn all_there() {
        let counts = tally(&text(&[(0, 0), (1, 99), (2, 100), (3, 250)]), 4);
        assert_eq!(counts.iter().map(|lines| lines.found).collect::<Vec<_>>(), [2, 1, 1]);
        assert!(counts.iter().all(Lines::is_clean));
    }

    #[test]
    fn what_is_missing_belongs_to_the_time_in_which_it_was_written() {
        let counts = tally(&text(&[(0, 0), (1, 150), (5, 250)]), 7);
        assert_eq!(counts.iter().map(|lines| lines.lost).collect::<Vec<_>>(), [0, 3, 1]);
    }

    #[test]
    fn doubled_and_torn() {
        let broken = text(&[(0, 0), (0, 1)]) + "00000000";
        let counts = tally(&broken, 1);
        assert_eq!(counts[0], Lines { found: 1, lost: 0, doubled: 1, torn: 1 });
    }

    #[test]
    fn archives_come_before_the_log_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let month = dir.path().join("archive/2026-11");
        std::fs::create_dir_all(&month).unwrap();
        std::fs::write(month.join("web-out.20261122T000002.000Z.log"), text(&[(1, 0)])).unwrap();
        std::fs::write(month.join("web-out.20261122T000001.000Z.log"), text(&[(0, 0)])).unwrap();
        std::fs::write(month.join("web-out.20261122T000001.000Z.log.idx"), "its index").unwrap();
        std::fs::write(month.join("web-error.20261122T000001.000Z.log"), "other").unwrap();
        let log = dir.path().join("web-out.log");
        std::fs::write(&log, text(&[(2, 0)])).unwrap();
        let mut tally = Tally::new(vec![FIRST]);
        of_log(&mut tally, &log).unwrap();
        assert_eq!(tally.finish(3), [Lines { found: 3, ..Lines::default() }]);
    }
}
