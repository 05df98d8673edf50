//! The real program, watched as a dashboard watches it.

use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};
use service_testing::{LIMIT, Program, Running, eventually};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{Bytes, Error, HandshakeError, Message, client};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a temporary folder"));
        events::migrate(&place.database(), LIMIT).expect("a new database");
        place
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("data/webhook_events.db")
    }

    fn sql(&self) -> Connection {
        let sql = Connection::open(self.database()).expect("the database opens");
        sql.busy_timeout(LIMIT).expect("a time limit");
        sql
    }

    /// Adds rows of one kind in one commit.
    fn insert(&self, kind: &str, count: u32) {
        let mut sql = self.sql();
        let commit = sql.transaction().expect("a transaction");
        for _ in 0..count {
            commit
                .execute(
                    "INSERT INTO webhook_events (event_type, advisor_phone, event_data, button_id)
                     VALUES (?1, '15550100001', '{\"text\":\"hi\",\"direction\":\"incoming\"}', 'market')",
                    [kind],
                )
                .expect("a row");
        }
        commit.commit().expect("committed");
    }

    fn program(&self) -> Program {
        Program::new(env!("CARGO_BIN_EXE_websocket"), self.0.path()).env("WS_PORT", "0")
    }
}

struct Client(WebSocket<TcpStream>);

impl Client {
    fn connect(server: &Running) -> Self {
        Self::try_connect(server, "/ws", &[]).expect("connected")
    }

