//! §3: the dashboard API.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Barrier;

use conformance::{Answer, Place, Service, eventually};
use rusqlite::TransactionBehavior;
use serde_json::{Value, json};

const ENDPOINTS: [&str; 5] = [
    "/api/webhook/metrics",
    "/api/webhook/conversations",
    "/api/webhook/health",
    "/api/webhook/stats/realtime",
    "/api/webhook/events/recent",
];
const TOKEN: &str = "example-api-token";

fn started(place: &Place) -> Service {
    place.api().env("CACHE_TTL_MS", "0").start()
}

fn data(api: &Service, target: &str) -> Value {
    let answer = api.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()["data"].clone()
}

fn metrics(api: &Service) -> Value {
    data(api, "/api/webhook/metrics")
}

fn event(kind: &str, time: &str, phone: &str, button: &str, event_data: &str) -> String {
    format!(
        "INSERT INTO webhook_events (event_type, timestamp, advisor_phone, button_id, event_data)
         VALUES ('{kind}', {time}, '{phone}', {button}, {event_data});"
    )
}

/// A service that says how it is, on every path.
fn neighbour(word: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let body = json!({"status": word, "active_clients": 0, "last_event_id": 0}).to_string();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    format!("http://{address}/health")
}

/// §3.1: JSON, nosniff, no-store, no X-Powered-By, whatever the answer
#[test]
fn every_answer_carries_the_headers() {
    let place = Place::lived_in();
    let api = started(&place);
    let mut answers: Vec<Answer> = ENDPOINTS.iter().map(|path| api.get(path)).collect();
    answers.push(api.get("/nothing"));
    answers.push(api.get("/api/webhook/metrics?days=x"));
    answers.push(api.ask("POST", ENDPOINTS[0], &[]));
    for answer in answers {
        assert_eq!(
            answer.header("content-type"),
            Some("application/json; charset=utf-8"),
            "{}",
            answer.text()
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-powered-by"), None);
    }
}

/// §3.1: GET and HEAD only; other method on a known path: 405 + Allow, JSON with success:false
/// §8: malformed POST body → 500
#[test]
fn get_and_head_only() {
    let place = Place::lived_in();
    let api = started(&place);
    for path in ENDPOINTS {
        let (get, head) = (api.get(path), api.ask("HEAD", path, &[]));
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = api.send(method, path, &[("Content-Type", "application/json")], b"{broken");
            assert_eq!((answer.status, &answer.json()["success"]), (405, &json!(false)), "{method} {path}");
            let allow = answer.header("allow").unwrap_or_default();
            assert!(allow.contains("GET") && allow.contains("HEAD"), "{method} {path}: {allow}");
        }
    }
}

/// §3.1: unknown path: 404 with first these five endpoints in this order
#[test]
fn unknown_paths_get_the_list_of_endpoints() {
    let place = Place::lived_in();
    let api = started(&place);
    let expected: Vec<String> = ENDPOINTS.iter().map(|path| format!("GET {path}")).collect();
    for path in [
        "/",
        "/api",
        "/api/webhook",
        "/api/webhook/metrics/",
        "/API/webhook/metrics",
        "/api/webhook/metrics/..%2f",
    ] {
        let answer = api.get(path);
        assert_eq!((answer.status, &answer.json()["error"]), (404, &json!("Endpoint not found")), "{path}");
        let listed = answer.json()["available_endpoints"].as_array().unwrap()[..5].to_vec();
        assert_eq!(listed, expected, "{path}");
    }
}

/// §3.1: internal failure: 500 with the endpoint's sentence; the message carries no path or SQL
/// §8: a failed first open leaves a rejected promise
#[test]
fn a_failure_is_told_without_paths_and_sql_and_passes_with_its_cause() {
    let cases = [
        ("/api/webhook/metrics", "webhook_metrics", "button_clicks", "Failed to fetch webhook metrics"),
        ("/api/webhook/conversations", "conversations", "advisor_phone", "Failed to fetch conversation data"),
        ("/api/webhook/stats/realtime", "webhook_events", "event_type", "Failed to fetch real-time stats"),
        ("/api/webhook/events/recent", "webhook_events", "event_type", "Failed to fetch recent events"),
    ];
    let place = Place::lived_in();
    let api = started(&place);
    for (path, table, column, sentence) in cases {
        assert_eq!(api.get(path).status, 200);
        place.execute(&format!("ALTER TABLE {table} RENAME COLUMN {column} TO aside"));
        let answer = api.get(path);
        assert_eq!((answer.status, &answer.json()["error"]), (500, &json!(sentence)), "{path}");
        let told = answer.json();
        assert_eq!(told["success"], false);
        let message = told["message"].as_str().unwrap();
        for leak in ["SELECT", "no such", table, column, "/", ".db"] {
            assert!(!message.contains(leak), "{path}: {message}");
        }
        place.execute(&format!("ALTER TABLE {table} RENAME COLUMN aside TO {column}"));
        assert_eq!(api.get(path).status, 200, "{path} afterwards");
    }
}

