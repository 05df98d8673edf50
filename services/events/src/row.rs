//! One row of `webhook_events` as it is shown: the nine columns, each as the original showed it.

use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde::Serialize;

/// A row of `webhook_events`.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct EventRow {
    /// Never used twice.
    pub id: i64,
    /// The kind, as a word.
    pub event_type: String,
    /// When it was received, UTC.
    pub timestamp: Option<String>,
    /// From whom, or to whom.
    pub advisor_phone: Option<String>,
    /// The stored text, whether it is JSON or not.
    pub event_data: Option<String>,
    /// The button of a click.
    pub button_id: Option<String>,
    /// The type of the message.
    pub message_type: Option<String>,
    /// Always 0 so far.
    pub processed: i64,
    /// When the row was made, UTC.
    pub created_at: Option<String>,
}

/// The columns that [`EventRow::from_row`] reads, in its order.
pub(crate) const COLUMNS: &str =
    "id, event_type, timestamp, advisor_phone, event_data, button_id, message_type, processed, created_at";

impl EventRow {
    pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            event_type: text(row, 1)?.unwrap_or_default(),
            timestamp: text(row, 2)?,
            advisor_phone: text(row, 3)?,
            event_data: text(row, 4)?,
            button_id: text(row, 5)?,
            message_type: text(row, 6)?,
            processed: i64::from(matches!(row.get_ref(7)?, ValueRef::Integer(value) if value != 0)),
            created_at: text(row, 8)?,
        })
    }
}

/// A column as text, whatever an old writer stored in it.
pub(crate) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Integer(value) => Some(value.to_string()),
        ValueRef::Real(value) => Some(value.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    })
}

/// A text column as it is stored; nothing, if it holds something else.
pub(crate) fn bytes<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<&'a [u8]> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => b"",
    })
}

/// A column as a number; none, if it holds something else.
pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<f64>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Real(value) => Some(value),
        ValueRef::Integer(value) => i32::try_from(value).ok().map(f64::from),
        ValueRef::Null | ValueRef::Text(_) | ValueRef::Blob(_) => None,
    })
}
