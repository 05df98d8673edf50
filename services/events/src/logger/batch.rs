//! Entries to rows: one transaction for a batch, an entry's rows never apart.

use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::error::{Doing, Error};
use crate::event::Delivery;
use crate::fingerprint::Fingerprint;
use crate::ids::Ids;
use crate::{Entry, Kind, NewEvent};

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) written: u64,
    /// The database had these keys already.
    pub(super) repeated: u64,
    /// The database will never take these.
    pub(super) refused: u64,
    /// The highest ids afterwards.
    pub(super) ids: Ids,
}

const DOING: &str = "writing events";

/// Waits for SQLite's write lock, up to the time limit of the connection. Without a batch in hand: others may take it
/// meanwhile.
pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Error> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(DOING)
}

/// Writes all of `entries`, but for those that the database refuses for ever, or none on an error; and, in the same
/// transaction, how far the spool was taken over, if that is where they come from.
pub(super) fn write<'a>(
    mut transaction: Transaction<'_>,
    entries: impl IntoIterator<Item = &'a Entry>,
    mark: Option<&str>,
) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    for entry in entries {
        let alone = transaction.savepoint().doing(DOING)?;
        match write_entry(&alone, entry).and_then(|is_new| alone.commit().map(|()| is_new)).doing(DOING) {
            Ok(true) => outcome.written += 1,
            Ok(false) => outcome.repeated += 1,
            // One row must not keep the others out for ever; the savepoint takes back what it had so far.
            Err(error) if error.is_fault_of_a_row() => outcome.refused += 1,
            Err(error) => return Err(error),
        }
    }
    if let Some(mark) = mark {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO dogwatch_meta (key, value) VALUES ('spool', ?1)")
            .and_then(|mut statement| statement.execute([mark]))
            .doing(DOING)?;
    }
    outcome.ids = Ids::of(&transaction)?;
    transaction.commit().doing(DOING)?;
    Ok(outcome)
}

/// False: it was known.
fn write_entry(connection: &Connection, entry: &Entry) -> rusqlite::Result<bool> {
    if !is_new(connection, entry)? {
        return Ok(false);
    }
    for event in &entry.events {
        write_event(connection, event)?;
    }
    Ok(true)
}

/// Remembers the key of the entry; false: it was known, as it is or by its fingerprint.
fn is_new(connection: &Connection, entry: &Entry) -> rusqlite::Result<bool> {
    let (Some(key), Some(first)) = (&entry.key, entry.events.first()) else {
        return Ok(true);
    };
    let fingerprint = Fingerprint::of(key).to_string();
    let is_known =
        connection.prepare_cached("SELECT 1 FROM dogwatch_seen WHERE key = ?1")?.exists([fingerprint])?;
    if is_known {
        return Ok(false);
    }
    let added = connection
        .prepare_cached("INSERT OR IGNORE INTO dogwatch_seen (key, at) VALUES (?1, ?2)")?
        .execute(params![key, first.at.as_second()])?;
    Ok(added == 1)
}

fn write_event(transaction: &Connection, event: &NewEvent) -> rusqlite::Result<()> {
    let time = event.database_time();
    transaction
        .prepare_cached(
            "INSERT INTO webhook_events (event_type, timestamp, advisor_phone, event_data, button_id, message_type, processed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
        )?
        .execute(params![event.kind.as_str(), time, event.phone, event.data, event.button_id, event.message_type])?;
    if let Some(content) = &event.incoming {
        transaction
            .prepare_cached(
                "INSERT INTO conversations (advisor_phone, message_type, content, direction, timestamp)
                 VALUES (?1, ?2, ?3, 'incoming', ?4)",
            )?
            .execute(params![
                event.phone.as_deref().unwrap_or_default(),
                event.message_type,
                content,
                time
            ])?;
    }
    if let Some(delivery) = &event.delivery {
        write_delivery(transaction, event, delivery, &time)?;
    }
    let count = match event.kind {
        Kind::ButtonClick => {
            "INSERT INTO webhook_metrics (date, button_clicks) VALUES (date(?1), 1)
             ON CONFLICT(date) DO UPDATE SET button_clicks = button_clicks + 1"
        }
        Kind::TextMessage => {
            "INSERT INTO webhook_metrics (date, text_messages) VALUES (date(?1), 1)
             ON CONFLICT(date) DO UPDATE SET text_messages = text_messages + 1"
        }
        Kind::ContentDelivery | Kind::MessageStatus | Kind::OtherMessage => return Ok(()),
    };
    transaction.prepare_cached(count)?.execute([&time])?;
    Ok(())
}

/// The day's numbers, and what went out into the conversation.
fn write_delivery(
    transaction: &Connection,
    event: &NewEvent,
    delivery: &Delivery,
    time: &str,
) -> rusqlite::Result<()> {
    let seconds = |milliseconds: u64| Duration::from_millis(milliseconds).as_secs_f64();
    if delivery.success {
        transaction
            .prepare_cached(
                "INSERT INTO conversations (advisor_phone, message_type, content, direction, timestamp, ai_response_time)
                 VALUES (?1, ?2, ?3, 'outgoing', ?4, ?5)",
            )?
            .execute(params![
                event.phone.as_deref().unwrap_or_default(),
                delivery.item_type,
                delivery.item,
                time,
                delivery.answered_ms.map(seconds)
            ])?;
    }
    // The mean moves by its distance to the new value, divided by how many there are now.
    transaction
        .prepare_cached(
            "INSERT INTO webhook_metrics
                 (date, content_deliveries, successful_deliveries, failed_deliveries, response_time_avg)
             VALUES (date(?1), 1, ?2, 1 - ?2, ?3)
             ON CONFLICT(date) DO UPDATE SET
                 content_deliveries = content_deliveries + 1,
                 successful_deliveries = successful_deliveries + excluded.successful_deliveries,
                 failed_deliveries = failed_deliveries + excluded.failed_deliveries,
                 response_time_avg = response_time_avg
                     + (excluded.response_time_avg - response_time_avg) / (content_deliveries + 1)",
        )?
        .execute(params![time, delivery.success, seconds(delivery.took_ms)])?;
    Ok(())
}