/// §3.1: decimal digits only, once; days 1..365, limits 1..500 and 1..1000; else 400 with the range (NEW)
/// §8: `limit=-1` returns the whole table
#[test]
fn parameters_outside_their_range_are_400_with_the_range() {
    let place = Place::lived_in();
    let api = started(&place);
    let parameters = [
        ("/api/webhook/metrics", "days", 365, 7),
        ("/api/webhook/conversations", "days", 365, 7),
        ("/api/webhook/conversations", "limit", 500, 50),
        ("/api/webhook/events/recent", "limit", 1000, 20),
    ];
    for (path, name, most, default) in parameters {
        let message = format!("{name} must be an integer between 1 and {most}");
        let beyond = (most + 1).to_string();
        let twice = format!("3&{name}=4");
        for wrong in [
            "0",
            "-1",
            "-5",
            "x",
            "1x",
            "1.5",
            "7.0",
            "0x7",
            "%2B7",
            "%207",
            "7%20",
            "1e1",
            "99999999999999999999",
            "%D9%A7",
            "null",
            "1;DROP%20TABLE%20conversations",
            &beyond,
            &twice,
        ] {
            let answer = api.get(&format!("{path}?{name}={wrong}"));
            assert_eq!(answer.status, 400, "{path}?{name}={wrong}");
            assert_eq!(
                answer.json(),
                json!({"success": false, "error": "Invalid query parameter", "message": message}),
                "{path}?{name}={wrong}"
            );
        }
        for right in [1, 2, most] {
            let answer = api.get(&format!("{path}?unknown=1&{name}={right}&other"));
            assert_eq!(answer.status, 200, "{path}?{name}={right}");
            if path != "/api/webhook/events/recent" {
                assert_eq!(answer.json()["query_parameters"][name], right);
            }
        }
        let plain = api.get(path).json();
        if path != "/api/webhook/events/recent" {
            assert_eq!(plain["query_parameters"][name], default);
        }
        let empty = api.get(&format!("{path}?{name}=")).status;
        assert!([200, 400].contains(&empty), "{path}?{name}=: {empty}");
    }
}

/// §3.1: window: timestamp >= datetime('now','-N days')
#[test]
fn the_window_is_so_many_days_to_the_second() {
    let place = Place::empty();
    place.execute(&event(
        "button_click",
        "datetime('now', '-2 days', '+30 seconds')",
        "15550100001",
        "'inside'",
        "NULL",
    ));
    place.execute(&event(
        "button_click",
        "datetime('now', '-2 days', '-30 seconds')",
        "15550100001",
        "'outside'",
        "NULL",
    ));
    let api = started(&place);
    let clicks = data(&api, "/api/webhook/metrics?days=2")["button_analytics"]["daily_button_clicks"].clone();
    assert_eq!(clicks, json!({"inside": 1}));
}

/// §3.1: order of events everywhere: timestamp DESC, id DESC
#[test]
fn events_are_ordered_by_time_then_by_id() {
    let place = Place::empty();
    for (time, button) in [
        ("'2026-01-02 00:00:00'", 1),
        ("datetime('now')", 2),
        ("datetime('now', '-1 hour')", 3),
        ("'2026-01-02 00:00:00'", 4),
    ] {
        place.execute(&event("button_click", time, "15550100001", &format!("'{button}'"), "NULL"));
    }
    let api = started(&place);
    let list = |path: &str, key: &str, at: &str| -> Vec<Value> {
        let found = data(&api, path);
        let rows = if at.is_empty() { &found } else { &found[at] };
        rows.as_array().unwrap().iter().map(|row| row[key].clone()).collect()
    };
    assert_eq!(list("/api/webhook/events/recent", "id", ""), [2, 3, 4, 1]);
    let clicks = ["Button: 2", "Button: 3", "Button: 4", "Button: 1"];
    assert_eq!(list("/api/webhook/conversations", "content", "recent_interactions"), clicks);
    let mut times = list("/api/webhook/stats/realtime", "timestamp", "recent_activity");
    let given = times.clone();
    times.sort_by(|a, b| b.as_str().cmp(&a.as_str()));
    assert_eq!(given, times);
}

