//! A database as a company has it after a quarter: 200 000 events over 90 days.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

pub(crate) const EVENTS: u32 = 200_000;

/// Makes it at `path`.
pub(crate) fn make(path: &Path) {
    let patience = Duration::from_secs(5);
    events::migrate(path, patience).unwrap();
    let mut sql = Connection::open(path).unwrap();
    let commit = sql.transaction().unwrap();
    // Two clicks and two texts to one delivery, spread evenly, from 500 phones over 12 buttons.
    commit
        .execute_batch(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {EVENTS})
            INSERT INTO webhook_events (event_type, timestamp, advisor_phone, event_data, button_id, message_type)
            SELECT
                CASE WHEN i % 5 < 2 THEN 'button_click' WHEN i % 5 < 4 THEN 'text_message' ELSE 'content_delivery' END,
                datetime('now', '-' || (({EVENTS} - i) * 7776000 / {EVENTS}) || ' seconds'),
                '155501' || printf('%05d', i % 500),
                CASE WHEN i % 5 < 2 THEN json_object('id', 'button_' || (i % 12), 'messageId', 'wamid.' || i)
                     WHEN i % 5 < 4 THEN json_object('text', 'a message of usual length, number ' || i, 'direction', 'incoming')
                     ELSE json_object('contentId', 'item_' || (i % 6), 'success', json('true'), 'responseTime', 200 + i % 900) END,
                CASE WHEN i % 5 < 2 THEN 'button_' || (i % 12) END,
                CASE WHEN i % 5 < 2 THEN 'interactive' WHEN i % 5 < 4 THEN 'text' ELSE 'content' END
            FROM n;
            INSERT INTO conversations (advisor_phone, message_type, content, direction, timestamp, ai_response_time)
            SELECT advisor_phone, message_type, 'content', CASE event_type WHEN 'text_message' THEN 'incoming' ELSE 'outgoing' END,
                timestamp, CASE event_type WHEN 'content_delivery' THEN 1.5 END
            FROM webhook_events WHERE event_type <> 'button_click';
            INSERT INTO webhook_metrics (date, button_clicks, text_messages, content_deliveries, successful_deliveries)
            SELECT date(timestamp), sum(event_type = 'button_click'), sum(event_type = 'text_message'),
                sum(event_type = 'content_delivery'), sum(event_type = 'content_delivery')
            FROM webhook_events GROUP BY date(timestamp);"
        ))
        .unwrap();
    commit.commit().unwrap();
    sql.execute_batch("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
}
