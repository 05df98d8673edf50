//! The real program, asked as a dashboard asks it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use service_testing::{LIMIT, Program, Running, eventually};
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    /// An empty database.
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a temporary folder"));
        events::migrate(&place.database(), LIMIT).expect("a new database");
        place
    }

    /// A database with a bit of everything.
    fn filled() -> Self {
        let place = Self::new();
        place
            .sql()
            .execute_batch(
                r#"INSERT INTO webhook_events (event_type, timestamp, advisor_phone, event_data, button_id, message_type) VALUES
                ('button_click', datetime('now', '-3 days'), '15550100001', '{"format":"interactive_button"}', 'market', 'interactive'),
                ('button_click', datetime('now'), '15550100001', '{"format":"interactive_button"}', 'market', 'interactive'),
                ('button_click', datetime('now'), '15550100001', NULL, '', 'interactive'),
                ('text_message', datetime('now'), '15550100002', '{"text":"hi","direction":"incoming"}', NULL, 'text'),
                ('content_delivery', datetime('now'), '15550100002', '{"success":true,"responseTime":1500}', NULL, 'content'),
                ('content_delivery', datetime('now'), '15550100002', 'not JSON', NULL, 'content');
                INSERT INTO webhook_metrics (date, button_clicks, text_messages, content_deliveries, successful_deliveries, failed_deliveries)
                VALUES (date('now'), 3, 1, 55, 52, 3);
                INSERT INTO conversations (advisor_phone, message_type, content, direction, timestamp, ai_response_time) VALUES
                ('15550100002', 'text', 'hi', 'incoming', datetime('now'), NULL),
                ('15550100002', 'text', 'market_analysis', 'outgoing', datetime('now'), 2.4);"#,
            )
            .expect("rows");
        place
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("data/webhook_events.db")
    }

    fn sql(&self) -> Connection {
        Connection::open(self.database()).expect("the database opens")
    }

    fn program(&self) -> Program {
        // Nobody answers on the ports of the others, unless a test says so.
        Program::new(env!("CARGO_BIN_EXE_dashboard-api"), self.0.path())
            .env("API_PORT", "0")
            .env("WEBHOOK_HEALTH_URL", "http://127.0.0.1:1/health")
            .env("WS_HEALTH_URL", "http://127.0.0.1:1/health")
    }
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// A service that says how it is.
fn neighbour(word: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let body = json!({"status": word}).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => break,
                }
            }
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    format!("http://{address}/health")
}

#[test]
fn metrics_have_the_keys_and_numbers_of_the_contract() {
    let place = Place::filled();
    let api = place.program().start();
    let answer = api.get("/api/webhook/metrics?days=2");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(
        (answer.header("x-content-type-options"), answer.header("cache-control")),
        (Some("nosniff"), Some("no-store"))
    );
    let body = answer.json();
    assert_eq!(keys(&body), BTreeSet::from(["data", "query_parameters", "success", "timestamp"]));
    assert_eq!(body["query_parameters"], json!({"days": 2}));
    assert_eq!(
        body["data"],
        json!({
            "overview": {"total_button_clicks": 3, "total_content_deliveries": 55, "successful_deliveries": 52,
                "failed_deliveries": 3, "success_rate": "94.55", "avg_response_time": 1.5},
            "button_analytics": {"daily_button_clicks": {"market": 1, "unknown": 1},
                "hourly_distribution": body["data"]["button_analytics"]["hourly_distribution"],
                "click_response_time": "1.5s avg", "period_days": 2},
            "performance": {"uptime_percentage": null, "messages_processed_today": 3,
                "peak_hour_performance": "1.5s avg response time", "error_rate": "5.45"},
        })
    );
    let days = body["data"]["button_analytics"]["hourly_distribution"].as_object().expect("days").clone();
    assert_eq!(days.values().filter_map(Value::as_i64).sum::<i64>(), 2);
}

