//! Logs that lose nothing, whatever happens to their disk, and that say what they had to drop.
//!
//! `DOGWATCH_KEEPER_KILLS` and `DOGWATCH_INTEGRITY_LINES` make the two long ones longer (`make soak`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dogwatch::os::process::Identity;
use serde_json::Value;

use crate::harness::disk::SmallDisk;
use crate::harness::lines::{Account, Tally, account, tally};
use crate::harness::{Machine, kill, pause, send, until};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A service `web` whose log is on a small disk of its own. None where nothing can be mounted.
fn on_small_disk(size: &str, critical: bool, command: &str, log: &str) -> Option<(Machine, SmallDisk)> {
    let machine = Machine::new("");
    let disk = SmallDisk::mount(&machine.dir().join("logs"), size)?;
    let command = command.replace("TIMING", timing(&machine).to_str().unwrap());
    machine.write(&format!(
        "[services.web]\ncritical = {critical}\ncommand = [\"UNRULY\", {command}]\nlog = {{ {log} }}\n"
    ));
    Some((machine, disk))
}

fn timing(machine: &Machine) -> PathBuf {
    machine.dir().join("timing")
}

/// How many lines the service has written, and its longest write, milliseconds.
fn timed(machine: &Machine) -> (u64, u64) {
    let text = fs::read_to_string(timing(machine)).unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Memory of a process that is its own, KiB.
fn private_kib(process: &Identity) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).unwrap_or_default();
    let of = |line: &str| line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    text.lines().filter(|line| line.starts_with("Private_")).filter_map(of).sum()
}

const TIMED: &str = r#""whole", "timed", "TIMING", "5", "200", "hang""#;
const ONE_FILE: &str = r#"rotate_size = "1GiB", compress = false"#;

fn until_dropping(machine: &Machine) {
    let begun = until("it drops", || timed(machine).0, |lines| *lines > 30_000);
    let told = |text: &String| text.contains("cannot write ") && text.contains(": lines are dropped, ");
    until("it is told", || machine.ok(&["status"]), told);
    until("it goes on writing", || timed(machine).0, |lines| *lines > begun + 60_000);
}

#[test]
fn a_critical_service_does_not_wait_for_a_full_disk_and_the_count_is_right_to_the_line() {
    let Some((machine, disk)) = on_small_disk("2m", true, TIMED, ONE_FILE) else { return };
    disk.take_room(1 << 20);
    machine.up();
    let before = machine.until_state("web", "online");
    let keeper = machine.keeper("web").unwrap();
    until_dropping(&machine);
    // Buffers of 64 KiB come and go: what grows with the lines grows each time.
    let grows = |_| {
        let (memory, lines) = (private_kib(&keeper), timed(&machine).0);
        until("more of it", || timed(&machine).0, |now| *now > lines + 50_000);
        private_kib(&keeper).saturating_sub(memory)
    };
    let more = (0..3).map(grows).min().unwrap();
    let show = machine.ok(&["show", "web"]);
    assert!(show.contains("log trouble") && show.contains(", and more are being dropped now"), "{show}");
    disk.make_room();
    let begin = Instant::now();
    until("the mark", || machine.log("web", "out"), |log| log.contains(" dropped, disk full, "));
    let back = begin.elapsed();
    let longest = timed(&machine).1;
    let status =
        until("told that it is over", || machine.status("web"), |now| now["log"]["trouble"].is_null());
    assert_eq!(status["pid"], before["pid"]);
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let written = timed(&machine).0;
    let Account { kept, missing, dropped, marks, at_least, .. } = account(&machine.log_files("web", "out"));
    eprintln!(
        "{written} lines, {dropped} dropped; longest write {longest} ms; back after {back:.1?}; {more} KiB more"
    );
    assert_eq!((missing, kept + dropped), (dropped, written));
    assert!(marks == 1 && !at_least && dropped > 100_000, "{marks} marks, {dropped} dropped");
    assert!(back < Duration::from_secs(1), "{back:?}");
    assert!(longest < 500, "{longest} ms");
    assert!(more <= 64, "{more} KiB more");
    assert!(machine.own_log().contains("No space left on device"), "{}", machine.own_log());
    assert!(machine.own_log().contains("the log can be written again; meanwhile "), "{}", machine.own_log());
}

