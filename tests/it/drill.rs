//! `dogwatch drill` tells the truth: a promise that is kept, one that is broken, and nothing left behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dogwatch::model::name::ServiceName;
use dogwatch::model::signal::Signal;
use dogwatch::os::lock;
use dogwatch::os::process::{Identity, PidFd};
use dogwatch::paths::Paths;
use serde_json::Value;

use crate::harness::{Machine, binary, free_address, until};

/// `dogwatch drill ARGS`, with this folder for temporary files.
fn drill(temporary: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("drill").args(args).current_dir(temporary).env("TMPDIR", temporary);
    command.env_remove("DOGWATCH_HOME").env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    command
}

/// Each row by the name of its fault.
fn rows(report: &Value) -> BTreeMap<String, Value> {
    let rows = report["rows"].as_array().unwrap_or_else(|| panic!("no rows in {report}"));
    rows.iter().map(|row| (row["fault"].as_str().unwrap().to_owned(), row.clone())).collect()
}

/// Living processes that have to do with this folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let text =
            |name: &str| String::from_utf8_lossy(&fs::read(path.join(name)).unwrap_or_default()).into_owned();
        let cwd = fs::read_link(path.join("cwd")).unwrap_or_default();
        let said = format!("{} {} {}", text("cmdline"), text("environ"), cwd.display());
        if said.contains(folder) {
            found.push(format!("{}: {}", entry.file_name().display(), said.replace('\0', " ")));
        }
    }
    found
}

#[track_caller]
fn nothing_is_left(temporary: &Path) {
    let names =
        || fs::read_dir(temporary).unwrap().flatten().map(|entry| entry.path()).collect::<Vec<PathBuf>>();
    until(
        "nothing is left",
        || (processes_of(temporary), names()),
        |(left, names)| left.is_empty() && names.is_empty(),
    );
}

/// Does these faults on a scratch copy, which must keep the promise and leave nothing. The rows and the picture.
fn kept_on_a_scratch_copy(faults: &[&str]) -> (BTreeMap<String, Value>, String) {
    let temporary = tempfile::tempdir().unwrap();
    let picture = temporary.path().join("drill.html");
    let args = ["--scratch", "--seconds", "1", "--json", "--only", &faults.join(","), "--html"];
    let output = drill(temporary.path(), &args).arg(&picture).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!((output.status.code(), &report["kept"]), (Some(0), &Value::Bool(true)), "{report:#}");
    let rows = rows(&report);
    let mut names: Vec<&str> = faults.iter().copied().chain(["none"]).collect();
    names.sort_unstable();
    assert!(rows.keys().eq(&names), "{report:#}");
    for (name, row) in &rows {
        assert!(row["requests"].as_u64().unwrap() > 0, "{row:#}");
        assert_eq!(row["failed"], 0, "{row:#}");
        assert!(row["lines"]["found"].as_u64().unwrap() > 0, "{row:#}");
        assert_eq!((&row["lines"]["lost"], &row["lines"]["torn"]), (&0.into(), &0.into()), "{row:#}");
        if row["verdict"] != "kept" {
            assert_eq!((name.as_str(), &row["verdict"]), ("full-logs", &"not-shown".into()), "{row:#}");
            assert!(row["sentences"][0].as_str().unwrap().contains("needs root"), "{row:#}");
        }
        assert_eq!(row["p99_ratio"].is_number(), name != "none", "{row:#}");
    }
    let html = fs::read_to_string(&picture).unwrap();
    fs::remove_file(picture).unwrap();
    nothing_is_left(temporary.path());
    (rows, html)
}

#[test]
fn a_scratch_copy_bears_that_any_of_dogwatchs_own_is_killed() {
    let faults = ["kill-control", "kill-warden", "kill-keeper", "kill-other-keeper"];
    let (rows, html) = kept_on_a_scratch_copy(&faults);
    for fault in faults {
        assert!(rows[fault]["recovery_ms"].as_f64().unwrap() < 5000.0, "{:#}", rows[fault]);
    }
    assert!(html.contains("<svg") && html.contains("The promise was kept") && html.contains("kill-keeper"));
    for reference in ["src=", "href=", "url(", "@import", "<script", "<link", "https:"] {
        assert!(!html.contains(reference), "{reference} in the report");
    }
}

