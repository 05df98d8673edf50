-- A database as the original system left it.
CREATE TABLE webhook_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event_type TEXT NOT NULL, timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    advisor_phone TEXT, event_data JSON, button_id TEXT, message_type TEXT, processed BOOLEAN DEFAULT FALSE,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE webhook_metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT, date DATE NOT NULL, button_clicks INTEGER DEFAULT 0,
    text_messages INTEGER DEFAULT 0, content_deliveries INTEGER DEFAULT 0, successful_deliveries INTEGER DEFAULT 0,
    failed_deliveries INTEGER DEFAULT 0, response_time_avg REAL DEFAULT 0,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP, UNIQUE(date));
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, advisor_phone TEXT NOT NULL, message_type TEXT, content TEXT, direction TEXT,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP, ai_response_time REAL, satisfaction_score INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
INSERT INTO webhook_events (event_type, advisor_phone, event_data, message_type)
SELECT 'text_message', '15550100042', '{"text":"meet me at the harbour","direction":"incoming","messageId":"m' || i || '"}', 'text' FROM n;
INSERT INTO webhook_events (event_type, event_data) VALUES ('button_click', NULL), ('content_delivery', 'not JSON');
DELETE FROM webhook_events WHERE id = 22;
INSERT INTO webhook_metrics (date, button_clicks) VALUES (date('now'), 3);
