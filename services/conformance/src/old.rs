//! The system that was replaced, as far as its database shows it.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

/// The original schema, from an empty file.
pub const SCHEMA: &str = "
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
    );";

/// Rows such as years leave behind: data that is missing, is not JSON, or is JSON of another kind; buttons without
/// a name; times that are equal; a day without numbers. Three clicks of today have no name.
const ROWS: &str = r#"
    INSERT INTO webhook_events (event_type, timestamp, advisor_phone, event_data, button_id, message_type) VALUES
    ('button_click', datetime('now', '-400 days'), '15550100009', '{"id":"ancient"}', 'ancient', 'interactive'),
    ('button_click', datetime('now', '-3 days'), '15550100001', '{"id":"market","title":"Market"}', 'market', 'interactive'),
    ('button_click', CURRENT_TIMESTAMP, '15550100001', '{"id":"market","title":"Market"}', 'market', 'interactive'),
    ('button_click', CURRENT_TIMESTAMP, '15550100001', NULL, '', 'interactive'),
    ('button_click', CURRENT_TIMESTAMP, '15550100002', 'not JSON', NULL, 'interactive'),
    ('button_click', CURRENT_TIMESTAMP, NULL, '', NULL, NULL),
    ('text_message', CURRENT_TIMESTAMP, '15550100002', '{"text":"hello","direction":"incoming"}', NULL, 'text'),
    ('text_message', CURRENT_TIMESTAMP, '15550100002', NULL, NULL, 'text'),
    ('text_message', CURRENT_TIMESTAMP, '15550100002', '[1,2', NULL, 'text'),
    ('text_message', CURRENT_TIMESTAMP, '15550100002', '["incoming"]', NULL, 'text'),
    ('text_message', CURRENT_TIMESTAMP, '15550100002', '{"direction":{"deep":true},"text":5}', NULL, 'text'),
    ('content_delivery', CURRENT_TIMESTAMP, '15550100002', '{"contentId":"market_analysis","success":true,"responseTime":1500,"deliveryTime":"2026-01-02T03:04:05.678Z"}', NULL, 'content'),
    ('content_delivery', CURRENT_TIMESTAMP, '15550100002', '{"responseTime":"soon"}', NULL, 'content'),
    ('content_delivery', CURRENT_TIMESTAMP, '15550100002', '3', NULL, 'content'),
    ('content_delivery', CURRENT_TIMESTAMP, '15550100002', NULL, NULL, 'content'),
    ('something_else', CURRENT_TIMESTAMP, '15550100003', '{}', NULL, 'strange');
    INSERT INTO webhook_metrics (date, button_clicks, text_messages, content_deliveries, successful_deliveries, failed_deliveries) VALUES
    (date('now'), 4, 5, 55, 52, 3),
    (date('now', '-3 days'), 1, NULL, 0, 0, 0),
    (date('now', '-200 days'), 1000, 1000, 1000, 1000, 1000);
    INSERT INTO conversations (advisor_phone, message_type, content, direction, timestamp, ai_response_time, satisfaction_score) VALUES
    ('15550100002', 'text', 'hello', 'incoming', CURRENT_TIMESTAMP, NULL, NULL),
    ('15550100002', 'text', 'market_analysis', 'outgoing', CURRENT_TIMESTAMP, 2.4, 4),
    ('15550100001', NULL, NULL, NULL, datetime('now', '-2 days'), NULL, NULL),
    ('15550100009', 'text', 'old', 'incoming', datetime('now', '-200 days'), 9.0, 1);"#;

/// What the old services executed for a click, a text and a delivery.
pub const INSERTS: [&str; 6] = [
    r#"INSERT INTO webhook_events (event_type, advisor_phone, event_data, button_id, message_type)
       VALUES ('button_click', '15550100007', '{"id":"market"}', 'market', 'interactive')"#,
    "INSERT INTO webhook_metrics (date, button_clicks) VALUES (date('now'), 1)
     ON CONFLICT(date) DO UPDATE SET button_clicks = button_clicks + 1",
    r#"INSERT INTO webhook_events (event_type, advisor_phone, event_data, message_type)
       VALUES ('text_message', '15550100007', '{"text":"hello","direction":"incoming"}', 'text')"#,
    "INSERT INTO conversations (advisor_phone, message_type, content, direction)
     VALUES ('15550100007', 'text', 'hello', 'incoming')",
    r#"INSERT INTO webhook_events (event_type, advisor_phone, event_data, message_type)
       VALUES ('content_delivery', '15550100007', '{"contentId":"market_analysis","success":true}', 'content')"#,
    "INSERT INTO webhook_metrics (date, content_deliveries, successful_deliveries) VALUES (date('now'), 1, 1)
     ON CONFLICT(date) DO UPDATE SET content_deliveries = content_deliveries + 1,
     successful_deliveries = successful_deliveries + 1",
];

/// Makes an original database.
///
/// # Panics
/// When it cannot.
pub fn create(path: &Path) {
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder");
    Connection::open(path).expect("a new file").execute_batch(SCHEMA).expect("the original schema");
}

/// Adds the odd rows.
///
/// # Panics
/// When it cannot.
pub fn fill(sql: &Connection) {
    sql.execute_batch(ROWS).expect("the rows");
}