    /// Or the status that was answered instead.
    fn try_connect(server: &Running, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request =
            format!("ws://{}{path}", server.address()).into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header value"));
        }
        let stream = TcpStream::connect(server.address()).expect("connected");
        stream.set_read_timeout(Some(LIMIT)).expect("a time limit");
        match client(request, stream) {
            Ok((socket, answer)) => {
                let protocol = answer.headers().get("sec-websocket-protocol");
                assert!(protocol.is_none_or(|name| name == "dogwatch"), "{protocol:?}");
                Ok(Self(socket))
            }
            Err(HandshakeError::Failure(Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connected, with the first two frames read; the second is returned.
    fn join(server: &Running) -> (Self, Value) {
        let mut client = Self::connect(server);
        assert_eq!(client.next()["type"], "connection_established");
        let initial = client.next();
        assert_eq!(initial["type"], "initial_data");
        (client, initial)
    }

    fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).expect("sent");
    }

    /// The next frame.
    #[track_caller]
    fn next(&mut self) -> Value {
        loop {
            match self.0.read().expect("a frame") {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    assert!(frame["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{frame}");
                    return frame;
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next frame of this type; numbers that are pushed in between are passed over.
    #[track_caller]
    fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next();
            if frame["type"] == kind {
                return frame;
            }
            assert_eq!(frame["type"], "metrics_update", "{frame}");
        }
    }

    /// The ids of the next rows, this many.
    #[track_caller]
    fn ids(&mut self, count: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let frame = self.next_of("new_events");
            let rows = frame["events"].as_array().expect("rows");
            assert!(rows.len() <= 100 && frame["count"] == rows.len(), "{}", frame["count"]);
            ids.extend(rows.iter().filter_map(|row| row["id"].as_i64()));
        }
        ids
    }

    /// The code of the close frame that comes at last.
    #[track_caller]
    fn close_code(&mut self) -> u16 {
        loop {
            match self.0.read().expect("a close frame") {
                Message::Close(frame) => return frame.expect("with a code").code.into(),
                _ => continue,
            }
        }
    }
}

#[test]
fn the_first_frames_show_how_things_are() {
    let place = Place::new();
    place.insert("button_click", 12);
    let server = place.program().start();
    let mut client = Client::connect(&server);
    let hello = client.next();
    assert!(hello["clientId"].as_str().is_some_and(|id| id.starts_with("client_")), "{hello}");
    assert_eq!(hello["server_info"]["service"], "Dashboard WebSocket");
    assert_eq!(hello["server_info"]["features"], json!(["real_time_events", "heartbeat", "metrics_stream"]));
    let data = client.next()["data"].clone();
    assert_eq!(data["last_event_id"], 12);
    assert_eq!(data["recent_events"].as_array().map(Vec::len), Some(10));
    assert_eq!(data["recent_events"][0]["id"], 12);
    assert_eq!(data["connection_stats"]["active_clients"], 1);
    assert_eq!(data["connection_stats"]["last_event_time"], data["recent_events"][0]["timestamp"]);
    assert_eq!(
        data["dashboard_metrics"],
        json!({"total_button_clicks": null, "total_text_messages": null, "total_content_deliveries": null,
            "successful_deliveries": null, "failed_deliveries": null, "avg_response_time": null})
    );
    client.say(&json!({"type": "ping"}));
    assert_eq!(client.next_of("pong")["type"], "pong");
    client.say(&json!({"type": "request_metrics"}));
    let update = client.next_of("metrics_update");
    assert_eq!(update["data"]["recent_events"].as_array().map(Vec::len), Some(5));
    let health = server.get("/health").json();
    assert_eq!(health, json!({"status": "healthy", "active_clients": 1, "last_event_id": 12}));
}

#[test]
fn every_new_row_comes_once_and_in_order() {
    let place = Place::new();
    place.insert("button_click", 10);
    let server = place.program().start();
    let (mut first, _) = Client::join(&server);
    let (mut second, _) = Client::join(&server);
    place.insert("button_click", 1);
    assert_eq!((first.ids(1), second.ids(1)), (vec![11], vec![11]));
    place.insert("text_message", 500);
    place.insert("content_delivery", 1);
    let expected: Vec<i64> = (12..=512).collect();
    assert_eq!(first.ids(501), expected);
    assert_eq!(second.ids(501), expected);

    // What is no new row brings none: the next to come is the next that is inserted.
    let sql = place.sql();
    sql.execute_batch(
        "BEGIN; INSERT INTO webhook_events (event_type) VALUES ('button_click'); ROLLBACK;
         UPDATE webhook_events SET processed = 1; DELETE FROM webhook_events WHERE id >= 510; VACUUM;",
    )
    .expect("changes");
    place.insert("button_click", 1);
    assert_eq!(first.ids(1), [513]);
}

#[test]
fn rows_come_soon() {
    let place = Place::new();
    let server = place.program().start();
    let (mut client, _) = Client::join(&server);
    let mut delays: Vec<Duration> = (0..20)
        .map(|_| {
            place.insert("button_click", 1);
            let start = Instant::now();
            client.ids(1);
            start.elapsed()
        })
        .collect();
    delays.sort_unstable();
    // The goal is 50 ms; a busy machine gets ten times as much.
    assert!(delays[10] < Duration::from_millis(500), "{delays:?}");
}

#[test]
fn a_subscription_filters() {
    let place = Place::new();
    let server = place.program().start();
    let (mut client, _) = Client::join(&server);
    client.say(&json!({"type": "subscribe", "channels": ["text_messages", "other"]}));
    let confirmed = client.next_of("subscription_confirmed");
    assert_eq!(
        (&confirmed["channels"], &confirmed["unknown_channels"]),
        (&json!(["text_messages", "other"]), &json!(["other"]))
    );
    place.insert("button_click", 1);
    place.insert("text_message", 1);
    assert_eq!(client.ids(1), [2]);

    for (message, mistake) in [
        (json!({"type": "subscribe", "channels": ["other"]}), "unknown_channels"),
        (json!({"type": "subscribe", "channels": "all"}), "invalid_channels"),
        (json!({"type": "subscribe", "since_id": -1}), "invalid_since_id"),
        (json!({"type": "other"}), "unknown_type"),
        (json!([]), "invalid_json"),
    ] {
        client.say(&message);
        assert_eq!(client.next()["error"], mistake);
    }
    place.insert("button_click", 1);
    place.insert("text_message", 1);
    assert_eq!(client.ids(1), [4], "the old subscription is kept");

    client.say(&json!({"type": "subscribe", "channels": ["notifications"]}));
    client.next_of("subscription_confirmed");
    place.insert("text_message", 1);
    let notification = client.next();
    assert_eq!(
        (&notification["type"], &notification["data"]["message"]),
        (&json!("text_message"), &json!("hi"))
    );
}

#[test]
fn the_past_comes_first_and_nothing_twice() {
    let place = Place::new();
    place.insert("button_click", 150);
    let server = place.program().start();
    let (mut client, initial) = Client::join(&server);
    assert_eq!(initial["data"]["last_event_id"], 150);
    place.insert("button_click", 5);
    assert_eq!(client.ids(5), (151..=155).collect::<Vec<_>>());
    client.say(&json!({"type": "subscribe", "since_id": 20}));
    assert_eq!(client.next_of("subscription_confirmed")["channels"], json!(["all"]));
    assert_eq!(client.ids(130), (21..=150).collect::<Vec<_>>());
    place.insert("button_click", 1);
    assert_eq!(client.ids(1), [156]);

    place.insert("text_message", 1000);
    assert_eq!(client.ids(1000).last(), Some(&1156));
    let (mut late, _) = Client::join(&server);
    late.say(&json!({"type": "subscribe", "since_id": 0}));
    late.next_of("subscription_confirmed");
    let refused = late.next_of("error");
    assert_eq!((&refused["error"], &refused["last_event_id"]), (&json!("too_old"), &json!(1156)));
    place.insert("button_click", 1);
    assert_eq!(late.ids(1), [1157]);
}

#[test]
fn a_replaced_file_is_followed_and_not_replayed() {
    let place = Place::new();
    place.insert("button_click", 10);
    let server = place.program().start();
    let (mut client, _) = Client::join(&server);
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("{}{suffix}", place.database().display());
        if std::fs::exists(&name).expect("a look") {
            std::fs::rename(&name, format!("{name}.aside")).expect("set aside");
        }
    }
    // Made complete elsewhere, so that it is there with its rows at once.
    let other = Place::new();
    other.insert("button_click", 3);
    other.sql().execute_batch("PRAGMA journal_mode=DELETE").expect("one file");
    std::fs::copy(other.database(), place.0.path().join("data/new.db")).expect("copied");
    std::fs::rename(place.0.path().join("data/new.db"), place.database()).expect("in its place");
    eventually("the new file is read", || server.get("/health").json()["last_event_id"] == 3);
    place.insert("button_click", 1);
    assert_eq!(client.ids(1), [4]);
}

#[test]
fn rows_that_come_back_after_damage_are_not_new() {
    const ROWS: u32 = 3000;
    let place = Place::new();
    place.insert("button_click", ROWS);
    place.sql().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("one file");
    let server = place.program().start();
    let (mut client, _) = Client::join(&server);
    // The middle of the file.
    let file = std::fs::File::options().write(true).open(place.database()).expect("it is there");
    let pages = file.metadata().expect("its length").len() / 4096;
    file.write_all_at(&[0xa5; 4 * 4096], pages / 2 * 4096).expect("destroyed");
    let repair = |pace: events::Pace| {
        events::repair(&place.database(), events::RepairOptions { salvage: true }, &mut |progress| {
            if progress == events::Progress::Checking { events::Pace::GoOn } else { pace }
        })
    };
    // A new file, and the rows of the old one not there yet.
    assert!(repair(events::Pace::Stop).is_err());
    let later = place.program().start();
    let (mut second, _) = Client::join(&later);
    assert!(repair(events::Pace::GoOn).is_ok());
    let count = "SELECT COUNT(*) FROM webhook_events";
    let back: u32 = place.sql().query_row(count, [], |row| row.get(0)).expect("a count");
    assert!(back > ROWS / 2, "{back}");
    place.insert("text_message", 1);
    assert_eq!((client.ids(1), second.ids(1)), (vec![3001], vec![3001]));
}

#[test]
fn rules_of_the_protocol() {
    let place = Place::new();
    let server = place.program().start();
    let close_code_after = |message: Message| {
        let (mut client, _) = Client::join(&server);
        client.0.send(message).expect("sent");
        client.close_code()
    };
    assert_eq!(close_code_after(Message::binary(vec![1])), 1003);
    assert_eq!(close_code_after(Message::text("x".repeat(16 * 1024 + 1))), 1009);
    let (mut client, _) = Client::join(&server);
    client.0.send(Message::Ping(Bytes::from_static(b"are you there"))).expect("sent");
    eventually(
        "the ping is answered",
        || matches!(client.0.read(), Ok(Message::Pong(body)) if body == "are you there"),
    );
    for _ in 0..100 {
        // It may be closed before all are sent.
        if client.0.send(Message::text(r#"{"type":"ping"}"#)).is_err() {
            break;
        }
    }
    assert_eq!(client.close_code(), 1008);
    let (mut client, _) = Client::join(&server);
    client.0.close(None).expect("sent");
    eventually("the farewell is returned", || matches!(client.0.read(), Err(Error::ConnectionClosed)));
    eventually("places are free again", || server.get("/health").json()["active_clients"] == 0);
}

#[test]
fn not_everybody_may_connect() {
    let place = Place::new();
    let server = place.program().env("CORS_ORIGINS", "http://board.example.invalid").start();
    let connect =
        |path: &str, headers: &[(&'static str, &str)]| Client::try_connect(&server, path, headers).err();
    assert_eq!(connect("/", &[("origin", "http://board.example.invalid")]), None);
    assert_eq!(connect("/", &[("origin", &format!("http://{}", server.address()))]), None);
    assert_eq!(connect("/", &[("origin", "http://127.0.0.1:3002")]), None, "the dashboard's own page");
    assert_eq!(connect("/", &[("origin", "http://127.0.0.1:3003")]), Some(403));
    assert_eq!(connect("/", &[("origin", "http://evil.example.invalid")]), Some(403));
    assert_eq!(connect("/", &[("host", "evil.example.invalid")]), Some(421));
    assert_eq!(connect("/other", &[]), Some(404));
    let version = connect("/", &[("sec-websocket-version", "12")]);
    assert_eq!(version, Some(426));
    let plain = server.get("/");
    assert_eq!((plain.status, plain.header("sec-websocket-version")), (426, Some("13")));
    assert_eq!(server.request("POST", "/health", &[], b"").status, 405);
    drop(server);

    let server = place.program().env("API_TOKEN", "example-token").start();
    let connect = |headers: &[(&'static str, &str)]| Client::try_connect(&server, "/", headers).err();
    assert_eq!(connect(&[]), Some(401));
    assert_eq!(connect(&[("authorization", "Bearer wrong")]), Some(401));
    assert_eq!(connect(&[("authorization", "Bearer example-token")]), None);
    assert_eq!(connect(&[("sec-websocket-protocol", "dogwatch, bearer.example-token")]), None);
    assert_eq!(connect(&[("sec-websocket-protocol", "dogwatch, bearer.wrong")]), Some(401));
    assert!(!server.output().contains("example-token"));
    drop(server);

    let server = place.program().env("WS_MAX_CLIENTS", "1").start();
    let (_first, _) = Client::join(&server);
    assert_eq!(Client::try_connect(&server, "/", &[]).err(), Some(503));
}

#[test]
fn who_is_silent_is_dropped() {
    let place = Place::new();
    let server = place.program().env("HEARTBEAT_MS", "50").start();
    let (_silent, _) = Client::join(&server);
    eventually("it is dropped", || server.get("/health").json()["active_clients"] == 0);
}

#[test]
fn who_reads_too_slowly_is_dropped_and_nobody_else_suffers() {
    let place = Place::new();
    let server = place.program().start();
    let (mut slow, _) = Client::join(&server);
    let (mut quick, _) = Client::join(&server);
    let long = "x".repeat(4000);
    let mut last = 0;
    eventually("it is dropped", || {
        let mut sql = place.sql();
        let commit = sql.transaction().expect("a transaction");
        for _ in 0..200 {
            commit
                .execute(
                    "INSERT INTO webhook_events (event_type, event_data) VALUES ('text_message', ?1)",
                    [&long],
                )
                .expect("a row");
        }
        commit.commit().expect("committed");
        let ids = quick.ids(200);
        assert_eq!(ids, (last + 1..=last + 200).collect::<Vec<_>>());
        last += 200;
        server.get("/health").json()["active_clients"] == 1
    });
    assert_eq!(slow.close_code(), 1013);
}

#[test]
fn the_end_is_announced() {
    let place = Place::new();
    let server = place.program().start();
    let (mut client, _) = Client::join(&server);
    server.ask_to_end();
    let goodbye = client.next_of("server_shutdown");
    assert_eq!(goodbye["message"], "Server is shutting down");
    assert_eq!(client.close_code(), 1001);
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(0), "{said}");
}
