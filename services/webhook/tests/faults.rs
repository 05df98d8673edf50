//! Whatever happens to the database: every answer is 200 and comes at once, and afterwards every message that was
//! answered is in the database, once.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};
use service_testing::{LIMIT, Program, Running, eventually};
use tempfile::TempDir;

const SECRET: &str = "example-app-secret";
/// No answer may take longer.
const ANSWER: Duration = Duration::from_millis(500);
/// The user that is nobody, for whom modes count: they do not for root.
const NOBODY: u32 = 65_534;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a temporary folder"));
        fs::create_dir(place.data()).expect("a folder");
        place
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn database(&self) -> PathBuf {
        self.data().join("webhook_events.db")
    }

    /// The webhook, started by way of another program if there is `before`.
    fn program(&self, before: &[&str]) -> Program {
        let webhook = env!("CARGO_BIN_EXE_webhook");
        let program = match before {
            [] => Program::new(webhook, self.0.path()),
            [first, rest @ ..] => {
                let program = Program::new(first, self.0.path());
                rest.iter().fold(program, |program, argument| program.arg(argument)).arg(webhook)
            }
        };
        program
            .env("WEBHOOK_PORT", "0")
            .env("WHATSAPP_VERIFY_TOKEN", "example-verify-token")
            .env("WHATSAPP_APP_SECRET", SECRET)
            .env("WHATSAPP_ACCESS_TOKEN", "example-access-token")
            .env("WHATSAPP_PHONE_NUMBER_ID", "100000000001234")
    }

    /// As a user for whom modes count.
    fn program_of_nobody(&self) -> Program {
        if !is_root() {
            // Who runs these tests is such a user.
            return self.program(&[]);
        }
        for path in [self.0.path(), &self.data()] {
            chown(path, Some(NOBODY), Some(NOBODY)).expect("root gives it away");
        }
        let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
        self.program(&["/usr/bin/setpriv", &user, &group, "--clear-groups"])
    }

    /// With mounts of its own: `data` is a file system of four megabytes in memory. `then` follows in the shell.
    fn program_on_disk(&self, then: &str) -> Program {
        let script = format!("mount -t tmpfs -o mode=0755,size=4m tmpfs data && {then} exec \"$@\"");
        // Others than root may mount in a user namespace of their own.
        let flags = if is_root() { "-m" } else { "-mr" };
        self.program(&["/usr/bin/unshare", flags, "/bin/sh", "-c", &script, "sh"])
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("it is there").uid() == 0
}

/// What is at `path` as this process sees it, with mounts of its own.
fn as_seen_by(webhook: &Running, path: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}", webhook.id(), path.display()))
}

fn click(id: &str) -> Value {
    json!({"from": "15550100001", "id": id, "type": "interactive", "interactive":
        {"type": "button_reply", "button_reply": {"id": "market", "title": "Market"}}})
}

fn payload(messages: &[Value]) -> String {
    let value = json!({"messaging_product": "whatsapp", "messages": messages});
    json!({"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": value}]}]})
        .to_string()
}

/// Posts messages and remembers which were answered, and how long the slowest answer took. Beside it a thread that does
/// nothing measures how long this machine makes a thread wait: that is not the webhook's doing.
struct Poster {
    answered: Vec<String>,
    slowest: Duration,
    machine: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    watch: Option<JoinHandle<()>>,
}

