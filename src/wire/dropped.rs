//! What of a stream's output was dropped: a small file in the service's run folder, written in place by its keeper, so
//! that neither a full disk nor a SIGKILL makes it forget; and the line that the log itself has in that place. Where the
//! control plane drops for a keeper, the log has such a line, too, without the count: [`Incidents`](super::incidents)
//! has that.

use serde::{Deserialize, Serialize};

use crate::model::units::{group_digits, show_decimal_size};

/// Size of the file, bytes.
pub const SIZE: usize = 1024;
/// Of so many runs the file tells how they were cut; there are seldom more than two.
const MOST_CUTS: usize = 6;

/// The file's content: a line of JSON, padded with blanks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dropped {
    /// [`super::VERSION`] of the writer.
    pub v: u32,
    /// All in this boot, bytes.
    pub bytes: u64,
    /// Ends of lines among them.
    pub lines: u64,
    /// It may be more: a keeper was killed while it dropped.
    pub at_least: bool,
    /// What goes on now, and the log does not say yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Episode>,
    /// Where in the output of each run lines are missing that the log does not show yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<Cut>,
}

/// Lines of one run were dropped: what is in its FIFO begins a line, or goes on with one that was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cut {
    /// Its number.
    pub run: u64,
    /// The line before them may lack its end: it is in the memory of the keeper alone, or went with them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub half: bool,
    /// The last line dropped has not come to its end yet: its rest belongs to it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mid_line: bool,
}

/// Lines that were dropped one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Episode {
    /// In a few words, like `disk full`.
    pub why: String,
    /// Bytes.
    pub bytes: u64,
    /// Ends of lines among them.
    pub lines: u64,
    /// It may be more.
    pub at_least: bool,
    /// The first was dropped then, milliseconds since 1970.
    pub since_ms: u64,
    /// And the last.
    pub until_ms: u64,
    /// The line that is being written into the log about it. If the log ends with it, it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

impl Dropped {
    /// Reads the file's content; nothing, if it is damaged or a newer dogwatch's.
    pub fn decode(bytes: &[u8]) -> Dropped {
        let dropped: Dropped = serde_json::from_slice(bytes).unwrap_or_default();
        if dropped.v <= super::VERSION { dropped } else { Dropped::default() }
    }

    /// The file's content, of fixed size.
    pub fn encode(&self) -> Vec<u8> {
        let newest = self.cuts.len().saturating_sub(MOST_CUTS);
        let short = Dropped { cuts: self.cuts[newest..].to_vec(), ..self.clone() };
        let mut bytes = serde_json::to_vec(&short).expect("it has only strings and numbers");
        bytes.resize(bytes.len().max(SIZE - 1), b' ');
        bytes.push(b'\n');
        bytes
    }
}

/// What the log says, with its end of line, where lines will be missing and nobody knows yet how many:
/// `[dogwatch: lines dropped, keeper stopped, from 14:02:11]`. The time is UTC.
pub fn uncounted_mark(why: &str, since_ms: u64) -> String {
    format!("[dogwatch: lines dropped, {why}, from {}]\n", time(since_ms))
}

fn time(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

impl Episode {
    /// What the log says in their place, with its end of line:
    /// `[dogwatch: 12,345 lines / 3.1 MB dropped, disk full, 14:02:11–14:03:40]`. The times are UTC.
    pub fn mark(&self) -> String {
        let at_least = if self.at_least { "at least " } else { "" };
        let noun = if self.lines == 1 { "line" } else { "lines" };
        format!(
            "[dogwatch: {at_least}{} {noun} / {} dropped, {}, {}–{}]\n",
            group_digits(self.lines),
            show_decimal_size(self.bytes),
            self.why,
            time(self.since_ms),
            time(self.until_ms)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Dropped {
        let now = Episode {
            why: "disk full".to_owned(),
            bytes: 3_100_000,
            lines: 12_345,
            since_ms: 50_531_000,
            until_ms: 50_620_999,
            ..Episode::default()
        };
        let cuts = vec![
            Cut { run: 7, half: true, mid_line: false },
            Cut { run: 8, half: false, mid_line: true },
            Cut { run: 9, ..Cut::default() },
        ];
        Dropped { v: 1, bytes: 4_100_000, lines: 20_000, at_least: true, now: Some(now), cuts }
    }

    #[test]
    fn the_line_in_the_log() {
        let episode = sample().now.unwrap();
        assert_eq!(
            episode.mark(),
            "[dogwatch: 12,345 lines / 3.1 MB dropped, disk full, 14:02:11–14:03:40]\n"
        );
        assert_eq!(
            uncounted_mark("keeper stopped", 50_531_000),
            "[dogwatch: lines dropped, keeper stopped, from 14:02:11]\n"
        );
        let one = Episode { lines: 1, bytes: 80, at_least: true, ..episode };
        assert_eq!(one.mark(), "[dogwatch: at least 1 line / 80 B dropped, disk full, 14:02:11–14:03:40]\n");
    }

    /// This sample must load for ever.
    #[test]
    fn reads_version_1() {
        let bytes = include_bytes!("../../tests/fixtures/dropped-v1.json");
        assert_eq!(Dropped::decode(bytes), sample());
        assert_eq!(Dropped::decode(br#"{"v":2,"lines":1}"#), Dropped::default());
        assert_eq!(Dropped::decode(b"torn"), Dropped::default());
    }

    #[test]
    fn has_always_the_same_size() {
        let mut long = sample();
        let mark = long.now.as_ref().map(Episode::mark);
        long.now.as_mut().unwrap().mark = mark;
        long.now.as_mut().unwrap().bytes = u64::MAX;
        long.cuts = vec![Cut { run: u64::MAX, half: true, mid_line: true }; MOST_CUTS];
        for dropped in [Dropped::default(), sample(), long.clone()] {
            assert_eq!(dropped.encode().len(), SIZE);
            assert_eq!(Dropped::decode(&dropped.encode()), dropped);
        }
        let more = Dropped { cuts: [vec![Cut::default()], long.cuts.clone()].concat(), ..long.clone() };
        assert_eq!(Dropped::decode(&more.encode()), long, "the oldest is left out");
    }
}
