//! How the log of a service is: a part of its status.

use serde::{Deserialize, Serialize};

/// Both streams together. All that is usual is left out of the JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogState {
    /// Why its log cannot be written or rotated, with the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Since when, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_unix_ms: Option<u64>,
    /// Lines are being dropped; else they wait, and the service may have to.
    pub dropping: bool,
    /// What its keeper has dropped in this boot, lines.
    pub dropped_lines: u64,
    /// The same in bytes.
    pub dropped_bytes: u64,
    /// It may be more: a keeper was killed while it dropped.
    pub at_least: bool,
}

impl LogState {
    /// Whether there is nothing to say.
    pub fn is_usual(&self) -> bool {
        *self == LogState::default()
    }

    /// Both streams of a service.
    #[must_use]
    pub fn with(self, other: LogState) -> LogState {
        LogState {
            trouble: self.trouble.or(other.trouble),
            since_unix_ms: [self.since_unix_ms, other.since_unix_ms].into_iter().flatten().min(),
            dropping: self.dropping || other.dropping,
            dropped_lines: self.dropped_lines + other.dropped_lines,
            dropped_bytes: self.dropped_bytes + other.dropped_bytes,
            at_least: self.at_least || other.at_least,
        }
    }
}