#[test]
fn keepers_that_are_killed_while_they_drop_make_it_at_least_so_many() {
    let Some((machine, disk)) = on_small_disk("2m", true, TIMED, ONE_FILE) else { return };
    disk.take_room(1 << 20);
    machine.up();
    machine.until_state("web", "online");
    until_dropping(&machine);
    for _ in 0..5 {
        let old = machine.keeper("web").unwrap();
        kill(&old);
        until("a successor", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != old));
        let lines = timed(&machine).0;
        until("more of it", || timed(&machine).0, |now| *now > lines + 5_000);
    }
    until(
        "told",
        || machine.status("web"),
        |now| now["log"]["at_least"] == true && now["log"]["dropping"] == true,
    );
    disk.make_room();
    until("the mark", || machine.log("web", "out"), |log| log.contains(" dropped, disk full, "));
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let Account { kept, missing, dropped, at_least, .. } = account(&machine.log_files("web", "out"));
    assert_eq!(kept + missing, timed(&machine).0);
    assert!(at_least && dropped <= missing && dropped * 10 > missing * 9, "{dropped} of {missing}");
}

/// A keeper that is killed at `moment` of a drop, which is over before or after that.
fn die_in_a_drop(moment: &str, exact: bool) {
    let Some((mut machine, disk)) = on_small_disk("2m", true, TIMED, ONE_FILE) else { return };
    let died = machine.dir().join("died");
    machine.set("DOGWATCH_FAULT", &format!("{moment}={}", died.display()));
    disk.take_room(1 << 20);
    machine.up();
    let before = machine.until_state("web", "online");
    until_dropping(&machine);
    disk.make_room();
    until("the keeper's death", || died.exists(), |died| *died);
    until("the mark", || machine.log("web", "out"), |log| log.contains(" dropped, disk full, "));
    assert_eq!(machine.until_state("web", "online")["pid"], before["pid"]);
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let Account { kept, missing, dropped, marks, at_least, .. } = account(&machine.log_files("web", "out"));
    assert_eq!((kept + missing, marks), (timed(&machine).0, 1), "{moment}");
    assert!(dropped <= missing && at_least != exact, "{moment}: {dropped} of {missing}");
    assert!(dropped == missing || !exact, "{moment}: {dropped} of {missing}");
}

#[test]
fn a_keeper_dies_when_a_drop_has_begun() {
    die_in_a_drop("a drop has begun", false);
}

#[test]
fn a_keeper_dies_between_drop_and_record() {
    die_in_a_drop("between drop and record", false);
}

#[test]
fn a_keeper_dies_before_the_mark_of_a_drop() {
    die_in_a_drop("before the mark of a drop", true);
}

#[test]
fn a_keeper_dies_after_the_mark_of_a_drop() {
    die_in_a_drop("after the mark of a drop", true);
}

/// A helper that is killed at `moment` leaves the archive, or its compressed form, and never loses a line.
fn die_in_compression(moment: &str) {
    let mut machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "burst", "20000", "50", "hang"]
        log = { rotate_size = "256KiB" }
        "#,
    );
    let died = machine.dir().join("died");
    machine.set("DOGWATCH_FAULT", &format!("{moment}={}", died.display()));
    machine.up();
    machine.until_state("web", "online");
    until("the helper's death", || died.exists(), |died| *died);
    let lines = || tally(&machine.log_files("web", "out"));
    until("all lines", lines, |found| *found == Tally { lines: 20_000, ..Tally::default() });
    kill(&machine.keeper("web").unwrap()); // the next one looks for what is not compressed
    let compressed = |files: &Vec<PathBuf>| {
        let (_, archives) = files.split_last().unwrap();
        archives.len() == 3 && archives.iter().all(|path| path.extension().is_some_and(|end| end == "gz"))
    };
    until("compression", || machine.log_files("web", "out"), compressed);
    assert_eq!(lines(), Tally { lines: 20_000, ..Tally::default() });
    let folder = machine.log_files("web", "out")[0].parent().unwrap().to_owned();
    let but_indexes = || {
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_none_or(|end| end != "idx")).count()
    };
    until("nothing half made", but_indexes, |files| *files == 3);
}

#[test]
fn a_helper_dies_with_a_half_compressed_file() {
    die_in_compression("a half compressed file");
}

