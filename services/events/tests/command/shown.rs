//! What `info`, `growth` and `tail` show, and what they do not.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use service_testing::eventually;

use crate::place::{PHONE, Place, SECRET, click};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn info_tells_what_is_there_and_of_whom_nothing() {
    let place = Place::with_events(50);
    let told = place.ok(&["info", "--metrics"]);
    for word in ["size", "0640", "wal", "webhook_events", "50 rows", "growth per day", "generation"] {
        assert!(told.stdout.contains(word), "{word}: {}", told.stdout);
    }
    let json = place.ok(&["info", "--json"]);
    let facts = json.json();
    let expected = [
        "bytes",
        "bytes_per_day",
        "database",
        "events_per_day",
        "events_today",
        "generation",
        "journal_mode",
        "mode",
        "newest",
        "oldest",
        "owner",
        "schema_version",
        "tables",
        "wal_bytes",
    ];
    assert_eq!(keys(&facts), expected);
    assert_eq!(facts["tables"][0], json!({"name": "webhook_events", "rows": 50}));
    assert_eq!((&facts["schema_version"], &facts["journal_mode"]), (&json!(1), &json!("wal")));
    for output in [&told.stdout, &json.stdout] {
        assert!(!output.contains(PHONE) && !output.contains(SECRET), "{output}");
    }
}

#[test]
fn totals_of_nothing_are_unknown() {
    let place = Place::new();
    let metrics = place.ok(&["info", "--metrics", "--json"]).json()["metrics"].clone();
    assert_eq!(
        keys(&metrics),
        [
            "avg_response_time",
            "failed_deliveries",
            "successful_deliveries",
            "total_button_clicks",
            "total_content_deliveries",
            "total_text_messages"
        ]
    );
    assert!(metrics.as_object().expect("an object").values().all(Value::is_null), "{metrics}");
}

#[test]
fn looking_at_an_original_database_leaves_it_as_it_is() {
    let place = Place::original();
    let before = std::fs::read(place.database()).expect("readable");
    let facts = place.ok(&["info", "--json"]).json();
    assert_eq!((&facts["schema_version"], &facts["generation"]), (&Value::Null, &Value::Null));
    assert_eq!(facts["tables"][0]["rows"], 21);
    place.ok(&["tail"]);
    place.ok(&["growth"]);
    place.ok(&["prune", "--dry-run"]);
    assert_eq!(std::fs::read(place.database()).expect("readable"), before);
}

#[test]
fn growth_is_recorded_once_a_day_and_foretells() {
    let place = Place::with_events(200);
    let now = place.ok(&["growth", "--record", "--limit", "1G", "--json"]).json();
    assert_eq!(keys(&now), ["bytes_per_day", "database", "days_left", "history", "now", "room_bytes"]);
    assert_eq!((&now["bytes_per_day"], &now["days_left"]), (&Value::Null, &Value::Null));
    place.ok(&["growth", "--record"]);
    let bytes = now["now"]["bytes"].as_i64().expect("a number");
    place
        .sql()
        .execute(
            "INSERT INTO dogwatch_growth VALUES (date('now', '-10 days'), ?1, 0, 0)",
            [bytes - 4096 * 10],
        )
        .expect("an older record");
    let later = place.ok(&["growth", "--limit", "1G", "--json"]).json();
    assert_eq!(later["history"].as_array().map(Vec::len), Some(2));
    let (per_day, left) = (later["bytes_per_day"].as_f64(), later["days_left"].as_f64());
    assert!(per_day.is_some_and(|bytes| (3_000.0..6_000.0).contains(&bytes)), "{later}");
    assert!(left.is_some_and(|days| (150_000.0..400_000.0).contains(&days)), "{later}");
    assert!(place.ok(&["growth"]).stdout.contains("a day; the room of"));
}

#[test]
fn tail_shows_the_newest_and_hides_people() {
    let place = Place::with_events(30);
    let hidden = place.ok(&["tail", "-n", "3"]).stdout;
    assert_eq!(hidden.lines().count(), 3, "{hidden}");
    assert!(hidden.contains("#28") && hidden.ends_with("direction=incoming\n"), "{hidden}");
    let json = place.ok(&["tail", "-n", "2", "--json"]).stdout;
    for output in [&hidden, &json] {
        assert!(!output.contains(PHONE) && !output.contains(SECRET) && output.contains("…0042"), "{output}");
    }
    let event: Value = serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
    let expected = ["advisor_phone", "button_id", "detail", "event_type", "id", "message_type", "timestamp"];
    assert_eq!((keys(&event), &event["id"]), (expected.to_vec(), &json!(29)));
    let revealed = place.ok(&["tail", "-n", "1", "--reveal"]).stdout;
    assert!(revealed.contains(PHONE) && revealed.contains(SECRET), "{revealed}");
    assert_eq!(place.ok(&["tail", "-n", "0"]).stdout, "");
}

#[test]
fn what_people_send_cannot_steer_the_terminal() {
    let place = Place::new();
    place
        .sql()
        .execute(
            "INSERT INTO webhook_events (event_type, button_id) VALUES ('button_click', ?1)",
            ["\x1b[2J\nfake"],
        )
        .expect("a row");
    let shown = place.ok(&["tail", "--reveal"]).stdout;
    assert!(!shown.contains('\x1b') && shown.lines().count() == 1, "{shown:?}");
}

/// `tail --follow`, with its lines.
fn follow(place: &Place) -> (Child, impl Iterator<Item = String>) {
    let mut command = place.command(&["tail", "-n", "0", "--follow"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    (child, lines)
}

fn threads(child: &Child) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", child.id())).map_or(0, Iterator::count)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"))
}

#[test]
fn followed_events_come_as_they_are_written_also_after_a_restore() {
    let place = Place::with_events(10);
    let backup = place.back_up();
    let (mut child, mut lines) = follow(&place);
    eventually("it follows", || threads(&child) > 1);
    let logger = place.logger();
    assert!(logger.log(&click("one")));
    assert!(lines.next().expect("a line").contains("#11 "));
    place.ok(&["restore", &backup, "--yes"]);
    assert!(logger.log(&click("two")));
    assert!(lines.next().expect("a line").contains("#12 "), "ids go on");
    kill(pid(&child), Signal::SIGINT).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn following_ends_when_nobody_reads_any_more() {
    let place = Place::with_events(10);
    let (mut child, lines) = follow(&place);
    drop(lines);
    let mut ended = None;
    eventually("it ends", || {
        ended = child.try_wait().expect("it is ours");
        ended.is_some()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::with_events(5_000);
    let mut child = Command::new("/bin/sh")
        .args([
            "-c",
            r#"{ "$0" tail -n 5000; echo "code $?" >&2; } | head -n 1"#,
            env!("CARGO_BIN_EXE_events"),
        ])
        .current_dir(place.path("."))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut said = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("text");
    assert_eq!(said, "code 0\n");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn every_command_has_its_chapter_in_the_documentation() {
    let help = Place::bare().ok(&["--help"]).stdout;
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 8, "{help}");
    let documentation = include_str!("../../../../docs/events.md");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(documentation.contains(&format!("\n## {name}")), "{name}");
    }
}
