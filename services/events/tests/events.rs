//! The library from outside: what is logged is found again, whatever happens to the file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use events::{
    Connection, Delivered, DeliveryEnd, Entry, Logger, NewEvent, Reader, StoreText, Trigger, migrate, queries,
};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);
const PHONE: Option<&str> = Some("15550100001");

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("data/webhook_events.db")
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("data/events.spool")
    }

    fn count(&self) -> i64 {
        self.sql().query_row("SELECT COUNT(*) FROM webhook_events", [], |row| row.get(0)).expect("a count")
    }

    fn logger(&self) -> Logger {
        Logger::start(self.database(), self.spool(), |_| {}).expect("a thread").0
    }

    fn sql(&self) -> Connection {
        Connection::open(self.database()).expect("the database opens")
    }
}

fn click(key: &str) -> Entry {
    let trigger = Trigger::Button { id: "market", title: "Market" };
    let event = NewEvent::click(jiff::Timestamp::now(), PHONE, Some(key), trigger, StoreText::Full);
    Entry { key: Some(key.to_owned()), events: vec![event] }
}

fn text(key: &str, words: &str) -> Entry {
    let event = NewEvent::text(jiff::Timestamp::now(), PHONE, Some(key), words, StoreText::Full);
    Entry { key: Some(key.to_owned()), events: vec![event] }
}

fn delivery(item: &str, took_ms: u64, end: DeliveryEnd<'_>) -> Entry {
    let delivered = Delivered { item, item_type: "image", took_ms, attempts: 1, end };
    let event = NewEvent::delivery(jiff::Timestamp::now(), "15550100001", &delivered);
    Entry { key: Some(format!("delivery:m1:{item}")), events: vec![event] }
}

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn what_is_logged_is_found_again() {
    let place = Place::new();
    let logger = place.logger();
    assert!(logger.log(&click("m1")) && logger.log(&text("m2", "Hello")) && logger.log(&click("m1")));
    assert_eq!(logger.close(LIMIT), 0);
    let counters = logger.counters();
    assert_eq!((counters.written, counters.repeated, counters.dropped), (2, 1, 0));

    let mut reader = Reader::new(place.database());
    let metrics = reader.ask(|db| queries::metrics(db, 7)).expect("metrics");
    assert_eq!((metrics.clicks, metrics.messages_today), (1, 2));
    assert_eq!(metrics.clicks_by_button.get("market"), Some(&1));
    assert_eq!(metrics.response_seconds, None);
    let talks = reader.ask(|db| queries::conversations(db, 7, 50)).expect("conversations");
    assert_eq!((talks.active, talks.volume, talks.sessions.len(), talks.interactions.len()), (1, 1, 1, 2));
    let now = reader.ask(queries::realtime).expect("real-time numbers");
    assert_eq!((now.events_last_24h, now.button_clicks_today, now.text_messages_today), (2, 1, 1));
    let rows = reader.ask(|db| queries::recent(db, 20)).expect("rows");
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_delivery_makes_its_rows_also_by_way_of_the_spool() {
    let place = Place::new();
    fs::write(place.folder.path().join("data"), "in the way").expect("a file in the way");
    let spool = place.folder.path().join("events.spool");
    let logger = Logger::start(place.database(), spool.clone(), |_| {}).expect("a thread").0;
    let accepted = |answered_ms| DeliveryEnd::Accepted { message_id: Some("wamid.out"), answered_ms };
    assert!(logger.log(&delivery("a", 100, accepted(Some(1500)))));
    assert!(logger.log(&delivery("b", 400, DeliveryEnd::GivenUp("HTTP 400"))));
    assert!(logger.log(&delivery("c", 400, accepted(None))));
    assert_eq!(logger.close(LIMIT), 0);
    assert_eq!(logger.counters().spooled, 3);
    fs::remove_file(place.folder.path().join("data")).expect("out of the way");

    let logger = Logger::start(place.database(), spool, |_| {}).expect("a thread").0;
    eventually("all are written", || logger.counters().written == 3);
    let rows = |query: &str| -> Vec<String> {
        let sql = place.sql();
        let mut rows = sql.prepare(query).expect("a query");
        let rows = rows.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("text")
    };
    let sent = rows(
        "SELECT concat_ws(' ', advisor_phone, message_type, content, direction, ai_response_time) FROM conversations",
    );
    assert_eq!(sent, ["15550100001 image a outgoing 1.5", "15550100001 image c outgoing"]);
    let day = rows(
        "SELECT concat_ws(' ', content_deliveries, successful_deliveries, failed_deliveries, round(response_time_avg, 6))
         FROM webhook_metrics",
    );
    assert_eq!(day, ["3 2 1 0.3"]);
}

#[test]
fn a_locked_database_costs_no_event() {
    let place = Place::new();
    migrate(&place.database(), LIMIT).expect("a new database");
    let lock = place.sql();
    lock.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    let logger = place.logger();
    for number in 0..600 {
        assert!(logger.log(&click(&format!("m{number}"))));
    }
    eventually("all went to the spool", || {
        let counters = logger.counters();
        (counters.spooled, counters.queued, counters.connected) == (600, 0, false)
    });
    assert!(logger.log(&click("later")));
    lock.execute_batch("COMMIT").expect("the lock is given back");
    eventually("all is written", || logger.counters().written == 601);
    assert_eq!(logger.close(LIMIT), 0);
    assert_eq!((place.count(), place.spool().exists()), (601, false));
    let last: String = place
        .sql()
        .query_row("SELECT event_data FROM webhook_events ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
        .expect("a row");
    assert!(last.contains("later"), "{last}");
}

#[test]
fn what_is_in_the_spool_outlives_the_process() {
    let place = Place::new();
    migrate(&place.database(), LIMIT).expect("a new database");
    let lock = place.sql();
    lock.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    let logger = place.logger();
    assert!(logger.log(&click("m1")) && logger.log(&text("m2", "Hello")));
    // At the end nobody waits for the lock: what is left goes to the spool.
    assert_eq!(logger.close(LIMIT), 0);
    assert_eq!(logger.counters().spooled, 2);
    lock.execute_batch("COMMIT").expect("the lock is given back");
    assert_eq!(place.count(), 0);

    let kept = fs::read(place.spool()).expect("the spool");
    let logger = place.logger();
    eventually("the spool is taken over", || logger.counters().written == 2 && !place.spool().exists());
    assert_eq!(logger.close(LIMIT), 0);

    // As after a crash between taking over and removing: it is known how far it was taken over.
    fs::write(place.spool(), kept).expect("the spool again");
    let logger = place.logger();
    eventually("it is removed", || !place.spool().exists());
    assert_eq!(logger.close(LIMIT), 0);
    assert_eq!((place.count(), logger.counters().written, logger.counters().repeated), (2, 0, 0));
}

#[test]
fn a_replaced_file_is_noticed() {
    let place = Place::new();
    let logger = place.logger();
    assert!(logger.log(&click("m1")));
    eventually("the first is written", || logger.counters().written == 1);
    let mut reader = Reader::new(place.database());
    assert_eq!(reader.ask(queries::last_event_id).expect("an id"), 1);
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("{}{suffix}", place.database().display());
        fs::rename(&name, format!("{name}.aside")).expect("set aside");
    }
    assert!(logger.log(&click("m2")));
    eventually("the second is written", || logger.counters().written == 2);
    assert_eq!(reader.ask(queries::last_event_id).expect("an id of the new file"), 2, "an id is given once");
    let keys: i64 = reader
        .ask(|db| {
            Ok(db.query_row("SELECT COUNT(*) FROM dogwatch_seen", [], |row| row.get(0)).expect("a count"))
        })
        .expect("the new file");
    assert_eq!(keys, 1);
}

#[test]
fn what_others_must_not_read_is_closed_to_them() {
    let place = Place::new();
    migrate(&place.database(), LIMIT).expect("a new database");
    let mode = |path: PathBuf| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(place.database()), 0o640);
    assert_eq!(mode(place.folder.path().join("data")) & 0o027, 0);

    fs::set_permissions(place.database(), fs::Permissions::from_mode(0o666)).expect("a wider mode");
    let logger = place.logger();
    eventually("the mode is tightened", || mode(place.database()) == 0o640);
    assert_eq!(logger.close(LIMIT), 0);
}

