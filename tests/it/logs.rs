//! `dogwatch logs`: what it finds, in which order, and that following it is as good as having written it.
//!
//! `DOGWATCH_LOGS_ROTATIONS` and `DOGWATCH_LOGS_KILLS` make the following longer (`make soak`).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use dogwatch::os::process::{Identity, start_ticks};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::harness::{Machine, kill, until};
use crate::logs_http::get;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Two services that nobody runs.
const TWO: &str =
    "[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n[services.db]\ncommand = [\"UNRULY\", \"hang\"]\n";

fn write(machine: &Machine, name: &str, bytes: &[u8]) {
    let path = machine.dir().join("logs").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match name.ends_with(".gz") {
        false => fs::write(path, bytes).unwrap(),
        true => {
            let mut gzip = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
            gzip.write_all(bytes).unwrap();
            gzip.finish().unwrap();
        }
    }
}

fn content(path: &Path) -> Vec<u8> {
    let file = File::open(path).unwrap();
    let mut bytes = Vec::new();
    match path.extension().is_some_and(|end| end == "gz") {
        true => GzDecoder::new(file).read_to_end(&mut bytes).unwrap(),
        false => { file }.read_to_end(&mut bytes).unwrap(),
    };
    bytes
}

/// Ends with the test, whatever becomes of it.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn follow(machine: &Machine, args: &[&str], stdout: impl Into<Stdio>) -> Following {
    let mut command = machine.command(&[&["logs"], args].concat());
    Following(command.stdout(stdout).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn following_is_byte_identical_over_rotations_and_deaths_of_every_process() {
    let rotations = setting("DOGWATCH_LOGS_ROTATIONS", 12);
    let kills = setting("DOGWATCH_LOGS_KILLS", 2);
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "number", "10", "100", "hang"]
        restart = { delay = "10ms", max_delay = "10ms" }
        log = { rotate_size = "64KiB", keep = 10000, compress = true }
        "#,
    );
    let seen = machine.dir().join("seen");
    let following = follow(&machine, &["web", "--out", "--raw", "-n", "0"], File::create(&seen).unwrap());
    machine.up();
    let service = || {
        let pid = machine.status("web")["pid"].as_i64()?;
        let (pid, own) = (pid as i32, Identity::own().unwrap());
        Some(Identity { pid, ticks: start_ticks(pid).ok()?, ..own })
    };
    type Find<'a> = &'a dyn Fn() -> Option<Identity>;
    let everybody: [(&str, Find<'_>); 4] = [
        ("service", &service),
        ("keeper", &|| machine.keeper("web")),
        ("control plane", &|| machine.control()),
        ("warden", &|| machine.warden()),
    ];
    let files = || machine.log_files("web", "out");
    for number in 0..kills {
        for (who, find) in everybody {
            let victim = until(who, find, Option::is_some).unwrap();
            kill(&victim);
            until(&format!("a new {who} after death {number}"), find, |now| {
                now.as_ref().is_some_and(|now| *now != victim)
            });
        }
    }
    let archives = until("rotations", || files().len() - 1, |count| *count >= rotations);
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let written: Vec<u8> = until("an end of compressing", files, |files| {
        files.iter().rev().skip(1).all(|path| path.extension().is_some_and(|end| end == "gz"))
    })
    .iter()
    .flat_map(|path| content(path))
    .collect();
    let size = |path: &Path| path.metadata().map_or(0, |about| about.len());
    until("all that was written", || size(&seen), |bytes| *bytes >= written.len() as u64);
    drop(following);
    let seen = fs::read(&seen).unwrap();
    let differs = seen.iter().zip(&written).position(|(a, b)| a != b);
    assert_eq!((differs, seen.len()), (None, written.len()));
    eprintln!("{} bytes over {archives} rotations, {kills} deaths of each of four", seen.len());
}

