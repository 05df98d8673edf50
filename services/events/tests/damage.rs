//! Damaged files: set aside unchanged, replaced, copied back.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use events::{
    Connection, Damage, Diagnosis, Entry, Error, Freshness, Logger, NewEvent, Pace, Progress, Reader,
    RepairOptions, RepairReport, StoreText, Trigger, Trouble, diagnose, migrate, queries, repair,
};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);
const PHONE: Option<&str> = Some("15550100001");
const PAGE: u64 = 4096;
const WITH_SALVAGE: RepairOptions = RepairOptions { salvage: true };

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    /// With a database of so many clicks and a tenth as many texts, all in the file itself.
    fn filled(clicks: u32) -> Self {
        let place = Self::new();
        migrate(&place.database(), LIMIT).expect("a new database");
        place
            .sql()
            .execute_batch(&format!(
                "PRAGMA synchronous=OFF;
                 BEGIN;
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {clicks})
                 INSERT INTO webhook_events (event_type, timestamp, advisor_phone, event_data, button_id, message_type, processed)
                 SELECT 'button_click', datetime('now', '-' || ({clicks} - i) || ' seconds'), '15550100001',
                        json_object('id', 'market', 'title', 'Market', 'format', 'interactive_button', 'messageId', 'wamid.' || i),
                        'market', 'interactive', 0 FROM n;
                 INSERT INTO conversations (advisor_phone, message_type, content, direction, timestamp)
                 SELECT advisor_phone, 'text', 'hello', 'incoming', timestamp FROM webhook_events WHERE id % 10 = 0;
                 INSERT INTO dogwatch_seen (key, at) SELECT 'wamid.' || id, unixepoch() FROM webhook_events WHERE id % 10 = 0;
                 INSERT INTO webhook_metrics (date, button_clicks) SELECT date(timestamp), COUNT(*) FROM webhook_events GROUP BY 1;
                 COMMIT;
                 PRAGMA wal_checkpoint(TRUNCATE);"
            ))
            .expect("filled");
        place
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("data/webhook_events.db")
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("data/events.spool")
    }

    fn suspect(&self) -> PathBuf {
        self.folder.path().join("data/webhook_events.db.suspect")
    }

    fn logger(&self) -> Logger {
        Logger::start(self.database(), self.spool(), |line| eprintln!("{line}")).expect("threads").0
    }

    fn sql(&self) -> Connection {
        let sql = Connection::open(self.database()).expect("the database opens");
        sql.busy_timeout(LIMIT).expect("a time limit");
        sql
    }

    fn number(&self, sql: &str) -> i64 {
        self.sql().query_row(sql, [], |row| row.get(0)).expect("a number")
    }

    fn write(&self, page: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(self.database()).expect("it is there");
        file.write_all_at(bytes, page * PAGE).expect("written");
    }

    fn pages(&self) -> u64 {
        fs::metadata(self.database()).expect("it is there").len() / PAGE
    }

    /// Destroys so many pages, evenly over the file, never the first; and those that lead to others as little as the
    /// first, so that it can be said what must be found again.
    fn destroy(&self, count: u64) -> Vec<u64> {
        let pages = self.pages();
        let content = fs::read(self.database()).expect("it is there");
        let is_leaf = |page: &u64| matches!(content[usize::try_from(page * PAGE).expect("small")], 10 | 13);
        let destroyed: Vec<u64> = (1..=count)
            .map(|n| {
                let from = (pages * n / (count + 1)).max(1);
                (from..pages).find(is_leaf).expect("most pages are leaves")
            })
            .collect();
        for page in &destroyed {
            self.write(*page, &[0xa5; PAGE as usize]);
        }
        destroyed
    }

    /// Files set aside, with their content.
    fn set_aside(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = fs::read_dir(self.folder.path().join("data/quarantine"));
        let files = folder.into_iter().flatten().map(|entry| entry.expect("an entry").path());
        files
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).expect("readable")))
            .collect()
    }

    fn repair(&self, options: RepairOptions) -> RepairReport {
        repair(&self.database(), options, &mut |_| Pace::GoOn).expect("repaired")
    }
}

