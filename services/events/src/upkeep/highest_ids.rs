//! Ids are never used twice, not even when another file takes the place of the database: dashboards ask for "all after
//! this id".

use rusqlite::Connection;

use super::examine::TABLES;
use crate::Error;
use crate::error::Doing;

/// A damaged file may not tell its highest id. It then is above that of the backup by what was written since; this is
/// more than that, and leaves 9 × 10¹² such leaps.
const LEAP: i64 = 1_000_000;

/// The highest id that each table ever had, as far as it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HighestIds([Option<i64>; TABLES.len()]);

impl HighestIds {
    /// Of no database at all.
    pub(super) const NONE: Self = Self([Some(0); TABLES.len()]);
    /// Of a database that cannot be read.
    pub(super) const UNKNOWN: Self = Self([None; TABLES.len()]);

    /// Reads them, whatever state the file is in.
    pub(super) fn read(connection: &Connection) -> Self {
        Self(TABLES.map(|table| highest_id(connection, table).ok()))
    }

    /// Could all be read?
    pub(super) fn are_known(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// Lets the tables of another database continue above these.
    pub(super) fn continue_in(&self, connection: &Connection) -> Result<(), Error> {
        const DOING: &str = "continuing the ids";
        for (table, highest) in TABLES.into_iter().zip(self.0) {
            let own = highest_id(connection, table)?;
            let highest = highest.unwrap_or(own.saturating_add(LEAP)).max(own);
            connection.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [table]).doing(DOING)?;
            connection
                .execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (table, highest))
                .doing(DOING)?;
        }
        Ok(())
    }
}

/// The highest id that a table ever had; 0 for a table that is not there.
fn highest_id(connection: &Connection, table: &str) -> Result<i64, Error> {
    const DOING: &str = "reading the highest id";
    let exists =
        |name: &str| connection.prepare("SELECT 1 FROM sqlite_master WHERE name = ?1")?.exists([name]);
    if !exists(table).doing(DOING)? {
        return Ok(0);
    }
    // The table's name is one of ours.
    let present: i64 = connection
        .query_row(&format!("SELECT COALESCE(MAX(id), 0) FROM {table}"), [], |row| row.get(0))
        .doing(DOING)?;
    if !exists("sqlite_sequence").doing(DOING)? {
        return Ok(present);
    }
    let ever: i64 = connection
        .query_row("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = ?1", [table], |row| {
            row.get(0)
        })
        .doing(DOING)?;
    Ok(ever.max(present))
}
