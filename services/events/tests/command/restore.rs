//! A backup in the place of the database, and what must never come of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use service_testing::{LIMIT, eventually};

use crate::place::{DATABASE, Place, click, count, open};

fn id_of(path: &Path) -> u64 {
    fs::metadata(path).expect("it is there").ino()
}

fn sequence(path: &Path) -> i64 {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'webhook_events'";
    open(path).query_row(sql, [], |row| row.get(0)).expect("a number")
}

fn generation(path: &Path) -> String {
    let sql = "SELECT value FROM dogwatch_meta WHERE key = 'generation'";
    open(path).query_row(sql, [], |row| row.get(0)).expect("a name")
}

#[test]
fn the_backup_is_the_database_and_the_old_one_is_set_aside() {
    let place = Place::with_events(10);
    let backup = place.back_up();
    place.add(5, "-1 second");
    let before = generation(&place.database());
    let json = place.ok(&["restore", &backup, "--yes", "--json"]).json();
    assert_eq!((&json["tables"][0]["rows"], &json["newer_events_set_aside"]), (&10.into(), &5.into()));
    assert_eq!((place.count("webhook_events"), sequence(&place.database())), (10, 15));
    assert_ne!(generation(&place.database()), before);
    assert_eq!(place.mode(DATABASE), 0o640);
    let aside = place.path(json["set_aside"].as_str().expect("a path"));
    assert!(aside.starts_with(place.path("data/quarantine")) && count(&aside, "webhook_events") == 15);
    assert!(place.path(&backup).exists());
    place.sql().execute("INSERT INTO webhook_events (event_type) VALUES ('x')", []).expect("a row");
    assert_eq!(place.count("webhook_events WHERE id = 16"), 1, "ids go on above all that ever were");
}

#[test]
fn it_becomes_a_file_of_ours_whatever_the_original_left() {
    let original = Place::original();
    let backup = original.back_up();
    let place = Place::with_events(3);
    let backup = original.path(&backup);
    place.ok(&["restore", backup.to_str().expect("UTF-8"), "--yes"]);
    let facts = place.ok(&["info", "--json"]).json();
    assert_eq!((&facts["schema_version"], &facts["journal_mode"]), (&1.into(), &"wal".into()));
    assert_eq!((place.count("webhook_events"), sequence(&place.database())), (21, 22));
}

#[test]
fn a_stale_wal_never_meets_the_restored_file() {
    let place = Place::with_events(10);
    let backup = place.back_up();
    // As after a SIGKILL: a file that is gone, and what belonged to it.
    fs::remove_file(place.database()).expect("it was there");
    for part in ["-wal", "-shm", "-journal"] {
        fs::write(place.path(&format!("{DATABASE}{part}")), vec![7; 70_000]).expect("written");
    }
    place.ok(&["restore", &backup, "--yes"]);
    assert_eq!(place.count("webhook_events"), 10);
    assert!(place.names("data/quarantine").iter().any(|name| name.ends_with("-wal")));
    assert!(!place.path(&format!("{DATABASE}-journal")).exists());
}

#[test]
fn what_is_damaged_or_foreign_changes_nothing() {
    let place = Place::with_events(500);
    let backup = place.path(&place.back_up());
    let whole = fs::read(&backup).expect("readable");
    let before = id_of(&place.database());

    let mut torn = whole.clone();
    torn.truncate(whole.len() / 2);
    let mut damaged = whole.clone();
    damaged[4096 * 2..4096 * 6].fill(0xa5);
    fs::write(place.path("torn.db"), torn).expect("written");
    fs::write(place.path("damaged.db"), damaged).expect("written");
    fs::write(place.path("garbage.db"), "no database at all, and long enough to be looked at".repeat(100))
        .expect("written");
    fs::write(place.path("empty.db"), "").expect("written");
    open(&place.path("foreign.db")).execute_batch("CREATE TABLE webhook_events (id)").expect("a table");
    for name in ["torn.db", "damaged.db", "garbage.db", "empty.db", "foreign.db"] {
        for words in [&["restore", name, "--yes"], &["restore", name, "--test"]] {
            let refused = place.run(words);
            assert!(refused.code == 5 && refused.stderr.contains(name), "{words:?}: {refused:#?}");
        }
    }
    fs::copy(&backup, place.path("newer.db")).expect("a copy");
    open(&place.path("newer.db"))
        .execute("UPDATE dogwatch_meta SET value = '99' WHERE key = 'schema_version'", [])
        .expect("an update");
    let newer = place.run(&["restore", "newer.db", "--yes"]);
    assert!(newer.code == 1 && newer.stderr.contains("99"), "{newer:#?}");
    assert_eq!(place.run(&["restore", "nothing.db", "--yes"]).code, 3);
    assert_eq!(place.run(&["restore", DATABASE, "--yes"]).code, 1, "it is the database itself");

    assert_eq!((id_of(&place.database()), place.count("webhook_events")), (before, 500));
    let left: Vec<String> = place.names("data").into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty() && place.names("data/quarantine").is_empty(), "{left:?}");
}

