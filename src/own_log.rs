//! dogwatch's own log: one line an event, to standard error, which is `dogwatch.log` or systemd's journal.

use crate::os::clock;

/// Writes one line: when, who, what.
pub fn line(who: &str, what: &str) {
    let (_, stamp) = clock::utc_stamps(clock::now().unix_ms);
    eprintln!("{stamp} {who}: {what}");
}