#[test]
fn following_misses_no_line_whatever_takes_the_place_of_the_file() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"number\", \"5\", \"1\", \"hang\"]\nlog.on_full = \"block\"\n",
    );
    let seen = machine.dir().join("seen");
    let _following = follow(&machine, &["web", "--out", "--raw"], File::create(&seen).unwrap());
    machine.up();
    let log = machine.dir().join("logs/web-out.log");
    let numbers = || -> Vec<u64> {
        let text = fs::read_to_string(&seen).unwrap();
        text.lines().filter_map(|line| line.get(..10)?.parse().ok()).collect()
    };
    let last = |path: &Path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().rev().find_map(|line| line.get(..10)?.parse::<u64>().ok())
    };
    for number in 0..3 {
        let there = until("a line", || last(&log), Option::is_some);
        until("followed", || numbers().last().copied(), |seen| *seen >= there);
        let aside = log.with_extension(format!("aside{number}"));
        match number {
            0 => {
                fs::rename(&log, &aside).unwrap();
                fs::write(&log, "a stranger's line\n").unwrap();
            }
            1 => {
                fs::hard_link(&log, &aside).unwrap();
                fs::copy(&log, log.with_extension("new")).unwrap(); // as `sed -i` does
                fs::rename(log.with_extension("new"), &log).unwrap();
            }
            _ => {
                fs::rename(&log, &aside).unwrap();
                std::os::unix::fs::symlink(&aside, &log).unwrap();
                until("noticed", || machine.ok(&["status"]), |said| said.contains("symbolic link"));
                fs::remove_file(&log).unwrap();
            }
        }
    }
    until("lines", || last(&log), Option::is_some);
    machine.ok(&["stop", "web"]);
    let end = last(&log).unwrap();
    until("the last line", || numbers().last().copied(), |last| *last == Some(end));
    let mut next = 0;
    for number in numbers() {
        assert!(number <= next, "{next} is missing before {number}");
        next = next.max(number + 1);
    }
}

#[test]
fn following_ends_with_its_reader() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"say\", \"one\", \"hang\"]\n");
    machine.up();
    until("a line", || machine.log("web", "out"), |log| log == "one\n");
    let mut following = follow(&machine, &["web", "--raw"], Stdio::piped());
    let mut reader = BufReader::new(following.0.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(reader); // as `head -1` does; nothing is written any more that would find it out
    let code = until("the end", || following.0.try_wait().unwrap(), Option::is_some).unwrap();
    assert!(code.success(), "{code}");
}

#[test]
fn a_log_that_cannot_be_read_hides_no_other() {
    let machine = Machine::new(TWO);
    write(&machine, "web-out.log", b"one\ntwo\n");
    std::os::unix::fs::symlink("web-out.log", machine.dir().join("logs/db-out.log")).unwrap();
    for more in [&["-n", "9"][..], &["--since", "2h"], &["-n", "9", "--grep", "."]] {
        let outcome = machine.run(&[&["logs", "--nostream"], more].concat());
        assert_eq!((outcome.code, outcome.out.as_str()), (1, "web | one\nweb | two\n"), "{more:?}");
        assert!(outcome.err.contains("db-out.log: it is a symbolic link"), "{more:?}: {}", outcome.err);
    }
}

#[test]
fn raw_is_what_was_written_to_the_byte() {
    let machine = Machine::new(TWO);
    let bytes = b"one\n\xff\x00two\nno end".as_slice();
    write(&machine, "web-out.log", bytes);
    let raw = machine.command(&["logs", "web", "--raw", "--nostream"]).output().unwrap();
    assert_eq!(raw.stdout, bytes);
    assert_eq!(machine.ok(&["logs", "db", "web", "--nostream", "--grep", "no"]), "web | no end\n");
}

