//! Pruning and optimizing, beside a writer.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use service_testing::{LIMIT, eventually};

use crate::place::{DATABASE, Place, while_logging};

/// A hundred days of events, 120 a day, and the keys of twenty days.
fn aged() -> Place {
    let place = Place::new();
    place.add(12_000, "-720 seconds");
    place
        .sql()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19)
             INSERT INTO dogwatch_seen (key, at) SELECT 'k' || i, unixepoch('now', '-' || i || ' days', '-1 hour') FROM n;
             INSERT INTO webhook_metrics (date, text_messages) VALUES (date('now', '-99 days'), 7);",
        )
        .expect("rows");
    place
}

#[test]
fn what_is_too_old_goes_and_the_rest_stays() {
    let place = aged();
    let dry = place.ok(&["prune", "--dry-run", "--json"]).json();
    assert_eq!(place.count("webhook_events"), 12_000);
    let json = place.ok(&["prune", "--json"]).json();
    let deleted = &json["deleted"];
    assert_eq!((&dry["dry_run"], &json["dry_run"], &json["days"]), (&true.into(), &false.into(), &90.into()));
    assert_eq!(deleted["dogwatch_seen"], 12);
    let events = deleted["webhook_events"].as_i64().expect("a number");
    assert!((1_199..=1_201).contains(&events), "{json}");
    assert_eq!(dry["deleted"]["dogwatch_seen"], deleted["dogwatch_seen"]);
    assert_eq!(deleted["webhook_events"], deleted["conversations"]);
    assert_eq!((place.count("webhook_events"), place.count("webhook_metrics")), (12_000 - events, 1));
    assert_eq!(place.count("webhook_events WHERE timestamp < datetime('now', '-90 days', '-15 minutes')"), 0);
}

#[test]
fn nought_days_keep_events_for_ever() {
    let place = aged();
    let json = place.ok(&["prune", "--days", "0", "--json"]).json();
    assert_eq!((&json["before"], &json["deleted"]["dogwatch_seen"]), (&serde_json::Value::Null, &12.into()));
    assert_eq!(place.count("webhook_events"), 12_000);
}

#[test]
fn pruning_and_optimizing_beside_the_webhooks_writer_cost_no_event() {
    let place = aged();
    let logger = place.logger();
    let (logged, optimized) = while_logging(&logger, || {
        place.ok(&["prune", "--days", "50"]);
        place.ok(&["optimize", "--days", "10", "--json"]).json()
    });
    assert_eq!(logger.close(LIMIT), 0);
    assert_eq!(place.count("webhook_events WHERE event_type = 'button_click'").unsigned_abs(), logged);
    assert_eq!(logger.counters().dropped, 0);
    assert_eq!(optimized["vacuum"]["state"], "done");
}

#[test]
fn optimizing_gives_the_room_back_and_keeps_ids() {
    let place = aged();
    let json = place.ok(&["optimize", "--days", "10", "--json"]).json();
    let bytes = |when: &str| json[when]["bytes"].as_i64().expect("a number");
    assert!(bytes("after") * 3 < bytes("before"), "{json}");
    assert_eq!((&json["checkpointed"], &json["after"]["wal_bytes"]), (&true.into(), &0.into()));
    assert_eq!(place.count("webhook_events WHERE id = 12000"), 1);
    assert_eq!(place.count("sqlite_sequence WHERE name = 'webhook_events' AND seq = 12000"), 1);
    assert!(place.count("sqlite_stat1") > 0);
    let text = place.ok(&["optimize"]).stdout;
    assert!(
        text.contains("optimized") && text.contains("deleted 0") || text.contains(": 0 events"),
        "{text}"
    );
}

#[test]
fn an_original_database_is_brought_up_to_date_first() {
    let place = Place::original();
    place.ok(&["optimize"]);
    assert_eq!(place.ok(&["info", "--json"]).json()["schema_version"], 1);
    assert_eq!(place.count("webhook_events"), 21);
}

#[test]
fn a_stopped_command_leaves_nothing_half_done() {
    let place = aged();
    let lock = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(place.path(&format!("{DATABASE}.lock")))
        .expect("a file");
    lock.lock().expect("free");
    for (words, signal) in [(["prune"], Signal::SIGINT), (["optimize"], Signal::SIGTERM)] {
        let mut child = place.command(&words).stderr(std::process::Stdio::piped()).spawn().expect("it runs");
        let id = child.id();
        eventually("it waits for the lock", || {
            fs::read_dir(format!("/proc/{id}/task")).map_or(0, Iterator::count) > 1
        });
        kill(Pid::from_raw(i32::try_from(id).expect("process ids are small")), signal).expect("it runs");
        assert_eq!(child.wait().expect("it ends").code(), Some(128 + signal as i32));
    }
    lock.unlock().expect("it was locked");
    assert_eq!(place.count("webhook_events"), 12_000);
    place.ok(&["prune"]);
}
