//! What backups are called, and how they are told from everything else in their folder.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::Error;

const TIME: &str = "%Y%m%dT%H%M%SZ";

/// The name without what is added for a backup: `webhook_events` of `webhook_events.db`.
pub(super) fn stem(database: &Path) -> String {
    database.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// `webhook_events-20260102T030405Z`.
pub(super) fn dated(stem: &str, at: Timestamp) -> String {
    format!("{stem}-{}", at.strftime(TIME))
}

/// When the backup of this exact name was made; none for anything else.
fn time_in(stem: &str, name: &str) -> Option<Timestamp> {
    let time = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(".db")?;
    let at = DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    // Only what this program writes: other spellings of the same time are not ours.
    (name == format!("{}.db", dated(stem, at))).then_some(at)
}

/// The backups of the database in `folder`, newest first. A folder that is not there holds none.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn all(folder: &Path, database: &Path) -> Result<Vec<(Timestamp, PathBuf)>, Error> {
    let failed = |error| Error::Path("read the folder", folder.to_owned(), error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let stem = stem(database);
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(at) = name.to_str().and_then(|name| time_in(&stem, name)) else {
            continue;
        };
        if entry.file_type().map_err(failed)?.is_file() {
            found.push((at, entry.path()));
        }
    }
    found.sort_by(|(one, _), (other, _)| other.cmp(one));
    Ok(found)
}

/// Where backups are, unless it is said otherwise: beside the folder of the database.
#[must_use]
pub fn folder(database: &Path) -> PathBuf {
    let above = database.parent().and_then(Path::parent);
    above.map_or_else(|| "backups".into(), |above| above.join("backups"))
}

/// The newest backup of the database in `folder`, and when it was made.
///
/// # Errors
/// When the folder cannot be read.
pub fn newest(folder: &Path, database: &Path) -> Result<Option<(Timestamp, PathBuf)>, Error> {
    Ok(all(folder, database)?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_name_is_a_backup() {
        let at = Timestamp::from_second(1_767_323_045).expect("a moment in range");
        assert_eq!(dated("webhook_events", at), "webhook_events-20260102T030405Z");
        assert_eq!(time_in("webhook_events", "webhook_events-20260102T030405Z.db"), Some(at));
        for other in [
            "webhook_events.db",
            "webhook_events-20260102T030405Z.db.old",
            "webhook_events-20260102T030405.db",
            "webhook_events-20260102T030405Z-1.db",
            "webhook_events-20261302T030405Z.db",
            "webhook_events-2026102T030405Z.db",
            "my-webhook_events-20260102T030405Z.db",
            "webhook_events-20260102T030405Z.db-wal",
        ] {
            assert_eq!(time_in("webhook_events", other), None, "{other}");
        }
    }
}