impl Poster {
    fn new() -> Self {
        const NAP: Duration = Duration::from_millis(2);
        let (machine, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (most, over) = (Arc::clone(&machine), Arc::clone(&is_over));
        let watch = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let start = Instant::now();
                std::thread::park_timeout(NAP);
                let late = start.elapsed().saturating_sub(NAP);
                most.fetch_max(u64::try_from(late.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { answered: Vec::new(), slowest: Duration::ZERO, machine, is_over, watch: Some(watch) }
    }

    /// One message in one report.
    #[track_caller]
    fn post(&mut self, webhook: &Running) {
        self.post_many(webhook, 1);
    }

    /// So many messages in one report.
    #[track_caller]
    fn post_many(&mut self, webhook: &Running, count: usize) {
        let first = self.answered.len();
        let ids: Vec<String> = (first..first + count).map(|number| format!("wamid.{number:06}")).collect();
        let body = payload(&ids.iter().map(|id| click(id)).collect::<Vec<_>>());
        let signature = webhook::signature::sign(SECRET, body.as_bytes());
        let start = Instant::now();
        let answer =
            webhook.request("POST", "/webhook", &[("X-Hub-Signature-256", &signature)], body.as_bytes());
        self.slowest = self.slowest.max(start.elapsed());
        assert_eq!(answer.status, 200);
        self.answered.extend(ids);
    }

    /// Until the condition holds, a message every few milliseconds.
    #[track_caller]
    fn post_until(&mut self, webhook: &Running, what: &str, mut condition: impl FnMut() -> bool) {
        eventually(what, || {
            self.post(webhook);
            condition()
        });
    }

    /// All answers came in time.
    #[track_caller]
    fn was_never_kept_waiting(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(watch) = self.watch.take() {
            watch.join().expect("it only waits");
        }
        // A request passes several threads, each of which the machine may make wait.
        let machine = Duration::from_millis(self.machine.load(Ordering::Relaxed));
        assert!(self.slowest < ANSWER + 4 * machine, "{:?}, the machine {machine:?}", self.slowest);
    }

    /// Every message that was answered since the first `lost` is in the database, once.
    #[track_caller]
    fn is_all_in(&self, database: &Path, lost: usize) {
        let found = messages(database);
        let missing: Vec<_> = self.answered[lost..].iter().filter(|id| found.get(*id) != Some(&1)).collect();
        assert!(missing.is_empty(), "{} of {}: {missing:?}", missing.len(), self.answered.len());
    }
}

impl Drop for Poster {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// How often each message is in the database.
fn messages(database: &Path) -> BTreeMap<String, u32> {
    let sql = Connection::open(database).expect("the database opens");
    sql.busy_timeout(LIMIT).expect("a time limit");
    let mut found = BTreeMap::new();
    let mut statement = sql
        .prepare("SELECT json_extract(event_data, '$.messageId') FROM webhook_events ORDER BY id")
        .expect("the table");
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    for message in rows {
        *found.entry(message.expect("a message")).or_default() += 1;
    }
    found
}

fn health(webhook: &Running) -> Value {
    webhook.get("/health").json()
}

fn events(webhook: &Running, counter: &str) -> u64 {
    health(webhook)["events"][counter].as_u64().expect("a number")
}

#[track_caller]
fn until_healthy(webhook: &Running) {
    eventually("all is well", || {
        let health = health(webhook);
        health["status"] == "healthy" && health["events"]["queued"] == 0
    });
}

/// Ends the webhook and looks whether all is in the database.
#[track_caller]
fn end(webhook: Running, mut poster: Poster, place: &Place, lost: usize) -> String {
    until_healthy(&webhook);
    let (status, output) = webhook.end();
    assert_eq!(status.code(), Some(0), "{output}");
    poster.is_all_in(&place.database(), lost);
    poster.was_never_kept_waiting();
    output
}

fn lines(output: &str, with: &str) -> usize {
    output.lines().filter(|line| line.contains(with)).count()
}

#[test]
fn locked_for_nine_seconds() {
    let (place, mut poster) = (Place::new(), Poster::new());
    let webhook = place.program(&[]).start();
    until_healthy(&webhook);
    let lock = Connection::open(place.database()).expect("the database opens");
    lock.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    let start = Instant::now();
    poster.post_until(&webhook, "nine seconds", || start.elapsed() >= Duration::from_secs(9));
    assert_eq!(health(&webhook)["status"], "degraded");
    lock.execute_batch("COMMIT").expect("given back");
    let output = end(webhook, poster, &place, 0);
    assert_eq!(lines(&output, "events wait"), 1, "{output}");
}

#[test]
fn a_kill_a_second_after_the_answer() {
    for is_locked in [false, true] {
        let (place, mut poster) = (Place::new(), Poster::new());
        let webhook = place.program(&[]).start();
        until_healthy(&webhook);
        let lock = Connection::open(place.database()).expect("the database opens");
        if is_locked {
            lock.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
        }
        poster.post_many(&webhook, 700);
        for _ in 0..20 {
            poster.post(&webhook);
        }
        std::thread::park_timeout(Duration::from_secs(1));
        webhook.kill();
        drop(lock);
        let webhook = place.program(&[]).start();
        end(webhook, poster, &place, 0);
    }
}

#[test]
fn more_than_memory_holds_goes_to_the_spool_in_order() {
    let (place, mut poster) = (Place::new(), Poster::new());
    let webhook = place.program(&[]).start();
    until_healthy(&webhook);
    let lock = Connection::open(place.database()).expect("the database opens");
    lock.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    for _ in 0..24 {
        poster.post_many(&webhook, 500);
    }
    assert_eq!(events(&webhook, "dropped"), 0);
    drop(lock);
    poster.post(&webhook);
    eventually("all is written", || events(&webhook, "written") == poster.answered.len() as u64);
    end(webhook, poster, &place, 0);
    let disorder = "SELECT COUNT(*) FROM (SELECT json_extract(event_data, '$.messageId') AS message,
        LAG(json_extract(event_data, '$.messageId')) OVER (ORDER BY id) AS before FROM webhook_events) WHERE before >= message";
    let sql = Connection::open(place.database()).expect("the database opens");
    assert_eq!(sql.query_row(disorder, [], |row| row.get(0)), Ok(0));
}

#[test]
fn neither_database_nor_spool() {
    let (place, mut poster) = (Place::new(), Poster::new());
    let nowhere = "/proc/nowhere";
    let webhook = place
        .program(&[])
        .env("EVENTS_DB", &format!("{nowhere}/webhook_events.db"))
        .env("EVENTS_SPOOL", &format!("{nowhere}/events.spool"))
        .start();
    for _ in 0..21 {
        poster.post_many(&webhook, 500);
    }
    let health = health(&webhook);
    assert_eq!((&health["status"], &health["database"]), (&json!("degraded"), &json!("unavailable")));
    assert_eq!((&health["events"]["queued"], &health["events"]["dropped"]), (&json!(10_000), &json!(500)));
    poster.was_never_kept_waiting();
    let output = webhook.output();
    assert_eq!(lines(&output, "events are lost"), 1, "one line in ten seconds");
    assert_eq!(lines(&output, "events wait:"), 1, "one line in ten seconds");
}

#[test]
fn a_folder_that_is_not_there_and_one_that_goes_away() {
    let (place, mut poster) = (Place::new(), Poster::new());
    fs::remove_dir(place.data()).expect("removed");
    fs::write(place.data(), "in the way").expect("a file in the way");
    let webhook = place.program(&[]).start();
    poster.post(&webhook);
    assert_eq!(health(&webhook)["database"], "unavailable");
    fs::remove_file(place.data()).expect("out of the way");
    poster.post(&webhook);
    until_healthy(&webhook);
    poster.is_all_in(&place.database(), 0);
    let gone = poster.answered.len();
    fs::remove_dir_all(place.data()).expect("removed");
    poster.post_until(&webhook, "there is a new one", || place.database().exists());
    end(webhook, poster, &place, gone);
}

#[test]
fn deleted() {
    for parts in [&[""][..], &["", "-wal", "-shm"]] {
        let (place, mut poster) = (Place::new(), Poster::new());
        let webhook = place.program(&[]).start();
        until_healthy(&webhook);
        poster.post_many(&webhook, 20);
        eventually("they are written", || events(&webhook, "written") == 20);
        for part in parts {
            fs::remove_file(format!("{}{part}", place.database().display())).expect("removed");
        }
        poster.post_until(&webhook, "there is a new one", || place.database().exists());
        end(webhook, poster, &place, 20);
        let sql = Connection::open(place.database()).expect("the database opens");
        let first: i64 =
            sql.query_row("SELECT MIN(id) FROM webhook_events", [], |row| row.get(0)).expect("rows");
        assert_eq!(first, 21, "ids go on");
    }
}

#[test]
fn replaced_by_another_file() {
    let (place, mut poster, other) = (Place::new(), Poster::new(), Place::new());
    events::migrate(&other.database(), LIMIT).expect("another database");
    let webhook = place.program(&[]).start();
    until_healthy(&webhook);
    poster.post_many(&webhook, 20);
    eventually("they are written", || events(&webhook, "written") == 20);
    fs::copy(other.database(), place.data().join("new")).expect("copied");
    fs::rename(place.data().join("new"), place.database()).expect("in its place, beside the old -wal");
    for _ in 0..50 {
        poster.post(&webhook);
    }
    end(webhook, poster, &place, 20);
    assert_eq!(events::diagnose(&place.database(), LIMIT), events::Diagnosis::Healthy);
}

#[test]
fn garbage_in_its_place() {
    let (place, mut poster) = (Place::new(), Poster::new());
    let webhook = place.program(&[]).start();
    until_healthy(&webhook);
    poster.post_many(&webhook, 20);
    eventually("they are written", || events(&webhook, "written") == 20);
    let garbage = "this is no database, but long enough to be taken for one".repeat(400);
    fs::write(place.data().join("garbage"), &garbage).expect("written");
    fs::rename(place.data().join("garbage"), place.database()).expect("in its place");
    let start = Instant::now();
    poster.post_until(&webhook, "events are written again", || events(&webhook, "written") > 20);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let output = end(webhook, poster, &place, 20);
    assert_eq!(lines(&output, "ALERT"), 1, "{output}");
    let aside = fs::read_dir(place.data().join("quarantine")).expect("set aside").flatten();
    let kept = aside.filter(|entry| fs::read(entry.path()).is_ok_and(|kept| kept == garbage.as_bytes()));
    assert_eq!(kept.count(), 1, "unchanged");
}

/// 20 000 old rows, so that there is something to destroy.
fn fill(database: &Path) {
    events::migrate(database, LIMIT).expect("a new database");
    Connection::open(database)
        .and_then(|sql| {
            sql.execute_batch(
                "PRAGMA synchronous=OFF;
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                 INSERT INTO webhook_events (event_type, timestamp, event_data)
                 SELECT 'button_click', datetime('now', '-1 day'), json_object('messageId', 'old.' || i) FROM n;
                 PRAGMA wal_checkpoint(TRUNCATE);",
            )
        })
        .expect("filled");
}

#[test]
fn pages_destroyed_under_load() {
    destroy_pages(|webhook, _| webhook);
}

#[test]
fn pages_destroyed_and_a_kill_while_they_are_copied_back() {
    destroy_pages(|webhook, place| {
        webhook.kill();
        place.program(&[]).start()
    });
}

/// Destroys pages while messages come; `then` happens when the file has been replaced.
fn destroy_pages(then: impl FnOnce(Running, &Place) -> Running) {
    let (place, mut poster) = (Place::new(), Poster::new());
    fill(&place.database());
    let webhook = place.program(&[]).start();
    until_healthy(&webhook);
    poster.post_many(&webhook, 20);
    eventually("they are written", || events(&webhook, "written") == 20);
    let file = fs::File::options().write(true).open(place.database()).expect("it is there");
    let pages = file.metadata().expect("its length").len() / 4096;
    // Of the middle of the file: rows, indexes, and what leads to them.
    file.write_all_at(&[0xa5; 16 * 4096], pages / 2 * 4096).expect("destroyed");
    let start = Instant::now();
    // As the dashboards do when they meet it.
    let mut reader = events::Reader::new(place.database());
    let all = |db: &Connection| events::queries::rows_after(db, 0, u32::MAX).map(|rows| rows.len());
    let told = reader.ask(all).expect_err("it is damaged");
    assert_eq!(told.trouble(), events::Trouble::Corrupt);
    poster.post_until(&webhook, "the file is set aside", || webhook.output().contains("ALERT"));
    let written = events(&webhook, "written");
    poster.post_until(&webhook, "events are written again", || events(&webhook, "written") > written);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    eventually("nothing waits", || events(&webhook, "queued") == 0);
    assert_eq!(lines(&webhook.output(), "ALERT"), 1, "{}", webhook.output());
    let webhook = then(webhook, &place);
    poster.post_until(&webhook, "the salvage is through", || webhook.output().contains("copied back from"));
    end(webhook, poster, &place, 0);
    let found = messages(&place.database());
    assert!(found.len() > 19_000 && found.values().all(|count| *count == 1), "{}", found.len());
}

#[test]
fn a_file_that_may_not_be_read_or_written() {
    for mode in [0o000, 0o444] {
        let (place, mut poster) = (Place::new(), Poster::new());
        events::migrate(&place.database(), LIMIT).expect("a new database");
        let program = place.program_of_nobody();
        if is_root() {
            for entry in fs::read_dir(place.data()).expect("a folder").flatten() {
                chown(entry.path(), Some(NOBODY), Some(NOBODY)).expect("root gives it away");
            }
        }
        let set = |mode| fs::set_permissions(place.database(), Permissions::from_mode(mode)).expect("a mode");
        set(mode);
        let webhook = program.start();
        for _ in 0..20 {
            poster.post(&webhook);
        }
        eventually("they are in the spool", || events(&webhook, "spooled") == 20);
        assert_eq!(health(&webhook)["status"], "degraded");
        set(0o640);
        poster.post(&webhook);
        eventually("all is written", || events(&webhook, "written") == 21);
        end(webhook, poster, &place, 0);
    }
}

#[test]
fn a_read_only_file_system() {
    let (place, mut poster) = (Place::new(), Poster::new());
    let spool = place.0.path().join("events.spool");
    let spool = spool.to_str().expect("a path in UTF-8");
    let webhook =
        place.program_on_disk("mount -o remount,bind,ro data &&").env("EVENTS_SPOOL", spool).start();
    for _ in 0..20 {
        poster.post(&webhook);
    }
    eventually("they are in the spool", || events(&webhook, "spooled") == 20);
    assert_eq!(health(&webhook)["status"], "degraded");
    let seen = as_seen_by(&webhook, &place.data());
    fs::write(seen.join("x"), "").expect_err("it is read-only");
    let id = webhook.id().to_string();
    let mut command = Command::new("/usr/bin/nsenter");
    if !is_root() {
        command.args(["--preserve-credentials", "-U"]);
    }
    let remount = ["-t", &id, "-m", "/bin/mount", "-o", "remount,bind,rw"];
    let status = command.args(remount).arg(place.data()).status().expect("nsenter runs");
    assert!(status.success(), "{status}");
    end_on_disk(&webhook, poster, &place);
}

/// Its file system goes with the process: what is in it is looked at before.
#[track_caller]
fn end_on_disk(webhook: &Running, mut poster: Poster, place: &Place) {
    until_healthy(webhook);
    eventually("all is written", || events(webhook, "written") == poster.answered.len() as u64);
    for part in ["", "-wal"] {
        let path = PathBuf::from(format!("{}{part}", place.database().display()));
        fs::copy(as_seen_by(webhook, &path), path).expect("copied");
    }
    poster.is_all_in(&place.database(), 0);
    poster.was_never_kept_waiting();
}

#[test]
fn a_full_disk() {
    let (place, mut poster) = (Place::new(), Poster::new());
    let webhook = place.program_on_disk("").start();
    until_healthy(&webhook);
    poster.post(&webhook);
    let filler = as_seen_by(&webhook, &place.data().join("filler"));
    // As large as it gets.
    let full = fs::write(&filler, vec![0; 8 << 20]).expect_err("it does not fit");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    for _ in 0..3 {
        poster.post_many(&webhook, 500);
    }
    poster.post_until(&webhook, "it says so", || health(&webhook)["status"] == "degraded");
    assert_eq!(events(&webhook, "dropped"), 0);
    fs::remove_file(&filler).expect("removed");
    poster.post(&webhook);
    end_on_disk(&webhook, poster, &place);
}

#[test]
fn the_database_comes_and_goes_and_the_log_stays_quiet() {
    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let place = Place::new();
    let report = |line: &str| LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    let (logger, _) =
        events::Logger::start(place.database(), place.data().join("events.spool"), report).expect("threads");
    let away = place.data().join("away");
    for _ in 0..2 {
        eventually("it is there", || logger.counters().connected);
        fs::rename(place.database(), &away).expect("away");
        fs::create_dir(place.database()).expect("a folder in its place");
        eventually("it is away", || !logger.counters().connected);
        fs::remove_dir(place.database()).expect("out of the way");
        fs::rename(&away, place.database()).expect("back");
    }
    eventually("it is there", || logger.counters().connected);
    assert_eq!(logger.close(LIMIT), 0);
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(lines.iter().filter(|line| line.starts_with("events wait")).count(), 1, "{lines:?}");
}
