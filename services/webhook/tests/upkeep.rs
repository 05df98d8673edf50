//! The webhook while its database is kept in order by another process: no event is lost, no id is used twice.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use events::upkeep::{Job, Stop, back_up, optimize, prune, restore};
use rusqlite::Connection;
use serde_json::json;
use service_testing::{LIMIT, Program, Running, eventually};
use tempfile::TempDir;

fn start(folder: &Path) -> Running {
    Program::new(env!("CARGO_BIN_EXE_webhook"), folder)
        .arg("--allow-unsigned")
        .env("WEBHOOK_PORT", "0")
        .env("WHATSAPP_VERIFY_TOKEN", "example-verify-token")
        .env("WHATSAPP_ACCESS_TOKEN", "example-access-token")
        .env("WHATSAPP_PHONE_NUMBER_ID", "100000000001234")
        .start()
}

/// Posts a text that must be acknowledged.
#[track_caller]
fn post(webhook: &Running, id: &str) {
    let message = json!({"from": "15550100001", "id": id, "type": "text", "text": {"body": "hello"}});
    let value = json!({"messaging_product": "whatsapp", "messages": [message]});
    let body = json!({"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": value}]}]});
    assert_eq!(webhook.request("POST", "/webhook", &[], body.to_string().as_bytes()).status, 200);
}

#[track_caller]
fn wait_for(webhook: &Running, written: u64) {
    eventually("all is written", || {
        webhook.get("/health").json()["events"]["written"].as_u64() == Some(written)
    });
}

fn texts(database: &Path, which: &str) -> u64 {
    let sql = format!("SELECT COUNT(DISTINCT event_data) FROM webhook_events WHERE {which}");
    let sql_of_rows = format!("SELECT COUNT(*) FROM webhook_events WHERE {which}");
    let db = Connection::open(database).expect("the database opens");
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a count");
    assert_eq!(count(&sql), count(&sql_of_rows), "nothing is written twice");
    count(&sql).unsigned_abs()
}

#[test]
fn upkeep_beside_a_busy_webhook_costs_no_event() {
    let folder = TempDir::new().expect("a temporary folder");
    let database = folder.path().join("data/webhook_events.db");
    let webhook = start(folder.path());
    post(&webhook, "first");
    wait_for(&webhook, 1);
    let stop = Stop::default();
    let job = Job { database: &database, patience: LIMIT, stop: &stop, progress: &() };
    let done = AtomicBool::new(false);
    let posted = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut posted = 1;
            while !done.load(Ordering::Relaxed) {
                post(&webhook, &format!("text-{posted}"));
                posted += 1;
                std::thread::park_timeout(Duration::from_millis(2));
            }
            posted
        });
        let worked = back_up(job, &folder.path().join("backups"), 1)
            .and_then(|_| prune(job, 90))
            .and_then(|_| optimize(job, 90));
        done.store(true, Ordering::Relaxed);
        worked.expect("the upkeep works");
        sender.join().expect("no panic")
    });
    wait_for(&webhook, posted);
    assert_eq!(texts(&database, "1"), posted);
}

#[test]
fn a_restore_beside_the_webhook_keeps_what_comes_later() {
    let folder = TempDir::new().expect("a temporary folder");
    let database = folder.path().join("data/webhook_events.db");
    let webhook = start(folder.path());
    let stop = Stop::default();
    let job = Job { database: &database, patience: LIMIT, stop: &stop, progress: &() };
    for number in 0..10 {
        post(&webhook, &format!("kept-{number}"));
    }
    wait_for(&webhook, 10);
    let backup = back_up(job, &folder.path().join("backups"), 1).expect("a backup").backup;
    for number in 0..10 {
        post(&webhook, &format!("set-aside-{number}"));
    }
    wait_for(&webhook, 20);
    let restored = restore(job, &backup).expect("restored");
    for number in 0..10 {
        post(&webhook, &format!("later-{number}"));
    }
    wait_for(&webhook, 30);
    assert_eq!((texts(&database, "id <= 10"), texts(&database, "id BETWEEN 11 AND 20")), (10, 0));
    assert_eq!(texts(&database, "id > 20"), 10);
    assert_eq!(restored.newer_events_set_aside, Some(10));
    assert_eq!(texts(&restored.set_aside.expect("the old file"), "1"), 20);
    // What the webhook knew before it knows still.
    post(&webhook, "set-aside-1");
    post(&webhook, "last");
    wait_for(&webhook, 31);
}