#[test]
fn what_nobody_measured_is_null() {
    let place = Place::new();
    let api = place.program().start();
    let data = api.get("/api/webhook/metrics").json()["data"].clone();
    for (part, name) in [
        ("overview", "success_rate"),
        ("overview", "avg_response_time"),
        ("button_analytics", "click_response_time"),
        ("performance", "uptime_percentage"),
        ("performance", "peak_hour_performance"),
        ("performance", "error_rate"),
    ] {
        assert_eq!(data[part][name], Value::Null, "{part}.{name}");
    }
    let data = api.get("/api/webhook/conversations").json()["data"].clone();
    assert_eq!(
        data["conversation_metrics"],
        json!({"daily_chat_volume": 0, "avg_response_time": null, "ai_response_quality": null,
            "conversation_completion_rate": null, "period_days": 7})
    );
}

#[test]
fn conversations_realtime_and_recent() {
    let place = Place::filled();
    let api = place.program().start();
    let body = api.get("/api/webhook/conversations?limit=3").json();
    assert_eq!(body["query_parameters"], json!({"days": 7, "limit": 3}));
    let data = &body["data"];
    assert_eq!(data["active_conversations"], 1);
    assert_eq!(
        data["conversation_metrics"],
        json!({"daily_chat_volume": 2, "avg_response_time": "2.40s", "ai_response_quality": null,
            "conversation_completion_rate": "95%", "period_days": 7})
    );
    assert_eq!(
        keys(&data["active_sessions"][0]),
        BTreeSet::from(["advisor_phone", "last_activity", "message_count", "status"])
    );
    assert_eq!(data["active_sessions"][0]["message_count"], 2);
    let interactions = data["recent_interactions"].as_array().expect("a list");
    assert_eq!(interactions.len(), 3);
    assert_eq!(
        interactions[0],
        json!({"timestamp": interactions[0]["timestamp"], "advisor_phone": "15550100002", "type": "text_message",
            "content": "Text message", "direction": "incoming"})
    );
    assert_eq!(
        (&interactions[1]["content"], &interactions[1]["direction"]),
        (&json!("Button: unknown"), &json!("incoming"))
    );
    assert_eq!(
        keys(&data["conversation_trends"][0]),
        BTreeSet::from(["avg_response_time", "conversations", "date", "satisfaction"])
    );

    let data = api.get("/api/webhook/stats/realtime").json()["data"].clone();
    assert_eq!(
        (
            &data["events_last_24h"],
            &data["button_clicks_today"],
            &data["text_messages_today"],
            &data["content_deliveries_today"]
        ),
        (&json!(5), &json!(2), &json!(1), &json!(2))
    );
    assert_eq!(data["recent_activity"].as_array().map(Vec::len), Some(5));
    assert_eq!(keys(&data["recent_activity"][0]), BTreeSet::from(["advisor", "timestamp", "type"]));

    let body = api.get("/api/webhook/events/recent?limit=2").json();
    assert_eq!(body["count"], 2);
    let row = &body["data"][1];
    let columns = [
        "advisor_phone",
        "button_id",
        "created_at",
        "event_data",
        "event_type",
        "id",
        "message_type",
        "processed",
        "timestamp",
    ];
    assert_eq!(keys(row), BTreeSet::from(columns));
    assert_eq!((&row["id"], &row["processed"]), (&json!(5), &json!(0)));
    assert_eq!(row["event_data"], r#"{"success":true,"responseTime":1500}"#);
}

#[test]
fn parameters_have_bounds() {
    let place = Place::new();
    let api = place.program().start();
    for wrong in [
        "metrics?days=0",
        "metrics?days=-1",
        "metrics?days=366",
        "metrics?days=1&days=2",
        "conversations?limit=501",
        "conversations?days=x",
        "events/recent?limit=1001",
        "events/recent?limit=0",
    ] {
        let answer = api.get(&format!("/api/webhook/{wrong}"));
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (400, &json!("Invalid query parameter")),
            "{wrong}"
        );
    }
    let told = api.get("/api/webhook/metrics?days=0").json();
    assert_eq!(
        told,
        json!({"success": false, "error": "Invalid query parameter", "message": "days must be an integer between 1 and 365"})
    );
    assert_eq!(api.get("/api/webhook/events/recent?limit=1000&other=1").status, 200);
}

