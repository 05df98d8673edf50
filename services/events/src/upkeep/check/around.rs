//! What is around the file: room on the disk, events that wait, backups.

use std::path::Path;

use jiff::Timestamp;

use super::{Finding, Places, command, word};
use crate::file::folder_of;
use crate::upkeep::disk::{free_bytes, length};
use crate::upkeep::newest_backup;

/// A daily backup is never older than this, unless one failed.
const BACKUP_HOURS: i64 = 48;
/// The spool's own limit: what is written now must fit beside it.
const LEAST_ROOM: u64 = 64 << 20;

pub(super) fn check(database: &Path, places: Places<'_>) -> Vec<Finding> {
    vec![room(database), spool(places.spool), backup(database, places.backups)]
}

fn room(database: &Path) -> Finding {
    const CHECK: &str = "disk-space";
    let fix = format!("df -h {}; {}", word(folder_of(database)), command(database, "prune --days 30"));
    let free = match free_bytes(folder_of(database)) {
        Ok(free) => free,
        Err(error) => return Finding::warning(CHECK, error.to_string(), "nobody knows when it is full", fix),
    };
    let found = format!("{} MiB free", free >> 20);
    if free < LEAST_ROOM {
        return Finding::error(CHECK, found, "soon events cannot be written", fix);
    }
    if free < 2 * length(database) {
        return Finding::warning(CHECK, found, "less than twice the file: it cannot be written anew", fix);
    }
    Finding::ok(CHECK, found)
}

fn spool(spool: &Path) -> Finding {
    const CHECK: &str = "spool-backlog";
    match length(spool) {
        0 => Finding::ok(CHECK, "none"),
        bytes => Finding::warning(
            CHECK,
            format!("{} KiB in {}", bytes.div_ceil(1024), spool.display()),
            "events wait: the webhook could not write them, or does not run",
            "dogwatch logs webhook-button-handler --lines 50",
        ),
    }
}

fn backup(database: &Path, backups: &Path) -> Finding {
    const CHECK: &str = "backup-age";
    const WHY: &str = "all that came since the last backup is lost with the disk";
    let fix = command(database, &format!("backup --to {}", word(backups)));
    let shown = backups.display();
    match newest_backup(backups, database) {
        Err(error) => Finding::warning(CHECK, error.to_string(), WHY, fix),
        Ok(None) => Finding::warning(CHECK, format!("none in {shown}"), WHY, fix),
        Ok(Some((at, path))) => {
            let hours = Timestamp::now().duration_since(at).as_hours();
            let found = format!("{hours} h: {}", path.display());
            if hours > BACKUP_HOURS {
                Finding::warning(CHECK, found, WHY, fix)
            } else {
                Finding::ok(CHECK, found)
            }
        }
    }
}
