//! Connections with the settings that everyone who opens the file must use.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::Error;
use crate::error::Doing;

/// How long SQLite itself waits for a lock.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection: all that any one service uses.
const STATEMENTS: usize = 32;

/// Opens the existing file for writing.
pub(crate) fn open_writer(path: &Path, busy: Duration) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, busy)?;
    connection
        .execute_batch(
            "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA journal_size_limit=67108864;",
        )
        .doing("setting up the connection")?;
    Ok(connection)
}

/// Opens the existing file for reading only.
pub(crate) fn open_reader(path: &Path, busy: Duration) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, busy)?;
    connection.execute_batch("PRAGMA query_only=ON;").doing("setting up the connection")?;
    Ok(connection)
}

fn open(path: &Path, access: OpenFlags, busy: Duration) -> Result<Connection, Error> {
    // A connection stays with one thread at a time, which the borrow checker proves.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).doing("opening the events database")?;
    connection.busy_timeout(busy).doing("setting up the connection")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection
        .execute_batch("PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA cache_size=-1024;")
        .doing("setting up the connection")?;
    Ok(connection)
}