#[test]
fn a_database_of_the_original_is_kept_as_it_is() {
    let place = Place::new();
    fs::create_dir(place.folder.path().join("data")).expect("a folder");
    let original = place.sql();
    original
        .execute_batch(
            "CREATE TABLE webhook_events (id INTEGER PRIMARY KEY AUTOINCREMENT, event_type TEXT NOT NULL,
                timestamp DATETIME DEFAULT CURRENT_TIMESTAMP, advisor_phone TEXT, event_data JSON, button_id TEXT,
                message_type TEXT, processed BOOLEAN DEFAULT FALSE, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
             INSERT INTO webhook_events (event_type, advisor_phone, event_data) VALUES
                ('button_click', '15550100002', NULL), ('content_delivery', '15550100002', 'not JSON'),
                ('content_delivery', '15550100002', '{\"responseTime\": 1500}');",
        )
        .expect("an old database");
    let schema = |db: &Connection| {
        db.query_row("SELECT sql FROM sqlite_master WHERE name = 'webhook_events'", [], |row| {
            row.get::<_, String>(0)
        })
        .expect("the table")
    };
    let before = schema(&original);
    drop(original);

    let starters: Vec<_> = (0..4)
        .map(|_| {
            let path = place.database();
            std::thread::spawn(move || migrate(&path, LIMIT))
        })
        .collect();
    for starter in starters {
        starter.join().expect("no panic").expect("migrated");
    }
    assert_eq!(schema(&place.sql()), before);
    let mut reader = Reader::new(place.database());
    let metrics = reader.ask(|db| queries::metrics(db, 7)).expect("metrics");
    assert_eq!(metrics.response_seconds, Some(1.5));
    assert_eq!(metrics.clicks_by_button.get("unknown"), Some(&1));
    let statistics: i64 =
        place.sql().query_row("SELECT COUNT(*) FROM sqlite_stat1", [], |row| row.get(0)).expect("statistics");
    assert!(statistics > 0);
}

#[test]
fn a_newer_database_is_read_and_left_alone() {
    let place = Place::new();
    migrate(&place.database(), LIMIT).expect("a new database");
    place
        .sql()
        .execute("UPDATE dogwatch_meta SET value = '99' WHERE key = 'schema_version'", [])
        .expect("an update");
    let told = migrate(&place.database(), LIMIT).expect_err("it is newer").to_string();
    assert!(told.contains("99"), "{told}");
    let mut reader = Reader::new(place.database());
    assert_eq!(reader.ask(queries::last_event_id).expect("readable"), 0);
}
