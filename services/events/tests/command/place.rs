//! A folder with a database, and the command in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use events::{Connection, Entry, Logger, NewEvent, StoreText, Trigger, migrate};
use serde_json::Value;
use service_testing::LIMIT;
use tempfile::TempDir;

/// What must not be seen unasked.
pub const PHONE: &str = "15550100042";
pub const SECRET: &str = "meet me at the harbour";

pub const DATABASE: &str = "data/webhook_events.db";

pub struct Place {
    folder: TempDir,
}

/// What came of a command.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl Place {
    /// With an empty folder.
    pub fn bare() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    /// With a database of ours, nothing in it.
    pub fn new() -> Self {
        let place = Self::bare();
        migrate(&place.database(), LIMIT).expect("a new database");
        place
    }

    /// With a database of ours and `count` texts, one a minute until now.
    pub fn with_events(count: u32) -> Self {
        let place = Self::new();
        place.add(count, "-1 minute");
        place
    }

    /// With a database of the original system, and 20 texts.
    pub fn original() -> Self {
        let place = Self::bare();
        fs::create_dir(place.path("data")).expect("a folder");
        place.sql().execute_batch(include_str!("original.sql")).expect("an old database");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn database(&self) -> PathBuf {
        self.path(DATABASE)
    }

    pub fn sql(&self) -> Connection {
        open(&self.database())
    }

    /// Adds `count` texts, the newest of now, each before the next by `step`.
    pub fn add(&self, count: u32, step: &str) {
        let (number, unit) = step.split_once(' ').expect("a number and a unit");
        let number: i64 = number.parse().expect("a number");
        let sql = "WITH RECURSIVE n(i) AS (SELECT ?1 - 1 UNION ALL SELECT i - 1 FROM n WHERE i > 0)
            INSERT INTO webhook_events (event_type, timestamp, advisor_phone, event_data, message_type, processed)
            SELECT 'text_message', datetime('now', (i * ?2) || ' ' || ?3), ?4,
                json_object('text', ?5, 'direction', 'incoming', 'messageId', 'm' || i), 'text', 0 FROM n";
        let sql_of_talks =
            "INSERT INTO conversations (advisor_phone, message_type, content, direction, timestamp)
            SELECT advisor_phone, 'text', ?1, 'incoming', timestamp FROM webhook_events";
        let db = self.sql();
        db.execute(sql, (count, number, unit, PHONE, SECRET)).expect("rows");
        db.execute(sql_of_talks, [SECRET]).expect("rows");
    }

    pub fn count(&self, what: &str) -> i64 {
        count(&self.database(), what)
    }

    pub fn logger(&self) -> Logger {
        Logger::start(self.database(), self.path("data/events.spool"), |_| {}).expect("a thread").0
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_events"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env_clear()
            .env("TMPDIR", self.folder.path());
        command
    }

    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Answer {
        answer(&mut self.command(arguments))
    }

    /// Runs what must work.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> Answer {
        let answer = self.run(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {answer:#?}");
        answer
    }

    /// The names in a folder, sorted; none if it is not there.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The path of the backup that is now made.
    #[track_caller]
    pub fn back_up(&self) -> String {
        let backup = self.ok(&["--json", "backup"]).json()["backup"].as_str().map(str::to_owned);
        backup.expect("a path")
    }

    pub fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).expect("it is there").permissions().mode() & 0o7777
    }

    pub fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("a mode");
    }
}

#[track_caller]
pub fn answer(command: &mut Command) -> Answer {
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Answer {
        code: output.status.code().expect("an exit code"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

pub fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("the database opens");
    connection.busy_timeout(LIMIT).expect("a time limit");
    connection
}

/// How many rows there are `what`, which follows FROM.
#[track_caller]
pub fn count(path: &Path, what: &str) -> i64 {
    open(path).query_row(&format!("SELECT COUNT(*) FROM {what}"), [], |row| row.get(0)).expect("a count")
}

pub fn click(key: &str) -> Entry {
    let trigger = Trigger::Button { id: "market", title: "Market" };
    let event = NewEvent::click(jiff::Timestamp::now(), Some(PHONE), Some(key), trigger, StoreText::Full);
    Entry { key: Some(key.to_owned()), events: vec![event] }
}

/// Logs clicks until `work` is done, then waits until all are written. Returns how many, and what came of the work.
#[track_caller]
pub fn while_logging<T>(logger: &Logger, work: impl FnOnce() -> T) -> (u64, T) {
    let done = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut logged = 0;
            while !done.load(order) || logged == 0 {
                assert!(logger.log(&click(&format!("while-{logged}"))), "there is room");
                logged += 1;
                std::thread::park_timeout(Duration::from_millis(2));
            }
            logged
        });
        let outcome = work();
        done.store(true, order);
        (writer.join().expect("no panic"), outcome)
    })
}