fn click(key: &str) -> Entry {
    let trigger = Trigger::Button { id: "market", title: "Market" };
    let event = NewEvent::click(jiff::Timestamp::now(), PHONE, Some(key), trigger, StoreText::Full);
    Entry { key: Some(key.to_owned()), events: vec![event] }
}

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn is_unchanged(set_aside: &[(PathBuf, Vec<u8>)], before: &[u8]) -> bool {
    let databases = set_aside.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "db"));
    databases.filter(|(_, content)| content == before).count() == 1
}

#[test]
fn a_whole_file_is_left_alone() {
    let place = Place::filled(100);
    let before = fs::read(place.database()).unwrap();
    let report = place.repair(WITH_SALVAGE);
    assert_eq!((report.damage, report.set_aside, report.salvaged.len()), (None, None, 0));
    assert_eq!(fs::read(place.database()).unwrap(), before);
    assert_eq!(place.set_aside(), []);
}

#[test]
fn what_can_be_read_comes_back_and_the_damaged_file_stays_as_it_was() {
    let place = Place::filled(20_000);
    place.destroy(8);
    let before = fs::read(place.database()).unwrap();
    let mut asked = Vec::new();
    let report = repair(&place.database(), WITH_SALVAGE, &mut |progress| {
        asked.push(progress);
        Pace::GoOn
    })
    .expect("repaired");
    assert!(matches!(report.damage, Some(Damage::Malformed(_))), "{report:?}");
    assert_eq!(asked.first(), Some(&Progress::Checking));
    let set_aside = place.set_aside();
    assert!(is_unchanged(&set_aside, &before));
    let told = report.set_aside.expect("it was set aside");
    assert!(set_aside.iter().any(|(path, content)| *path == told && *content == before));
    assert!(!set_aside.iter().any(|(path, _)| path.extension().is_some_and(|end| end == "salvage")));

    // Every row is back, or said to be lost; each once, as it was.
    let salvaged = &report.salvaged[0];
    for (table, rows) in [("webhook_events", 20_000), ("conversations", 2_000)] {
        let found = salvaged.table(table).expect("it is told of");
        assert_eq!(
            place.number(&format!("SELECT COUNT(*) FROM {table}")),
            i64::try_from(found.kept).unwrap()
        );
        assert_eq!(found.kept + found.lost.expect("it is known"), rows, "{salvaged}");
        assert!(found.kept > rows * 9 / 10, "{salvaged}");
    }
    let other = "SELECT COUNT(*) FROM webhook_events
        WHERE json_extract(event_data, '$.messageId') <> 'wamid.' || id OR processed <> 0 OR created_at IS NULL";
    assert_eq!(place.number(other), 0);
    assert_eq!(place.number("SELECT SUM(button_clicks) FROM webhook_metrics"), 20_000);
    assert_eq!(place.number("SELECT seq FROM sqlite_sequence WHERE name = 'webhook_events'"), 20_000);
    assert_eq!(diagnose(&place.database(), LIMIT), Diagnosis::Healthy);
    assert_eq!(place.repair(WITH_SALVAGE).damage, None);
}