#[test]
fn a_scratch_copy_bears_that_any_of_dogwatchs_own_stands_still() {
    let faults = ["stop-warden", "stop-keeper", "stop-other-keeper"];
    thread::scope(|scope| {
        // Found out last, so beside the others.
        scope.spawn(|| {
            let (rows, _) = kept_on_a_scratch_copy(&["stop-control"]);
            assert!(rows["stop-control"]["recovery_ms"].is_number(), "{rows:#?}");
        });
        let (rows, _) = kept_on_a_scratch_copy(&faults);
        for fault in faults {
            assert!(rows[fault]["recovery_ms"].is_number(), "{:#}", rows[fault]);
        }
    });
}

#[test]
fn a_scratch_copy_bears_every_neighbour() {
    let faults = ["crash-loop", "leak", "flood", "fork-bomb", "spin", "full-logs"];
    let (rows, _) = kept_on_a_scratch_copy(&faults);
    assert!(rows["flood"]["lines"]["found"].as_u64().unwrap() > 50_000, "{:#}", rows["flood"]);
    let bomb = rows["fork-bomb"]["sentences"][0].as_str().unwrap();
    assert!(bomb.starts_with("the kernel let "), "limited, also where dogwatch is root's: {bomb}");
}

/// A web service as the drill's own copy has it, a bystander, and a drill of it.
fn machine(address: SocketAddr) -> Machine {
    let program = binary();
    Machine::new(&format!(
        r#"
        [services.bystander]
        command = ["UNRULY", "hang"]
        ready = {{ alive = "10ms" }}
        [services.web]
        critical = true
        log.timestamps = "inline"
        command = [{program:?}, "drill-victim", "serve"]
        listen = ["{address}"]
        ready = "notify"
        "#
    ))
}

#[test]
fn a_live_system_is_hurt_only_when_that_was_said() {
    let machine = machine(free_address());
    machine.up();
    let own = || (machine.control(), machine.warden(), machine.keeper("web"), machine.keeper("bystander"));
    let (before, pids) = (own(), ["web", "bystander"].map(|name| machine.status(name)["pid"].clone()));
    let unasked = machine.run(&["drill", "--seconds", "1"]);
    assert_eq!((unasked.code, own()), (2, before.clone()), "{unasked:?}");
    assert!(unasked.err.contains("SIGKILL to the control plane") && unasked.err.contains("nothing was done"));

    let faults = "kill-warden,kill-keeper,stop-other-keeper,crash-loop,full-logs";
    let drilled = machine.run(&["drill", "--yes", "--seconds", "1", "--only", faults, "--json"]);
    let report: Value = serde_json::from_str(&drilled.out).unwrap_or_else(|_| panic!("{drilled:?}"));
    assert_eq!((drilled.code, &report["service"]), (0, &"web".into()), "{report:#}");
    let rows = rows(&report);
    for fault in ["none", "kill-warden", "kill-keeper", "stop-other-keeper", "crash-loop"] {
        let row = &rows[fault];
        assert_eq!((&row["verdict"], &row["failed"]), (&"kept".into(), &0.into()), "{row:#}");
        assert!(
            row["lines"].is_null(),
            "nobody numbers the lines of a live system, or undresses them: {row:#}"
        );
    }
    assert_eq!(rows["full-logs"]["verdict"], "not-shown");
    let after = own();
    assert_ne!((&after.1, &after.2), (&before.1, &before.2), "warden and keeper were killed");
    assert_eq!(after.0, before.0, "nobody named the control plane");
    assert_eq!(["web", "bystander"].map(|name| machine.status(name)["pid"].clone()), pids);
    assert_eq!(neighbours(&machine), [] as [String; 0]);
}

/// Throw-away services that dogwatch has a folder for.
fn neighbours(machine: &Machine) -> Vec<String> {
    let services = fs::read_dir(machine.paths().services()).unwrap().flatten();
    let names = services.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("drill")).collect()
}

#[test]
fn a_killed_drill_leaves_a_live_system_as_it_was() {
    let machine = machine(free_address());
    machine.up();
    let pids = || ["web", "bystander"].map(|name| machine.status(name)["pid"].clone());
    let before = pids();
    let temporary = tempfile::tempdir().unwrap();
    for fault in ["leak", "fork-bomb"] {
        let args = ["drill", "--yes", "--seconds", "5", "--only", fault];
        let mut command = machine.command(&args);
        let mut child = command.env("TMPDIR", temporary.path()).stderr(Stdio::null()).spawn().unwrap();
        let name = ServiceName::new(&format!("drill-{fault}")).unwrap();
        let keeper = machine.paths().service(&name).lock;
        until("the neighbour has a keeper", || lock::named(&keeper), Option::is_some);
        PidFd::open(child.id() as i32).unwrap().signal(Signal::KILL).unwrap();
        child.wait().unwrap();
        until("no neighbour", || neighbours(&machine), Vec::is_empty);
        nothing_is_left(temporary.path());
        assert!(!keeper.exists());
    }
    assert_eq!(pids(), before);
}

