//! The messages that are known already, so that none is taken twice.

use rusqlite::Connection;

use super::{Job, TableReport};
use crate::error::Error;

const TABLE: &str = "dogwatch_seen";
const SLICE: usize = 500;

/// From the first key on until one cannot be read, then from the last one on. They are a help, not the data: what is
/// between two destroyed pages is not looked for.
pub(super) fn copy(source: Option<&Connection>, job: &mut Job<'_>) -> Result<TableReport, Error> {
    let mut report = TableReport { name: TABLE, kept: 0, lost: None };
    let Some(source) = source else { return Ok(report) };
    let forth = "SELECT key, at FROM dogwatch_seen WHERE key > ?1 ORDER BY key LIMIT ?2";
    let back = "SELECT key, at FROM dogwatch_seen WHERE key < ?1 ORDER BY key DESC LIMIT ?2";
    if copy_along(source, forth, "", job, &mut report)? {
        report.lost = Some(0);
    } else {
        copy_along(source, back, "\u{10ffff}", job, &mut report)?;
    }
    Ok(report)
}

/// True: to the end.
fn copy_along(
    source: &Connection,
    sql: &str,
    start: &str,
    job: &mut Job<'_>,
    report: &mut TableReport,
) -> Result<bool, Error> {
    let mut last = start.to_owned();
    loop {
        let mut keys: Vec<(String, i64)> = Vec::new();
        let end = read(source, sql, &last, &mut keys);
        if let Some((key, _)) = keys.last() {
            last.clone_from(key);
        }
        job.target.write(|transaction| {
            let mut statement = transaction
                .prepare_cached("INSERT OR IGNORE INTO dogwatch_seen (key, at) VALUES (?1, ?2)")?;
            for key in &keys {
                statement.execute((&key.0, key.1))?;
            }
            Ok(())
        })?;
        report.kept += keys.len() as u64;
        job.pace(TABLE, report.kept)?;
        match end {
            Ok(()) if keys.len() == SLICE => {}
            Ok(()) => return Ok(true),
            Err(_) => return Ok(false),
        }
    }
}

fn read(source: &Connection, sql: &str, from: &str, keys: &mut Vec<(String, i64)>) -> rusqlite::Result<()> {
    let mut statement = source.prepare_cached(sql)?;
    let mut rows = statement.query((from, i64::try_from(SLICE).unwrap_or(i64::MAX)))?;
    while let Some(row) = rows.next()? {
        keys.push((row.get(0)?, row.get(1)?));
    }
    Ok(())
}
