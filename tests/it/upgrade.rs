//! A newer dogwatch takes the place of the one that runs, and no service notices: not when the new one is good, not when
//! it is bad, and not when somebody is killed on the way.
//!
//! `DOGWATCH_UPGRADES` sets the number of upgrades in the test under load.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dogwatch::model::name::ServiceName;
use dogwatch::model::signal::Signal;
use dogwatch::os::{lock, process, program};
use serde_json::Value;

use crate::harness::lines::{Tally, tally};
use crate::harness::programs::copy;
use crate::harness::{Machine, binary, example, free_address, kill, kill_pid, pause, unruly, until};

/// Most of these tests need no longer look at processes that have answered: those that crash do so within.
const WATCH: &str = "700ms";
/// Upgrades under load when nobody asks for more.
const UPGRADES: usize = 3;

/// A service that is asked and floods its log, a critical one that writes a little, and the API over TCP.
struct Load {
    machine: Machine,
    web: SocketAddr,
    api: SocketAddr,
}

/// What clients saw.
#[derive(Default)]
struct Requests {
    done: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

/// The clients end with the work, also with work that fails.
struct EndOfRequests<'a>(&'a Requests);

impl Drop for EndOfRequests<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Load {
    fn new(faults: &[(&str, &str)]) -> Load {
        let (web, api) = (free_address(), free_address());
        let mut machine = Machine::with_own_program(&format!(
            r#"
            [dogwatch]
            listen = "{api}"
            [compartments.production]
            critical = true
            [services.web]
            command = ["UNRULY", "whole", "number", "20", "2000", "serve", "ready", "hang"]
            listen = ["{web}"]
            ready = "notify"
            log = {{ rotate_size = "4MiB", keep = 1000, compress = false }}
            [services.hook]
            compartment = "production"
            command = ["UNRULY", "whole", "number", "5", "1", "hang"]
            log = {{ rotate_size = "8KiB", keep = 1000, compress = false }}
            "#
        ));
        for (name, value) in faults {
            machine.set(name, &value.replace("DIR", machine.dir().to_str().unwrap()));
        }
        machine.up();
        Load { machine, web, api }
    }

    /// Another build of the good program.
    fn good(&self, line: &str) -> PathBuf {
        let path = self.machine.dir().join("new");
        copy(&binary(), &path, line);
        path
    }

    /// A program with this defect (examples/lemon.rs).
    fn lemon(&self, defect: &str) -> PathBuf {
        let path = self.machine.dir().join("lemon");
        copy(&example("lemon"), &path, &format!("lemon {defect}"));
        path
    }

    /// Does something while clients ask the service and the control plane, and then looks whether anybody has noticed.
    fn unnoticed(&self, work: impl FnOnce(&Machine)) -> u64 {
        self.unnoticed_by(true, work)
    }

    /// The same; `api` says whether the control plane is asked, too.
    fn unnoticed_by(&self, api: bool, work: impl FnOnce(&Machine)) -> u64 {
        let machine = &self.machine;
        let before = ["web", "hook"].map(|name| machine.until_state(name, "online"));
        let requests = Requests::default();
        let (web, socket) = (before[0]["pid"].as_i64().unwrap(), machine.paths().control_sock());
        thread::scope(|scope| {
            scope.spawn(|| for_ever(&requests, || Ok(ask(self.web)?.starts_with(&format!("{web} ")))));
            if api {
                scope.spawn(|| for_ever(&requests, || look(&mut connect(&socket)?)));
                scope.spawn(|| for_ever(&requests, || look(&mut TcpStream::connect(self.api)?)));
            }
            let _end = EndOfRequests(&requests);
            work(machine);
        });
        let (done, failed) = (requests.done.into_inner(), requests.failed.into_inner());
        assert_eq!(failed, 0, "of {done} requests");
        assert!(done > 20, "only {done} requests");
        for (name, before) in ["web", "hook"].iter().zip(&before) {
            let after = machine.until_state(name, "online");
            assert_eq!((&after["pid"], &after["run"]), (&before["pid"], &before["run"]), "{name}");
        }
        done
    }

    /// Ends everything and counts the lines.
    fn count(self) -> u64 {
        self.machine.ok(&["stop", "all"]);
        self.machine.ok(&["down"]);
        let mut lines = 0;
        for name in ["web", "hook"] {
            let found = tally(&self.machine.log_files(name, "out"));
            assert_eq!(found, Tally { lines: found.lines, ..Tally::default() }, "{name}");
            assert!(found.lines > 50, "{name}: {found:?}");
            lines += found.lines;
        }
        lines
    }
}

