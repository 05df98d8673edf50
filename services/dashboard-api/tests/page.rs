//! The dashboard page as it is delivered: its headers, its files, who gets them. `browser` looks at it.

use std::path::Path;

use serde_json::json;
use service_testing::{LIMIT, Program, Running};
use tempfile::TempDir;

const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a temporary folder"));
        events::migrate(&place.0.path().join("data/webhook_events.db"), LIMIT).expect("a new database");
        place
    }

    fn program(&self) -> Program {
        Program::new(env!("CARGO_BIN_EXE_dashboard-api"), self.0.path())
            .env("API_PORT", "0")
            .env("WEBHOOK_HEALTH_URL", "http://127.0.0.1:1/health")
            .env("WS_HEALTH_URL", "http://127.0.0.1:4321/health")
    }

    fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.0.path().join("data/webhook_events.db")).expect("the database opens")
    }
}

/// The files of the page: what they are called, and their text.
fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let entries = std::fs::read_dir(folder).expect("the folder of the page");
    let file = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path()).expect("text");
        (entry.file_name().into_string().expect("a plain name"), text)
    };
    let mut files: Vec<_> = entries.map(|entry| file(entry.expect("an entry"))).collect();
    files.sort();
    files
}

#[test]
fn every_file_is_served_with_its_type_and_the_policy() {
    let place = Place::new();
    let api = place.program().start();
    let mut total = 0;
    for (name, text) in files() {
        let path = if name == "index.html" { "/dashboard".to_owned() } else { format!("/dashboard/{name}") };
        let content_type = match name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            other => panic!("nobody knows the type of {other:?}"),
        };
        let answer = api.get(&path);
        assert_eq!((answer.status, answer.text() == text), (200, true), "{path}");
        for (header, value) in [
            ("content-type", content_type),
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(answer.header(header), Some(value), "{path}");
        }
        total += text.len();
    }
    eprintln!("{total} bytes in {} files", files().len());
    assert!(total < 100_000, "{total} bytes are no small page any more");
    assert_eq!(api.get("/dashboard/").body, api.get("/dashboard").body);
}

#[test]
fn who_has_a_file_does_not_get_it_again() {
    let place = Place::new();
    let api = place.program().start();
    for path in ["/dashboard", "/dashboard/main.js"] {
        let whole = api.get(path);
        let tag = whole.header("etag").expect("a tag").to_owned();
        assert!(tag.starts_with("W/\""), "{tag}");
        for known in [tag.as_str(), "*", &format!("\"other\", {tag}")] {
            let answer = api.request("GET", path, &[("If-None-Match", known)], b"");
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{path} {known}");
            assert_eq!(
                (answer.header("etag"), answer.header("cache-control")),
                (Some(&*tag), Some("no-cache"))
            );
        }
        assert_eq!(api.request("GET", path, &[("If-None-Match", "W/\"other\"")], b"").status, 200);
        let head = api.request("HEAD", path, &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
        assert_eq!(
            (head.header("etag"), head.header("content-security-policy")),
            (Some(&*tag), Some(POLICY))
        );
        let post = api.request("POST", path, &[], b"");
        assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    }
}

#[test]
fn the_page_needs_no_token_and_what_it_shows_does() {
    let place = Place::new();
    let api = place.program().env("API_TOKEN", "example-token").start();
    for path in ["/dashboard", "/dashboard/", "/dashboard/style.css", "/dashboard/config.json"] {
        let answer = api.get(path);
        assert_eq!((answer.status, answer.text().contains("example-token")), (200, false), "{path}");
    }
    for path in
        ["/dashboard/other", "/dashboard/../api/numbers", "/dashboards", "/api/numbers", "/api/database"]
    {
        assert_eq!(api.get(path).status, 401, "{path}");
    }
    assert_eq!(api.request("GET", "/dashboard", &[("Host", "evil.example.invalid")], b"").status, 421);
}

#[test]
fn the_settings_say_where_the_websocket_is() {
    let place = Place::new();
    let api = place.program().start();
    let settings = api.get("/dashboard/config.json");
    assert_eq!(settings.header("cache-control"), Some("no-store"));
    assert_eq!(settings.json(), json!({"token_required": false, "websocket": {"url": null, "port": 4321}}));
    drop(api);
    let url = "wss://board.example.invalid/ws";
    let api = place.program().env("WS_URL", url).env("API_TOKEN", "example-token").start();
    let settings = api.get("/dashboard/config.json").json();
    assert_eq!(settings, json!({"token_required": true, "websocket": {"url": url, "port": 4321}}));
    let (code, said) = place.program().env("WS_URL", "http://board.example.invalid").fail();
    assert_eq!((code, said.contains("WS_URL")), (Some(1), true), "{said}");
}

/// What the policy forbids would only fail in a browser, and what it allows may still be unsafe.
#[test]
fn nothing_is_inline_foreign_or_made_from_markup() {
    for (name, text) in files() {
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "eval(",
            "new Function",
            "srcdoc",
            "javascript:",
            "localStorage",
            "document.cookie",
            "@import",
            "<style",
            " style=\"",
        ] {
            assert!(!text.contains(forbidden), "{name} contains {forbidden}");
        }
        let foreign = text
            .match_indices("://")
            .map(|(at, _)| text[..at].rsplit(|c: char| !c.is_ascii_alphanumeric()).next());
        for (scheme, rest) in foreign.zip(text.split("://").skip(1)) {
            let is_own = rest.starts_with("127.0.0.1:3002/")
                || rest.starts_with("${")
                || rest.starts_with("www.w3.org/2000/svg");
            assert!(is_own, "{name}: {scheme:?}://{:.40}", rest);
        }
        for tag in text.split('<').skip(1).filter(|_| name == "index.html") {
            let tag = tag.split('>').next().unwrap_or_default();
            assert!(!tag.starts_with("script") || tag.contains(" src=\"/dashboard/"), "inline script: {tag}");
            assert!(
                !tag.split_whitespace().skip(1).any(|word| word.starts_with("on")),
                "inline handler: {tag}"
            );
        }
    }
}