#[test]
fn unknown_paths_methods_and_hosts() {
    let place = Place::new();
    let api = place.program().start();
    let answer = api.get("/api/other");
    assert_eq!((answer.status, &answer.json()["error"]), (404, &json!("Endpoint not found")));
    let listed = answer.json()["available_endpoints"].as_array().expect("a list")[..5].to_vec();
    let expected = ["metrics", "conversations", "health", "stats/realtime", "events/recent"];
    assert_eq!(listed, expected.map(|path| json!(format!("GET /api/webhook/{path}"))));
    let answer = api.request("POST", "/api/webhook/metrics", &[], b"");
    assert_eq!(
        (answer.status, answer.header("allow"), &answer.json()["success"]),
        (405, Some("GET, HEAD"), &json!(false))
    );
    let answer = api.request("HEAD", "/api/webhook/metrics", &[], b"");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(api.request("GET", "/healthz", &[("Host", "evil.example.invalid")], b"").status, 421);
    assert_eq!(api.get("/healthz").json(), json!({"status": "ok"}));
}

#[test]
fn only_listed_pages_may_read_the_answers() {
    let place = Place::new();
    let api = place.program().env("CORS_ORIGINS", "http://board.example.invalid").start();
    let ask = |method: &str, origin: &str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Headers", "Authorization, x-other")];
        api.request(method, "/api/webhook/stats/realtime", &headers, b"")
    };
    let answer = ask("GET", "http://board.example.invalid");
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://board.example.invalid"));
    assert_eq!(
        (answer.header("access-control-allow-credentials"), answer.header("vary")),
        (Some("true"), Some("Origin"))
    );
    assert_eq!(ask("GET", "http://evil.example.invalid").header("access-control-allow-origin"), None);
    let answer = ask("OPTIONS", "http://board.example.invalid");
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, Some("GET, HEAD")));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization"));
}

#[test]
fn a_token_is_asked_of_everyone() {
    let place = Place::new();
    let api = place.program().env("API_TOKEN", "example-token").start();
    let with = |path: &str, value: &str| api.request("GET", path, &[("Authorization", value)], b"").status;
    assert_eq!(with("/api/webhook/metrics", "Bearer example-token"), 200);
    for path in ["/api/webhook/metrics", "/api/other"] {
        assert_eq!((api.get(path).status, with(path, "Bearer example-tokem")), (401, 401), "{path}");
    }
    assert_eq!(api.get("/api/webhook/metrics").header("www-authenticate"), Some("Bearer"));
    assert_eq!(api.get("/healthz").status, 200);
    assert_eq!(api.request("OPTIONS", "/api/webhook/metrics", &[], b"").status, 204);

    let (code, said) = place.program().env("API_BIND", "0.0.0.0").fail();
    assert_eq!((code, said.contains("API_TOKEN")), (Some(1), true), "{said}");
    let (code, said) = place.program().env("API_BIND", "example.invalid").env("CACHE_TTL_MS", "x").fail();
    assert_eq!((code, said.contains("API_BIND") && said.contains("CACHE_TTL_MS")), (Some(1), true), "{said}");
}

#[test]
fn metrics_are_kept_and_what_is_now_is_not() {
    let place = Place::filled();
    let insert = || {
        place
            .sql()
            .execute_batch(
                "INSERT INTO webhook_events (event_type, button_id) VALUES ('button_click', 'market')",
            )
            .expect("a row");
    };
    let api = place.program().start();
    let first = api.get("/api/webhook/metrics");
    assert_eq!(first.header("x-cache"), Some("MISS"));
    insert();
    let second = api.get("/api/webhook/metrics?days=7");
    assert_eq!(
        (second.header("x-cache"), second.body == first.body, second.header("age").is_some()),
        (Some("HIT"), true, true)
    );
    assert_eq!(api.get("/api/webhook/stats/realtime").json()["data"]["button_clicks_today"], 3);
    drop(api);

    let api = place.program().env("CACHE_TTL_MS", "0").start();
    let clicks = |api: &Running| {
        api.get("/api/webhook/metrics").json()["data"]["button_analytics"]["daily_button_clicks"]["market"]
            .clone()
    };
    assert_eq!(clicks(&api), 3);
    insert();
    assert_eq!(clicks(&api), 4);
}

