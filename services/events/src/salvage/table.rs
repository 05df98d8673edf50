//! Tables whose rows come back as they were, with their own ids.

use std::iter;
use std::ops::Range;
use std::time::Instant;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::pages::{self, Pages};
use super::walk::{self, End, Read, Walk};
use super::{Job, TableReport};
use crate::error::{Doing, Error};
use crate::ids::Ids;

/// Rows that are written together.
const SLICE: usize = 200;
/// How far to look when nobody knows the highest id.
const FAR: i64 = 1 << 50;

/// A table, its columns, and those that hold a text in every row: where one does not, it is no row but damage.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) texts: &'static [usize],
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
    // Its kind. Rows of other tables have a number where its time is.
    texts: &[1, 2],
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
    texts: &[1, 5],
};

/// Copies all rows that can be read: by the tree of the table, and where that is destroyed page by page.
pub(super) fn copy(
    table: &'static Table,
    source: &Source<'_>,
    before: Ids,
    job: &mut Job<'_>,
) -> Result<TableReport, Error> {
    let insert = format!(
        "INSERT OR IGNORE INTO {} ({}) VALUES ({})",
        table.name,
        table.columns.join(", "),
        vec!["?"; table.columns.len()].join(", ")
    );
    let write = |job: &mut Job<'_>, rows: &[Vec<Value>]| {
        job.target.write(|transaction| {
            let mut statement = transaction.prepare_cached(&insert)?;
            for values in rows {
                statement.execute(params_from_iter(values))?;
            }
            Ok(())
        })
    };
    let by_tree = each_slice(table, source.sql, before, job, write)?;
    let last = last_id(table, before);
    let gaps = by_tree.gaps.clone().unwrap_or_else(|| iter::once(1..last + 1).collect());
    if let Some(pages) = source.pages.filter(|_| !gaps.is_empty()) {
        each_row_in(&gaps, table, pages, by_tree.kept, job, write)?;
    }
    let mut report = TableReport { name: table.name, kept: by_tree.kept, lost: Some(0) };
    if by_tree.gaps.is_none() || (before.get(table.name) == 0 && !gaps.is_empty()) {
        // Nobody knows which ids there were.
        report.lost = None;
    }
    for gap in &gaps {
        let found = job.target.count(table.name, gap)?;
        report.kept += found;
        report.lost = report.lost.map(|lost| lost + u64::try_from(gap.end - gap.start).unwrap_or(0) - found);
    }
    Ok(report)
}

/// The damaged file, as SQLite reads it and as a heap of pages; either may be impossible.
pub(super) struct Source<'a> {
    pub(super) sql: Option<&'a Connection>,
    pub(super) pages: Option<&'a Pages>,
}

/// What was read of a table.
pub(super) struct Found {
    pub(super) kept: u64,
    /// Ids that could not be read. None: there is no such table any more.
    pub(super) gaps: Option<Vec<Range<i64>>>,
}

/// Hands on all rows that the tree of the table leads to, some at a time.
pub(super) fn each_slice(
    table: &'static Table,
    source: Option<&Connection>,
    before: Ids,
    job: &mut Job<'_>,
    mut take: impl FnMut(&mut Job<'_>, &[Vec<Value>]) -> Result<(), Error>,
) -> Result<Found, Error> {
    let Some(mut damaged) = source.and_then(|source| Damaged::new(source, table)) else {
        return Ok(Found { kept: 0, gaps: None });
    };
    let mut kept = 0;
    let mut walk = Walk::new(last_id(table, before));
    while let Some(rows) = walk.step(&mut damaged, SLICE) {
        if !rows.is_empty() {
            let rows: Vec<Vec<Value>> = rows.into_iter().map(|(_, values)| values).collect();
            take(job, &rows)?;
            kept += rows.len() as u64;
        }
        job.pace(table.name, kept)?;
    }
    Ok(Found { kept, gaps: Some(walk.gaps().to_vec()) })
}

/// Hands on all rows in the gaps that are on any page. A page that is not in use any more may still hold rows that were
/// deleted: they come back, and go again with the next retention.
fn each_row_in(
    gaps: &[Range<i64>],
    table: &'static Table,
    pages: &Pages,
    kept: u64,
    job: &mut Job<'_>,
    take: impl Fn(&mut Job<'_>, &[Vec<Value>]) -> Result<(), Error>,
) -> Result<(), Error> {
    let is_wanted = |id: i64| {
        let index = gaps.partition_point(|gap| gap.end <= id);
        gaps.get(index).is_some_and(|gap| gap.contains(&id))
    };
    for number in pages.numbers() {
        let rows = rows_on(number, pages, table).filter(|(id, _)| is_wanted(*id));
        let rows: Vec<Vec<Value>> = rows.map(|(_, values)| values).collect();
        if !rows.is_empty() {
            take(job, &rows)?;
        }
        job.pace(table.name, kept)?;
    }
    Ok(())
}

/// The rows on this page that are of this table.
fn rows_on(number: u32, pages: &Pages, table: &'static Table) -> impl Iterator<Item = pages::Row> {
    let rows = pages.rows(number, table.columns.len()).into_iter();
    rows.filter(|(_, values)| table.texts.iter().all(|text| is_text(&values[*text])))
}

/// The highest ids of rows on any page, the last ones first, as far as there is time.
pub(super) fn highest_ids(pages: &Pages, deadline: Instant) -> Ids {
    let mut ids = Ids::default();
    for number in pages.numbers().rev() {
        if Instant::now() >= deadline {
            break;
        }
        for table in [&EVENTS, &CONVERSATIONS] {
            for (id, _) in rows_on(number, pages, table) {
                ids.put(table.name, id);
            }
        }
    }
    ids
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::Text(_))
}

fn last_id(table: &Table, before: Ids) -> i64 {
    match before.get(table.name) {
        0 => FAR,
        known => known,
    }
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
            if id < next || id > range.1 || !matches!(row.get_ref(self.table.texts[0])?, ValueRef::Text(_)) {
                return Ok(End::Damage);
            }
            next = id.saturating_add(1);
            rows.push((id, values(row, self.table.columns.len())?));
        }
        Ok(if rows.len() < limit { End::Table } else { End::Limit })
    }
}

impl walk::Source for Damaged<'_> {
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
