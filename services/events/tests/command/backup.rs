//! Copies made while others write, and how many are kept.

use std::fs;
use std::process::Command;

use crate::place::{DATABASE, Place, count, open, while_logging};

#[test]
fn a_backup_is_whole_private_and_named_by_its_time() {
    let place = Place::with_events(100);
    let json = place.ok(&["backup", "--verify", "--json"]).json();
    assert_eq!((&json["database"], &json["tables"][0]["rows"]), (&DATABASE.into(), &100.into()));
    let path = json["backup"].as_str().expect("a path");
    let time = path.strip_prefix("backups/webhook_events-").and_then(|rest| rest.strip_suffix("Z.db"));
    assert!(time.is_some_and(|time| time.len() == 15 && time.as_bytes()[8] == b'T'), "{path}");
    assert_eq!((place.mode(path), place.mode("backups")), (0o600, 0o700));
    assert_eq!(place.names("backups").len(), 1, "nothing is left beside it");
    assert_eq!(json["bytes"], fs::metadata(place.path(path)).expect("it is there").len());
    assert_eq!(count(&place.path(path), "webhook_events"), 100);
}

#[test]
fn what_is_written_meanwhile_is_in_it_whole_or_not_at_all() {
    let place = Place::with_events(3_000);
    place
        .sql()
        .execute_batch("CREATE TABLE pair (n INTEGER); CREATE TABLE other (n INTEGER);")
        .expect("tables");
    let (stop, path) = (std::sync::atomic::AtomicBool::new(false), place.database());
    let order = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let db = open(&path);
            let mut written = 0;
            while !stop.load(order) {
                let sql =
                    "BEGIN IMMEDIATE; INSERT INTO pair VALUES (1); INSERT INTO other VALUES (1); COMMIT";
                db.execute_batch(sql).expect("nobody waits for a backup");
                written += 1;
            }
            written
        });
        let backups: Vec<String> = (0..2).map(|_| place.back_up()).collect();
        stop.store(true, order);
        assert!(writer.join().expect("no panic") > 0);
        for backup in backups {
            let backup = place.path(&backup);
            assert_eq!(count(&backup, "pair"), count(&backup, "other"));
            assert_eq!(count(&backup, "webhook_events"), 3_000);
        }
    });
}

#[test]
fn a_backup_beside_the_webhooks_writer_costs_no_event() {
    let place = Place::with_events(1_000);
    let logger = place.logger();
    let (logged, _) = while_logging(&logger, || place.ok(&["backup", "--verify"]));
    assert_eq!(logger.close(service_testing::LIMIT), 0);
    assert_eq!(place.count("webhook_events WHERE event_type = 'button_click'").unsigned_abs(), logged);
    assert_eq!(logger.counters().dropped, 0);
}

#[test]
fn only_files_of_the_exact_name_are_removed() {
    let place = Place::with_events(1);
    fs::create_dir(place.path("backups")).expect("a folder");
    let old = [
        "webhook_events-20260101T000000Z.db",
        "webhook_events-20260102T000000Z.db",
        "webhook_events-20260103T000000Z.db",
    ];
    let others = [
        "webhook_events-20260101T000000Z.db.keep",
        "webhook_events-2026.db",
        "other-20260101T000000Z.db",
        "notes",
    ];
    for name in old.iter().chain(&others) {
        fs::write(place.path("backups").join(name), "").expect("written");
    }
    let json = place.ok(&["backup", "--keep", "2", "--json"]).json();
    let removed = json["removed"].as_array().expect("a list").len();
    assert_eq!(removed, 2, "{json}");
    let names = place.names("backups");
    assert_eq!(names.len(), 2 + others.len(), "{names:?}");
    for name in others.iter().chain(&old[2..]) {
        assert!(names.iter().any(|kept| kept == name), "{name}: {names:?}");
    }
    place.ok(&["backup", "--keep", "0"]);
    assert_eq!(place.names("backups").len(), names.len() + 1, "0 keeps all");
}

#[test]
fn an_original_database_is_backed_up_as_it_is() {
    let place = Place::original();
    let before = fs::read(place.database()).expect("readable");
    let backup = place.back_up();
    assert_eq!(count(&place.path(&backup), "webhook_events"), 21);
    assert_eq!(count(&place.path(&backup), "sqlite_master WHERE name LIKE 'dogwatch%'"), 0);
    assert_eq!(fs::read(place.database()).expect("readable"), before);
}

#[test]
fn a_full_backup_holds_what_belongs_to_it_and_its_checksums() {
    let place = Place::with_events(10);
    for (name, content) in [("ecosystem.toml", "[services]"), ("content.json", "[]")] {
        fs::write(place.path(name), content).expect("written");
    }
    let with = ["--with", "ecosystem.toml", "--with", "content.json"];
    let json =
        place.ok(&[&["backup", "--full", "--verify", "--to", "full", "--json"], &with[..]].concat()).json();
    let folder = json["backup"].as_str().expect("a path");
    assert_eq!(place.names(folder), ["SHA256SUMS", "content.json", "ecosystem.toml", "webhook_events.db"]);
    assert_eq!((place.mode(folder), place.mode(&format!("{folder}/content.json"))), (0o700, 0o600));
    let checked = Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(place.path(folder))
        .output()
        .expect("it runs");
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(place.names("full").len(), 1);

    // One changed letter of a text is no damage that SQLite could see.
    let copy = place.path(folder).join("webhook_events.db");
    let mut bytes = fs::read(&copy).expect("readable");
    let at = bytes.windows(7).position(|seven| seven == b"harbour").expect("a text");
    bytes[at] = b'H';
    fs::write(&copy, bytes).expect("written");
    let refused = place.run(&["restore", "--yes", &format!("{folder}/webhook_events.db")]);
    assert!(refused.code == 5 && refused.stderr.contains("checksum"), "{refused:#?}");
}

#[test]
fn a_full_backup_without_one_of_its_files_is_none() {
    let place = Place::with_events(1);
    let missing = place.run(&["backup", "--full", "--with", "content.json"]);
    assert!(missing.code == 3 && missing.stderr.contains("content.json"), "{missing:#?}");
    assert_eq!(place.names("backups"), [""; 0]);
}
