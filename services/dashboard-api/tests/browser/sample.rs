//! A month of events as a small business has them, and what a supervisor would say of its services.

use rusqlite::{Connection, params};
use serde_json::{Value, json};

const BUTTONS: [(&str, u32); 8] = [
    ("market_overview", 34),
    ("portfolio_strategy", 21),
    ("sectoral_insights", 15),
    ("investment_strategy", 11),
    ("text_trigger", 8),
    ("talk_to_an_advisor", 6),
    ("monthly_report", 3),
    ("unsubscribe", 2),
];
const ITEMS: [&str; 3] = ["market_overview", "market_analysis", "sectoral_insights"];

/// Always the same numbers, so that two pictures differ by the clock alone.
struct Dice(u64);

impl Dice {
    /// 0 up to, not with, `sides`.
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(sides)).expect("below the sides")
    }

    fn phone(&mut self) -> String {
        format!("1555010{:04}", self.roll(40) * 37 + 12)
    }

    fn button(&mut self) -> &'static str {
        let mut left = self.roll(BUTTONS.iter().map(|(_, weight)| weight).sum());
        for (button, weight) in BUTTONS {
            if left < weight {
                return button;
            }
            left -= weight;
        }
        "unknown"
    }
}

/// Fills an empty database.
pub fn fill(sql: &mut Connection) {
    let mut dice = Dice(7);
    let all = sql.transaction().expect("a transaction");
    for day in (0..30).rev() {
        // Quieter at every seventh day and the one before.
        let many = if day % 7 < 2 { 60 } else { 170 } + dice.roll(80);
        // Today has come as far as it has; the days before are as long as working days.
        let seconds = if day == 0 { 20_000 } else { 36_000 };
        for number in (0..many).rev() {
            let ago = day * 86_400 + number * seconds / many + dice.roll(60) + 8;
            exchange(&all, &mut dice, ago);
        }
    }
    all.execute_batch(
        "INSERT INTO webhook_metrics
             (date, button_clicks, text_messages, content_deliveries, successful_deliveries, failed_deliveries)
         SELECT date(timestamp), SUM(event_type = 'button_click'), SUM(event_type = 'text_message'),
                SUM(event_type = 'content_delivery'),
                SUM(event_type = 'content_delivery' AND json_extract(event_data, '$.success')),
                SUM(event_type = 'content_delivery' AND NOT json_extract(event_data, '$.success'))
         FROM webhook_events GROUP BY date(timestamp)",
    )
    .expect("the counters of the days");
    all.commit().expect("committed");
}

/// A click or a text so many seconds ago, and what follows it.
fn exchange(sql: &Connection, dice: &mut Dice, ago: u32) {
    let at = |later: u32| format!("-{} seconds", ago.saturating_sub(later));
    let phone = dice.phone();
    if dice.roll(4) == 0 {
        event(
            sql,
            &at(0),
            "text_message",
            &phone,
            None,
            "text",
            &json!({"text": "…", "direction": "incoming"}),
        );
        talk(sql, &at(0), &phone, "incoming", None);
        return;
    }
    event(sql, &at(0), "button_click", &phone, Some(dice.button()), "interactive", &json!({}));
    if dice.roll(3) > 0 {
        return;
    }
    let success = dice.roll(24) > 0;
    let took = 300 + dice.roll(1600);
    let mut data =
        json!({"contentId": ITEMS[dice.roll(3) as usize], "success": success, "responseTime": took});
    if success {
        talk(sql, &at(2), &phone, "outgoing", Some(f64::from(took) / 1000.0));
    } else {
        data["error"] = "recipient is not reachable".into();
    }
    event(sql, &at(2), "content_delivery", &phone, None, "content", &data);
    if success && dice.roll(2) == 0 {
        event(
            sql,
            &at(5),
            "message_status",
            &phone,
            None,
            ["delivered", "read"][dice.roll(2) as usize],
            &json!({}),
        );
    }
}

fn event(
    sql: &Connection,
    ago: &str,
    kind: &str,
    phone: &str,
    button: Option<&str>,
    message: &str,
    data: &Value,
) {
    sql.execute(
        "INSERT INTO webhook_events (event_type, timestamp, advisor_phone, event_data, button_id, message_type)
         VALUES (?1, datetime('now', ?2), ?3, ?4, ?5, ?6)",
        params![kind, ago, phone, data.to_string(), button, message],
    )
    .expect("an event");
}

fn talk(sql: &Connection, ago: &str, phone: &str, direction: &str, seconds: Option<f64>) {
    sql.execute(
        "INSERT INTO conversations (advisor_phone, message_type, content, direction, timestamp, ai_response_time)
         VALUES (?1, 'text', '…', ?2, datetime('now', ?3), ?4)",
        params![phone, direction, ago, seconds],
    )
    .expect("a message");
}

/// The answer of /api/services under a supervisor.
pub fn services() -> Value {
    let service = |name: &str, port: u16, memory: u64, limit: u64| {
        json!({"name": name, "status": "online", "pid": 4711, "uptime_ms": 357_660_000_u64, "restarts": 0,
            "cpu_percent": 0.3, "memory_bytes": memory, "memory_limit_bytes": limit << 20, "health": "ready",
            "port": port, "log_bytes": 1_834_221, "reason": null, "compartment": "dashboard"})
    };
    json!({
        "success": true,
        "data": [
            service("webhook-button-handler", 3000, 5_820_416, 256),
            service("dashboard-api-server", 3002, 7_458_816, 1024),
            service("websocket-server", 3001, 4_608_000, 512),
        ],
        "system": {"load": [0.21, 0.18, 0.12], "memory": {"total": 4_102_029_312_u64, "available": 2_914_611_200_u64},
            "disk": {"total": 64_424_509_440_u64, "free": 41_875_931_136_u64, "percent": 35.0}},
        "timestamp": "2026-01-02T03:04:05.678Z",
    })
}

/// A script that lets the page get this answer of /api/services.
pub fn answering(services: &Value) -> String {
    format!(
        "const real = window.fetch; window.services = {services};
         window.fetch = (path, ...more) => path === '/api/services'
           ? Promise.resolve(Response.json(window.services)) : real(path, ...more);"
    )
}
