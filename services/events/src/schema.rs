//! What the file holds. The three tables are those of the original system, column for column; what
//! we need beyond them stands beside them.
//!
//! History of the version: 1 = the indexes, `dogwatch_seen`, `dogwatch_meta`.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::connection::{open_reader, open_writer};
use crate::create;
use crate::error::{Doing, Error, Trouble};
use crate::ids::Ids;
use crate::lock::Lock;

/// The version of the schema that this program makes and knows.
pub const VERSION: i64 = 1;

/// Between two attempts to get a lock that does not wait.
const PAUSE: Duration = Duration::from_millis(10);

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS webhook_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_type TEXT NOT NULL,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    advisor_phone TEXT,
    event_data JSON,
    button_id TEXT,
    message_type TEXT,
    processed BOOLEAN DEFAULT FALSE,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS webhook_metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    date DATE NOT NULL,
    button_clicks INTEGER DEFAULT 0,
    text_messages INTEGER DEFAULT 0,
    content_deliveries INTEGER DEFAULT 0,
    successful_deliveries INTEGER DEFAULT 0,
    failed_deliveries INTEGER DEFAULT 0,
    response_time_avg REAL DEFAULT 0,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    UNIQUE(date)
);
CREATE TABLE IF NOT EXISTS conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    advisor_phone TEXT NOT NULL,
    message_type TEXT,
    content TEXT,
    direction TEXT,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    ai_response_time REAL,
    satisfaction_score INTEGER
);
";

const ADDITIONS: &str = "
CREATE INDEX IF NOT EXISTS idx_timestamp ON webhook_events(timestamp);
CREATE INDEX IF NOT EXISTS idx_event_type ON webhook_events(event_type);
CREATE INDEX IF NOT EXISTS idx_advisor_phone ON webhook_events(advisor_phone);
CREATE INDEX IF NOT EXISTS idx_events_type_ts ON webhook_events(event_type, timestamp, button_id);
CREATE INDEX IF NOT EXISTS idx_conv_ts
    ON conversations(timestamp, advisor_phone, ai_response_time, satisfaction_score);
CREATE TABLE IF NOT EXISTS dogwatch_seen (key TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dogwatch_meta (key TEXT PRIMARY KEY, value TEXT);
INSERT OR IGNORE INTO dogwatch_meta (key, value) VALUES ('generation', lower(hex(randomblob(16))));
";

/// The columns of the original system, which are in every events database.
pub(crate) const COLUMNS: [(&str, &[&str]); 3] = [
    (
        "webhook_events",
        &[
            "id",
            "event_type",
            "timestamp",
            "advisor_phone",
            "event_data",
            "button_id",
            "message_type",
            "processed",
            "created_at",
        ],
    ),
    (
        "webhook_metrics",
        &[
            "id",
            "date",
            "button_clicks",
            "text_messages",
            "content_deliveries",
            "successful_deliveries",
            "failed_deliveries",
            "response_time_avg",
            "created_at",
        ],
    ),
    (
        "conversations",
        &[
            "id",
            "advisor_phone",
            "message_type",
            "content",
            "direction",
            "timestamp",
            "ai_response_time",
            "satisfaction_score",
        ],
    ),
];

/// The indexes that we add.
pub(crate) const INDEXES: [&str; 5] =
    ["idx_timestamp", "idx_event_type", "idx_advisor_phone", "idx_events_type_ts", "idx_conv_ts"];

/// Makes the file or brings it up to date, whichever is needed; several processes may do so at once.
/// Waits up to `patience` for a lock.
///
/// # Errors
/// When the file cannot be made, opened or changed, or is of a newer version; it is then unchanged.
pub fn migrate(path: &Path, patience: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    loop {
        match attempt(path, patience) {
            // Who changes the journal mode at the same moment is told so at once, whatever the patience.
            Err(error) if error.trouble() == Trouble::Locked && Instant::now() < deadline => {
                std::thread::park_timeout(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

fn attempt(path: &Path, patience: Duration) -> Result<(), Error> {
    if path.exists() && open_reader(path, patience).and_then(|reader| is_current(&reader)).unwrap_or(false) {
        return Ok(());
    }
    create::ensure(path, None, Ids::default(), patience)?;
    let _lock = Lock::shared(path)?;
    migrate_with(&mut open_writer(path, patience)?)
}

/// The same over an open connection.
pub(crate) fn migrate_with(writer: &mut Connection) -> Result<(), Error> {
    const DOING: &str = "bringing the events database up to date";
    if is_current(writer)? {
        return Ok(());
    }
    writer.pragma_update(None, "journal_mode", "WAL").doing(DOING)?;
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).doing(DOING)?;
    // Another process may have been faster: everything below is harmless when it is done already.
    version(&transaction)?;
    transaction.execute_batch(TABLES).doing(DOING)?;
    transaction.execute_batch(ADDITIONS).doing(DOING)?;
    transaction
        .execute("INSERT OR REPLACE INTO dogwatch_meta (key, value) VALUES ('schema_version', ?1)", [VERSION])
        .doing(DOING)?;
    // Without statistics SQLite takes the index on event_type, which is worse than none.
    transaction.execute_batch("ANALYZE").doing(DOING)?;
    transaction.commit().doing(DOING)
}

fn is_current(connection: &Connection) -> Result<bool, Error> {
    Ok(version(connection)? == Some(VERSION) && has_statistics(connection)?)
}

/// Were the indexes measured, if there is anything to measure? A file that was empty when it was
/// made gets its statistics when a service starts with rows in it.
fn has_statistics(connection: &Connection) -> Result<bool, Error> {
    const DOING: &str = "looking for index statistics";
    let exists = |sql: &str| connection.prepare(sql)?.exists([]);
    if !exists("SELECT 1 FROM webhook_events LIMIT 1").doing(DOING)? {
        return Ok(true);
    }
    Ok(exists("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").doing(DOING)?
        && exists("SELECT 1 FROM sqlite_stat1 WHERE tbl = 'webhook_events' LIMIT 1").doing(DOING)?)
}

/// The version of the file, or none for a file of the original or an empty one.
pub(crate) fn version(connection: &Connection) -> Result<Option<i64>, Error> {
    const DOING: &str = "reading the schema version";
    let known = connection
        .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'dogwatch_meta'")
        .and_then(|mut table| table.exists([]))
        .doing(DOING)?;
    if !known {
        return Ok(None);
    }
    let found: Option<i64> = connection
        .query_row(
            "SELECT CAST(value AS INTEGER) FROM dogwatch_meta WHERE key = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .optional()
        .doing(DOING)?;
    match found {
        Some(newer) if newer > VERSION => Err(Error::Newer(newer)),
        version => Ok(version),
    }
}
