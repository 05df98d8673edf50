//! `events check`: what it finds, and what it says to do.

use std::fs;

use serde_json::Value;

use crate::place::{DATABASE, Place};

/// The finding of this name.
#[track_caller]
fn finding(place: &Place, name: &str) -> Value {
    let json = place.run(&["check", "--json"]).json();
    let found =
        json["checks"].as_array().expect("a list").iter().find(|check| check["check"] == name).cloned();
    found.unwrap_or_else(|| panic!("{name}: {json}"))
}

#[test]
fn all_is_well() {
    let place = Place::with_events(5);
    place.back_up();
    let told = place.ok(&["check", "--full"]);
    assert_eq!(told.stdout.lines().count(), 12, "{}", told.stdout);
    assert!(told.stdout.lines().all(|line| line.starts_with("OK    ")), "{}", told.stdout);
    let json = place.ok(&["check", "--json"]).json();
    let keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["checks", "database", "fixed", "status"]);
    assert_eq!(json["status"], "ok");
}

#[test]
fn a_warning_has_its_reason_and_its_command() {
    let place = Place::new();
    let told = place.run(&["check"]);
    assert_eq!(told.code, 1, "{told:#?}");
    let line = told.stdout.lines().find(|line| line.starts_with("WARN")).expect("a warning");
    assert!(line.contains(" - ") && line.contains("; do: "), "{line}");
    assert_eq!(finding(&place, "events-today")["level"], "warning");
    let backup = finding(&place, "backup-age");
    assert!(
        backup["fix"].as_str().is_some_and(|fix| fix.contains("events --db data/webhook_events.db backup"))
    );
    fs::create_dir(place.path("backups")).expect("a folder");
    fs::write(place.path("backups/webhook_events-20260101T000000Z.db"), "").expect("written");
    assert!(finding(&place, "backup-age")["found"].as_str().is_some_and(|found| found.contains(" h: ")));
}

#[test]
fn modes_are_found_and_set() {
    let place = Place::with_events(5);
    place.back_up();
    place.set_mode(DATABASE, 0o664);
    place.set_mode("data", 0o755);
    let wide = finding(&place, "database-permissions");
    assert_eq!(wide["level"], "warning");
    assert!(wide["found"].as_str().is_some_and(|found| found.contains("0664") && found.contains("0755")));
    let fixed = place.ok(&["check", "--fix", "--json"]).json()["fixed"].clone();
    for path in [DATABASE, "data"] {
        assert!(fixed.as_array().is_some_and(|fixed| fixed.contains(&path.into())), "{fixed}");
    }
    assert_eq!((place.mode(DATABASE), place.mode("data")), (0o640, 0o750));
    place.set_mode(DATABASE, 0);
    assert_eq!(finding(&place, "database-permissions")["level"], "error");
    place.ok(&["check", "--fix"]);
}

#[test]
fn what_waits_in_the_spool_and_what_is_missing_inside_is_told() {
    let place = Place::with_events(5);
    fs::write(place.path("data/events.spool"), "{}\n").expect("written");
    place.sql().execute_batch("DROP INDEX idx_timestamp").expect("it was there");
    assert_eq!(finding(&place, "spool-backlog")["level"], "warning");
    let indexes = finding(&place, "database-indexes");
    assert!(indexes["found"].as_str().is_some_and(|found| found.ends_with("idx_timestamp")), "{indexes}");
    place.sql().execute_batch("ALTER TABLE conversations DROP COLUMN content").expect("it was there");
    assert_eq!(finding(&place, "database-schema")["level"], "error");
}

#[test]
fn the_trial_event_leaves_no_trace() {
    let place = Place::with_events(5);
    place.run(&["check"]);
    assert_eq!(place.count("webhook_events"), 5);
    assert_eq!(place.count("sqlite_sequence WHERE name = 'webhook_events' AND seq = 5"), 1);
}

#[test]
fn a_long_wal_is_a_stuck_reader() {
    let place = Place::with_events(5);
    let reader = place.sql();
    reader.execute_batch("BEGIN; SELECT * FROM webhook_events;").expect("a reader");
    fs::OpenOptions::new()
        .write(true)
        .open(place.path(&format!("{DATABASE}-wal")))
        .and_then(|wal| wal.set_len(65 << 20))
        .expect("a long file");
    let wal = finding(&place, "wal-size");
    assert!(wal["level"] == "warning" && wal["found"] == "66560 KiB", "{wal}");
}