#[test]
fn health_tells_who_is_well() {
    let place = Place::filled();
    let (webhook, websocket) = (neighbour("healthy"), neighbour("healthy"));
    let api = place.program().env("WEBHOOK_HEALTH_URL", &webhook).env("WS_HEALTH_URL", &websocket).start();
    eventually("all are well", || api.get("/api/webhook/health").json()["status"] == "healthy");
    let body = api.get("/api/webhook/health").json();
    let names = ["components", "metrics", "service", "status", "success", "timestamp", "version", "webhook"];
    assert_eq!(keys(&body), BTreeSet::from(names));
    assert_eq!(
        body["components"],
        json!({"dashboard_api": "healthy", "events_database": "connected", "webhook_connection": "healthy",
            "websocket_server": "healthy"})
    );
    assert_eq!(body["metrics"]["recent_events_count"], 5);
    assert!(body["metrics"]["memory_usage"]["rss"].as_u64().is_some_and(|rss| rss > 0));
    assert_eq!(body["webhook"]["url"], webhook);
    drop(api);

    let api = place.program().env("WEBHOOK_HEALTH_URL", &neighbour("degraded")).start();
    eventually("the webhook's own word is shown", || {
        api.get("/api/webhook/health").json()["components"]["webhook_connection"] == "degraded"
    });
    eventually("the other is missed", || {
        api.get("/api/webhook/health").json()["components"]["websocket_server"] == "disconnected"
    });
    let answer = api.get("/api/webhook/health");
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("degraded")));
}

#[test]
fn a_broken_database_is_told_without_its_path() {
    let place = Place::new();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", place.database().display()));
    }
    std::fs::write(
        place.database(),
        "this is not a database, but long enough to be taken for one".repeat(100),
    )
    .expect("a file");
    let api = place.program().start();
    let health = api.get("/api/webhook/health");
    assert_eq!((health.status, &health.json()["success"]), (503, &json!(false)));
    assert_eq!(
        (&health.json()["status"], &health.json()["components"]["events_database"]),
        (&json!("unhealthy"), &json!("corrupt"))
    );
    let answer = api.get("/api/webhook/metrics");
    assert_eq!((answer.status, &answer.json()["error"]), (500, &json!("Failed to fetch webhook metrics")));
    assert!(!answer.text().contains("webhook_events"), "{}", answer.text());

    std::fs::remove_file(place.database()).expect("out of the way");
    events::migrate(&place.database(), LIMIT).expect("a new database");
    eventually("it is read again", || {
        api.get("/api/webhook/health").json()["components"]["events_database"] == "connected"
    });
    assert_eq!(api.get("/api/webhook/metrics").status, 200);
}

#[test]
fn destroyed_pages_are_told_until_the_file_is_replaced() {
    let place = Place::filled();
    let database = || {
        let api = place.program().start();
        let health = api.get("/api/webhook/health").json();
        health["components"]["events_database"].clone()
    };
    place.sql().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("one file");
    let mut content = std::fs::read(place.database()).expect("it is there");
    content[4096..].fill(0xa5);
    std::fs::write(place.database(), content).expect("destroyed");
    assert_eq!(database(), "corrupt");
    let note = PathBuf::from(format!("{}.suspect", place.database().display()));
    assert!(note.exists(), "the writer is told");
    let report = events::repair(&place.database(), events::RepairOptions { salvage: true }, &mut |_| {
        events::Pace::GoOn
    });
    assert!(report.expect("repaired").damage.is_some() && !note.exists());
    assert_eq!(database(), "connected");
}

#[test]
fn a_writer_does_not_stop_the_readers() {
    let place = Place::filled();
    let api = place.program().start();
    assert_eq!(api.get("/api/webhook/stats/realtime").status, 200);
    let writer = place.sql();
    writer.busy_timeout(Duration::from_secs(5)).expect("a time limit");
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM webhook_events").expect("a lock");
    assert_eq!(api.get("/api/webhook/stats/realtime").json()["data"]["events_last_24h"], 5);
    assert_eq!(api.get("/api/webhook/metrics").status, 200);
    writer.execute_batch("ROLLBACK").expect("given back");
}

#[test]
fn it_makes_the_database_when_it_is_alone_and_ends_when_asked() {
    let folder = TempDir::new().expect("a temporary folder");
    let place = Place(folder);
    let api = place.program().start();
    assert_eq!(api.get("/api/webhook/events/recent").json()["count"], 0);
    let (status, said) = api.end();
    assert_eq!(status.code(), Some(0), "{said}");
}
