//! Logs with times in them, with an object a line, and with both streams in one file: real services, real keepers that
//! are killed in a flood.
//!
//! `DOGWATCH_DRESSED_KILLS` makes the kills more (`make soak`).

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::disk::SmallDisk;
use crate::harness::programs::copy;
use crate::harness::{Machine, binary, kill, until};
use crate::upgrade::{all_run_the_installed, upgrade};

/// pm2's own format, and the length of a line's beginning in it.
const INLINE: &str = r#"timestamps = "inline""#;
const INLINE_HEAD: usize = "2026-11-22T21:05:00: ".len();
const JSON: &str = r#"format = "json""#;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A service `web` with these words and this log.
fn machine(words: &str, log: &str) -> Machine {
    Machine::new(&format!(
        "[services.web]\ncommand = [\"UNRULY\", {words}]\nrestart = {{ policy = \"never\" }}\nlog = {{ {log} }}\n"
    ))
}

fn read(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap_or_default();
    if path.extension().is_none_or(|end| end != "gz") {
        return bytes;
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
    plain
}

/// The files of a log, archives first.
fn files(machine: &Machine, stem: &str) -> Vec<PathBuf> {
    let dir = machine.dir().join("logs");
    let mut files = dogwatch::archive::list(&dir, stem);
    files.push(dir.join(format!("{stem}.log")));
    files
}

/// All of a log. Each file ends where a line does.
#[track_caller]
fn whole(machine: &Machine, stem: &str) -> String {
    let texts = files(machine, stem).into_iter().map(|path| String::from_utf8(read(&path)).unwrap());
    let texts: Vec<String> = texts.collect();
    assert!(texts.iter().all(|text| text.is_empty() || text.ends_with('\n')), "a file ends in mid-line");
    texts.concat()
}

/// The lines of a service as it wrote them, out of what the file has.
#[track_caller]
fn undressed(log: &str, dress: &str) -> Vec<String> {
    undressed_of(log, dress, "web")
}

/// The same of another service.
#[track_caller]
fn undressed_of(log: &str, dress: &str, service: &str) -> Vec<String> {
    let line = |line: &str| match dress {
        INLINE => {
            let (time, rest) = line.split_at_checked(INLINE_HEAD).unwrap_or_else(|| panic!("torn: {line:?}"));
            let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
            assert_eq!(shape, "9999-99-99T99:99:99: ", "torn: {line:?}");
            rest.to_owned()
        }
        _ => {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("torn: {line:?}"));
            assert_eq!((&object["v"], &object["service"]), (&1.into(), &service.into()), "{line}");
            object["line"].as_str().unwrap_or_else(|| panic!("no line: {line}")).to_owned()
        }
    };
    log.lines().map(line).collect()
}

/// How many numbered lines there are: each once, in order, whole.
#[track_caller]
fn numbered(lines: &[String]) -> u64 {
    for (expected, line) in lines.iter().enumerate() {
        let number = line.split(' ').next().unwrap();
        assert_eq!(number.parse::<usize>().ok(), Some(expected), "lost, doubled or torn: {line:?}");
        assert!(line[number.len() + 1..].bytes().all(|byte| byte == b'x') && line.len() >= 49, "{line:?}");
    }
    lines.len() as u64
}

/// Waits for the keeper to have written all that the service has said, and ends.
fn finish(machine: &Machine) {
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
}

#[test]
fn each_line_begins_with_its_time() {
    let log = r#"timestamps = "inline", date_format = "YYYY-MM-DD HH:mm:ss.SSS Z""#;
    let machine = machine(r#""say", "one", "half", "tw", "say", "o", "half", "end", "exit", "0""#, log);
    let _ = machine.run(&["up", "-d"]);
    let written = until("the end", || machine.log("web", "out"), |log| log.ends_with("end\n"));
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines.len(), 3, "{written}");
    for (line, text) in lines.iter().zip(["one", "two", "end"]) {
        let (time, rest) = line.split_once(": ").unwrap();
        assert_eq!((rest, time.len()), (text, "2026-11-22 21:05:00.123 +02:00".len()), "{line}");
    }
    // As they stand: no second time, in whatever way it is asked for.
    let shown = machine.ok(&["logs", "web", "--nostream", "--timestamp"]);
    assert_eq!(shown, written);
    let json = machine.ok(&["logs", "web", "--nostream", "--json"]);
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["line"], lines[0]);
}

