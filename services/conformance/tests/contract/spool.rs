//! §1.6: what happens to events while the database is away, and to answers meanwhile.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use conformance::platform::{click, text};
use conformance::{Place, Service, eventually, pass, platform};
use nix::sys::signal::Signal;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::Value;

const COUNT: &str = "SELECT COUNT(*) FROM webhook_events";
/// Far below the five seconds for which SQLite waits for a lock, and above what a machine busy with tests takes; how fast
/// answers are shows the benchmark.
const PROMPT: Duration = Duration::from_secs(2);

/// Posts clicks with these numbers one after another; each must be answered promptly.
#[track_caller]
fn clicks(webhook: &Service, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let begin = Instant::now();
        platform::post(webhook, &[click(&format!("wamid.{number}"))]);
        assert!(begin.elapsed() < PROMPT, "{number} took {:?}", begin.elapsed());
    }
}

/// The numbers of the clicks in the database, in the order of their rows.
fn numbers(place: &Place) -> Vec<u32> {
    let sql = place.sql();
    let mut statement =
        sql.prepare("SELECT substr(event_data ->> 'messageId', 7) FROM webhook_events ORDER BY id").unwrap();
    let numbers = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    numbers.map(|number| number.unwrap().parse().unwrap()).collect()
}

fn counters(webhook: &Service) -> Value {
    webhook.get("/health").json()["events"].clone()
}

fn locked(sql: &mut Connection) -> rusqlite::Transaction<'_> {
    sql.transaction_with_behavior(TransactionBehavior::Exclusive).unwrap()
}

/// §1.6: a database locked by someone for 9 s costs no event and no latency
/// §2.2: answer before logging
/// §8: busy timeout of 1 s only
#[test]
fn a_database_locked_for_9_seconds_costs_no_event_and_no_latency() {
    let place = Place::bare();
    let webhook = place.webhook().start();
    clicks(&webhook, 0..1);
    place.until(COUNT, 1);
    let mut sql = place.sql();
    let lock = locked(&mut sql);
    let release = Instant::now() + Duration::from_secs(9);
    let mut next = 1;
    while Instant::now() < release {
        clicks(&webhook, next..next + 5);
        next += 5;
        pass(Duration::from_millis(200));
    }
    lock.rollback().unwrap();
    place.until(COUNT, next.into());
    assert_eq!(numbers(&place), (0..next).collect::<Vec<_>>());
}

/// §1.6: DB unavailable for > 1 s: append to the spool, 0640; DB back: spool first, in order, then unlink
/// §2.7: `degraded` (HTTP 200) while events cannot be written
#[test]
fn events_wait_in_the_spool_and_come_back_in_order() {
    let place = Place::bare();
    let webhook = place.webhook().start();
    clicks(&webhook, 0..1);
    place.until(COUNT, 1);
    let mut sql = place.sql();
    let lock = locked(&mut sql);
    clicks(&webhook, 1..100);
    eventually("the events are spooled", || {
        let spool = fs::read_to_string(place.spool()).unwrap_or_default();
        spool.lines().filter(|line| line.contains("wamid.")).count() >= 99 && spool.ends_with('\n')
    });
    assert_eq!(fs::metadata(place.spool()).unwrap().permissions().mode() & 0o777, 0o640);
    for line in fs::read_to_string(place.spool()).unwrap().lines() {
        let _: Value = serde_json::from_str(line).unwrap();
    }
    let health = webhook.get("/health");
    assert_eq!((health.status, &health.json()["status"]), (200, &"degraded".into()));
    assert_eq!(health.json()["database"], "unavailable");
    eventually("they are counted", || counters(&webhook)["spooled"].as_i64().unwrap() > 0);
    lock.rollback().unwrap();
    clicks(&webhook, 100..110);
    place.until(COUNT, 110);
    assert_eq!(numbers(&place), (0..110).collect::<Vec<_>>());
    eventually("the spool is gone", || !place.spool().exists());
    eventually("it is healthy", || webhook.get("/health").json()["status"] == "healthy");
    assert_eq!(webhook.get("/health").json()["database"], "connected");
}

/// §1.6: events acknowledged > 1 s before a kill -9 are in the file
#[test]
fn what_was_acknowledged_a_second_before_kill_9_is_in_the_file() {
    let place = Place::bare();
    let webhook = place.webhook().start();
    clicks(&webhook, 0..20);
    pass(Duration::from_secs(1));
    webhook.kill();
    assert_eq!(numbers(&place), (0..20).collect::<Vec<_>>());
}

