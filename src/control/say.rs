//! dogwatch's own log, as the control plane writes it: to stderr, one line per event.

use crate::model::utc::show_utc;
use crate::os::clock;

/// Writes one line. The journal adds the time itself.
pub fn say(line: impl std::fmt::Display) {
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        eprintln!("control: {line}");
    } else {
        eprintln!("{} control: {line}", show_utc(clock::now().unix_ms));
    }
}