/// §3.1: CORS: an Origin in the list gets its headers, others no allow-origin; preflight 204 without a token
#[test]
fn pages_of_the_list_may_ask_and_no_others() {
    let place = Place::lived_in();
    let api = place.api().env("API_TOKEN", TOKEN).start();
    let path = ENDPOINTS[0];
    let bearer = ("Authorization", "Bearer example-api-token");
    for (origin, listed) in [
        ("http://localhost:8080", true),
        ("http://127.0.0.1:8080", true),
        ("http://localhost:8081", false),
        ("https://localhost:8080", false),
        ("http://evil.example.invalid", false),
        ("null", false),
    ] {
        let answer = api.ask("GET", path, &[("Origin", origin), bearer]);
        assert_eq!(answer.header("access-control-allow-origin"), listed.then_some(origin), "{origin}");
        if listed {
            assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
            assert!(answer.header("vary").is_some_and(|vary| vary.to_lowercase().contains("origin")));
        }
        let asked = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", "authorization, content-type, x-evil"),
        ];
        let preflight = api.ask("OPTIONS", path, &asked);
        assert_eq!(preflight.header("access-control-allow-origin"), listed.then_some(origin), "{origin}");
        if listed {
            assert_eq!(preflight.status, 204);
            assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, HEAD"));
            let headers = preflight.header("access-control-allow-headers").unwrap().to_lowercase();
            assert!(headers.contains("authorization") && headers.contains("content-type"), "{headers}");
            assert!(!headers.contains("x-evil"), "{headers}");
        }
    }
    let own = place.api().env("CORS_ORIGINS", "https://page.example.invalid").start();
    let ask = |origin| own.ask("GET", path, &[("Origin", origin)]);
    assert!(ask("https://page.example.invalid").header("access-control-allow-origin").is_some());
    assert_eq!(ask("http://localhost:8080").header("access-control-allow-origin"), None);
}