/// An answer that is not right counts as much as none.
fn for_ever(requests: &Requests, ask: impl Fn() -> std::io::Result<bool>) {
    while !requests.stop.load(Ordering::Relaxed) {
        let answer = ask();
        let good = matches!(answer, Ok(true));
        if !good {
            eprintln!("request failed: {answer:?}");
        }
        let counter = if good { &requests.done } else { &requests.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        pause();
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn look(stream: &mut (impl Read + Write)) -> std::io::Result<bool> {
    stream.write_all(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.starts_with("HTTP/1.1 200 OK") {
        true => Ok(true),
        false => Err(std::io::Error::other(format!("answered {answer:?}"))),
    }
}

fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let (_folder, short) = dogwatch::os::unix::short_path(socket)?;
    UnixStream::connect(short)
}

/// Runs `upgrade --json`, which must end with this code; returns its summary.
#[track_caller]
pub fn upgrade(machine: &Machine, binary: Option<&Path>, code: i32) -> Value {
    let binary = binary.map(|path| path.to_str().unwrap());
    let words: Vec<&str> = ["upgrade", "--json", "--watch", WATCH].into_iter().chain(binary).collect();
    let outcome = machine.run(&words);
    assert_eq!(outcome.code, code, "{outcome:#?}");
    serde_json::from_str(&outcome.out).unwrap_or_else(|error| panic!("{error}: {outcome:#?}"))
}

/// What each of dogwatch's processes runs: process, build.
pub fn builds(machine: &Machine, names: &[&str]) -> Vec<(i32, String)> {
    let keepers = names.iter().map(|name| machine.keeper(name));
    let all = [machine.control(), machine.warden()].into_iter().chain(keepers);
    let build = |pid| program::build(&program::link(pid)).unwrap();
    all.map(|identity| identity.unwrap().pid).map(|pid| (pid, build(pid))).collect()
}

/// All of them run what stands in the program's place, and nothing of an upgrade is left.
#[track_caller]
pub fn all_run_the_installed(machine: &Machine, names: &[&str]) -> Vec<i32> {
    let installed = program::build(machine.program()).unwrap();
    let builds = builds(machine, names);
    assert!(builds.iter().all(|(_, build)| *build == installed), "{installed}: {builds:?}");
    assert!(!machine.paths().upgrade_journal().exists());
    let problems = machine.run(&["status", "--json"]).out;
    let problems: Value = serde_json::from_str(&problems).unwrap();
    assert_eq!(problems["problems"], serde_json::json!([]));
    builds.into_iter().map(|(pid, _)| pid).collect()
}

#[test]
fn under_load_nobody_notices() {
    let load = Load::new(&[]);
    let upgrades = std::env::var("DOGWATCH_UPGRADES").ok().and_then(|text| text.parse().ok());
    let upgrades = upgrades.unwrap_or(UPGRADES);
    let mut took = Vec::new();
    let pids = all_run_the_installed(&load.machine, &["web", "hook"]);
    let done = load.unnoticed(|machine| {
        for number in 1..=upgrades {
            let summary = upgrade(machine, Some(&load.good(&format!("build {number}"))), 0);
            assert_eq!(summary["ending"], "done", "{summary:#}");
            assert_eq!(summary["untouched"], serde_json::json!(["hook", "web"]));
            // The same processes, the critical one last.
            let steps = summary["steps"].as_array().unwrap();
            let who: Vec<&str> = steps.iter().map(|step| step["who"].as_str().unwrap()).collect();
            assert_eq!(who, ["control plane", "warden", "keeper web", "keeper hook"]);
            assert!(steps.iter().all(|step| step["change"] == "became"), "{summary:#}");
            took.extend(steps.iter().map(|step| (step["who"].clone(), step["ms"].as_u64().unwrap())));
            assert_eq!(all_run_the_installed(machine, &["web", "hook"]), pids);
        }
    });
    let lines = load.count();
    eprintln!("{upgrades} upgrades: {done} requests, 0 failed; {lines} lines, 0 lost, doubled or torn");
    for who in ["control plane", "warden", "keeper web", "keeper hook"] {
        let mut times: Vec<u64> = took.iter().filter(|(step, _)| step == who).map(|(_, ms)| *ms).collect();
        times.sort_unstable();
        eprintln!("{who}: p50 {} ms, max {} ms", times[times.len() / 2], times[times.len() - 1]);
    }
}

/// A program that is no good leaves everything as it was.
#[track_caller]
fn rolled_back(defect: &str, says: &str) {
    let load = Load::new(&[]);
    let lemon = load.lemon(defect);
    let before = builds(&load.machine, &["web", "hook"]);
    // Who asks a control plane that ends at once, or hangs, notices that.
    load.unnoticed_by(!defect.starts_with("control"), |machine| {
        let summary = upgrade(machine, Some(&lemon), 1);
        assert_eq!(summary["ending"], "rolled-back", "{summary:#}");
        let reason = summary["reason"].as_str().unwrap();
        assert!(reason.contains(says), "{reason}");
        assert_eq!(summary["untouched"], serde_json::json!(["hook", "web"]));
        all_run_the_installed(machine, &["web", "hook"]);
        let after = builds(machine, &["web", "hook"]);
        assert!(after.iter().zip(&before).all(|((_, now), (_, then))| now == then), "{after:?}");
    });
    load.count();
}

/// These tests mostly wait, each for its own machine.
fn all_at_once<'a, T: Sync + 'a>(cases: &'a [T], test: impl Fn(&'a T) + Sync) {
    thread::scope(|scope| cases.iter().for_each(|case| drop(scope.spawn(|| test(case)))));
}

#[test]
fn keepers_that_are_no_good_are_rolled_back() {
    let cases = [
        ("keeper exit", "the keeper web ends again and again with it"),
        ("keeper done", "the keeper web ends again and again with it"),
        ("keeper hang", "the keeper web did not answer within 2 s with it"),
        ("keeper crash:200", "answered with it, and ends again and again"),
    ];
    all_at_once(&cases, |(defect, says)| rolled_back(defect, says));
}

#[test]
fn a_warden_and_a_control_plane_that_are_no_good_are_rolled_back() {
    let cases = [
        ("warden exit", "the warden ends again and again with it"),
        ("warden crash:200", "the warden answered with it, and ends again and again"),
        ("control exit", "the control plane ends again and again with it"),
        ("control hang", "the control plane did not answer within 10 s with it"),
    ];
    all_at_once(&cases, |(defect, says)| rolled_back(defect, says));
}

/// Somebody is SIGKILLed at that moment; the upgrade goes on with the next one.
#[track_caller]
fn survives(moment: &str) {
    let load = Load::new(&[("DOGWATCH_FAULT", &format!("{moment}=DIR/died"))]);
    let new = load.good("another build");
    load.unnoticed_by(!moment.starts_with("the control plane"), |machine| {
        let summary = upgrade(machine, Some(&new), 0);
        assert!(machine.dir().join("died").exists(), "nobody died");
        let steps = summary["steps"].as_array().unwrap();
        let replaced = steps.iter().filter(|step| step["change"] == "replaced").count();
        assert!(replaced == 1 && steps.len() == 4, "{summary:#}");
        all_run_the_installed(machine, &["web", "hook"]);
    });
    load.count();
}

#[test]
fn somebody_dies_on_the_way() {
    let cases = [
        "a keeper before exec",
        "a keeper after exec",
        "the warden before exec",
        "the warden after exec",
        "the control plane before exec",
        "the control plane after exec",
    ];
    all_at_once(&cases, |moment| survives(moment));
}

/// Runs an upgrade that is SIGKILLed at that moment.
#[track_caller]
fn interrupted(machine: &Machine, moment: &str, binary: &Path) {
    let died = machine.dir().join(format!("died {moment}"));
    let fault = format!("{moment}={}", died.display());
    let mut command = machine.command(&["upgrade", binary.to_str().unwrap()]);
    let output = command.env("DOGWATCH_FAULT", fault).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the upgrade was interrupted") && died.exists(), "{moment}: {output:#?}");
    assert_eq!(output.status.code(), Some(1));
    let status = machine.ok(&["status"]);
    assert!(status.contains("an upgrade was interrupted; finish it: dogwatch upgrade"), "{status}");
}

#[test]
fn an_upgrade_that_dies_on_its_way_is_finished_by_the_next_one() {
    let load = Load::new(&[]);
    load.unnoticed(|machine| {
        for (number, moment) in [
            "an upgrade after the file is in its place",
            "an upgrade after the control plane",
            "an upgrade after the warden",
            "an upgrade after a keeper",
        ]
        .iter()
        .enumerate()
        {
            interrupted(machine, moment, &load.good(&format!("build {number}")));
            let summary = upgrade(machine, None, 0);
            assert_eq!(summary["ending"], "done", "{summary:#}");
            all_run_the_installed(machine, &["web", "hook"]);
        }
    });
    load.count();
}

#[test]
fn after_an_interrupted_upgrade_the_way_back_is_still_there() {
    let load = Load::new(&[]);
    let good = program::build(load.machine.program()).unwrap();
    load.unnoticed(|machine| {
        for moment in ["an upgrade after the warden", "an upgrade after the old file is back"] {
            interrupted(machine, moment, &load.lemon("keeper hang"));
            let code = if moment.ends_with("back") { 0 } else { 1 };
            let summary = upgrade(machine, None, code);
            assert_eq!(summary["ending"], if code == 0 { "done" } else { "rolled-back" }, "{summary:#}");
            all_run_the_installed(machine, &["web", "hook"]);
            assert_eq!(program::build(machine.program()).unwrap(), good);
        }
    });
    load.count();
}

const SMALL: &str = r#"
    [services.web]
    command = ["UNRULY", "hang"]
    "#;

#[test]
fn what_must_not_take_over_is_refused_in_words_and_nothing_is_touched() {
    let machine = Machine::with_own_program(SMALL);
    machine.up();
    let before = builds(&machine, &["web"]);
    let file = machine.dir().join("file");
    let refused = |sentence: &str, advice: &str| {
        for words in [&["upgrade", "file"][..], &["upgrade", "--check", "file"]] {
            let outcome = machine.run(words);
            let said = outcome.err.replace(file.to_str().unwrap(), "FILE");
            let expected = format!("cannot upgrade to FILE: {sentence}");
            assert!(outcome.code == 1 && said.starts_with(&expected), "{outcome:#?}");
            assert!(said.contains(advice), "{outcome:#?}");
        }
    };
    refused("there is no such file", "");
    copy(&binary(), &file, "another build");
    let sh = |line: &str| {
        let status =
            std::process::Command::new("/bin/sh").args(["-c", line]).current_dir(machine.dir()).status();
        assert!(status.unwrap().success());
    };
    sh("chmod 644 file");
    refused("it is not executable\n", "  run: chmod +x ");
    sh("printf '#!/bin/sh\\nexec sleep 1000\\n' > file && chmod 755 file");
    refused("it is not a program: it does not begin like one\n", "");
    sh("cp /bin/true file");
    refused("it is no dogwatch that can take over (self-check: exited with code 0)\n", "");
    copy(&binary(), &file, "another build");
    let newer = machine.paths().service(&ServiceName::new("newer").unwrap());
    fs::create_dir(&newer.dir).unwrap();
    let sample = include_str!("../fixtures/spec-v1-least.json");
    fs::write(newer.spec(), sample.replacen("\"v\":1", "\"v\":2", 1)).unwrap();
    refused(
        "it cannot read what is there\n",
        "written by a newer dogwatch (version 2, this program knows 1)",
    );
    fs::remove_dir_all(&newer.dir).unwrap();
    machine.write("[services.web]\ncommnad = [\"UNRULY\"]\n");
    refused("it cannot read what is there\n", "has 1 mistake, so nothing could be started from it:");
    machine.write(SMALL);
    let check = machine.ok(&["upgrade", "--check", "file"]);
    assert!(check.contains("reads the state of 1 service\n"), "{check}");
    let nothing = upgrade(&machine, None, 0);
    assert_eq!(nothing["ending"], "nothing", "{nothing:#}");
    assert_eq!(builds(&machine, &["web"]), before);
    let names = fs::read_dir(machine.dir().join("bin")).unwrap().count();
    assert!(names == 1 && !machine.paths().upgrade_journal().exists());
}

#[test]
fn where_nothing_runs_there_is_nothing_to_upgrade() {
    let machine = Machine::with_own_program(SMALL);
    let outcome = machine.run(&["upgrade"]);
    assert_eq!(outcome.code, 4, "{outcome:#?}");
}

/// As a package manager does it.
fn replace_program(machine: &Machine, program: &Path, line: &str) {
    let beside = machine.dir().join("bin/dogwatch.dpkg-new");
    copy(program, &beside, line);
    fs::rename(beside, machine.program()).unwrap();
}

#[test]
fn a_file_that_was_replaced_already_is_noticed_and_taken_over() {
    let machine = Machine::with_own_program(SMALL);
    machine.up();
    let first = builds(&machine, &["web"]);
    replace_program(&machine, &binary(), "another build");
    let status = machine.ok(&["status"]);
    assert!(
        status.contains("bin/dogwatch is another build than the one that runs: dogwatch upgrade"),
        "{status}"
    );
    let old = machine.control().unwrap();
    kill(&old);
    until("a new control plane", || machine.control(), |new| new.as_ref().is_some_and(|new| *new != old));
    let status = until(
        "the keeper's old build",
        || machine.run(&["status"]).out,
        |status| status.contains("the warden, the keeper of web run another build than the control plane"),
    );
    assert!(status.contains("dogwatch upgrade"), "{status}");
    let show = machine.ok(&["show", "web"]);
    assert!(show.contains(", another build than the control plane: dogwatch upgrade"), "{show}");
    let summary = upgrade(&machine, None, 0);
    let who: Vec<&Value> = summary["steps"].as_array().unwrap().iter().map(|step| &step["who"]).collect();
    assert_eq!(who, ["warden", "keeper web"]);
    let pids = all_run_the_installed(&machine, &["web"]);
    assert_eq!(pids[1..], first.iter().map(|(pid, _)| *pid).collect::<Vec<_>>()[1..]);

    // The next one is no good: it is kept under another name, and the one from before is back.
    let good = program::build(machine.program()).unwrap();
    replace_program(&machine, &example("lemon"), "lemon keeper exit");
    let bad = program::build(machine.program()).unwrap();
    let summary = upgrade(&machine, None, 1);
    assert_eq!(summary["ending"], "rolled-back", "{summary:#}");
    all_run_the_installed(&machine, &["web"]);
    let refused = machine.dir().join("bin/dogwatch.refused");
    let there = [machine.program(), &refused].map(|path| program::build(path).unwrap());
    assert_eq!(there, [good, bad]);
    assert!(summary["reason"].as_str().unwrap().contains("the new program is kept as "), "{summary:#}");
}

#[test]
fn of_two_upgrades_one_wins_and_the_other_says_so() {
    let machine = Machine::with_own_program(SMALL);
    machine.up();
    let new = ["one", "two"].map(|name| {
        let path = machine.dir().join(name);
        copy(&binary(), &path, name);
        path
    });
    let Ok(lock::Attempt::Held(held)) = lock::try_lock(&machine.paths().upgrade_lock()) else {
        panic!("nobody upgrades yet");
    };
    let locked = upgrade(&machine, Some(&new[0]), 6);
    let own = format!("another upgrade is under way: pid {}", std::process::id());
    assert_eq!((&locked["ending"], &locked["reason"]), (&"locked".into(), &own.into()));
    held.release();
    let start = |path: &PathBuf| machine.command(&["upgrade", path.to_str().unwrap()]).spawn().unwrap();
    let codes = new.each_ref().map(start).map(|mut child| child.wait().unwrap().code());
    assert!(
        codes.contains(&Some(0)) && codes.iter().all(|code| [Some(0), Some(6)].contains(code)),
        "{codes:?}"
    );
    all_run_the_installed(&machine, &["web"]);
}

#[test]
fn a_keeper_that_hangs_is_replaced() {
    let load = Load::new(&[]);
    let new = load.good("another build");
    load.unnoticed(|machine| {
        let stalled = machine.keeper("web").unwrap();
        process::open(&stalled).unwrap().signal(Signal::parse("STOP").unwrap()).unwrap();
        let summary = upgrade(machine, Some(&new), 0);
        let steps = summary["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["who"] == "keeper web").unwrap();
        assert_eq!(step["change"], "replaced", "{step:#}");
        // That somebody else has replaced it who watches it learns at its next look.
        let told = || machine.run(&["status"]).out;
        until("it is trusted again", told, |text| !text.contains("stalled"));
        all_run_the_installed(machine, &["web", "hook"]);
    });
    load.count();
}

#[test]
fn signals_that_come_between_end_nobody() {
    let load = Load::new(&[]);
    let machine = &load.machine;
    let identities = [machine.warden(), machine.keeper("web"), machine.keeper("hook")];
    let handles = identities.map(|identity| process::open(&identity.unwrap()).unwrap());
    let stop = AtomicBool::new(false);
    let new = load.good("another build");
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for handle in &handles {
                    for name in ["TERM", "HUP", "INT"] {
                        handle.signal(Signal::parse(name).unwrap()).unwrap();
                    }
                }
                thread::yield_now();
            }
        });
        load.unnoticed(|machine| {
            let summary = machine.run(&["upgrade", "--json", "--watch", WATCH, new.to_str().unwrap()]);
            stop.store(true, Ordering::Relaxed);
            let summary: Value = serde_json::from_str(&summary.out).unwrap();
            let steps = summary["steps"].as_array().unwrap();
            assert!(steps.len() == 4 && steps.iter().all(|step| step["change"] == "became"), "{summary:#}");
        });
    });
    load.count();
}