/// §1.6: events acknowledged > 1 s before a kill -9 are in the file, also when only the spool could take them
#[test]
fn what_was_acknowledged_before_kill_9_under_a_lock_comes_back() {
    let place = Place::bare();
    let webhook = place.webhook().start();
    clicks(&webhook, 0..1);
    place.until(COUNT, 1);
    let mut sql = place.sql();
    let lock = locked(&mut sql);
    // From now on the database is away for longer than a second, so that later events go straight to the spool.
    clicks(&webhook, 1..2);
    eventually("the spool is in use", || place.spool().exists());
    clicks(&webhook, 2..50);
    pass(Duration::from_secs(1));
    webhook.kill();
    lock.rollback().unwrap();
    let _again = place.webhook().start();
    place.until(COUNT, 50);
    assert_eq!(numbers(&place), (0..50).collect::<Vec<_>>());
}

/// §1.6: SIGTERM flushes everything within 5 s
#[test]
fn sigterm_flushes_everything() {
    let place = Place::bare();
    let mut webhook = place.webhook().start();
    clicks(&webhook, 0..100);
    let asked = Instant::now();
    webhook.signal(Signal::SIGTERM);
    assert!(webhook.wait().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(numbers(&place), (0..100).collect::<Vec<_>>());
}

/// §1.6: SIGTERM flushes everything within 5 s, with the database locked too: into the spool
#[test]
fn sigterm_under_a_lock_flushes_into_the_spool() {
    let place = Place::bare();
    let mut webhook = place.webhook().start();
    clicks(&webhook, 0..1);
    place.until(COUNT, 1);
    let mut sql = place.sql();
    let lock = locked(&mut sql);
    clicks(&webhook, 1..60);
    let asked = Instant::now();
    webhook.signal(Signal::SIGTERM);
    let status = webhook.wait();
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    assert!(status.success(), "{status}: {}", webhook.output());
    lock.rollback().unwrap();
    let _again = place.webhook().start();
    place.until(COUNT, 60);
    assert_eq!(numbers(&place), (0..60).collect::<Vec<_>>());
}

/// A spool with these clicks, as a webhook leaves it that found no database.
fn left_behind(place: &Place, count: u32) {
    let webhook = place.webhook().env("EVENTS_DB", "content.json/no.db").start();
    for first in (0..count).step_by(500) {
        let batch: Vec<Value> =
            (first..count.min(first + 500)).map(|number| click(&format!("wamid.{number}"))).collect();
        platform::post(&webhook, &batch);
    }
    webhook.end();
    let spool = fs::read_to_string(place.spool()).unwrap();
    assert_eq!(spool.lines().filter(|line| line.contains("wamid.")).count(), count as usize);
}

/// §1.6: a torn last line is skipped and counted
#[test]
fn a_torn_last_line_of_the_spool_costs_only_itself() {
    let place = Place::bare();
    left_behind(&place, 5);
    let whole = fs::read(place.spool()).unwrap();
    let last = whole[..whole.len() - 1].rsplit(|byte| *byte == b'\n').next().unwrap();
    let mut spool = OpenOptions::new().append(true).open(place.spool()).unwrap();
    spool.write_all(&last[..last.len() / 2]).unwrap();
    let webhook = place.webhook().start();
    clicks(&webhook, 5..6);
    place.until(COUNT, 6);
    assert_eq!(numbers(&place), (0..6).collect::<Vec<_>>());
    eventually("the spool is gone", || !place.spool().exists());
    assert_eq!(counters(&webhook)["dropped"], 1, "{}", counters(&webhook));
}

/// §1.6: the same transaction stores the spool's byte offset: exactly once across a crash
#[test]
fn a_spool_is_taken_over_once_however_often_the_webhook_crashes() {
    let place = Place::bare();
    left_behind(&place, 8_000);
    let mut before = 0;
    for _ in 0..4 {
        let webhook = place.webhook().start();
        eventually("some are taken over", || {
            place.try_count(COUNT).is_some_and(|count| count > before) || !place.spool().exists()
        });
        webhook.kill();
        before = place.value::<i64>(COUNT);
    }
    let _last = place.webhook().start();
    eventually("the spool is gone", || !place.spool().exists());
    assert_eq!(numbers(&place), (0..8_000).collect::<Vec<_>>());
    assert_eq!(
        place.value::<i64>("SELECT SUM(button_clicks) FROM webhook_metrics"),
        8_000,
        "each has counted once"
    );
}

/// §1.6: the service starts and answers when the directory does not exist
#[test]
fn it_starts_and_answers_without_the_directory() {
    let place = Place::bare();
    let webhook =
        place.webhook().env("EVENTS_DB", "a/b/c/events.db").env("EVENTS_SPOOL", "d/e/spool").start();
    clicks(&webhook, 0..5);
    assert_eq!(webhook.get("/health").status, 200);
    // A file stands where the directory should be: it can never be made.
    let nowhere = "content.json/data";
    let blind = place
        .webhook()
        .env("EVENTS_DB", &format!("{nowhere}/events.db"))
        .env("EVENTS_SPOOL", &format!("{nowhere}/spool"))
        .start();
    clicks(&blind, 0..20);
    let health = blind.get("/health");
    assert_eq!((health.status, &health.json()["status"]), (200, &"degraded".into()));
    assert_eq!(health.json()["database"], "unavailable");
    blind.signal(Signal::SIGTERM);
}

/// §1.6: retry to open every 1 s: a database that becomes possible later gets the events
#[test]
fn a_directory_that_appears_later_is_used() {
    let place = Place::bare();
    fs::write(place.path("later"), "in the way").unwrap();
    let webhook = place.webhook().env("EVENTS_DB", "later/events.db").start();
    clicks(&webhook, 0..5);
    eventually("they wait in the spool", || place.spool().exists());
    fs::remove_file(place.path("later")).unwrap();
    eventually("they are written", || counters(&webhook)["written"] == 5);
    let sql = Connection::open(place.path("later/events.db")).unwrap();
    assert_eq!(sql.query_row(COUNT, [], |row| row.get::<_, i64>(0)), Ok(5));
}

/// §1.6: spool full (64 MiB): drop, counter, one log line per 10 s
#[test]
fn a_full_spool_drops_counts_and_says_so_seldom() {
    let place = Place::bare();
    let webhook = place.webhook().env("EVENTS_DB", "content.json/no.db").start();
    // Quotes take three times their space in the spool.
    let body = "\"".repeat(4_096);
    let batch = 450;
    let mut sent = 0;
    let begin = Instant::now();
    // Twelve fill it; how long that takes is the machine's affair.
    let is_full = (0..40).any(|_| {
        let messages: Vec<Value> =
            (0..batch).map(|number| text(&format!("wamid.{}", sent + number), &body)).collect();
        platform::post(&webhook, &messages);
        sent += batch;
        counters(&webhook)["dropped"].as_i64().unwrap() > 0
    });
    assert!(is_full, "nothing was dropped");
    let spool = || fs::metadata(place.spool()).map_or(0, |file| file.len());
    assert!(spool() <= 64 << 20, "{}", spool());
    let mut last = Value::Null;
    eventually("every event is accounted for", || {
        last = counters(&webhook);
        let sum = ["queued", "written", "dropped", "spooled"].iter().map(|name| last[name].as_i64().unwrap());
        sum.sum::<i64>() == sent
    });
    let said = webhook.output();
    // Each request has a line of its own besides, which names its sender.
    let lines = said.lines().filter(|line| !line.contains("\u{2026}0001"));
    let lines = lines.filter(|line| ["drop", "lost"].iter().any(|word| line.contains(word))).count() as u64;
    assert!(
        (1..=1 + begin.elapsed().as_secs() / 10).contains(&lines),
        "{lines} lines in {:?}: {said}",
        begin.elapsed()
    );
}

/// §1.6: counters `queued, written, dropped, spooled` are in /health
#[test]
fn written_events_are_counted() {
    let place = Place::bare();
    let webhook = place.webhook().start();
    clicks(&webhook, 0..7);
    eventually("they are counted", || counters(&webhook)["written"] == 7);
    assert_eq!(
        counters(&webhook),
        serde_json::json!({"queued": 0, "written": 7, "dropped": 0, "spooled": 0})
    );
}

/// §2.5: repeats after restart: nothing, also when the first copy still waits in the spool
#[test]
fn what_waits_in_the_spool_is_known_after_a_restart() {
    let place = Place::bare();
    let without = || place.webhook().env("EVENTS_DB", "content.json/no.db");
    let webhook = without().start();
    platform::post(&webhook, &[click("wamid.1")]);
    webhook.end();
    let webhook = without().start();
    platform::post(&webhook, &[click("wamid.1")]);
    assert_eq!(webhook.get("/health").json()["messages"]["duplicates"], 1);
}
