//! What has befallen the keeper of a service in this boot: `incidents.json` in the service's folder, written by
//! the control plane and the keeper, gone with the folder.

use serde::{Deserialize, Serialize};

/// The file's content, and a part of the service's status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Incidents {
    /// [`super::VERSION`] of the writer.
    pub v: u32,
    /// How often the keeper was stalled and replaced.
    pub replaced: u64,
    /// The last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Replaced>,
    /// Output that was dropped meanwhile so that a critical service never waits, bytes.
    pub dropped_bytes: u64,
    /// Ends of lines among them.
    pub dropped_lines: u64,
}

/// One replacement of a stalled keeper.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Replaced {
    /// What had shown that it was stalled.
    pub why: String,
    /// From the first sign until its successor answered, milliseconds.
    pub after_ms: u64,
    /// When, milliseconds since 1970; for display.
    pub at_unix_ms: u64,
}

impl Incidents {
    /// More output was dropped.
    pub fn add_dropped(&mut self, bytes: u64, lines: u64) {
        self.dropped_bytes = self.dropped_bytes.saturating_add(bytes);
        self.dropped_lines = self.dropped_lines.saturating_add(lines);
    }

    /// Reads the file's content; none if it is damaged or a newer dogwatch's.
    pub fn decode(bytes: &[u8]) -> Option<Incidents> {
        let incidents: Incidents = serde_json::from_slice(bytes).ok()?;
        (incidents.v <= super::VERSION).then_some(incidents)
    }

    /// The file's content.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has only strings and numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This sample must load for ever.
    #[test]
    fn reads_version_1() {
        let sample = include_bytes!("../../tests/fixtures/incidents-v1.json");
        let last = Replaced { why: "stopped".to_owned(), after_ms: 4200, at_unix_ms: 1_795_373_591_999 };
        let expected =
            Incidents { v: 1, replaced: 2, last: Some(last), dropped_bytes: 8192, dropped_lines: 80 };
        assert_eq!(Incidents::decode(sample), Some(expected.clone()));
        assert_eq!(Incidents::decode(&expected.encode()), Some(expected));
        assert_eq!(Incidents::decode(br#"{"v":2}"#), None);
    }
}
