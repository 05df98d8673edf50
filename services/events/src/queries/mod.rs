//! Every question that is asked of the events database, one file each.
//!
//! "Today" is the UTC day. Numbers that nobody measured are `None`, never 0.

mod conversations;
mod extent;
mod live;
mod metrics;
mod numbers;
mod realtime;
mod recent;

pub use conversations::{Conversations, Interaction, Session, Trend, conversations};
pub use extent::{Extent, extent};
pub use live::{
    DashboardMetrics, Snapshot, before_last, dashboard_metrics, data_version, generation, last_event_id,
    last_id_given, rows_after, snapshot,
};
pub use metrics::{Metrics, metrics};
pub use numbers::{Numbers, numbers};
pub use realtime::{Activity, Realtime, realtime};
pub use recent::{events_of_the_last_hour, recent};

use rusqlite::{Connection, Params, Row};

use crate::Error;
use crate::error::Doing;

/// The start of a window of whole days, for SQLite's date functions.
fn days_ago(days: u32) -> String {
    format!("-{days} days")
}

fn one<T>(
    connection: &Connection,
    doing: &'static str,
    sql: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<T, Error> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.query_row(values, read)).doing(doing)
}

fn many<T>(
    connection: &Connection,
    doing: &'static str,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Error> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_map(values, read)?.collect())
        .doing(doing)
}

/// Goes through rows one by one: for sums over many of them, which SQLite would sort first.
fn each(
    connection: &Connection,
    doing: &'static str,
    sql: &str,
    values: impl Params,
    mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let mut rows = statement.query(values).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        take(row).doing(doing)?;
    }
    Ok(())
}
