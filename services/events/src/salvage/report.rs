//! What a salvage brought, as its reader wants to know it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::upkeep::{backups_folder, newest_backup};

/// What came back of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvageReport {
    /// The file that was set aside.
    pub from: PathBuf,
    /// What became of each table.
    pub tables: Vec<TableReport>,
    /// When the newest row that came back was received, in the time of the database.
    pub newest: Option<String>,
    /// A backup that was made later than that.
    pub newer_backup: Option<PathBuf>,
}

/// What came back of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    /// Its name.
    pub name: &'static str,
    /// Rows that could be read, and are in the new database.
    pub kept: u64,
    /// At most so many could not: ids in destroyed places, given or not. None: nobody can tell.
    pub lost: Option<u64>,
}

impl SalvageReport {
    /// The named table.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableReport> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Is nothing lost?
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tables.iter().all(|table| table.lost == Some(0))
    }
}

impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "copied back from {}:", self.from.display())?;
        for (index, table) in self.tables.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator} {} rows of {}", table.kept, table.name)?;
            match table.lost {
                Some(0) => {}
                Some(lost) => write!(f, " (at most {lost} lost)")?,
                None => f.write_str(" (nobody can tell how many were lost)")?,
            }
        }
        if let Some(backup) = &self.newer_backup {
            let newest = self.newest.as_deref().unwrap_or("none");
            write!(f, "; the backup {} is newer than the newest of them ({newest})", backup.display())?;
        }
        Ok(())
    }
}

/// The newest backup of the database, if it was made after `newest`.
pub(super) fn newer_backup(database: &Path, newest: Option<&str>) -> Option<PathBuf> {
    let (at, path) = newest_backup(&backups_folder(database), database).ok()??;
    let made = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    (made.as_str() > newest.unwrap_or_default()).then_some(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_newer_backup_is_found_by_its_name() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let database = folder.path().join("data/webhook_events.db");
        assert_eq!(newer_backup(&database, None), None);
        let backups = folder.path().join("backups");
        fs::create_dir(&backups).expect("made");
        for name in ["webhook_events-20260102T030405Z.db", "webhook_events-20260101T000000Z.db", "other.db"] {
            fs::write(backups.join(name), "").expect("written");
        }
        let expected = backups.join("webhook_events-20260102T030405Z.db");
        assert_eq!(newer_backup(&database, Some("2026-01-02 03:04:04")), Some(expected.clone()));
        assert_eq!(newer_backup(&database, None), Some(expected));
        assert_eq!(newer_backup(&database, Some("2026-01-02 03:04:05")), None);
    }

    #[test]
    fn it_reads_as_a_sentence() {
        let table = |name, kept, lost| TableReport { name, kept, lost };
        let report = SalvageReport {
            from: "quarantine/x.db".into(),
            tables: vec![table("a", 5, Some(0)), table("b", 3, Some(2)), table("c", 0, None)],
            newest: Some("2026-01-02 03:04:05".into()),
            newer_backup: Some("backups/y.db".into()),
        };
        assert!(!report.is_whole());
        assert_eq!(
            report.to_string(),
            "copied back from quarantine/x.db: 5 rows of a, 3 rows of b (at most 2 lost), 0 rows of c (nobody can \
             tell how many were lost); the backup backups/y.db is newer than the newest of them (2026-01-02 03:04:05)"
        );
    }
}
