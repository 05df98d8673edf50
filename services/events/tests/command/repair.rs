//! Damaged databases: what is kept, what is lost, and where the original is.

use std::fs;

use crate::place::Place;

/// Pages that are destroyed, after the first ones with the schema.
const DESTROYED: std::ops::Range<usize> = 4096 * 8..4096 * 20;

/// A database with destroyed pages, alone, without a -wal.
fn damaged() -> (Place, Vec<u8>) {
    let place = Place::with_events(2_000);
    let backup = place.back_up();
    let mut bytes = fs::read(place.path(&backup)).expect("readable");
    bytes[DESTROYED].fill(0xa5);
    fs::write(place.database(), &bytes).expect("written");
    (place, bytes)
}

#[test]
fn what_can_be_read_is_kept_and_the_original_set_aside_unchanged() {
    let (place, before) = damaged();
    let told = place.run(&["repair", "--json"]);
    assert_eq!(told.code, 0, "{told:#?}");
    let report = told.json();
    assert!(report["damage"].as_str().is_some_and(|damage| damage.contains("malformed")), "{report}");
    let aside = place.path(report["set_aside"].as_str().expect("a path"));
    assert_eq!(fs::read(aside).expect("readable"), before);
    let events = &report["salvaged"][0]["tables"][0];
    let (kept, lost) =
        (events["kept"].as_u64().expect("a number"), events["lost"].as_u64().expect("a number"));
    assert_eq!(events["name"], "webhook_events");
    assert!(kept > 1_000 && kept < 2_000 && kept + lost >= 2_000, "{report}");
    let rows: u64 =
        place.sql().query_row("SELECT count(*) FROM webhook_events", [], |row| row.get(0)).expect("readable");
    assert_eq!(rows, kept);

    // An id is never given twice, not even one that was lost.
    place.add(1, "-1 minute");
    let newest: u64 =
        place.sql().query_row("SELECT max(id) FROM webhook_events", [], |row| row.get(0)).expect("readable");
    assert!(newest > 2_000, "{newest}");

    let again = place.run(&["repair"]);
    assert_eq!((again.code, again.stdout.contains("is whole; nothing was changed")), (0, true), "{again:#?}");
}

#[test]
fn without_salvage_nothing_is_copied_back() {
    let (place, before) = damaged();
    let told = place.run(&["repair", "--no-salvage"]);
    assert_eq!(told.code, 0, "{told:#?}");
    assert!(told.stdout.contains("was damaged: it is malformed"), "{told:#?}");
    let aside = place.names("data/quarantine");
    let aside = aside.iter().find(|name| name.ends_with(".db")).expect("the original");
    assert_eq!(fs::read(place.path("data/quarantine").join(aside)).expect("readable"), before);
    let rows: u64 =
        place.sql().query_row("SELECT count(*) FROM webhook_events", [], |row| row.get(0)).expect("readable");
    assert_eq!(rows, 0);
}

#[test]
fn what_is_no_database_is_replaced_and_what_is_missing_is_not_made() {
    let place = Place::bare();
    let told = place.run(&["repair"]);
    assert_eq!(told.code, 3, "{told:#?}");
    assert_eq!(place.names("."), [""; 0]);
    fs::create_dir(place.path("data")).expect("a folder");
    fs::write(place.database(), "no database at all".repeat(300)).expect("written");
    let told = place.run(&["repair"]);
    assert!(told.code == 0 && told.stdout.contains("it is not a database"), "{told:#?}");
    assert_eq!(place.run(&["check", "--full"]).code, 1, "only warnings: no event, no backup");
}
