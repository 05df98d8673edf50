//! Tables whose rows come back as they were, with their own ids.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::walk::{End, Read, Source, Walk};
use super::{Job, TableReport};
use crate::error::{Doing, Error};
use crate::ids::Ids;

/// Rows that are written together.
const SLICE: usize = 200;
/// How far to look when nobody knows the highest id.
const FAR: i64 = 10_000_000;

/// A table, its columns, and which of them is never NULL: where it is, the row is no row but damage.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) required: usize,
}

pub(super) const EVENTS: Table = Table {
    name: "webhook_events",
    columns: &[
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
    required: 1,
};

pub(super) const CONVERSATIONS: Table = Table {
    name: "conversations",
    columns: &[
        "id",
        "advisor_phone",
        "message_type",
        "content",
        "direction",
        "timestamp",
        "ai_response_time",
        "satisfaction_score",
    ],
    required: 1,
};

/// Copies all rows that can be read.
pub(super) fn copy(
    table: &'static Table,
    source: Option<&Connection>,
    before: Ids,
    job: &mut Job<'_>,
) -> Result<TableReport, Error> {
    let insert = format!(
        "INSERT OR IGNORE INTO {} ({}) VALUES ({})",
        table.name,
        table.columns.join(", "),
        vec!["?"; table.columns.len()].join(", ")
    );
    each_slice(table, source, before, job, |job, rows| {
        job.target.write(|transaction| {
            let mut statement = transaction.prepare_cached(&insert)?;
            for values in rows {
                statement.execute(params_from_iter(values))?;
            }
            Ok(())
        })
    })
}

/// Hands on all rows that can be read, some at a time.
pub(super) fn each_slice(
    table: &'static Table,
    source: Option<&Connection>,
    before: Ids,
    job: &mut Job<'_>,
    mut take: impl FnMut(&mut Job<'_>, &[Vec<Value>]) -> Result<(), Error>,
) -> Result<TableReport, Error> {
    let mut report = TableReport { name: table.name, kept: 0, lost: None };
    let Some(mut damaged) = source.and_then(|source| Damaged::new(source, table)) else {
        return Ok(report);
    };
    let last = match before.get(table.name) {
        0 => FAR,
        known => known,
    };
    let mut walk = Walk::new(last);
    while let Some(rows) = walk.step(&mut damaged, SLICE) {
        if !rows.is_empty() {
            let rows: Vec<Vec<Value>> = rows.into_iter().map(|(_, values)| values).collect();
            take(job, &rows)?;
            report.kept += rows.len() as u64;
        }
        job.pace(table.name, report.kept)?;
    }
    report.lost = Some(walk.lost());
    Ok(report)
}

/// A table of the damaged file.
struct Damaged<'a> {
    source: &'a Connection,
    select: String,
    table: &'static Table,
}

impl<'a> Damaged<'a> {
    /// None: it is not known any more that there is such a table.
    fn new(source: &'a Connection, table: &'static Table) -> Option<Self> {
        let select = format!(
            "SELECT {} FROM {} NOT INDEXED WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3",
            table.columns.join(", "),
            table.name
        );
        source.prepare_cached(&select).ok()?;
        Some(Self { source, select, table })
    }

    fn read_into(
        &self,
        range: (i64, i64),
        limit: usize,
        rows: &mut Vec<(i64, Vec<Value>)>,
    ) -> rusqlite::Result<End> {
        let mut statement = self.source.prepare_cached(&self.select)?;
        let mut found = statement.query((range.0, range.1, i64::try_from(limit).unwrap_or(i64::MAX)))?;
        let mut next = range.0;
        while let Some(row) = found.next()? {
            let id: i64 = row.get(0)?;
            // A destroyed page may look like one, and lead anywhere.
            if id < next || id > range.1 || !matches!(row.get_ref(self.table.required)?, ValueRef::Text(_)) {
                return Ok(End::Damage);
            }
            next = id.saturating_add(1);
            rows.push((id, values(row, self.table.columns.len())?));
        }
        Ok(if rows.len() < limit { End::Table } else { End::Limit })
    }
}

impl Source for Damaged<'_> {
    type Row = Vec<Value>;

    fn read(&mut self, from: i64, to: i64, limit: usize) -> Read<Vec<Value>> {
        let mut rows = Vec::new();
        let end = self.read_into((from, to), limit, &mut rows).unwrap_or(End::Damage);
        Read { rows, end }
    }
}

fn values(row: &Row<'_>, count: usize) -> rusqlite::Result<Vec<Value>> {
    (0..count)
        .map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            })
        })
        .collect()
}

/// An `INTEGER` column, 0 where it holds something else.
pub(super) fn integer(value: &Value) -> i64 {
    if let Value::Integer(number) = value { *number } else { 0 }
}

/// So that a failure says what it was about.
pub(super) fn named<T>(result: rusqlite::Result<T>) -> Result<T, Error> {
    result.doing("copying back into the events database")
}
