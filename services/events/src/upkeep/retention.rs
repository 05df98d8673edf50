//! What is too old is deleted, a little at a time, so that whoever writes never waits long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

use super::Job;
use super::editor::Editor;
use crate::Error;
use crate::connection::{BUSY_TIMEOUT, open_reader};
use crate::error::Doing;

/// Rows of one transaction.
const SLICE: i64 = 5_000;
/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(50);
/// The platform sends a message again for 7 days at most; its key is needed a day longer.
const SEEN_DAYS: u32 = 8;

const DOING: &str = "deleting what is too old";

/// Rows that are, or were, too old.
#[derive(Clone, Copy, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub webhook_events: u64,
    /// Messages of conversations.
    pub conversations: u64,
    /// Keys of messages that are known already.
    pub dogwatch_seen: u64,
}

/// What was deleted, or would be.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Retention {
    /// The database.
    pub database: PathBuf,
    /// Events and conversations are kept this long; 0 = for ever.
    pub days: u32,
    /// The moment before which they are too old; none when they are kept for ever.
    pub before: Option<String>,
    /// True: nothing was deleted.
    pub dry_run: bool,
    /// Per table.
    pub deleted: Counts,
}

/// What is old in one table: the table, its key, its time, and from when on it is kept.
struct Rule {
    table: &'static str,
    key: &'static str,
    time: &'static str,
    /// For text times, as `2026-01-02 03:04:05`; for numbers, seconds since 1970.
    before: rusqlite::types::Value,
    count: fn(&mut Counts) -> &mut u64,
}

/// Deletes events and conversations that are older than `days` (0 = none), and keys that are older than 8 days.
/// The daily counters stay.
///
/// # Errors
/// When the database cannot be changed, or the end was asked for; what was deleted until then stays deleted.
pub fn prune(job: Job<'_>, days: u32) -> Result<Retention, Error> {
    job.progress.stage("counting");
    let old = count_old(job.database, days)?;
    job.progress.stage("deleting what is too old");
    let all = old.deleted.webhook_events + old.deleted.conversations + old.deleted.dogwatch_seen;
    let mut editor = Editor::new(job);
    let mut deleted = Counts::default();
    let mut done = 0;
    for rule in editor.change(|connection| rules(connection, days))? {
        loop {
            job.stop.check()?;
            let count = editor.change(|connection| delete_slice(connection, &rule))?;
            *(rule.count)(&mut deleted) += count;
            done += count;
            job.progress.at(done, all);
            if count < SLICE.unsigned_abs() {
                break;
            }
            if job.stop.wait(PAUSE) {
                return Err(Error::Stopped);
            }
        }
    }
    Ok(Retention { deleted, dry_run: false, ..old })
}

/// Counts what [`prune`] would delete, and changes nothing.
///
/// # Errors
/// When the database cannot be read.
pub fn count_old(database: &Path, days: u32) -> Result<Retention, Error> {
    const DOING: &str = "counting what is too old";
    crate::file::FileId::of(database)?;
    let connection = open_reader(database, BUSY_TIMEOUT)?;
    let mut deleted = Counts::default();
    let mut before = None;
    for rule in rules(&connection, days)? {
        if let rusqlite::types::Value::Text(moment) = &rule.before {
            before = Some(moment.clone());
        }
        let sql = format!("SELECT COUNT(*) FROM {} WHERE {} < ?1", rule.table, rule.time);
        let exists = connection
            .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1")
            .and_then(|mut table| table.exists([rule.table]))
            .doing(DOING)?;
        if exists {
            let count = connection.query_row(&sql, [&rule.before], |row| row.get(0)).doing(DOING)?;
            *(rule.count)(&mut deleted) = count;
        }
    }
    Ok(Retention { database: database.to_owned(), days, before, dry_run: true, deleted })
}

fn rules(connection: &Connection, days: u32) -> Result<Vec<Rule>, Error> {
    let value = |sql: &str, days: u32| {
        connection.query_row(sql, [format!("-{days} days")], |row| row.get(0)).doing(DOING)
    };
    let mut rules = Vec::new();
    if days > 0 {
        let before: rusqlite::types::Value = value("SELECT datetime('now', ?1)", days)?;
        rules.push(Rule {
            table: "webhook_events",
            key: "id",
            time: "timestamp",
            before: before.clone(),
            count: |counts| &mut counts.webhook_events,
        });
        rules.push(Rule {
            table: "conversations",
            key: "id",
            time: "timestamp",
            before,
            count: |counts| &mut counts.conversations,
        });
    }
    rules.push(Rule {
        table: "dogwatch_seen",
        key: "key",
        time: "at",
        before: value("SELECT unixepoch('now', ?1)", SEEN_DAYS)?,
        count: |counts| &mut counts.dogwatch_seen,
    });
    Ok(rules)
}

fn delete_slice(connection: &mut Connection, rule: &Rule) -> Result<u64, Error> {
    let Rule { table, key, time, .. } = rule;
    // All names are ours.
    let sql = format!(
        "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {time} < ?1 LIMIT {SLICE})"
    );
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(DOING)?;
    let count = transaction.execute(&sql, [&rule.before]).doing(DOING)?;
    transaction.commit().doing(DOING)?;
    Ok(count as u64)
}