#[test]
fn services_that_crash_and_services_that_stop_do_so_during_an_upgrade_too() {
    let machine = Machine::with_own_program(
        r#"
        [services.crash]
        command = ["UNRULY", "say", "up", "exit", "7"]
        restart = { delay = "1ms", max_delay = "5ms" }
        [services.slow]
        command = ["UNRULY", "farewell", "1500", "goodbye", "hang"]
        "#,
    );
    let _ = machine.run(&["up", "-d"]);
    machine.until_state("slow", "online");
    until("a crash loop", || machine.status("crash")["run"].as_u64(), |run| *run > Some(20));
    let mut stop = machine.command(&["stop", "slow"]).spawn().unwrap();
    machine.until_state("slow", "stopping");
    for line in ["one", "two"] {
        let new = machine.dir().join("new");
        copy(&binary(), &new, line);
        let summary = upgrade(&machine, Some(&new), 0);
        assert_eq!(summary["ending"], "done", "{summary:#}");
        all_run_the_installed(&machine, &["crash", "slow"]);
    }
    assert_eq!(stop.wait().unwrap().code(), Some(0));
    assert_eq!(machine.status("slow")["reason"], "stopped on request");
    assert_eq!(machine.log("slow", "out"), "goodbye\n");
    // Every run has written its line, and how each ended is known.
    machine.ok(&["stop", "crash"]);
    let crash = machine.until_state("crash", "stopped");
    let lines = machine.log("crash", "out");
    assert_eq!(Some(lines.matches("up\n").count() as u64), crash["run"].as_u64());
    let log = fs::read_to_string(machine.paths().own_log()).unwrap();
    assert!(!log.contains("exit status unknown"), "{log}");
}