#[test]
fn a_helper_dies_before_the_rename_of_a_compressed_file() {
    die_in_compression("before the rename of a compressed file");
}

#[test]
fn a_helper_dies_before_the_original_goes() {
    die_in_compression("before the original goes");
}

#[test]
fn a_read_only_disk_is_survived_like_a_full_one() {
    let Some((machine, disk)) = on_small_disk("16m", true, TIMED, ONE_FILE) else { return };
    disk.remount("ro");
    machine.up();
    machine.until_state("web", "online");
    until("it is told", || machine.ok(&["status"]), |text| text.contains("Read-only file system"));
    until_dropping(&machine);
    disk.remount("rw");
    until("the mark", || machine.log("web", "out"), |log| log.contains(" dropped, read-only file system, "));
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let Account { kept, missing, dropped, .. } = account(&machine.log_files("web", "out"));
    assert_eq!((missing, kept + dropped), (dropped, timed(&machine).0));
}

#[test]
fn another_service_waits_and_loses_nothing() {
    let Some((machine, disk)) = on_small_disk("1m", false, TIMED, ONE_FILE) else { return };
    disk.take_room(900 << 10);
    machine.up();
    let before = machine.until_state("web", "online");
    let told = |text: &String| text.contains("cannot write ") && text.contains(": its output waits");
    until("it is told", || machine.ok(&["status"]), told);
    let full =
        until("it stands still", || (timed(&machine).0, pause(), timed(&machine).0), |(a, (), b)| a == b).0;
    disk.make_room();
    until("it goes on", || timed(&machine).0, |lines| *lines > full);
    let status = until("it is over", || machine.status("web"), |now| now["log"]["trouble"].is_null());
    assert_eq!((&status["pid"], status["log"]["dropped_lines"].as_u64().unwrap_or(0)), (&before["pid"], 0));
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let found = tally(&machine.log_files("web", "out"));
    assert_eq!(found, Tally { lines: timed(&machine).0, ..Tally::default() });
}

#[test]
fn the_oldest_archives_of_its_own_make_room_first() {
    let log = r#"rotate_size = "64KiB", keep = 1000, compress = false"#;
    let command = r#""burst", "60000", "50", "exit", "0""#;
    let Some((machine, _disk)) = on_small_disk("1m", false, command, log) else { return };
    let neighbour = machine.dir().join("logs/archive/2001-09/other-out.20010909T014640.000Z.log");
    fs::create_dir_all(neighbour.parent().unwrap()).unwrap();
    fs::write(&neighbour, "of somebody else").unwrap();
    let text = fs::read_to_string(machine.dir().join("ecosystem.toml")).unwrap();
    machine.write(&(text + "restart = { policy = \"never\" }\n"));
    let _ = machine.run(&["up", "-d"]);
    machine.until_state("web", "stopped");
    until("the last line", || machine.log("web", "out"), |log| log.contains("0000059999 "));
    let Account { kept, marks, .. } = account(&machine.log_files("web", "out"));
    assert!(kept * 50 > 700 << 10 && marks == 0, "{kept} lines");
    let text = machine.own_log();
    assert!(text.contains("disk full: deleted the archive web-out."), "{text}");
    assert!(neighbour.exists(), "only its own");
}

#[test]
fn sixty_thousand_lines_at_two_thousand_a_second_over_ten_rotations() {
    let lines = setting("DOGWATCH_INTEGRITY_LINES", 6_000);
    let machine = Machine::new(&format!(
        r#"
        [services.web]
        command = ["UNRULY", "whole", "number", "10", "20", "hang"]
        log = {{ rotate_size = "{}B", keep = 1000, compress = false, budget = "1TiB" }}
        "#,
        lines * 50 / 10
    ));
    machine.up();
    for rotation in 1..=10 {
        let files = || machine.log_files("web", "out").len();
        until(&format!("rotation {rotation}"), files, |files| *files > rotation);
    }
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let found = tally(&machine.log_files("web", "out"));
    assert!(found.lines >= lines, "{found:?}");
    assert_eq!(found, Tally { lines: found.lines, ..Tally::default() });
}