#[test]
fn numbers_are_of_whole_days_and_unknown_without_any() {
    let place = Place::new();
    let api = place.program().start();
    let numbers =
        |api: &Running, query: &str| api.get(&format!("/api/numbers{query}")).json()["data"].clone();
    let nothing = json!({"clicks": null, "texts": null, "deliveries": null, "successful": null, "failed": null,
        "success_rate": null, "avg_response_time": null});
    assert_eq!(numbers(&api, ""), nothing);
    place
        .sql()
        .execute_batch(
            r#"INSERT INTO webhook_metrics (date, button_clicks, text_messages, content_deliveries, successful_deliveries, failed_deliveries)
            VALUES (date('now', '-6 days'), 5, 0, 4, 3, 1), (date('now', '-7 days'), 100, 0, 0, 0, 0);
            INSERT INTO webhook_events (event_type, timestamp, event_data) VALUES
            ('content_delivery', datetime('now', '-6 days'), '{"success":true,"responseTime":1500}');"#,
        )
        .expect("rows");
    let today = json!({"clicks": 0, "texts": 0, "deliveries": 0, "successful": 0, "failed": 0,
        "success_rate": null, "avg_response_time": null});
    assert_eq!(numbers(&api, "?days=1"), today);
    let week = json!({"clicks": 5, "texts": 0, "deliveries": 4, "successful": 3, "failed": 1,
        "success_rate": "75.00", "avg_response_time": 1.5});
    assert_eq!(numbers(&api, "?days=7"), week);
    assert_eq!(numbers(&api, "?days=8")["clicks"], 105);
    assert_eq!(api.get("/api/numbers?days=0").status, 400);
    assert_eq!(api.get("/api/numbers?days=1").header("x-cache"), None, "today is never kept");
    assert_eq!(api.get("/api/numbers?days=7").header("x-cache"), Some("HIT"));
}

#[test]
fn the_database_is_measured() {
    let place = Place::new();
    let api = place.program().env("CACHE_TTL_MS", "0").start();
    let measured = api.get("/api/database").json()["data"].clone();
    assert!(measured["file_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{measured}");
    assert_eq!((&measured["events"], &measured["oldest_event"]), (&json!(0), &json!(null)));
    place
        .sql()
        .execute_batch(
            "INSERT INTO webhook_events (event_type, timestamp) VALUES ('button_click', '2026-01-02 03:04:05'),
             ('button_click', datetime('now'))",
        )
        .expect("rows");
    let measured = api.get("/api/database").json()["data"].clone();
    assert_eq!((&measured["events"], &measured["events_last_7_days"]), (&json!(2), &json!(1)));
    assert_eq!(measured["oldest_event"], "2026-01-02 03:04:05");
}