#[test]
fn nobody_is_asked_where_nobody_is() {
    let place = Place::with_events(1);
    let backup = place.back_up();
    let refused = place.run(&["restore", &backup]);
    assert!(refused.code == 2 && refused.stderr.contains("--yes"), "{refused:#?}");
    assert!(place.names("data/quarantine").is_empty());
}

#[test]
fn a_rehearsal_replaces_nothing() {
    let place = Place::with_events(7);
    let backup = place.back_up();
    let before = id_of(&place.database());
    let json = place.ok(&["restore", "--test", &backup, "--json"]).json();
    assert_eq!(json["tables"][0]["rows"], 7);
    assert_eq!(id_of(&place.database()), before);
    assert!(!place.names(".").iter().any(|name| name.starts_with(".events-work")));
}

#[test]
fn a_garbage_database_is_replaced_and_the_lock_file_tells_its_ids() {
    let place = Place::with_events(10);
    let backup = place.back_up();
    let logger = place.logger();
    assert!(logger.log(&click("one")));
    assert_eq!(logger.close(LIMIT), 0);
    fs::write(place.database(), "no database at all, and long enough to be looked at".repeat(100))
        .expect("written");
    let json = place.ok(&["restore", &backup, "--yes", "--json"]).json();
    assert_eq!((&json["ids_known"], sequence(&place.database())), (&true.into(), 11));
}

#[test]
fn what_was_set_aside_can_be_restored_with_its_wal() {
    let place = Place::with_events(10);
    let backup = place.back_up();
    // A writer that is still there keeps what it wrote in the -wal.
    let writer = place.sql();
    writer.execute_batch("PRAGMA wal_autocheckpoint=0").expect("a setting");
    writer.execute("INSERT INTO webhook_events (event_type) VALUES ('late')", []).expect("a row");
    let json = place.ok(&["restore", &backup, "--yes", "--json"]).json();
    let aside = json["set_aside"].as_str().expect("a path").to_owned();
    assert!(fs::metadata(place.path(&format!("{aside}-wal"))).expect("it moved too").len() > 0);
    drop(writer);
    place.ok(&["restore", &aside, "--yes"]);
    assert_eq!(place.count("webhook_events WHERE event_type = 'late'"), 1);
}

#[test]
fn the_webhooks_writer_goes_on_in_the_restored_file() {
    let place = Place::with_events(10);
    let backup = place.back_up();
    let logger = place.logger();
    assert!(logger.log(&click("before")));
    eventually("it is written", || logger.counters().written == 1);
    place.ok(&["restore", &backup, "--yes"]);
    for number in 0..50 {
        assert!(logger.log(&click(&format!("after-{number}"))));
    }
    assert_eq!(logger.close(LIMIT), 0);
    assert_eq!((place.count("webhook_events"), logger.counters().dropped), (60, 0));
    assert_eq!(place.count("webhook_events WHERE id > 10 AND id <= 11"), 0, "no id is used twice");
    assert_eq!(place.count("webhook_events WHERE id > 11"), 50);
}

#[test]
fn under_traffic_every_event_is_in_the_new_file_or_in_the_one_set_aside() {
    let place = Place::with_events(1_000);
    let backup = place.back_up();
    let lock = fs::File::options().create(true).append(true).open(place.path(&format!("{DATABASE}.lock")));
    let lock = lock.expect("the file of the lock");
    let (done, order) = (AtomicBool::new(false), Ordering::Relaxed);
    let ids: Vec<i64> = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut ids = Vec::new();
            while !done.load(order) {
                lock.lock_shared().expect("the lock");
                let sql = "INSERT INTO webhook_events (event_type) VALUES ('traffic') RETURNING id";
                ids.push(place.sql().query_row(sql, [], |row| row.get(0)).expect("a row"));
                lock.unlock().expect("it was locked");
                std::thread::park_timeout(Duration::from_millis(1));
            }
            ids
        });
        for _ in 0..3 {
            place.ok(&["restore", &backup, "--yes"]);
        }
        done.store(true, order);
        writer.join().expect("no panic")
    });
    assert!(ids.is_sorted_by(|one, next| one < next), "no id is used twice: {ids:?}");
    let aside = place.names("data/quarantine").into_iter().filter(|name| name.ends_with(".db"));
    let files = aside.map(|name| place.path("data/quarantine").join(name)).chain([place.database()]);
    let traffic = |path: PathBuf| count(&path, "webhook_events WHERE event_type = 'traffic'");
    assert_eq!(files.map(traffic).sum::<i64>().unsigned_abs(), ids.len() as u64);
}
