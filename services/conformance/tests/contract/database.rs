//! §1.1 to 1.3, 1.5: the file that the services share, and whoever else opens it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use conformance::{Client, Place, Service, Start, eventually, old, platform};
use rusqlite::Connection;
use rusqlite::types::Value;

const INDEXES: [(&str, &str, &str); 5] = [
    ("idx_timestamp", "webhook_events", "timestamp"),
    ("idx_event_type", "webhook_events", "event_type"),
    ("idx_advisor_phone", "webhook_events", "advisor_phone"),
    ("idx_events_type_ts", "webhook_events", "event_type,timestamp,button_id"),
    ("idx_conv_ts", "conversations", "timestamp,advisor_phone,ai_response_time,satisfaction_score"),
];
const MIGRATED: &str = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'idx_conv_ts'";

/// Rows as they are, so that two states of a database can be compared.
fn rows(sql: &Connection, query: &str) -> Vec<Vec<Value>> {
    let mut statement = sql.prepare(query).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

fn original_rows(sql: &Connection) -> Vec<Vec<Vec<Value>>> {
    let tables = ["webhook_events", "webhook_metrics", "conversations"];
    tables.iter().map(|table| rows(sql, &format!("SELECT * FROM {table} ORDER BY id"))).collect()
}

/// What a program can find out about the three tables.
fn original_tables(sql: &Connection) -> Vec<Vec<Vec<Value>>> {
    let tables = ["webhook_events", "webhook_metrics", "conversations"];
    let mut found: Vec<_> =
        tables.iter().map(|table| rows(sql, &format!("PRAGMA table_info({table})"))).collect();
    found.push(rows(
        sql,
        "SELECT 'unique', i.name FROM pragma_index_list('webhook_metrics') l, pragma_index_info(l.name) i WHERE l.\"unique\"",
    ));
    found.push(rows(sql, "SELECT name FROM sqlite_master WHERE type = 'table' AND upper(sql) LIKE '%AUTOINCREMENT%' ORDER BY 1"));
    found
}

fn all_three(place: &Place) -> [(&'static str, Start); 3] {
    [("webhook", place.webhook()), ("dashboard-api", place.api()), ("websocket", place.websocket())]
}

fn click(webhook: &Service, id: &str) {
    platform::post(webhook, &[platform::click(id)]);
}

/// §1.1: the original schema stays exactly so: same tables, same columns, same order, nothing added to them
/// §8: on the old file
#[test]
fn the_original_tables_stay_exactly_so_in_a_new_and_in_an_old_file() {
    let original = Place::empty();
    let expected = original_tables(&original.sql());
    let new = Place::bare();
    let webhook = new.webhook().start();
    click(&webhook, "wamid.1");
    eventually("the file is made", || new.try_count(MIGRATED) == Some(1));
    assert_eq!(original_tables(&new.sql()), expected, "a new file");
    for (name, start) in all_three(&original) {
        let service = start.start();
        original.until(MIGRATED, 1);
        drop(service);
        assert_eq!(original_tables(&original.sql()), expected, "after {name}");
    }
}

/// §1.1: ids are never reused: the WebSocket cursor relies on it
#[test]
fn ids_are_never_reused() {
    let place = Place::bare();
    let webhook = place.webhook().start();
    click(&webhook, "wamid.1");
    eventually("the row is there", || place.try_count("SELECT MAX(id) FROM webhook_events") == Some(1));
    place.execute("DELETE FROM webhook_events");
    click(&webhook, "wamid.2");
    place.until("SELECT MAX(id) FROM webhook_events", 2);
}

/// §1.2: the guide's three indexes (these names, MUST), the two others and the two tables are added, nothing else
/// §8: no indexes
#[test]
fn what_is_added_is_what_the_contract_names() {
    let place = Place::lived_in();
    let api = place.api().start();
    place.until(MIGRATED, 1);
    let sql = place.sql();
    for (name, table, columns) in INDEXES {
        let found: String = sql
            .query_row(
                "SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(?1) ORDER BY seqno)",
                [name],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(found, columns, "{name}");
        let of: String = sql
            .query_row("SELECT tbl_name FROM sqlite_master WHERE name = ?1", [name], |row| row.get(0))
            .unwrap();
        assert_eq!(of, table, "{name}");
    }
    let names = |kind: &str| -> Vec<String> {
        let query =
            "SELECT name FROM sqlite_master WHERE type = ?1 AND name NOT LIKE 'sqlite_%' ORDER BY name";
        let mut statement = sql.prepare(query).unwrap();
        let names = statement.query_map([kind], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    };
    let mut indexes: Vec<_> = INDEXES.iter().map(|(name, ..)| *name).collect();
    indexes.sort_unstable();
    assert_eq!(names("index"), indexes);
    assert_eq!(
        names("table"),
        ["conversations", "dogwatch_meta", "dogwatch_seen", "webhook_events", "webhook_metrics"]
    );
    assert!(names("trigger").is_empty() && names("view").is_empty());
    let columns = |table: &str| -> String {
        let query = format!("SELECT group_concat(name || ' ' || type) FROM pragma_table_info('{table}')");
        sql.query_row(&query, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(columns("dogwatch_seen"), "key TEXT,at INTEGER");
    assert_eq!(columns("dogwatch_meta"), "key TEXT,value TEXT");
    assert!(sql.prepare("SELECT rowid FROM dogwatch_seen").is_err(), "WITHOUT ROWID");
    drop(api);
}

/// §1.2: ANALYZE runs after creating: without statistics SQLite prefers idx_event_type
/// §8: `idx_event_type` without ANALYZE
#[test]
fn statistics_are_there_after_migrating() {
    let place = Place::lived_in();
    let api = place.api().start();
    place.until("SELECT COUNT(*) > 0 FROM sqlite_stat1 WHERE idx = 'idx_events_type_ts'", 1);
    drop(api);
}

/// §1.2: every service, also the API or WebSocket started alone, migrates an original database in place; idempotent
/// §1.3: journal_mode=WAL (persistent)
#[test]
fn every_service_started_alone_migrates_an_original_database_in_place() {
    for which in 0..3 {
        let place = Place::lived_in();
        let before = original_rows(&place.sql());
        let [webhook, api, websocket] = all_three(&place);
        let (name, start) = [webhook, api, websocket].into_iter().nth(which).unwrap();
        for _ in 0..2 {
            let service = start.clone().start();
            eventually(&format!("{name} migrates it"), || place.try_count(MIGRATED) == Some(1));
            drop(service);
            assert_eq!(original_rows(&place.sql()), before, "{name}");
            assert_eq!(place.value::<String>("PRAGMA journal_mode"), "wal", "{name}");
        }
    }
}

/// §1.2: safe when several start at once
#[test]
fn services_that_start_at_once_migrate_once() {
    let place = Place::lived_in();
    let before = original_rows(&place.sql());
    let starts: Vec<Start> = (0..2).flat_map(|_| all_three(&place)).map(|(_, start)| start).collect();
    let running: Vec<_> = starts.into_iter().map(|start| std::thread::spawn(|| start.start())).collect();
    let running: Vec<Service> = running.into_iter().map(|thread| thread.join().unwrap()).collect();
    place.until(MIGRATED, 1);
    let meta = || rows(&place.sql(), "SELECT key, value FROM dogwatch_meta ORDER BY key");
    let once = meta();
    assert!(!once.is_empty(), "the version and the generation of the file");
    click(&running[0], "wamid.1");
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.1%'", 1);
    place.execute("DELETE FROM webhook_events WHERE event_data LIKE '%wamid.1%'");
    assert_eq!(original_rows(&place.sql())[0], before[0]);
    assert_eq!(meta(), once);
    assert_eq!(place.value::<String>("PRAGMA integrity_check"), "ok");
}

/// §1.2: if that is not possible (locked) it serves unmigrated and retries later
#[test]
fn a_locked_database_is_served_unmigrated_and_migrated_later() {
    let place = Place::lived_in();
    let mut sql = place.sql();
    let lock = sql.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let (api, websocket) = (place.api().start(), place.websocket().start());
    eventually("the API serves", || api.get("/api/webhook/events/recent").status == 200);
    let (_client, _, initial) = Client::join(&websocket);
    assert_eq!(initial["data"]["recent_events"].as_array().unwrap().len(), 10);
    let migrated: i64 = lock.query_row(MIGRATED, [], |row| row.get(0)).unwrap();
    assert_eq!(migrated, 0);
    lock.rollback().unwrap();
    place.until(MIGRATED, 1);
}

/// §1.2: a newer schema version than known: open read-only and say so, never "migrate down"
#[test]
fn a_newer_schema_is_read_but_not_written() {
    let place = Place::lived_in();
    let webhook = place.webhook().start();
    place.until(MIGRATED, 1);
    webhook.end();
    let changed = place.sql().execute(
        "UPDATE dogwatch_meta SET value = '999' WHERE key LIKE '%version%' OR key LIKE '%schema%'",
        [],
    );
    assert_eq!(changed, Ok(1), "the meta table has one schema version");
    place.execute("DROP INDEX idx_timestamp");
    let before = original_rows(&place.sql());
    let (webhook, api, websocket) = (place.webhook().start(), place.api().start(), place.websocket().start());
    click(&webhook, "wamid.1");
    assert_eq!(api.get("/api/webhook/events/recent").status, 200);
    assert_eq!(Client::join(&websocket).2["data"]["recent_events"].as_array().unwrap().len(), 10);
    eventually("the event waits", || {
        let health = webhook.get("/health").json();
        health["status"] == "degraded" && health["database"] == "unavailable"
    });
    for service in [webhook, api, websocket] {
        let said = service.end().to_lowercase();
        assert!(said.contains("newer") || said.contains("version"), "{said}");
    }
    assert_eq!(original_rows(&place.sql()), before);
    assert_eq!(place.value::<i64>("SELECT COUNT(*) FROM dogwatch_meta WHERE value = '999'"), 1);
    assert_eq!(place.value::<i64>("SELECT COUNT(*) FROM sqlite_master WHERE name = 'idx_timestamp'"), 0);
}

/// §1.1: one can go back to the old services on the same database: their statements work on it, also meanwhile
#[test]
fn the_old_statements_still_write_and_their_tables_still_read() {
    let place = Place::lived_in();
    let running: Vec<Service> = all_three(&place).into_iter().map(|(_, start)| start.start()).collect();
    click(&running[0], "wamid.1");
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.1%'", 1);
    let old_service_writes = || {
        let clicks = "SELECT SUM(button_clicks) FROM webhook_metrics WHERE date = date('now')";
        let before: i64 = place.value(clicks);
        place.execute(old::SCHEMA);
        for statement in old::INSERTS {
            place.execute(statement);
        }
        assert_eq!(place.value::<i64>(clicks), before + 1);
    };
    old_service_writes();
    for service in running {
        service.end();
    }
    old_service_writes();
    place.execute("PRAGMA journal_mode=DELETE");
    assert_eq!(place.value::<String>("PRAGMA integrity_check"), "ok");
    assert_eq!(
        place.value::<i64>("SELECT COUNT(*) FROM webhook_events WHERE advisor_phone = '15550100007'"),
        6
    );
    let again = place.webhook().start();
    click(&again, "wamid.2");
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.2%'", 1);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}

/// §1.3: file 0640 (-wal and -shm too), directory 0750, umask 0027
/// §8: 664 against 640
#[test]
fn what_the_webhook_creates_only_its_user_writes_and_its_group_reads() {
    let place = Place::bare();
    let webhook = place.webhook().start();
    click(&webhook, "wamid.1");
    place.until("SELECT COUNT(*) FROM webhook_events", 1);
    let folder = place.path("data");
    assert_eq!(mode(&folder), 0o750);
    for name in ["webhook_events.db", "webhook_events.db-wal", "webhook_events.db-shm"] {
        assert_eq!(mode(&folder.join(name)), 0o640, "{name}");
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o027, 0, "{}", path.display());
    }
    for service in [webhook, place.api().start(), place.websocket().start()] {
        let status = fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
        assert!(status.contains("Umask:\t0027"), "{status}");
    }
}

/// §1.3: an existing file of ours with a wider mode is tightened at start
#[test]
fn a_file_that_others_may_read_is_tightened_at_start() {
    for which in 0..3 {
        let place = Place::lived_in();
        fs::set_permissions(place.database(), Permissions::from_mode(0o664)).unwrap();
        let (name, start) = all_three(&place).into_iter().nth(which).unwrap();
        let _service = start.start();
        eventually(&format!("{name} tightens it"), || mode(&place.database()) == 0o640);
    }
}

/// §1.3: prepared statements with bound values only
#[test]
fn what_people_send_never_becomes_sql() {
    let place = Place::bare();
    let webhook = place.webhook().start();
    let sting = "'); DROP TABLE webhook_events; --";
    let reply = serde_json::json!({"id": sting, "title": sting});
    let click = platform::message(
        "wamid.'1",
        "interactive",
        &serde_json::json!({"type": "button_reply", "button_reply": reply}),
    );
    platform::post(&webhook, &[platform::with(click, &serde_json::json!({"from": sting}))]);
    place.until("SELECT COUNT(*) FROM webhook_events", 1);
    assert_eq!(place.value::<String>("SELECT button_id FROM webhook_events"), sting);
    assert_eq!(place.value::<String>("SELECT event_data ->> 'messageId' FROM webhook_events"), "wamid.'1");
}

/// §1.5: no read transaction is held, readers never checkpoint: the WAL can be emptied while all serve
#[test]
fn nobody_pins_the_wal() {
    let place = Place::lived_in();
    let running: Vec<Service> = all_three(&place).into_iter().map(|(_, start)| start.start()).collect();
    let (mut client, ..) = Client::join(&running[2]);
    assert_eq!(running[1].get("/api/webhook/metrics").status, 200);
    click(&running[0], "wamid.1");
    client.of("new_events");
    place.until("PRAGMA wal_checkpoint(TRUNCATE)", 0);
    eventually("the WAL is empty", || {
        place.try_count("PRAGMA wal_checkpoint(TRUNCATE)") == Some(0)
            && fs::metadata(place.path("data/webhook_events.db-wal")).is_ok_and(|file| file.len() == 0)
    });
}

/// §1.5: before each batch, poll or request the file is compared with the opened one; if different or gone, reopened
/// §8: `mv`/`rm` of a database that others hold open
#[test]
fn a_replaced_or_removed_file_is_noticed_by_all() {
    let place = Place::lived_in();
    let [webhook, api, websocket] = all_three(&place).map(|(_, start)| start.start());
    let (mut client, ..) = Client::join(&websocket);
    click(&webhook, "wamid.1");
    client.of("new_events");
    let move_away = |to: &str| {
        for end in ["", "-wal", "-shm"] {
            let from = place.path(format!("data/webhook_events.db{end}"));
            if from.exists() {
                fs::rename(from, place.path(format!("{to}{end}"))).unwrap();
            }
        }
    };
    // Removed: the writer makes a new one.
    move_away("gone");
    click(&webhook, "wamid.2");
    let has = |id: &str| {
        place.try_count(&format!("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%{id}%'"))
            == Some(1)
    };
    eventually("the event is in a new file", || has("wamid.2"));
    eventually("the API reads the new file", || {
        api.get("/api/webhook/events/recent").text().contains("wamid.2")
    });
    // Replaced: a copy is restored, all in one step, as the lock file demands.
    let copy = place.path("copy");
    old::create(&copy);
    old::fill(&Connection::open(&copy).unwrap());
    move_away("older");
    fs::rename(&copy, place.database()).unwrap();
    click(&webhook, "wamid.3");
    eventually("the event is in the restored file", || has("wamid.3"));
    eventually("the API reads the restored file", || {
        let recent = api.get("/api/webhook/events/recent").text();
        recent.contains("wamid.3") && !recent.contains("wamid.2")
    });
    assert!(webhook.end().lines().count() > 0);
}
