//! dogwatch's own log: one line an event, to standard error, which is `dogwatch.log` or systemd's journal.

use std::io::Write;

use crate::model::calendar::utc_stamps;
use crate::os::clock;

/// Writes one line: when, who, what. A line that cannot be written is forgotten: a full disk must not end a
/// supervisor, as `eprintln!` would. Warden and keepers write into a FIFO that never makes them wait.
pub fn line(who: &str, what: &str) {
    let (_, stamp) = utc_stamps(clock::now().unix_ms);
    let _ = std::io::stderr().write_all(format!("{stamp} {who}: {what}\n").as_bytes());
}