#[test]
fn keepers_are_killed_in_a_full_flood_that_is_rotated() {
    let kills = setting("DOGWATCH_KEEPER_KILLS", 24);
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "whole", "number", "1", "20000", "hang"]
        log = { rotate_size = "1MiB", keep = 1000000, compress = false, budget = "1TiB" }
        "#,
    );
    machine.up();
    let before = machine.until_state("web", "online");
    let mut worst = Duration::ZERO;
    for round in 0..kills {
        let old = until("a keeper", || machine.keeper("web"), Option::is_some).unwrap();
        // Somewhere else each time, between two lines, splices or steps of a rotation.
        let moment = Instant::now() + Duration::from_micros(round * 7919 % 20_000);
        while Instant::now() < moment {
            std::thread::yield_now();
        }
        let begin = Instant::now();
        kill(&old);
        until("a successor", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != old));
        worst = worst.max(begin.elapsed());
    }
    let after = machine.until_state("web", "online");
    assert_eq!((&after["pid"], &after["restarts"]), (&before["pid"], &before["restarts"]));
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let files = machine.log_files("web", "out");
    let found = tally(&files);
    eprintln!("{kills} kills, worst gap {worst:.1?}, {} files, {found:?}", files.len());
    assert!(files.len() > 3 && found.lines > 10_000, "{found:?}");
    assert_eq!(found, Tally { lines: found.lines, ..Tally::default() });
}

#[test]
fn more_than_it_may_is_counted_in_the_log_and_in_the_status() {
    let machine = Machine::new("");
    let timing = timing(&machine);
    machine.write(&format!(
        r#"
        [services.web]
        command = ["UNRULY", "whole", "timed", "{}", "1", "100", "hang"]
        log = {{ max_rate = "100 lines/s" }}
        "#,
        timing.display()
    ));
    machine.up();
    until(
        "two marks",
        || machine.log("web", "out"),
        |log| log.matches(" dropped, more than 100 lines/s, ").count() > 1,
    );
    let told = |status: &Value| status["log"]["dropped_lines"].as_u64() > Some(100);
    until("it is told", || machine.status("web"), told);
    assert!(!machine.ok(&["status"]).contains("cannot"), "it is no problem");
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let Account { kept, missing, dropped, at_least, .. } = account(&machine.log_files("web", "out"));
    assert_eq!((kept + dropped, at_least), (timed(&machine).0, false));
    assert!(missing <= dropped, "what was dropped last, nothing comes after");
}

/// What logrotate does, and what its `postrotate` calls.
#[test]
fn moved_logs_are_complete_when_reopen_returns() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"whole\", \"number\", \"1\", \"50\", \"hang\"]\nlog = { compress = false, keep = 1000 }\n",
    );
    machine.up();
    machine.until_state("web", "online");
    let log = machine.dir().join("logs/web-out.log");
    let pm2 = machine.dir().join("pm2");
    std::os::unix::fs::symlink(crate::harness::binary(), &pm2).unwrap();
    let mut moved: Vec<PathBuf> = Vec::new();
    let reload_logs = || {
        let mut command = Command::new(&pm2);
        command.arg("reloadLogs").env("DOGWATCH_HOME", machine.dir().join("home")).current_dir(machine.dir());
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "[PM2] All logs reloaded\n");
    };
    let by_signal = |log: &Path| {
        send(&machine.control().unwrap(), libc::SIGUSR2);
        until("a new file", || log.exists(), |exists| *exists);
    };
    for round in 0..6 {
        until("something in it", || fs::metadata(&log).map_or(0, |about| about.len()), |bytes| *bytes > 0);
        let old = log.with_extension(round.to_string());
        fs::rename(&log, &old).unwrap();
        match round % 3 {
            0 => assert_eq!(machine.ok(&["reopen", "web"]), "web: log files opened again\n"),
            1 => reload_logs(),
            _ => by_signal(&log),
        }
        assert!(log.exists());
        let size = fs::metadata(&old).unwrap().len();
        moved.push(old.clone());
        until("a new line", || fs::metadata(&log).map_or(0, |about| about.len()), |bytes| *bytes > 0);
        assert_eq!(fs::metadata(&old).unwrap().len(), size, "round {round}: still written to");
    }
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    moved.push(log);
    let whole = moved.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<String>();
    let all = machine.dir().join("all.log");
    fs::write(&all, whole).unwrap();
    let found = tally(&[all]);
    assert_eq!(found, Tally { lines: found.lines, ..Tally::default() });
}

