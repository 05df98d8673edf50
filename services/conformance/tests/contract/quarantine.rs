//! §1.9: a database that is broken.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use conformance::platform::{self, click};
use conformance::{Client, Place, Service, eventually, old};
use rusqlite::Connection;

/// Far below the five seconds for which SQLite waits for a lock, and above what a machine busy with tests takes; how fast
/// answers are shows the benchmark.
const PROMPT: Duration = Duration::from_secs(2);
/// Until events are logged again.
const REPAIRED: Duration = Duration::from_secs(20);

/// A database with clicks on many pages; the webhook has it open.
fn filled() -> (Place, Service) {
    let place = Place::empty();
    let mut sql = place.sql();
    let commit = sql.transaction().unwrap();
    for number in 0..5_000 {
        let data = format!(r#"{{"messageId":"wamid.old{number}","pad":"{}"}}"#, "x".repeat(200));
        commit
            .execute("INSERT INTO webhook_events (event_type, advisor_phone, event_data, button_id) VALUES ('button_click', '15550100001', ?1, 'market')", [data])
            .unwrap();
    }
    commit.commit().unwrap();
    drop(sql);
    let webhook = place.webhook().start();
    post(&webhook, "wamid.before");
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.before%'", 1);
    place.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    (place, webhook)
}

#[track_caller]
fn post(webhook: &Service, id: &str) {
    let begin = Instant::now();
    platform::post(webhook, &[click(id)]);
    assert!(begin.elapsed() < PROMPT, "{id} took {:?}", begin.elapsed());
}

/// Overwrites part of the file where it is, as a broken disk does.
fn destroy(place: &Place, from: u64, length: usize) {
    let file = File::options().write(true).open(place.database()).unwrap();
    file.write_all_at(&vec![0x5a; length], from).unwrap();
    file.sync_all().unwrap();
}

fn has(place: &Place, id: &str) -> bool {
    place.try_count(&format!("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%{id}\"%'"))
        == Some(1)
        && place.try_count("SELECT COUNT(*) FROM sqlite_master").is_some()
}

/// Posts until the last post is in a sound file; the ids that were acknowledged meanwhile.
#[track_caller]
fn post_until_repaired(place: &Place, webhook: &Service) -> Vec<String> {
    let begin = Instant::now();
    let mut ids = Vec::new();
    loop {
        ids.push(format!("wamid.during{}", ids.len()));
        post(webhook, &ids[ids.len() - 1]);
        if set_aside(place).is_some() && ids.iter().any(|id| has(place, id)) {
            break;
        }
        assert!(begin.elapsed() < REPAIRED, "events are not logged again; {}", webhook.output());
        conformance::pass(Duration::from_millis(50));
    }
    eventually("every acknowledged event is in the file", || ids.iter().all(|id| has(place, id)));
    assert_eq!(place.value::<String>("PRAGMA quick_check"), "ok");
    ids
}

/// The database in quarantine.
fn set_aside(place: &Place) -> Option<PathBuf> {
    let entries = fs::read_dir(place.path("data/quarantine")).ok()?;
    let mut files = entries.map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|end| end == "db"))
}

/// §1.9: garbage under a running webhook: set aside unchanged, within 20 s logged again, no answer slower than 500 ms
/// §1.9: a new database whose sqlite_sequence continues above the highest id seen; write the pending batch
#[test]
fn garbage_is_set_aside_unchanged_and_events_are_logged_again() {
    let (place, webhook) = filled();
    let length = usize::try_from(fs::metadata(place.database()).unwrap().len()).unwrap();
    destroy(&place, 0, length);
    let broken = fs::read(place.database()).unwrap();
    post_until_repaired(&place, &webhook);
    let aside = set_aside(&place).unwrap();
    let name = aside.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("webhook_events-"), "{name}");
    assert!(fs::read(&aside).unwrap() == broken, "{name} was changed");
    assert!(
        place.value::<i64>("SELECT MIN(id) FROM webhook_events WHERE event_data LIKE '%during%'") > 5_001
    );
    assert_eq!(webhook.get("/health").json()["database"], "connected");
}

/// §1.9: pages destroyed under load: within 20 s logged again; the file set aside; readable rows come back with their ids
#[test]
fn destroyed_pages_under_load_cost_what_stood_on_them_only() {
    let (place, webhook) = filled();
    let length = fs::metadata(place.database()).unwrap().len();
    let stop = AtomicBool::new(false);
    let mut acknowledged = 0;
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut sent = 0;
            let begin = Instant::now();
            while !stop.load(Ordering::Relaxed) && begin.elapsed() < REPAIRED {
                post(&webhook, &format!("wamid.load{sent}"));
                sent += 1;
            }
            sent
        });
        // The last pages are those of the newest rows and of their index entries.
        destroy(&place, length / 4096 / 2 * 4096, 4096 * 8);
        destroy(&place, (length / 4096 - 20) * 4096, 4096 * 20);
        post_until_repaired(&place, &webhook);
        stop.store(true, Ordering::Relaxed);
        acknowledged = load.join().unwrap();
    });
    eventually("every acknowledged event is in the file", || {
        place.try_count("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.load%'")
            == Some(acknowledged)
    });
    eventually("most old rows are back", || {
        place
            .try_count("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.old%'")
            .is_some_and(|count| count > 1_000)
    });
    let first = "SELECT event_data ->> 'messageId' FROM webhook_events WHERE id = 1";
    assert_eq!(place.value::<String>(first), "wamid.old0", "with the original ids");
}