#[test]
fn both_streams_come_in_the_order_of_time() {
    let machine = Machine::new("");
    let gate = |number: usize| machine.dir().join(format!("gate{number}"));
    let words: Vec<String> = (1..=4)
        .flat_map(|n| {
            let say = if n % 2 == 1 { "say" } else { "shout" };
            [say.to_owned(), n.to_string(), "while".to_owned(), gate(n).to_str().unwrap().to_owned()]
        })
        .collect();
    machine
        .write(&format!("[services.web]\ncommand = [\"UNRULY\", \"{}\", \"hang\"]\n", words.join("\", \"")));
    (1..=4).for_each(|n| fs::write(gate(n), "").unwrap());
    machine.up();
    for n in 1..=4 {
        let stream = if n % 2 == 1 { "out" } else { "error" };
        until("a line", || machine.log("web", stream), |log| log.ends_with(&format!("{n}\n")));
        // Times are right to 10 ms; and what comes while the machine is busy is read at the same time.
        let seen = Instant::now();
        until("another time", || seen.elapsed(), |time| *time > Duration::from_millis(20));
        fs::remove_file(gate(n)).unwrap();
    }
    let last = |args: &[&str]| machine.ok(&[&["logs", "--nostream"], args].concat());
    until("the lines", || last(&["web"]), |text| text == "1\n2\n3\n4\n");
    assert_eq!(last(&["web", "--lines", "1"]), "3\n4\n", "of each file");
    machine.ok(&["flush", "web"]);
    assert_eq!(last(&["web"]), "", "flushed");
    assert_eq!(last(&["web", "-n", "9", "-g", "."]), "1\n2\n3\n4\n", "but not for who asks");
    machine.ok(&["down"]);
    let objects: Vec<Value> =
        last(&["--json", "--since", "1h"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let field =
        |name: &str| -> Vec<&str> { objects.iter().filter_map(|object| object[name].as_str()).collect() };
    assert_eq!(field("line"), ["1", "2", "3", "4"]);
    assert_eq!(field("stream"), ["out", "error", "out", "error"]);
    assert!(field("time").is_sorted() && field("time").len() == 4, "{objects:?}");
    let second = field("time")[1];
    assert_eq!(last(&["web", "--since", second]), "2\n3\n4\n");
    assert_eq!(last(&["web", "--until", second]), "1\n2\n");
    assert_eq!(last(&["web", "--since", "1h", "--err"]), "2\n4\n");
    assert_eq!(last(&["web", "--since", "1h", "--lines", "1"]), "3\n4\n");
    let year = &second[..4];
    let told = last(&["web", "--timestamp=%Y", "--out", "--since", "1h"]);
    assert_eq!(told, format!("{year} 1\n{year} 3\n"));
    assert!(last(&["web", "-t", "--since", "1h"]).starts_with(&format!("{year}-")));
    let pairs = last(&["web", "--format", "--err", "-n1", "--since", "1h"]);
    assert_eq!(pairs, format!("timestamp={} app=web type=error message=4\n", field("time")[3]));
}

#[test]
fn what_was_written_before_streams_were_merged_or_apart_is_shown_too() {
    let machine = Machine::new("");
    let write = |word: &str, text: &str, merge: bool| {
        machine.write(&format!(
            "[services.web]\ncommand = [\"UNRULY\", \"{word}\", \"{text}\", \"hang\"]\nlog = {{ merge = {merge} }}\n"
        ));
    };
    let shown = |args: &[&str]| machine.ok(&[&["logs", "web", "--nostream"], args].concat());
    write("say", "1", false);
    machine.up();
    until("a line", || shown(&[]), |text| text == "1\n");
    machine.ok(&["flush", "web"]);
    let mut expected = String::new();
    for (word, text, merge) in
        [("shout", "2", false), ("say", "3", true), ("shout", "4", true), ("say", "5", false)]
    {
        write(word, text, merge);
        machine.ok(&["restart", "web"]);
        expected += &format!("{text}\n");
        until("a line more", || shown(&[]), |shown| *shown == expected);
    }
    assert_eq!(shown(&["--since", "1h"]), "1\n2\n3\n4\n5\n");
    let errors = machine.run(&["logs", "web", "--nostream", "--err"]);
    assert_eq!(errors.out, "2\n3\n4\n");
    assert!(errors.err.contains("web: its streams were merged once (log.merge)"), "{}", errors.err);
    let (_, objects) = get(&machine, "/v1/services/web/logs", "");
    assert_eq!(objects.iter().filter(|byte| **byte == b'\n').count(), 4, "{}", objects.escape_ascii());
    // Also by a keeper that never saw them merged.
    let old = machine.keeper("web").unwrap();
    kill(&old);
    until("a successor", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != old));
    machine.until_state("web", "online");
    machine.ok(&["flush", "web"]);
    assert_eq!(shown(&[]), "");
    assert_eq!(shown(&["-g", "."]), "1\n2\n3\n4\n5\n");
}

#[test]
fn archives_are_read_and_searched_without_anybody() {
    let machine = Machine::new(TWO);
    write(&machine, "archive/2026-10/web-out.20261031T235959.000Z.log.gz", b"october\nold error\n");
    write(&machine, "archive/2026-11/web-out.20261101T120000.000Z.log", b"november\nodd \xff bytes\n");
    write(&machine, "web-out.log", b"a\nb\nan error here\nc\nd\nhalf");
    write(&machine, "db-error.log", b"database error\n");
    let run = |args: &[&str]| machine.run(&[&["logs", "--nostream"], args].concat());
    let out = |args: &[&str]| machine.ok(&[&["logs", "--nostream"], args].concat());
    assert_eq!(out(&["web", "-n", "2"]), "d\nhalf\n");
    assert_eq!(out(&["web", "-n", "7"]).lines().next(), Some("odd \u{fffd} bytes"), "on over archives");
    assert_eq!(out(&["web", "-n", "99"]).lines().count(), 10);
    assert_eq!(out(&["web", "-g", "error"]), "old error\nan error here\n");
    assert_eq!(out(&["web", "-g", "error", "-n", "1"]), "an error here\n");
    assert_eq!(out(&["web", "-g", "ERROR", "-i", "-C", "1", "-n1"]), "b\nan error here\nc\n");
    assert_eq!(out(&["web", "-g", "^(b|d)$", "-B", "1", "-A", "0"]), "a\nb\n--\nc\nd\n");
    assert_eq!(out(&["-g", "error"]), "web | old error\ndb  | database error\nweb | an error here\n");
    assert_eq!(out(&["web", "-g", "o", "--until", "2026-10-31 23:00", "-t"]), "- october\n- old error\n");
    assert_eq!(out(&["web", "-n0"]), "");
    assert_eq!(out(&["db", "--out"]), "");
    let said = |args: &[&str]| {
        let outcome = run(args);
        (outcome.code, outcome.out, outcome.err)
    };
    for (args, code, begin) in [
        (&["wbe"][..], 5, "there is no service wbe\n  did you mean web? services: "),
        (&["--since", "soon"], 2, "--since: \"soon\" is not a time; write how long ago (10m, "),
        (&["--since", "1h", "--until", "2h"], 2, "--until: it is before --since"),
        (&["--grep", "a("], 2, "--grep: regex parse error"),
        (&["--timestamp=%"], 2, "--timestamp: \"%\" is not a format of times"),
    ] {
        let (got, out, err) = said(args);
        assert!(got == code && out.is_empty() && err.starts_with(begin), "{args:?}: {got} {err}");
    }
    fs::remove_file(machine.dir().join("ecosystem.toml")).unwrap();
    assert_eq!(said(&[]).0, 4, "no file, and nothing ever ran");
}

#[test]
fn what_cannot_be_read_is_said_and_no_success() {
    let machine = Machine::new(TWO);
    let lines: String = (0..2000).map(|number| format!("error {number:x} {}\n", number * 7919)).collect();
    write(&machine, "archive/2026-10/web-out.20261031T235959.000Z.log.gz", lines.as_bytes());
    write(&machine, "archive/2026-11/web-out.20261101T120000.000Z.log", b"error in between\n");
    write(&machine, "web-out.log", b"an error here\n");
    let archive = machine.dir().join("logs/archive/2026-10/web-out.20261031T235959.000Z.log.gz");
    let whole = fs::read(&archive).unwrap();
    for (damaged, rest) in [(&b"no archive at all"[..], false), (&whole[..whole.len() / 2], true)] {
        fs::write(&archive, damaged).unwrap();
        for args in [&["-g", "error"][..], &["-g", "error", "-n", "5000"], &["-n", "5000"]] {
            let outcome = machine.run(&[&["logs", "--nostream", "web"], args].concat());
            assert_eq!(outcome.code, 1, "{args:?} {outcome:#?}");
            assert!(
                outcome.err.starts_with("cannot read ") && outcome.err.lines().count() == 1,
                "{outcome:#?}"
            );
            assert!(outcome.out.ends_with("error in between\nan error here\n"), "{args:?} {outcome:#?}");
            assert_eq!(
                outcome.out.starts_with("error 0 0\nerror 1 7919\n"),
                rest,
                "{args:?} {}",
                outcome.out
            );
        }
        // What is not asked for may be as it is.
        assert_eq!(machine.ok(&["logs", "--nostream", "web", "-n", "1"]), "an error here\n");
        assert_eq!(machine.ok(&["logs", "--nostream", "web", "-g", "error", "-n", "1"]), "an error here\n");
    }
}

#[test]
fn several_services_are_followed_with_their_names() {
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "say", "web 1", "pause", "200", "say", "web 2", "hang"]
        [services.worker]
        command = ["UNRULY", "pause", "100", "say", "worker 1", "pause", "200", "say", "worker 2", "hang"]
        "#,
    );
    let mut following = follow(&machine, &["all", "-g", "[12]"], Stdio::piped());
    machine.up();
    let lines = BufReader::new(following.0.stdout.take().unwrap()).lines();
    let mut seen: Vec<String> = lines.take(4).map(|line| line.unwrap()).collect();
    seen.sort();
    assert_eq!(seen, ["web    | web 1", "web    | web 2", "worker | worker 1", "worker | worker 2"]);
}

#[test]
fn a_line_of_any_length_passes_through_little_memory() {
    const LENGTH: u64 = 64 << 20;
    let machine = Machine::new(TWO);
    write(&machine, "web-out.log", b"begin ");
    let log = machine.dir().join("logs/web-out.log");
    let mut file = File::options().append(true).open(&log).unwrap();
    file.set_len(LENGTH).unwrap(); // a hole: zeroes
    file.write_all(b" end\nnext\n").unwrap();
    let mut following = follow(&machine, &["web", "--out", "--raw", "-n", "2"], Stdio::piped());
    let mut stdout = following.0.stdout.take().unwrap();
    let (mut got, mut block) = (0, vec![0; 1 << 20]);
    let mut last = Vec::new();
    while got < LENGTH + 10 {
        let count = stdout.read(&mut block).unwrap();
        assert!(count > 0);
        got += count as u64;
        last = block[..count].to_vec();
    }
    assert!(last.ends_with(b" end\nnext\n"), "{:?}", String::from_utf8_lossy(&last[last.len() - 20..]));
    let status = fs::read_to_string(format!("/proc/{}/status", following.0.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 32 << 10, "{kib} KiB for a line of {} KiB", LENGTH >> 10);
}