#[test]
fn each_line_is_an_object_and_objects_are_kept() {
    let object = r#"{\"level\":30, \"msg\":\"up\"}"#;
    let words =
        format!(r#""say", "one", "say", "{object}", "binary", "shout", "bad", "half", "end", "exit", "0""#);
    let machine = machine(&words, JSON);
    let _ = machine.run(&["up", "-d"]);
    let written = until("the end", || machine.log("web", "out"), |log| log.contains("\"end\""));
    let shapes: Vec<&str> = written.lines().map(|line| line.split_once("\"stream\":").unwrap().1).collect();
    assert_eq!(
        shapes,
        [
            r#""out","line":"one"}"#,
            r#""out","json":{"level":30, "msg":"up"}}"#,
            "\"out\",\"line\":\"a\u{fffd}\u{fffd}\\u0000b\",\"lossy\":true}",
            r#""out","line":"end"}"#,
        ]
    );
    // Each stream is written by itself, a moment before or after the other one.
    let error = until("the other stream", || machine.log("web", "error"), |log| log.ends_with('\n'));
    let object: Value = serde_json::from_str(error.trim_end()).unwrap();
    assert_eq!((&object["stream"], &object["line"]), (&"error".into(), &"bad".into()));
    let time = object["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    // No object in an object.
    let shown = machine.ok(&["logs", "web", "--nostream", "--json"]);
    let mut both: Vec<&str> = written.lines().chain(error.lines()).collect();
    let mut found: Vec<&str> = shown.lines().collect();
    both.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, both);
    let near = machine.ok(&["logs", "web", "--out", "--nostream", "--json", "--grep", "level", "-C", "1"]);
    let objects: Vec<Value> = near.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let context: Vec<bool> = objects.iter().map(|object| object["context"] == true).collect();
    assert_eq!(context, [true, false, true]);
}

#[test]
fn both_streams_in_one_file_in_their_order() {
    let words = (0..50).map(|n| format!(r#""say", "out {n}", "shout", "error {n}", "#)).collect::<String>();
    let machine = machine(&format!("{words}\"ready\", \"hang\""), "merge = true");
    machine.write(
        &fs::read_to_string(machine.dir().join("ecosystem.toml"))
            .unwrap()
            .replace("log =", "ready = \"notify\"\nlog ="),
    );
    machine.up();
    let expected: String = (0..50).map(|n| format!("out {n}\nerror {n}\n")).collect();
    let log = || fs::read_to_string(machine.dir().join("logs/web.log")).unwrap_or_default();
    until("all lines", log, |log| *log == expected);
    let names: Vec<String> = fs::read_dir(machine.dir().join("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".log"))
        .collect();
    assert_eq!(names, ["web.log"]);
    let status = machine.status("web");
    assert_eq!(status["log_out"], status["log_error"]);
    let show = machine.ok(&["show", "web"]);
    assert!(show.contains("/web.log") && !show.contains("error log"), "{show}");
    // Asked for one of them, all is shown, and it is said why.
    for only in ["--err", "--out"] {
        let shown = machine.run(&["logs", "web", "--nostream", "-n", "100", only]);
        assert_eq!(shown.out, expected);
        assert!(shown.err.contains("web: its streams are merged (log.merge)"), "{}", shown.err);
    }
    let json = machine.ok(&["logs", "web", "--nostream", "--json"]);
    assert!(json.lines().all(|line| line.contains("\"stream\":\"merged\"")), "{json}");
    // A keeper that is killed is followed by one that finds out how it was.
    let old = machine.keeper("web").unwrap();
    kill(&old);
    until("a successor", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != old));
    machine.until_state("web", "online");
    machine.ok(&["flush", "web"]);
    assert_eq!((log().as_str(), whole(&machine, "web")), ("", expected));
    // Apart again with the next start, and not before.
    let apart = fs::read_to_string(machine.dir().join("ecosystem.toml")).unwrap().replace("merge = true", "");
    machine.write(&apart);
    machine.ok(&["restart", "web"]);
    until("a line of each", || machine.log("web", "error"), |log| log.ends_with("error 49\n"));
    assert!(machine.log("web", "out").starts_with("out 0\nout 1\n"));
    assert_eq!(log(), "");
    let status = machine.status("web");
    assert_ne!(status["log_out"], status["log_error"]);
}

/// Keepers die in a full flood, wherever it hits them.
fn flood(dress: &str, merge: bool) {
    let log = format!(
        "{dress}, merge = {merge}, rotate_size = \"1MiB\", keep = 1000, compress = false, budget = \"1TiB\""
    );
    // Sixteen times what a FIFO takes at once: the pump is always at work.
    let machine = machine(r#""whole", "number", "20", "20000", "hang""#, &log);
    machine.up();
    let before = machine.until_state("web", "online");
    let stem = if merge { "web" } else { "web-out" };
    for _ in 0..setting("DOGWATCH_DRESSED_KILLS", 10) {
        let old = machine.keeper("web").unwrap();
        let archives = files(&machine, stem).len();
        let length = || {
            files(&machine, stem).last().and_then(|path| path.metadata().ok()).map_or(0, |about| about.len())
        };
        let begun = length();
        until("it writes", || (files(&machine, stem).len(), length()), |now| *now != (archives, begun));
        kill(&old);
        until("a successor", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != old));
    }
    assert_eq!(machine.until_state("web", "online")["pid"], before["pid"]);
    finish(&machine);
    let lines = numbered(&undressed(&whole(&machine, stem), dress));
    eprintln!("{lines} lines in {} files", files(&machine, stem).len());
    assert!(lines >= 20_000 && lines.is_multiple_of(20_000), "{lines}");
}

#[test]
fn keepers_die_in_a_flood_of_lines_with_times() {
    flood(INLINE, false);
}

#[test]
fn keepers_die_in_a_flood_of_objects_of_merged_streams() {
    flood(JSON, true);
}

/// A keeper that dies exactly there, once.
fn die_at(moment: &str, dress: &str) {
    let log = format!("{dress}, rotate_size = \"64KiB\", keep = 1000, compress = false");
    let mut machine = machine(r#""whole", "number", "1", "100", "hang""#, &log);
    let died = machine.dir().join("died");
    machine.set("DOGWATCH_FAULT", &format!("{moment}={}", died.display()));
    machine.up();
    until("the keeper's death", || died.exists(), |died| *died);
    until("a few rotations", || files(&machine, "web-out").len(), |files| *files > 4);
    machine.until_state("web", "online");
    finish(&machine);
    let lines = numbered(&undressed(&whole(&machine, "web-out"), dress));
    assert!(lines > 1000 && lines.is_multiple_of(100), "{lines}");
}

#[test]
fn a_keeper_dies_before_dressed_lines_are_written() {
    die_at("before dressed lines are written", INLINE);
}

#[test]
fn a_keeper_dies_after_dressed_lines_are_written() {
    die_at("after dressed lines are written", INLINE);
    die_at("after dressed lines are written", JSON);
}

#[test]
fn a_keeper_dies_after_dressed_lines_are_taken() {
    die_at("after dressed lines are taken", JSON);
}

#[test]
fn an_upgrade_in_a_flood_costs_no_dressed_line() {
    let flood = |name: &str, log: &str| {
        let sizes = "rotate_size = \"1MiB\", keep = 1000, compress = false, budget = \"1TiB\"";
        let command = r#"["UNRULY", "whole", "number", "20", "20000", "hang"]"#;
        format!("[services.{name}]\ncommand = {command}\nlog = {{ {log}, {sizes} }}\n")
    };
    let dressed = [("inline", INLINE, "inline-out"), ("json", JSON, "json-out")];
    let merged = flood("merged", &format!("{INLINE}, merge = true"));
    let config: String = dressed.iter().map(|(name, dress, _)| flood(name, dress)).collect();
    let machine = Machine::with_own_program(&(config + &merged));
    machine.up();
    let names = ["inline", "json", "merged"];
    let before = names.map(|name| machine.until_state(name, "online")["pid"].clone());
    for number in 0..2 {
        let program = machine.dir().join("new");
        copy(&binary(), &program, &format!("build {number}"));
        let summary = upgrade(&machine, Some(&program), 0);
        assert_eq!(summary["ending"], "done", "{summary:#}");
        all_run_the_installed(&machine, &names);
    }
    assert_eq!(names.map(|name| machine.until_state(name, "online")["pid"].clone()), before);
    machine.ok(&["stop", "all"]);
    machine.ok(&["down"]);
    for (name, dress, stem) in dressed.into_iter().chain([("merged", INLINE, "merged")]) {
        let lines = numbered(&undressed_of(&whole(&machine, stem), dress, name));
        assert!(lines >= 20_000 && lines.is_multiple_of(20_000), "{name}: {lines}");
    }
}

#[test]
fn dressed_logs_are_rotated_and_compressed() {
    for dress in [INLINE, JSON] {
        let log = format!("{dress}, rotate_size = \"256KiB\", keep = 1000");
        let machine = machine(r#""burst", "20001", "50", "exit", "0""#, &log);
        let _ = machine.run(&["up", "-d"]);
        until("the last line", || machine.log("web", "out"), |log| log.contains("0000020000 "));
        let compressed = |files: &Vec<PathBuf>| {
            files.iter().rev().skip(1).all(|path| path.extension().is_some_and(|end| end == "gz"))
        };
        until("compression", || files(&machine, "web-out"), compressed);
        machine.ok(&["down"]);
        assert!(files(&machine, "web-out").len() > 3);
        assert_eq!(numbered(&undressed(&whole(&machine, "web-out"), dress)), 20_001);
        // What is read is what was written, also out of archives.
        let shown = machine.ok(&["logs", "web", "--nostream", "-n", "20001", "--raw"]);
        assert_eq!(shown, whole(&machine, "web-out"));
    }
}

#[test]
fn a_service_that_crashes_in_mid_line_leaves_a_whole_one() {
    for (dress, end) in [(INLINE, ": its last wor\n"), (JSON, "\"line\":\"its last wor\"}\n")] {
        let machine = machine(r#""say", "hello", "half", "its last wor", "crash""#, dress);
        let _ = machine.run(&["up", "-d"]);
        let log = until("the last words", || machine.log("web", "out"), |log| log.contains(end));
        assert!(log.lines().nth(1).is_some_and(|line| line.ends_with(end.trim_end())), "{log}");
    }
}

#[test]
fn a_line_longer_than_any_buffer_passes() {
    for (dress, merge) in [(INLINE, true), (JSON, false)] {
        let machine =
            machine(r#""burst", "3", "1000000", "exit", "0""#, &format!("{dress}, merge = {merge}"));
        let stem = if merge { "web" } else { "web-out" };
        let _ = machine.run(&["up", "-d"]);
        machine.until_state("web", "stopped");
        machine.ok(&["down"]);
        let log = whole(&machine, stem);
        if dress == INLINE {
            assert_eq!(numbered(&undressed(&log, dress)), 3);
            continue;
        }
        let (mut text, mut parts) = (String::new(), 0);
        for line in log.lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            text += object["line"].as_str().unwrap();
            parts += 1;
            if object["partial"] != true {
                text += "\n";
            }
        }
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert!(parts > 30, "{parts}");
        assert_eq!((numbered(&lines), text.len()), (3, 3_000_000));
    }
}

#[test]
fn a_full_disk_neither_tears_nor_repeats_a_dressed_line() {
    let machine = machine(
        r#""whole", "number", "5", "200", "hang""#,
        &format!("{JSON}, rotate_size = \"1GiB\", compress = false, on_full = \"block\""),
    );
    let Some(disk) = SmallDisk::mount(&machine.dir().join("logs"), "64m") else { return };
    disk.take_room(60 << 20);
    machine.up();
    machine.until_state("web", "online");
    until("it is told", || machine.ok(&["status"]), |text| text.contains(": its output waits"));
    let written = machine.log("web", "out");
    assert!(written.ends_with('\n'), "no half of a line");
    kill(&machine.keeper("web").unwrap());
    disk.make_room();
    until("it goes on", || machine.log("web", "out").len(), |length| *length > written.len() + 100_000);
    finish(&machine);
    assert!(machine.log("web", "out").starts_with(&written));
    assert!(numbered(&undressed(&whole(&machine, "web-out"), JSON)) > 10_000);
}

#[test]
fn a_changed_dress_holds_from_the_next_start_on() {
    let machine = machine(r#""say", "hello", "hang""#, INLINE);
    machine.up();
    machine.until_state("web", "online");
    let text = fs::read_to_string(machine.dir().join("ecosystem.toml")).unwrap();
    machine.write(&text.replace(INLINE, JSON));
    machine.ok(&["restart", "web"]);
    let log = until("the next line", || machine.log("web", "out"), |log| log.lines().count() == 2);
    let (first, second) = log.trim_end().split_once('\n').unwrap();
    assert!(first.ends_with(": hello") && second.ends_with("\"line\":\"hello\"}"), "{log}");
}