/// §1.9: detect at start: not a database, a file cut short, an empty header
#[test]
fn a_file_that_is_broken_at_start_is_set_aside() {
    for what in ["text", "cut short", "header"] {
        let place = Place::lived_in();
        let whole = fs::read(place.database()).unwrap();
        let broken = match what {
            "text" => b"this is not a database, whatever its name says\n".repeat(200),
            "cut short" => whole[..whole.len() / 2].to_vec(),
            _ => [&[0x5a; 100], &whole[100..]].concat(),
        };
        fs::write(place.database(), &broken).unwrap();
        let webhook = place.webhook().start();
        post_until_repaired(&place, &webhook);
        assert!(fs::read(set_aside(&place).unwrap()).unwrap() == broken, "{what}");
    }
}

/// §1.9: a reader that meets corruption creates `…db.suspect`, which the writer re-checks at once
/// §3.7: events_database: `corrupt`, 503
#[test]
fn a_reader_that_meets_corruption_says_so() {
    let place = Place::lived_in();
    let api = place.api().env("CACHE_TTL_MS", "0").start();
    let websocket = place.websocket().start();
    assert_eq!(api.get("/api/webhook/events/recent").status, 200);
    place.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    let length = usize::try_from(fs::metadata(place.database()).unwrap().len()).unwrap();
    destroy(&place, 0, length);
    let suspect = place.path("data/webhook_events.db.suspect");
    eventually("the suspicion is told", || {
        let _ = api.get("/api/webhook/events/recent");
        suspect.exists()
    });
    let health = api.get("/api/webhook/health");
    assert_eq!((health.status, &health.json()["components"]["events_database"]), (503, &"corrupt".into()));
    // The writer comes, and all is well again.
    let webhook = place.webhook().start();
    post_until_repaired(&place, &webhook);
    eventually("the suspicion is gone", || !suspect.exists());
    eventually("the API reads the new file", || {
        api.get("/api/webhook/events/recent").text().contains("during")
    });
    eventually("its health shows it", || {
        api.get("/api/webhook/health").json()["components"]["events_database"] == "connected"
    });
    let (mut client, ..) = Client::join(&websocket);
    post(&webhook, "wamid.after");
    eventually("the WebSocket follows", || client.of("new_events").to_string().contains("wamid.after"));
}

/// §1.5: anything that replaces the file holds an exclusive flock on `….db.lock`: while another has it, nothing moves
#[test]
fn nothing_is_moved_while_another_holds_the_lock() {
    let (place, webhook) = filled();
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(place.path("data/webhook_events.db.lock"))
        .unwrap();
    lock.lock().unwrap();
    let _held = lock.as_fd();
    let length = usize::try_from(fs::metadata(place.database()).unwrap().len()).unwrap();
    destroy(&place, 0, length);
    for number in 0..20 {
        post(&webhook, &format!("wamid.locked{number}"));
        conformance::pass(Duration::from_millis(100));
    }
    assert!(set_aside(&place).is_none());
    lock.unlock().unwrap();
    post_until_repaired(&place, &webhook);
    eventually("what came meanwhile is there", || {
        (0..20).all(|number| has(&place, &format!("wamid.locked{number}")))
    });
}

/// §1.9: ids continue: the WebSocket sends the rows of the new file, and nothing twice
/// §4.3: file replaced: never a replay of the table
#[test]
fn a_client_gets_what_follows_a_quarantine_and_nothing_twice() {
    let (place, webhook) = filled();
    let websocket = place.websocket().start();
    let (mut client, _, initial) = Client::join(&websocket);
    let last = initial["data"]["last_event_id"].as_i64().unwrap();
    let length = usize::try_from(fs::metadata(place.database()).unwrap().len()).unwrap();
    destroy(&place, 0, length);
    let ids = post_until_repaired(&place, &webhook);
    let seen = client.ids(ids.len());
    assert!(seen.iter().all(|id| *id > last) && seen.is_sorted_by(|a, b| a < b), "{last}: {seen:?}");
}

/// §1.9: a database that was deleted is made anew
#[test]
fn a_deleted_database_is_made_anew() {
    let (place, webhook) = filled();
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(place.path(format!("data/webhook_events.db{end}")));
    }
    post(&webhook, "wamid.after");
    eventually("the event is in a new file", || has(&place, "wamid.after"));
    assert!(set_aside(&place).is_none(), "there was nothing to set aside");
}

/// §1.9: a quarantined file can still be read as far as it is readable: nothing of it is ever deleted
#[test]
fn a_second_quarantine_leaves_the_first() {
    let (place, webhook) = filled();
    for round in 1..=2 {
        place.execute("PRAGMA wal_checkpoint(TRUNCATE)");
        let length = usize::try_from(fs::metadata(place.database()).unwrap().len()).unwrap();
        destroy(&place, 0, length.min(4096 * 2));
        let aside = || {
            let entries = fs::read_dir(place.path("data/quarantine")).into_iter().flatten();
            entries
                .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "db"))
                .count()
        };
        let begin = Instant::now();
        while aside() < round {
            post(&webhook, &format!("wamid.{round}-{}", begin.elapsed().as_nanos()));
            assert!(begin.elapsed() < REPAIRED, "round {round}: {}", webhook.output());
        }
        eventually("the new file is sound", || {
            Connection::open(place.database()).and_then(|sql| sql.execute_batch(old::INSERTS[0])).is_ok()
        });
        // What is written all the while may heal what is destroyed next: a page that stands in the WAL is the newer one.
        eventually("what can be read is copied back", || {
            webhook.output().matches("copied back from").count() >= round
        });
    }
}
