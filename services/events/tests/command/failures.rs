//! What is missing, damaged, locked, newer or full: each has its exit code, and nothing is changed.

use std::fs;
use std::process::Command;

use crate::place::{Place, answer};

const ALL: [&[&str]; 7] = [
    &["info"],
    &["backup"],
    &["prune"],
    &["prune", "--dry-run"],
    &["optimize"],
    &["growth", "--record"],
    &["tail"],
];

#[test]
fn a_missing_database_is_named_and_not_made() {
    let place = Place::bare();
    for words in ALL {
        let told = place.run(words);
        assert_eq!(told.code, 3, "{words:?}: {told:#?}");
        assert!(told.stderr.contains("data/webhook_events.db: there is no such file"), "{told:#?}");
        assert!(told.stderr.contains("EVENTS_DB") && told.stdout.is_empty(), "{told:#?}");
    }
    assert_eq!(place.run(&["check"]).code, 2);
    assert_eq!(place.names("."), [""; 0], "nothing is made");
}

#[test]
fn garbage_is_said_to_be_damaged() {
    let place = Place::bare();
    fs::create_dir(place.path("data")).expect("a folder");
    let garbage = "no database at all, and long enough to be looked at".repeat(100);
    fs::write(place.database(), &garbage).expect("written");
    for words in ALL {
        let told = place.run(words);
        assert_eq!(told.code, 5, "{words:?}: {told:#?}");
        assert!(told.stderr.contains("events repair"), "{told:#?}");
    }
    let checked = place.run(&["check", "--json"]);
    assert!(checked.code == 2 && checked.stdout.contains("database-corrupt"), "{checked:#?}");
    assert_eq!(fs::read_to_string(place.database()).expect("readable"), garbage);
    assert_eq!(place.names("backups"), [""; 0]);
}

#[test]
fn damaged_pages_are_never_backed_up() {
    let place = Place::with_events(2_000);
    let backup = place.back_up();
    let mut bytes = fs::read(place.path(&backup)).expect("readable");
    bytes[4096 * 8..4096 * 20].fill(0xa5);
    fs::write(place.database(), bytes).expect("written");
    for words in [["backup"], ["optimize"]] {
        let told = place.run(&words);
        assert_eq!(told.code, 5, "{words:?}: {told:#?}");
    }
    assert_eq!(place.names("backups").len(), 1);
    let checked = place.run(&["check", "--full"]);
    assert!(checked.code == 2 && checked.stdout.contains("ERROR database-corrupt"), "{checked:#?}");
}

#[test]
fn who_is_locked_out_is_told_by_whom() {
    let place = Place::with_events(5);
    let backup = place.back_up();
    let other = place.sql();
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    for words in [&["prune"][..], &["optimize"], &["growth", "--record"], &["restore", &backup, "--yes"]] {
        let told = place.run(&[words, &["--wait", "0"]].concat());
        assert_eq!(told.code, 4, "{words:?}: {told:#?}");
    }
    let checked = place.run(&["check", "--wait", "0"]).stdout;
    let line = checked.lines().find(|line| line.contains("database-locked")).expect("a line");
    assert!(line.starts_with("ERROR") && line.contains(&std::process::id().to_string()), "{line}");
    for words in [["info"], ["backup"], ["tail"]] {
        place.ok(&words);
    }
    other.execute_batch("ROLLBACK").expect("the lock is given back");
    assert_eq!(place.names("data/quarantine"), [""; 0]);

    let replacing = fs::OpenOptions::new().write(true).open(place.path("data/webhook_events.db.lock"));
    let replacing = replacing.expect("the file of the lock");
    replacing.lock().expect("free");
    let told = place.run(&["prune", "--wait", "0"]);
    assert!(told.code == 4 && told.stderr.contains("try again"), "{told:#?}");
}

#[test]
fn a_newer_database_is_looked_at_and_not_changed() {
    let place = Place::with_events(5);
    place
        .sql()
        .execute("UPDATE dogwatch_meta SET value = '99' WHERE key = 'schema_version'", [])
        .expect("an update");
    for words in [&["prune"][..], &["optimize"], &["growth", "--record"]] {
        let told = place.run(words);
        assert!(told.code == 1 && told.stderr.contains("use the newer program"), "{words:?}: {told:#?}");
    }
    for words in [["info"], ["tail"], ["backup"]] {
        place.ok(&words);
    }
    assert_eq!(place.run(&["check"]).code, 2);
}

/// Runs a script as the root of a user and mount namespace of its own, with 2 MiB of disk at `full/`.
fn on_a_small_disk(place: &Place, script: &str) -> crate::place::Answer {
    fs::create_dir(place.path("full")).expect("a folder");
    let script = format!("set -e; mount -t tmpfs -o size=2m small full; {script}");
    let mut command = Command::new("unshare");
    command
        .args(["-rm", "/bin/sh", "-c", &script, env!("CARGO_BIN_EXE_events")])
        .current_dir(place.path("."));
    answer(&mut command)
}

#[test]
fn a_backup_that_does_not_fit_is_none() {
    let place = Place::with_events(6_000);
    let told = on_a_small_disk(&place, r#"code=0; "$0" backup --to full || code=$?; ls -A full; exit $code"#);
    assert!(told.code == 6 && told.stderr.contains("too little room"), "{told:#?}");
    assert_eq!(told.stdout, "", "nothing is left");
}

#[test]
fn without_room_for_a_second_file_the_rest_is_done() {
    let place = Place::with_events(2_500);
    place.ok(&["optimize"]);
    let script = r#"cp data/webhook_events.db full/; "$0" --db full/webhook_events.db --json optimize"#;
    let told = on_a_small_disk(&place, script);
    assert!(told.code == 6 && told.stderr.contains("was not written anew"), "{told:#?}");
    let vacuum = &told.json()["vacuum"];
    assert_eq!(vacuum["state"], "skipped");
    assert!(vacuum["needed_bytes"].as_i64() > vacuum["free_bytes"].as_i64(), "{vacuum}");
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    let place = Place::with_events(1_000);
    let script = r#"cp data/webhook_events.db full/; head -c 2m /dev/zero >full/rest 2>/dev/null || :
        "$0" --db full/webhook_events.db check || :
        "$0" --db full/webhook_events.db growth --record"#;
    let told = on_a_small_disk(&place, script);
    assert!(told.code == 6 && told.stderr.contains("make room"), "{told:#?}");
    assert!(
        told.stdout.contains("ERROR database-access") && told.stdout.contains("ERROR disk-space"),
        "{told:#?}"
    );
}
