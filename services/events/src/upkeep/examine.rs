//! Is this a whole events database, and what is in it?

use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use super::Stop;
use crate::error::Doing;
use crate::{Error, schema};

/// The tables of the original system.
pub(super) const TABLES: [&str; 3] = ["webhook_events", "webhook_metrics", "conversations"];
/// Damage has many symptoms; the first ones are enough.
const SYMPTOMS: usize = 5;

/// What a database holds.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Content {
    /// Every table with its rows, ours too.
    pub tables: Vec<Table>,
    /// When the oldest event was received.
    pub oldest: Option<String>,
    /// When the newest event was received.
    pub newest: Option<String>,
    /// None in a file of the original system.
    pub schema_version: Option<i64>,
}

/// A table and its rows.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// How many rows.
    pub rows: i64,
}

impl Content {
    /// How many events there are.
    #[must_use]
    pub fn events(&self) -> i64 {
        self.tables.iter().find(|table| table.name == TABLES[0]).map_or(0, |table| table.rows)
    }
}

/// How thoroughly a file is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Every page once.
    Quick,
    /// The indexes against their tables as well.
    Full,
}

/// Makes sure that the file is a whole events database.
///
/// # Errors
/// [`Error::NotWhole`] with the symptoms, and whatever comes of reading.
pub(super) fn make_sure(path: &Path, connection: &Connection, stop: &Stop) -> Result<(), Error> {
    let symptoms = symptoms(connection, Depth::Quick, stop)?;
    if !symptoms.is_empty() {
        return Err(Error::NotWhole(path.to_owned(), symptoms.join("; ")));
    }
    match missing_column(connection)? {
        Some(column) => Err(Error::NotWhole(path.to_owned(), format!("it has no column {column}"))),
        None => Ok(()),
    }
}

/// What SQLite finds wrong; empty when all is well.
pub(super) fn symptoms(connection: &Connection, depth: Depth, stop: &Stop) -> Result<Vec<String>, Error> {
    const DOING: &str = "checking every page";
    let sql = match depth {
        Depth::Quick => format!("PRAGMA quick_check({SYMPTOMS})"),
        Depth::Full => format!("PRAGMA integrity_check({SYMPTOMS})"),
    };
    stop.watch(connection, |connection| {
        let mut statement = connection.prepare(&sql).doing(DOING)?;
        let found = statement.query_map([], |row| row.get::<_, String>(0)).doing(DOING)?;
        let found: Vec<String> = found.collect::<Result<_, _>>().doing(DOING)?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    })
}

/// A column of the original schema that is not there, as `table.column`. Files of the original may lack whole tables,
/// but not the events.
pub(super) fn missing_column(connection: &Connection) -> Result<Option<String>, Error> {
    const DOING: &str = "reading the schema";
    for (table, columns) in schema::COLUMNS {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)").doing(DOING)?;
        let names = statement.query_map([table], |row| row.get::<_, String>(0)).doing(DOING)?;
        let names: Vec<String> = names.collect::<Result<_, _>>().doing(DOING)?;
        if names.is_empty() && table != TABLES[0] {
            continue;
        }
        if let Some(column) = columns.iter().find(|column| !names.iter().any(|name| name == *column)) {
            return Ok(Some(format!("{table}.{column}")));
        }
    }
    Ok(None)
}

/// Counts.
pub(super) fn content(connection: &Connection) -> Result<Content, Error> {
    const DOING: &str = "counting rows";
    let mut statement = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid")
        .doing(DOING)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0)).doing(DOING)?;
    let mut tables = Vec::new();
    for name in names {
        let name = name.doing(DOING)?;
        // Names cannot be bound; quoted they are text, whatever is in them.
        let sql = format!("SELECT COUNT(*) FROM \"{}\"", name.replace('"', "\"\""));
        let rows = connection.query_row(&sql, [], |row| row.get(0)).doing(DOING)?;
        tables.push(Table { name, rows });
    }
    let moment = |sql: &str| connection.query_row(sql, [], |row| crate::row::text(row, 0)).doing(DOING);
    Ok(Content {
        tables,
        oldest: moment("SELECT MIN(timestamp) FROM webhook_events")?,
        newest: moment("SELECT MAX(timestamp) FROM webhook_events")?,
        schema_version: match schema::version(connection) {
            Err(Error::Newer(version)) => Some(version),
            version => version?,
        },
    })
}