#[test]
fn flush_archives_what_there_is() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"say\", \"one\", \"shout\", \"two\", \"hang\"]\nlog = { compress = false }\n",
    );
    machine.up();
    machine.until_state("web", "online");
    let logs = || (machine.log("web", "out"), machine.log("web", "error"));
    until("both lines", logs, |(out, error)| out == "one\n" && error == "two\n");
    machine.ok(&["flush", "web"]);
    assert_eq!(logs(), (String::new(), String::new()));
    let text = |kind: &str| fs::read_to_string(&machine.log_files("web", kind)[0]).unwrap();
    assert_eq!((text("out").as_str(), text("error").as_str()), ("one\n", "two\n"));
    // An empty one is left where it is; and one whose service has no keeper is archived all the same.
    machine.ok(&["flush", "web"]);
    assert_eq!(machine.log_files("web", "out").len(), 2);
}

fn log_of(command: &str, log: &str) -> Machine {
    Machine::new(&format!("[services.web]\nshell = true\ncommand = {command:?}\nlog = {{ {log} }}\n"))
}

/// `DOGWATCH_LONG_LINE` is its length, bytes.
#[test]
fn a_line_of_any_length_is_whole() {
    let length = setting("DOGWATCH_LONG_LINE", 32 << 20);
    let command = format!("head -c {length} /dev/zero | tr '\\0' x; echo; echo next; exec sleep 1000");
    let machine = log_of(&command, "rotate_size = \"4GiB\"");
    machine.up();
    let path = machine.dir().join("logs/web-out.log");
    until("all of it", || fs::metadata(&path).map_or(0, |about| about.len()), |bytes| *bytes == length + 6);
    let mut bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.split_off(length as usize), b"\nnext\n");
    assert!(bytes.iter().all(|byte| *byte == b'x'));
}

#[test]
fn a_character_in_two_pieces_and_bytes_that_are_none_stay_as_they_are() {
    let command = r"printf 'caf\303'; sleep 0.1; printf '\251\n\377\376\000z\n'; exec sleep 1000";
    let machine = log_of(command, "");
    machine.up();
    let path = machine.dir().join("logs/web-out.log");
    until(
        "both lines",
        || fs::read(&path).unwrap_or_default(),
        |bytes| bytes == b"caf\xc3\xa9\n\xff\xfe\0z\n",
    );
}

#[test]
fn a_crash_in_mid_line_keeps_the_last_words_and_the_next_run_begins_a_line() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"say\", \"one\", \"half\", \"last wor\", \"crash\"]\nrestart = { delay = \"10ms\" }\n",
    );
    let _ = machine.run(&["up", "-d"]);
    let log = until("three runs", || machine.log("web", "out"), |log| log.matches("one").count() > 3);
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.chunks_exact(2).take(3).all(|two| *two == ["one", "last wor"]), "{log}");
}

#[test]
fn all_logs_together_keep_to_their_budget_and_critical_ones_last() {
    let burst = |name: &str, critical: bool, lines: u64| {
        format!(
            "[services.{name}]\ncritical = {critical}\ncommand = [\"UNRULY\", \"burst\", \"{lines}\", \"50\", \"hang\"]\n\
             log = {{ rotate_size = \"64KiB\", keep = 1000, compress = false }}\n"
        )
    };
    let machine = Machine::new(&format!(
        "[dogwatch]\nlog_budget = \"1MiB\"\n{}{}",
        burst("web", true, 8_000),
        burst("chatter", false, 40_000)
    ));
    machine.up();
    for (name, last) in [("web", "0000007999 "), ("chatter", "0000039999 ")] {
        until(name, || machine.log(name, "out"), |log| log.contains(last));
    }
    let size = |name: &str| {
        let files = machine.log_files(name, "out");
        files.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum::<u64>()
    };
    until("it keeps to the budget", || size("web") + size("chatter"), |bytes| *bytes <= 1 << 20);
    assert!(size("chatter") > 500 << 10, "no more goes than must");
    assert_eq!(tally(&machine.log_files("web", "out")), Tally { lines: 8_000, ..Tally::default() });
    until("it is said", || machine.own_log(), |log| log.contains("control: chatter: deleted its "));
}