/// §3.1: Host must be localhost, 127.0.0.1, [::1] or in API_HOSTS, else 421 (DNS rebinding, NEW)
#[test]
fn requests_in_the_name_of_another_host_are_421() {
    let place = Place::lived_in();
    let api = place.api().env("API_HOSTS", "dash.example.invalid").start();
    for (host, status) in [
        ("localhost", 200),
        ("localhost:3002", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:3002", 200),
        ("[::1]", 200),
        ("[::1]:3002", 200),
        ("LOCALHOST", 200),
        ("dash.example.invalid", 200),
        ("dash.example.invalid:443", 200),
        ("evil.example.invalid", 421),
        ("localhost.example.invalid", 421),
        ("127.0.0.1.example.invalid", 421),
        ("dash.example.invalid.evil", 421),
        ("", 421),
    ] {
        assert_eq!(api.ask("GET", ENDPOINTS[0], &[("Host", host)]).status, status, "{host:?}");
    }
}

/// §3.2: with a token every path needs it, unknown paths too; 401 + WWW-Authenticate; `/healthz` and preflight do not
/// §8: API and WebSocket open to the world without auth
#[test]
fn with_a_token_nothing_is_told_without_it() {
    let place = Place::lived_in();
    let api = place.api().env("API_TOKEN", TOKEN).start();
    for path in ENDPOINTS.iter().chain(&["/nothing", "/", "/api/services"]) {
        for wrong in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer wrong"),
            Some("Basic example-api-token"),
            Some("Bearer example-api-token2"),
            Some("Bearer example-api-toke"),
            Some("example-api-token"),
        ] {
            let headers: Vec<(&str, &str)> =
                wrong.map(|value| ("Authorization", value)).into_iter().collect();
            let answer = api.ask("GET", path, &headers);
            assert_eq!(answer.status, 401, "{path} {wrong:?}");
            assert_eq!(answer.json(), json!({"success": false, "error": "Unauthorized"}), "{path} {wrong:?}");
            assert!(answer.header("www-authenticate").is_some_and(|way| way.starts_with("Bearer")), "{path}");
        }
        let answer = api.ask("GET", path, &[("Authorization", "Bearer example-api-token")]);
        assert_ne!(answer.status, 401, "{path}");
    }
    let open = api.get("/healthz");
    assert_eq!((open.status, open.text().as_str()), (200, r#"{"status":"ok"}"#));
    assert!(!api.end().contains(TOKEN));
}

/// §3.2: a non-loopback bind requires API_TOKEN (refuse to start)
#[test]
fn beyond_loopback_a_token_is_required() {
    let place = Place::empty();
    assert!(place.api().env("API_BIND", "0.0.0.0").refused().contains("API_TOKEN"));
    place.websocket().env("WS_BIND", "0.0.0.0").refused();
}

/// §2.8: PORT is accepted as an alias of API_PORT; a token may be in a file
#[test]
fn the_port_may_be_named_as_the_old_configuration_does() {
    let place = Place::empty();
    std::fs::write(place.path("token"), format!("{TOKEN}\n")).unwrap();
    let api = place.api().port_by("PORT").env("API_TOKEN_FILE", "token").start();
    assert_eq!(api.get(ENDPOINTS[0]).status, 401);
    assert_eq!(api.ask("GET", ENDPOINTS[0], &[("Authorization", "Bearer example-api-token")]).status, 200);
}

/// §3.3: every number of metrics, on data with all their cases
#[test]
fn metrics_are_the_numbers_of_the_contract() {
    let place = Place::empty();
    place.execute(
        "INSERT INTO webhook_metrics (date, button_clicks, content_deliveries, successful_deliveries, failed_deliveries) VALUES
         (date('now'), 5, 30, 28, 2), (date('now', '-29 days'), 7, 25, 24, 1), (date('now', '-31 days'), 1000, 1000, 1000, 1000)",
    );
    let delivery = |time: &str, ms: &str| {
        event(
            "content_delivery",
            time,
            "15550100001",
            "NULL",
            &format!("'{{\"success\":true,\"responseTime\":{ms}}}'"),
        )
    };
    // Two days ago, at 13 o'clock: the busiest hour; an hour with as many stands after it.
    let busy = "date('now', '-2 days') || ' 13:30:00'";
    let other = "date('now', '-2 days') || ' 17:30:00'";
    for time in [busy, other] {
        place.execute(&delivery(time, if time == busy { "1100" } else { "9000" }));
        place.execute(&event("button_click", time, "15550100001", "'market'", "NULL"));
        place.execute(&event("something_else", time, "15550100001", "NULL", "NULL"));
    }
    place.execute(&delivery("datetime('now', '-20 days')", "1900"));
    place.execute(&delivery("datetime('now', '-31 days')", "100000"));
    for button in ["''", "NULL"] {
        place.execute(&event("button_click", busy, "15550100001", button, "'broken'"));
        place.execute(&event("button_click", other, "15550100001", button, "'broken'"));
    }
    place.execute(&event("button_click", "datetime('now', '-20 days')", "15550100001", "'market'", "NULL"));
    let api = started(&place);
    let found = metrics(&api);
    assert_eq!(
        found["overview"],
        json!({"total_button_clicks": 12, "total_content_deliveries": 55, "successful_deliveries": 52,
            "failed_deliveries": 3, "success_rate": "94.55", "avg_response_time": 4.0})
    );
    let analytics = &found["button_analytics"];
    assert_eq!(analytics["daily_button_clicks"], json!({"market": 2, "unknown": 4}));
    let day: String = place.value("SELECT date('now', '-2 days')");
    assert_eq!(analytics["hourly_distribution"], json!({day: 6}));
    assert_eq!(
        (&analytics["click_response_time"], &analytics["period_days"]),
        (&json!("4.0s avg"), &json!(7))
    );
    let performance = &found["performance"];
    assert_eq!(performance["peak_hour_performance"], "1.1s avg response time");
    assert_eq!(performance["error_rate"], "5.45");
    let longer = data(&api, "/api/webhook/metrics?days=30");
    assert_eq!(longer["overview"], found["overview"], "30 days, whatever `days` is");
    assert_eq!(longer["button_analytics"]["daily_button_clicks"], json!({"market": 3, "unknown": 4}));
}

/// §3.3: messages_processed_today: texts not outgoing + clicks not text_trigger + other messages, of the UTC day (NEW)
#[test]
fn messages_of_today_are_counted_once_each() {
    let place = Place::empty();
    let data = |text: &str| format!("'{text}'");
    for (kind, button, event_data) in [
        ("text_message", "NULL", data(r#"{"direction":"incoming"}"#)),
        ("text_message", "NULL", data(r#"{"direction":"outgoing"}"#)),
        ("text_message", "NULL", "NULL".to_owned()),
        ("text_message", "NULL", data("broken")),
        ("button_click", "'market'", data(r#"{"format":"interactive_button"}"#)),
        ("button_click", "'text_trigger'", data(r#"{"format":"text_trigger"}"#)),
        ("button_click", "NULL", "NULL".to_owned()),
        ("other_message", "NULL", data("{}")),
        ("message_status", "NULL", data("{}")),
        ("content_delivery", "NULL", data("{}")),
    ] {
        place.execute(&event(kind, "datetime('now')", "15550100001", button, &event_data));
        place.execute(&event(kind, "datetime('now', '-1 day')", "15550100001", button, &event_data));
    }
    assert_eq!(metrics(&started(&place))["performance"]["messages_processed_today"], 6);
}

/// §3.3: nothing delivered: null, never 0 or a constant; uptime_percentage is null without a supervisor (NEW)
/// §8: constants shown as data (99.7 %, 4.2/5, 89 %, 1.1 s, 1.2 s, 4.2)
#[test]
fn what_is_not_known_is_null() {
    let place = Place::empty();
    let api = started(&place);
    let found = metrics(&api);
    for path in [
        "/overview/success_rate",
        "/overview/avg_response_time",
        "/button_analytics/click_response_time",
        "/performance/uptime_percentage",
        "/performance/peak_hour_performance",
        "/performance/error_rate",
    ] {
        assert_eq!(found.pointer(path), Some(&Value::Null), "{path}");
    }
    for path in [
        "/overview/total_button_clicks",
        "/overview/failed_deliveries",
        "/performance/messages_processed_today",
    ] {
        assert_eq!(found.pointer(path), Some(&json!(0)), "{path}");
    }
    let talk = data(&api, "/api/webhook/conversations")["conversation_metrics"].clone();
    assert_eq!(
        talk,
        json!({"daily_chat_volume": 0, "avg_response_time": null, "ai_response_quality": null,
            "conversation_completion_rate": null, "period_days": 7})
    );
}

/// §3.4: every number of conversations
#[test]
fn conversations_are_the_numbers_of_the_contract() {
    let place = Place::empty();
    place.execute(
        "INSERT INTO conversations (advisor_phone, direction, timestamp, ai_response_time, satisfaction_score) VALUES
         ('15550100001', 'incoming', datetime('now', '-3 minutes'), NULL, NULL),
         ('15550100001', 'outgoing', datetime('now', '-2 minutes'), 1.2, 5),
         ('15550100002', 'outgoing', datetime('now', '-1 minutes'), 3.6, 4),
         ('15550100003', 'outgoing', datetime('now', '-3 days'), 2.4, NULL),
         ('15550100004', 'incoming', datetime('now', '-40 days'), 100, 1);
         INSERT INTO webhook_metrics (date, content_deliveries, successful_deliveries) VALUES
         (date('now'), 9, 8), (date('now', '-20 days'), 100, 0)",
    );
    let api = started(&place);
    let found = data(&api, "/api/webhook/conversations");
    assert_eq!(
        found["conversation_metrics"],
        json!({"daily_chat_volume": 4, "avg_response_time": "2.40s", "ai_response_quality": "4.5/5",
            "conversation_completion_rate": "89%", "period_days": 7})
    );
    assert_eq!(found["active_conversations"], 2);
    let sessions = found["active_sessions"].as_array().unwrap();
    let shown: Vec<_> = sessions
        .iter()
        .map(|one| (one["advisor_phone"].as_str().unwrap(), one["message_count"].as_i64().unwrap()))
        .collect();
    assert_eq!(shown, [("15550100002", 1), ("15550100001", 2)], "newest first");
    let trends = found["conversation_trends"].as_array().unwrap();
    let day: String = place.value("SELECT date('now', '-3 days')");
    assert_eq!(
        trends.last().unwrap(),
        &json!({"date": day, "conversations": 1, "avg_response_time": 2.4, "satisfaction": null})
    );
    let dates: Vec<&str> = trends.iter().map(|one| one["date"].as_str().unwrap()).collect();
    assert!(dates.is_sorted_by(|a, b| a > b), "{dates:?}");
}

/// §3.4: active_conversations is not capped by limit; active_sessions is; recent_interactions are min(20, limit) (NEW)
#[test]
fn the_limit_caps_the_lists_and_not_the_count() {
    let place = Place::empty();
    for number in 0..60 {
        place.execute(&format!(
            "INSERT INTO conversations (advisor_phone, direction) VALUES ('155501002{number:02}', 'incoming')"
        ));
        place.execute(&event("text_message", "datetime('now')", "15550100001", "NULL", "NULL"));
        place.execute(&event("content_delivery", "datetime('now')", "15550100001", "NULL", "NULL"));
    }
    let api = started(&place);
    for (limit, sessions, interactions) in [(1, 1, 1), (10, 10, 10), (50, 50, 20), (500, 60, 20)] {
        let found = data(&api, &format!("/api/webhook/conversations?limit={limit}"));
        let length = |key: &str| found[key].as_array().unwrap().len();
        assert_eq!(found["active_conversations"], 60, "{limit}");
        assert_eq!(
            (length("active_sessions"), length("recent_interactions")),
            (sessions, interactions),
            "{limit}"
        );
    }
}

/// §3.4: recent_interactions are texts and clicks only, with content and direction as in the table (NEW)
#[test]
fn interactions_say_what_was_pressed_and_in_which_direction() {
    let place = Place::empty();
    for (kind, button, event_data) in [
        ("button_click", "'market'", "NULL"),
        ("button_click", "''", "NULL"),
        ("button_click", "NULL", "'broken'"),
        ("text_message", "NULL", "'{\"direction\":\"incoming\"}'"),
        ("text_message", "NULL", "'{\"direction\":\"outgoing\"}'"),
        ("text_message", "NULL", "'broken'"),
        ("other_message", "NULL", "NULL"),
        ("message_status", "NULL", "NULL"),
    ] {
        place.execute(&event(kind, "datetime('now')", "15550100001", button, event_data));
    }
    let found = data(&started(&place), "/api/webhook/conversations");
    let rows = found["recent_interactions"].as_array().unwrap();
    let shown: Vec<_> =
        rows.iter().rev().map(|row| (row["content"].as_str().unwrap(), row["direction"].as_str())).collect();
    let expected = [
        ("Button: market", Some("incoming")),
        ("Button: unknown", Some("incoming")),
        ("Button: unknown", Some("incoming")),
        ("Text message", Some("incoming")),
        ("Text message", Some("outgoing")),
        ("Text message", None),
    ];
    assert_eq!(shown, expected);
}

/// §3.5: real counts: 24 h window, and the UTC day for `*_today` (NEW)
/// §8: "today" values that are not
#[test]
fn realtime_counts_the_last_24_hours_and_the_utc_day() {
    let place = Place::empty();
    for kind in ["button_click", "text_message", "content_delivery", "other_message"] {
        for time in ["datetime('now')", "datetime('now')", "datetime('now', '-25 hours')"] {
            for _ in 0..10 {
                place.execute(&event(kind, time, "15550100001", "NULL", "NULL"));
            }
        }
    }
    let api = place.api().env("TZ", "Pacific/Kiritimati").start();
    let found = data(&api, "/api/webhook/stats/realtime");
    assert_eq!((&found["events_last_24h"], &found["button_clicks_today"]), (&json!(80), &json!(20)));
    assert_eq!((&found["text_messages_today"], &found["content_deliveries_today"]), (&json!(20), &json!(20)));
    assert_eq!(found["recent_activity"].as_array().unwrap().len(), 5);
}

/// §3.6: a row has exactly the nine columns; event_data is the stored string (or null), processed 0/1; count
#[test]
fn recent_events_are_the_stored_rows() {
    let place = Place::lived_in();
    let api = started(&place);
    let answer = api.get("/api/webhook/events/recent?limit=1000").json();
    let rows = answer["data"].as_array().unwrap();
    assert_eq!((answer["count"].as_u64().unwrap(), rows.len()), (16, 16));
    let stored: BTreeSet<Option<String>> = {
        let sql = place.sql();
        let mut statement = sql.prepare("SELECT CAST(event_data AS TEXT) FROM webhook_events").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let shown: BTreeSet<Option<String>> =
        rows.iter().map(|row| row["event_data"].as_str().map(str::to_owned)).collect();
    assert_eq!(shown, stored);
    assert!(rows.iter().all(|row| row["processed"] == 0 && row.as_object().unwrap().len() == 9));
    assert_eq!(api.get("/api/webhook/events/recent?limit=3").json()["count"], 3);
}

fn health(api: &Service) -> (u16, Value) {
    let answer = api.get("/api/webhook/health");
    (answer.status, answer.json())
}

/// §3.7: `healthy`: all good; `degraded` (200, success true): webhook or WebSocket not; components say which
/// §8: health always "healthy", asks a path that does not exist
#[test]
fn health_is_healthy_only_when_all_are() {
    let cases = [
        (Some("healthy"), Some("healthy"), "healthy", "healthy", "healthy"),
        (Some("degraded"), Some("healthy"), "degraded", "degraded", "healthy"),
        (None, Some("healthy"), "degraded", "disconnected", "healthy"),
        (Some("healthy"), None, "degraded", "healthy", "disconnected"),
    ];
    for (webhook, websocket, status, webhook_word, websocket_word) in cases {
        let place = Place::lived_in();
        let nowhere = || "http://127.0.0.1:1/health".to_owned();
        let api = place
            .api()
            .env("WEBHOOK_HEALTH_URL", &webhook.map_or_else(nowhere, neighbour))
            .env("WS_HEALTH_URL", &websocket.map_or_else(nowhere, neighbour))
            .start();
        eventually("both are probed", || {
            let components = health(&api).1["components"].clone();
            components["webhook_connection"] == webhook_word
                && components["websocket_server"] == websocket_word
        });
        let (code, found) = health(&api);
        assert_eq!(
            (code, &found["success"], &found["status"]),
            (200, &json!(true), &json!(status)),
            "{found}"
        );
        assert_eq!(found["components"]["events_database"], "connected");
        assert_eq!(found["components"]["dashboard_api"], "healthy");
        assert!(found["webhook"]["last_check"].is_string());
        assert!(found["metrics"]["memory_usage"]["rss"].as_i64().unwrap() > 1_000_000);
    }
}

/// §3.7: `curl -s …/health | jq '.status'` prints "healthy" on a working system: the three real services
#[test]
fn the_three_services_together_are_healthy() {
    let place = Place::lived_in();
    let (webhook, websocket) = (place.webhook().start(), place.websocket().start());
    let api = place
        .api()
        .env("WEBHOOK_HEALTH_URL", &format!("http://{}/health", webhook.address()))
        .env("WS_HEALTH_URL", &format!("http://{}/health", websocket.address()))
        .start();
    eventually("all is well", || health(&api).1["status"] == "healthy");
}

/// §3.7: `unhealthy` (503, success false): database unusable; `unavailable`
#[test]
fn without_a_database_health_is_503() {
    let place = Place::bare();
    std::fs::write(place.path("data"), "a file where the folder should be").unwrap();
    let api = place.api().start();
    let (code, found) = health(&api);
    assert_eq!((code, &found["success"], &found["status"]), (503, &json!(false), &json!("unhealthy")));
    assert_eq!(found["components"]["events_database"], "unavailable");
    assert_eq!(api.get("/healthz").status, 200);
}

/// §3.7: a request never waits for a probe; webhook: the probed URL
#[test]
fn probes_cost_no_request_anything() {
    let place = Place::lived_in();
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", silent.local_addr().unwrap());
    let api = place.api().env("WEBHOOK_HEALTH_URL", &url).env("WS_HEALTH_URL", &url).start();
    let begin = std::time::Instant::now();
    let (code, found) = health(&api);
    assert!(begin.elapsed() < std::time::Duration::from_millis(500), "{:?}", begin.elapsed());
    assert_eq!((code, &found["webhook"]["url"]), (200, &json!(url)));
    eventually("the probe gives up", || health(&api).1["components"]["webhook_connection"] == "disconnected");
}

/// §3.7: webhook.url: without credentials; a service may as well refuse to start with them, without showing them
#[test]
fn credentials_in_a_probed_url_are_never_shown() {
    let place = Place::lived_in();
    let start = place.api().env("WEBHOOK_HEALTH_URL", "http://user:example-password@127.0.0.1:1/health");
    let shown = match start.start_or_refused() {
        Ok(api) => api.get("/api/webhook/health").text() + &api.end(),
        Err(said) => said,
    };
    assert!(!shown.contains("example-password"), "{shown}");
}

/// §3.7: recent_events_count: events of the last hour (NEW)
#[test]
fn health_counts_the_events_of_the_last_hour() {
    let place = Place::empty();
    for minutes in [1, 30, 59, 61, 300] {
        place.execute(&event(
            "text_message",
            &format!("datetime('now', '-{minutes} minutes')"),
            "15550100001",
            "NULL",
            "NULL",
        ));
    }
    assert_eq!(health(&started(&place)).1["metrics"]["recent_events_count"], 3);
}

/// §3.8: a hit is the same bytes (same `timestamp`), plus Age and X-Cache; per normalised parameters
#[test]
fn a_hit_is_the_same_bytes() {
    let place = Place::lived_in();
    let api = place.api().start();
    for (path, same, different) in [
        ("/api/webhook/metrics", "/api/webhook/metrics?x=1&days=7", "/api/webhook/metrics?days=8"),
        (
            "/api/webhook/conversations",
            "/api/webhook/conversations?limit=50&days=7",
            "/api/webhook/conversations?limit=51",
        ),
    ] {
        let first = api.get(path);
        assert_eq!(first.header("x-cache"), Some("MISS"), "{path}");
        place.execute(&event("button_click", "datetime('now')", "15550100001", "'later'", "NULL"));
        let again = api.get(same);
        assert_eq!((again.header("x-cache"), &again.body), (Some("HIT"), &first.body), "{same}");
        assert!(again.header("age").is_some_and(|age| age.parse::<u32>().is_ok()), "{same}");
        assert_eq!(api.get(different).header("x-cache"), Some("MISS"), "{different}");
    }
}

/// §3.8: TTL per CACHE_TTL_MS; 0 switches off
#[test]
fn an_answer_is_kept_as_long_as_configured() {
    let place = Place::lived_in();
    let api = place.api().env("CACHE_TTL_MS", "300").start();
    let first = api.get(ENDPOINTS[0]);
    eventually("it grows old", || api.get(ENDPOINTS[0]).body != first.body);
    let off = started(&place);
    for _ in 0..3 {
        assert_ne!(off.get(ENDPOINTS[0]).header("x-cache"), Some("HIT"));
    }
}

/// §3.8: single flight: 100 simultaneous misses are one query
#[test]
fn a_hundred_at_once_ask_the_database_once() {
    let place = Place::lived_in();
    let api = place.api().start();
    let together = Barrier::new(100);
    let bodies: BTreeSet<Vec<u8>> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    api.get(ENDPOINTS[0]).body
                })
            })
            .collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(bodies.len(), 1);
}

/// §3.8: successes only are kept
#[test]
fn failures_are_not_kept() {
    let place = Place::lived_in();
    let api = place.api().start();
    place.execute("ALTER TABLE webhook_metrics RENAME COLUMN button_clicks TO aside");
    assert_eq!(api.get(ENDPOINTS[0]).status, 500);
    place.execute("ALTER TABLE webhook_metrics RENAME COLUMN aside TO button_clicks");
    let answer = api.get(ENDPOINTS[0]);
    assert_eq!((answer.status, answer.header("x-cache")), (200, Some("MISS")));
}

/// §3.5: realtime is never cached
/// §3.6: recent events are never cached
#[test]
fn realtime_and_recent_are_never_cached() {
    let place = Place::empty();
    let api = place.api().start();
    for count in 1..4 {
        place.execute(&event("button_click", "datetime('now')", "15550100001", "'a'", "NULL"));
        assert_eq!(data(&api, "/api/webhook/stats/realtime")["button_clicks_today"], count);
        assert_eq!(api.get("/api/webhook/events/recent").json()["count"], count);
    }
}

/// §3.8: a writer holding the lock must not stop reads (WAL)
/// §8: no WAL (a commit stops readers)
#[test]
fn a_writer_that_holds_the_lock_stops_no_read() {
    let place = Place::lived_in();
    let api = started(&place);
    assert_eq!(api.get(ENDPOINTS[4]).status, 200);
    let mut sql = place.sql();
    let lock = sql.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    lock.execute("DELETE FROM webhook_events", []).unwrap();
    for path in ENDPOINTS {
        let begin = std::time::Instant::now();
        assert_eq!(api.get(path).status, 200, "{path}");
        assert!(begin.elapsed() < std::time::Duration::from_secs(1), "{path}: {:?}", begin.elapsed());
    }
    assert_eq!(api.get(ENDPOINTS[4]).json()["count"], 16);
}

/// §3.8: a query is cancelled after 5 s: 503
#[test]
fn a_query_that_takes_5_seconds_is_cancelled() {
    let place = Place::lived_in();
    let api = started(&place);
    // Until whatever a connection does when it is new is done on all of them.
    for days in 1..=50 {
        assert_eq!(api.get(&format!("/api/webhook/metrics?days={days}")).status, 200);
    }
    place.execute(
        "ALTER TABLE webhook_events RENAME TO aside;
         CREATE VIEW webhook_events AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n)
         SELECT aside.* FROM n, aside WHERE x > 1",
    );
    let begin = std::time::Instant::now();
    let answer = api.get(ENDPOINTS[4]);
    assert_eq!((answer.status, &answer.json()["success"]), (503, &json!(false)));
    let waited = begin.elapsed().as_secs_f64();
    assert!((4.0..10.0).contains(&waited), "{waited}");
}