/// Answers well as long as `well` says so; afterwards hangs up. Never outlives the test.
fn fair_weather_server(well: impl Fn() -> bool + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(free_address()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        static OVER: AtomicBool = AtomicBool::new(false);
        for mut connection in listener.incoming().flatten() {
            if OVER.load(Ordering::Relaxed) || !well() {
                OVER.store(true, Ordering::Relaxed);
                continue;
            }
            let _ = connection.read(&mut [0; 1024]);
            let _ =
                connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

#[test]
fn a_broken_promise_is_told_and_why() {
    let machine = machine(free_address());
    machine.up();
    let before = machine.control().unwrap();
    let run = |url: &str| {
        let faults = "kill-control,kill-other-keeper";
        machine.run(&["drill", "--yes", "--seconds", "1", "--only", faults, "--url", url])
    };
    let nobody = run(&format!("http://{}/", free_address()));
    assert_eq!(nobody.code, 1, "{nobody:#?}");
    assert!(nobody.out.contains("requests failed") && nobody.out.contains(" refused\n"), "{}", nobody.out);
    assert!(
        nobody.out.contains("The service was not well before any fault: none was done."),
        "{}",
        nobody.out
    );
    assert_eq!(machine.control(), Some(before.clone()), "no fault was done");

    let path = machine.paths().control_lock();
    let address = fair_weather_server(move || lock::named(&path).is_none_or(|now| now == before));
    let fair = run(&format!("http://{address}/"));
    assert_eq!(fair.code, 1, "{fair:#?}");
    let line =
        |fault: &str| fair.out.lines().find(|line| line.starts_with(fault)).unwrap_or_default().to_owned();
    assert!(line("none").ends_with("kept"), "{}", fair.out);
    assert!(line("kill-control").ends_with("BROKEN"), "{}", fair.out);
    assert!(fair.out.contains("cut off without an answer"), "{}", fair.out);
    assert!(fair.out.contains("The promise was broken: kill-control"), "{}", fair.out);
}

/// The process that the drill has stopped, once it has.
fn until_stopped(temporary: &Path) -> Identity {
    let keeper = || {
        let folder = fs::read_dir(temporary).unwrap().flatten().next()?.path();
        let name = ServiceName::new("web").unwrap();
        let keeper = lock::named(&Paths::below(&folder.join("home")).service(&name).lock)?;
        state(&keeper).filter(|state| *state == 'T').map(|_| keeper)
    };
    until("the keeper stands still", keeper, Option::is_some).unwrap()
}

fn state(process: &Identity) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn whatever_ends_a_drill_nothing_stands_still_and_nothing_is_left() {
    let ends = [(Signal::TERM, Some(2)), (Signal(2), Some(2)), (Signal::KILL, None)];
    thread::scope(|scope| {
        for (end, code) in ends {
            scope.spawn(move || end_a_drill(end, code));
        }
    });
}

fn end_a_drill(end: Signal, code: Option<i32>) {
    let temporary = tempfile::tempdir().unwrap();
    let args = ["--scratch", "--seconds", "3", "--only", "stop-keeper"];
    let mut child = drill(temporary.path(), &args).stderr(Stdio::piped()).spawn().unwrap();
    until_stopped(temporary.path());
    PidFd::open(child.id() as i32).unwrap().signal(end).unwrap();
    // The guard has it too: its end is the end of both.
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), code, "{said}");
    assert_eq!(said.contains("interrupted"), code.is_some(), "{said}");
    nothing_is_left(temporary.path());
}

#[test]
fn a_wrong_word_does_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let output = drill(temporary.path(), args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, error) = run(&["--scratch", "--only", "kill-wardne"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("did you mean kill-warden?"), "{error}");
    let home = temporary.path().join("nobody").display().to_string();
    let (code, ..) = run(&["--home", &home, "--yes"]);
    assert_eq!(code, Some(2), "nothing runs there");
    let (code, list, _) = run(&["--list"]);
    assert_eq!((code, list.lines().count()), (Some(0), 14), "{list}");
}