#[test]
fn a_service_that_version_1_ran_is_adopted() {
    let machine = Machine::new("");
    let paths = machine.paths();
    let service = paths.service(&ServiceName::new("web").unwrap());
    for folder in paths.folders().iter().chain([&service.dir]) {
        fs::create_dir_all(folder).unwrap();
    }
    let logs = machine.dir().join("logs");
    let spec = include_str!("../fixtures/spec-v1-least.json")
        .replace("PROGRAM", unruly().to_str().unwrap())
        .replace("LOGS", logs.to_str().unwrap());
    fs::write(service.spec(), spec).unwrap();
    // The samples' process is one of this test.
    let mut running = std::process::Command::new(unruly()).arg("hang").spawn().unwrap();
    let pid = running.id() as i32;
    let record = include_str!("../fixtures/record-v1.json")
        .replacen("\"pid\":4711", &format!("\"pid\":{pid}"), 1)
        .replacen("\"ticks\":99", &format!("\"ticks\":{}", process::start_ticks(pid).unwrap()), 1)
        .replacen(
            "\"boot_id\":\"b\"",
            &format!("\"boot_id\":\"{}\"", dogwatch::os::clock::boot_id().unwrap()),
            1,
        );
    let record: dogwatch::wire::record::Record = serde_json::from_str(record.trim()).unwrap();
    fs::write(service.record(1), record.encode().unwrap()).unwrap();
    let mut control = machine.command(&["control", "-f", "ecosystem.toml"]).spawn().unwrap();
    let adopted = machine.until_state("web", "online");
    assert_eq!((&adopted["pid"], &adopted["run"]), (&pid.into(), &3.into()));
    // The goal that version 1 wrote: down. The next start obeys it.
    kill_pid(&adopted);
    running.wait().unwrap();
    until("the next run", || machine.status("web")["run"].clone(), |run| *run == 4);
    machine.ok(&["down"]);
    control.wait().unwrap();
    fs::write(&service.goal, include_bytes!("../fixtures/goal-v1")).unwrap();
    machine.write(SMALL);
    let mut control = machine.command(&["control", "-f", "ecosystem.toml"]).spawn().unwrap();
    machine.until_state("web", "stopped");
    assert_eq!(machine.status("web")["goal"], "down");
    machine.ok(&["down"]);
    control.wait().unwrap();
}