#[test]
fn rows_come_back_from_pages_that_no_tree_leads_to() {
    // The first page, without which SQLite knows no table; or those that lead to others.
    let inner = |page: &[u8], _: usize| page[0] == 5;
    let first = |_: &[u8], index: usize| index == 0;
    for destroy in [&inner as &dyn Fn(&[u8], usize) -> bool, &first] {
        let place = Place::filled(5_000);
        assert_eq!(
            place.logger().close(LIMIT),
            0,
            "the writer keeps the highest ids where they outlive the file"
        );
        drop(place.sql().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
        let content = fs::read(place.database()).expect("it is there");
        let pages = content.chunks(usize::try_from(PAGE).expect("small")).enumerate();
        let destroyed: Vec<u64> =
            pages.filter(|(index, page)| destroy(page, *index)).map(|(index, _)| index as u64).collect();
        assert!(!destroyed.is_empty());
        for page in destroyed {
            place.write(page, &[0xa5; PAGE as usize]);
        }
        let report = place.repair(WITH_SALVAGE);
        let found = report.salvaged[0].table("webhook_events").expect("it is told of");
        assert_eq!(found.kept, 5_000, "{report:?}");
        assert_eq!(place.number("SELECT COUNT(*) FROM conversations"), 500);
        assert_eq!(place.number("SELECT SUM(button_clicks) FROM webhook_metrics"), 5_000);
        let other = "SELECT COUNT(*) FROM webhook_events WHERE json_extract(event_data, '$.messageId') <> 'wamid.' || id";
        assert_eq!(place.number(other), 0);
        place.sql().execute_batch("INSERT INTO webhook_events (event_type) VALUES ('x')").expect("a row");
        assert_eq!(place.number("SELECT MAX(id) FROM webhook_events"), 5_001);
    }
}

#[test]
fn without_salvage_only_the_ids_go_on() {
    let place = Place::filled(500);
    place.destroy(3);
    let before = fs::read(place.database()).unwrap();
    let report = place.repair(RepairOptions { salvage: false });
    assert!(report.set_aside.is_some() && report.salvaged.is_empty());
    assert!(is_unchanged(&place.set_aside(), &before));
    assert_eq!(place.number("SELECT COUNT(*) FROM webhook_events"), 0);
    place.sql().execute_batch("INSERT INTO webhook_events (event_type) VALUES ('x')").expect("a row");
    assert_eq!(place.number("SELECT id FROM webhook_events"), 501);
}

#[test]
fn a_salvage_that_is_stopped_goes_on_later_and_counts_once() {
    let place = Place::filled(8_000);
    place.destroy(5);
    let mut stopped = 0;
    let report = loop {
        let mut asked = 0;
        // Each time a little later, so that it is stopped in every part of it.
        let outcome = repair(&place.database(), WITH_SALVAGE, &mut |progress| {
            asked += u32::from(progress != Progress::Checking);
            if asked > 4 + stopped * 3 { Pace::Stop } else { Pace::GoOn }
        });
        match outcome {
            Ok(report) => break report,
            Err(Error::Stopped) => stopped += 1,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(stopped > 0, "{stopped}");
    // The file was replaced the first time.
    assert_eq!((report.damage, report.salvaged.len()), (None, 1));
    let events = report.salvaged[0].table("webhook_events").expect("it is told of").clone();
    assert_eq!(events.kept + events.lost.expect("known"), 8_000);
    assert_eq!(place.number("SELECT COUNT(*) FROM webhook_events"), i64::try_from(events.kept).unwrap());
    assert_eq!(place.number("SELECT SUM(button_clicks) FROM webhook_metrics"), 8_000);
}

#[test]
fn an_index_that_does_not_fit_its_table_is_damage_too() {
    let place = Place::filled(500);
    // Rows that come while SQLite does not know of the index.
    let index = "FROM sqlite_master WHERE name = 'idx_advisor_phone'";
    let root = place.number(&format!("SELECT rootpage {index}"));
    let sql = place.sql();
    sql.execute_batch(&format!("PRAGMA writable_schema=ON; DELETE {index}")).expect("forgotten");
    drop(sql);
    place.sql().execute_batch("INSERT INTO webhook_events (event_type) VALUES ('x')").expect("a row");
    let sql = place.sql();
    sql.execute_batch(&format!(
        "PRAGMA writable_schema=ON; INSERT INTO sqlite_master VALUES ('index', 'idx_advisor_phone', 'webhook_events',
         {root}, 'CREATE INDEX idx_advisor_phone ON webhook_events(advisor_phone)')"
    ))
    .expect("known again");
    drop(sql);
    let report = place.repair(WITH_SALVAGE);
    assert!(matches!(report.damage, Some(Damage::Malformed(_))), "{report:?}");
    assert_eq!(place.number("SELECT COUNT(*) FROM webhook_events"), 501);
    assert!(report.salvaged[0].is_whole(), "{report:?}");
}

#[test]
fn a_crash_between_the_two_renames_costs_nothing() {
    let place = Place::filled(3_000);
    assert_eq!(place.logger().close(LIMIT), 0);
    place.sql().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("one file");
    // The plan is written and the file is set aside; the new one is not at its place.
    let aside = place.folder.path().join("data/quarantine/webhook_events-20260102T030405Z-1.db");
    fs::create_dir(aside.parent().expect("a folder")).expect("made");
    let lock = PathBuf::from(format!("{}.lock", place.database().display()));
    fs::copy(lock, format!("{}.salvage", aside.display())).expect("a plan: the ids of before");
    fs::rename(place.database(), &aside).expect("set aside");
    let logger = place.logger();
    assert!(logger.log(&click("new")));
    eventually("it is written", || logger.counters().written == 1);
    eventually("all is back", || place.number("SELECT COUNT(*) FROM webhook_events") == 3_001);
    eventually("the plan is done", || !Path::new(&format!("{}.salvage", aside.display())).exists());
    assert_eq!(logger.close(LIMIT), 0);
    assert_eq!(place.number("SELECT MAX(id) FROM webhook_events"), 3_001);
    assert_eq!(place.number("SELECT SUM(button_clicks) FROM webhook_metrics"), 3_001);
}

#[test]
fn counters_of_before_and_since_add_up_and_destroyed_ones_are_counted_anew() {
    for destroy_counters in [false, true] {
        let place = Place::filled(5_000);
        if destroy_counters {
            let root = place.number("SELECT rootpage FROM sqlite_master WHERE name = 'webhook_metrics'");
            place.write(u64::try_from(root).unwrap() - 1, &[0xa5; PAGE as usize]);
        } else {
            place.destroy(2);
        }
        // Stopped at once, so that something is counted before the old counters come.
        let stopped = repair(&place.database(), WITH_SALVAGE, &mut |progress| {
            if progress == Progress::Checking { Pace::GoOn } else { Pace::Stop }
        });
        assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
        let logger = place.logger();
        for number in 0..100 {
            assert!(logger.log(&click(&format!("new.{number}"))));
        }
        eventually("they are written", || logger.counters().written == 100);
        eventually("the salvage goes on in the background", || {
            place.number("SELECT COALESCE(SUM(button_clicks), 0) FROM webhook_metrics") > 4_000
        });
        assert_eq!(logger.close(LIMIT), 0);
        assert_eq!(
            place.number("SELECT SUM(button_clicks) FROM webhook_metrics"),
            5_100,
            "{destroy_counters}"
        );
        assert_eq!(place.number("SELECT MAX(id) FROM webhook_events"), 5_100);
    }
}

#[test]
fn a_damaged_file_is_replaced_while_events_come() {
    let place = Place::filled(5_000);
    let logger = place.logger();
    assert!(logger.log(&click("first")) && logger.is_new("second"));
    eventually("it is written", || logger.counters().written == 1);
    place.destroy(4);
    // As a reader does that meets it.
    fs::write(place.suspect(), "").expect("a note");
    for number in 0..200 {
        assert!(logger.log(&click(&format!("new.{number}"))));
    }
    eventually("the file is set aside", || place.set_aside().len() > 1);
    assert!(logger.log(&click("last")) && logger.log(&click("first")));
    eventually("all is written", || logger.counters().written == 202);
    eventually("the note is gone", || !place.suspect().exists());
    let plan_is_done =
        || !place.set_aside().iter().any(|(path, _)| path.extension().is_some_and(|end| end == "salvage"));
    eventually("the salvage is through", plan_is_done);
    eventually("the repeat is known", || logger.counters().repeated == 1);
    assert_eq!(logger.close(LIMIT), 0);
    let once = "SELECT COUNT(*) FROM (SELECT json_extract(event_data, '$.messageId') AS m FROM webhook_events
        WHERE m LIKE 'new.%' OR m IN ('first', 'last') GROUP BY m HAVING COUNT(*) = 1)";
    assert_eq!(place.number(once), 202);
    assert!(place.number("SELECT COUNT(*) FROM webhook_events") > 4_000);
    assert_eq!(logger.counters().dropped, 0);
}

#[test]
fn garbage_is_replaced_and_ids_go_on() {
    let place = Place::filled(300);
    let logger = place.logger();
    assert!(logger.log(&click("first")));
    eventually("it is written", || logger.counters().written == 1);
    assert_eq!(logger.close(LIMIT), 0);
    drop(logger);
    let garbage = "this is no database, but long enough to be taken for one".repeat(400);
    fs::write(place.database(), &garbage).expect("written");
    // Another process: all it knows of the file is what the lock file keeps.
    let logger = place.logger();
    assert!(logger.log(&click("second")));
    eventually("events are written again", || logger.counters().written == 1);
    assert_eq!(logger.close(LIMIT), 0);
    assert_eq!(place.number("SELECT id FROM webhook_events"), 302);
    assert!(is_unchanged(&place.set_aside(), garbage.as_bytes()));
}

#[test]
fn a_reader_tells_of_damage_and_follows_the_new_file() {
    let place = Place::filled(2_000);
    assert_eq!(
        place.logger().close(LIMIT),
        0,
        "the writer keeps the highest ids where they outlive the file"
    );
    place.write(1, &vec![0xa5; usize::try_from((place.pages() - 1) * PAGE).unwrap()]);
    let mut reader = Reader::new(place.database());
    let told = reader.ask(queries::last_event_id).expect_err("it is damaged");
    assert_eq!(told.trouble(), Trouble::Corrupt);
    assert!(place.suspect().exists());
    place.repair(WITH_SALVAGE);
    assert!(!place.suspect().exists());
    assert_eq!(reader.refresh().expect("it opens"), Freshness::Replaced);
    // Whatever comes back is below what was given: watchers see nothing twice.
    assert_eq!(reader.ask(queries::last_id_given).expect("readable"), 2_000);
}

#[test]
fn the_stale_wal_of_another_file_is_never_played_in() {
    let place = Place::new();
    let logger = place.logger();
    assert!(logger.log(&click("first")));
    eventually("it is written", || logger.counters().written == 1);
    // Someone restores a copy, as guides say, and forgets the -wal.
    let other = Place::filled(1_000);
    fs::copy(other.database(), place.folder.path().join("data/copy")).expect("copied");
    fs::rename(place.folder.path().join("data/copy"), place.database()).expect("in place");
    assert!(logger.log(&click("second")));
    eventually("it is written", || logger.counters().written == 2);
    assert_eq!(logger.close(LIMIT), 0);
    assert_eq!(place.number("SELECT COUNT(*) FROM webhook_events"), 1_001);
    assert_eq!(diagnose(&place.database(), LIMIT), Diagnosis::Healthy);
    let wal = |path: &Path| path.to_string_lossy().ends_with("-wal");
    assert!(place.set_aside().iter().any(|(path, _)| wal(path)));
}

#[test]
fn every_trouble_has_its_name() {
    let place = Place::filled(2_000);
    let look = || diagnose(&place.database(), LIMIT);
    assert_eq!(look(), Diagnosis::Healthy);
    assert_eq!(look().advice(), None);

    let lock = place.sql();
    lock.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    assert_eq!(look(), Diagnosis::Locked);
    lock.execute_batch("ROLLBACK").expect("given back");
    drop(lock);

    place.destroy(3);
    assert!(matches!(look(), Diagnosis::Malformed(_)), "{:?}", look());
    fs::write(place.database(), "no database".repeat(100)).expect("written");
    assert_eq!(look(), Diagnosis::NotADatabase);
    fs::remove_file(place.database()).expect("removed");
    assert_eq!(look(), Diagnosis::Missing);
    for diagnosis in [look(), Diagnosis::Malformed("x".into()), Diagnosis::DiskFull] {
        assert!(diagnosis.advice().is_some_and(|advice| !advice.is_empty()), "{}", diagnosis.sentence());
    }
}
