//! Entries to rows: one transaction for a batch, an entry's rows never apart.

use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::error::{Doing, Error};
use crate::event::Delivery;
use crate::{Entry, Kind, NewEvent};

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) written: u64,
    /// The database had these keys already.
    pub(super) repeated: u64,
    /// The database will never take these.
    pub(super) refused: u64,
}

const DOING: &str = "writing events";

/// Writes all of `entries` or, on an error, none; and, in the same transaction, how far the spool was
/// taken over, if that is where they come from.
pub(super) fn write(
    connection: &mut Connection,
    entries: &[Entry],
    mark: Option<&str>,
) -> Result<Outcome, Error> {
    match write_together(connection, entries, mark) {
        // One row must not keep the others out for ever: find it by writing each entry alone.
        Err(error) if error.is_fault_of_a_row() => {
            let mut total = Outcome::default();
            for entry in entries {
                match write_together(connection, std::slice::from_ref(entry), None) {
                    Ok(one) => {
                        total.written += one.written;
                        total.repeated += one.repeated;
                    }
                    Err(error) if error.is_fault_of_a_row() => total.refused += 1,
                    // Those before are in the database and will be known by their keys.
                    Err(error) => return Err(error),
                }
            }
            write_together(connection, &[], mark)?;
            Ok(total)
        }
        outcome => outcome,
    }
}

fn write_together(
    connection: &mut Connection,
    entries: &[Entry],
    mark: Option<&str>,
) -> Result<Outcome, Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(DOING)?;
    let mut outcome = Outcome::default();
    for entry in entries {
        if is_new(&transaction, entry).doing(DOING)? {
            for event in &entry.events {
                write_event(&transaction, event).doing(DOING)?;
            }
            outcome.written += 1;
        } else {
            outcome.repeated += 1;
        }
    }
    if let Some(mark) = mark {
        transaction
            .execute("INSERT OR REPLACE INTO dogwatch_meta (key, value) VALUES ('spool', ?1)", [mark])
            .doing(DOING)?;
    }
    transaction.commit().doing(DOING)?;
    Ok(outcome)
}

/// Remembers the key of the entry; false: it was known.
fn is_new(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<bool> {
    let (Some(key), Some(first)) = (&entry.key, entry.events.first()) else {
        return Ok(true);
    };
    let added = transaction
        .prepare_cached("INSERT OR IGNORE INTO dogwatch_seen (key, at) VALUES (?1, ?2)")?
        .execute(params![key, first.at.as_second()])?;
    Ok(added == 1)
}

fn write_event(transaction: &Transaction<'_>, event: &NewEvent) -> rusqlite::Result<()> {
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
    transaction: &Transaction<'_>,
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
