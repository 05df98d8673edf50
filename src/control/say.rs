//! The control plane's voice in dogwatch's own log.

use crate::own_log;

/// Writes one line.
pub fn say(line: impl std::fmt::Display) {
    own_log::line("control", &line.to_string());
}
