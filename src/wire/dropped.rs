//! What of a stream's output was dropped: a small file in the service's run folder, written in place by its keeper, so
//! that neither a full disk nor a SIGKILL makes it forget; and the line that the log itself has in that place.

use serde::{Deserialize, Serialize};

use crate::model::units::{group_digits, show_decimal_size};

/// Size of the file, bytes.
pub const SIZE: usize = 1024;

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
    /// A line was dropped whose end has not come yet: its rest belongs to it.
    pub mid_line: bool,
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
        let mut bytes = serde_json::to_vec(self).expect("it has only strings and numbers");
        bytes.resize(bytes.len().max(SIZE - 1), b' ');
        bytes.push(b'\n');
        bytes
    }
}

impl Episode {
    /// What the log says in their place, with its end of line:
    /// `[dogwatch: 12,345 lines / 3.1 MB dropped, disk full, 14:02:11–14:03:40]`. The times are UTC.
    pub fn mark(&self) -> String {
        let time = |unix_ms: u64| {
            let seconds = unix_ms / 1000 % 86_400;
            format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        };
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
        Dropped { v: 1, bytes: 4_100_000, lines: 20_000, at_least: true, now: Some(now) }
    }

    #[test]
    fn the_line_in_the_log() {
        let episode = sample().now.unwrap();
        assert_eq!(
            episode.mark(),
            "[dogwatch: 12,345 lines / 3.1 MB dropped, disk full, 14:02:11–14:03:40]\n"
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
        for dropped in [Dropped::default(), sample(), long] {
            assert_eq!(dropped.encode().len(), SIZE);
            assert_eq!(Dropped::decode(&dropped.encode()), dropped);
        }
    }
}
