//! What an upgrade must not end: services with a view are answered by the next control plane, and of the processes that
//! were renewed each one that stalls is still found and replaced.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dogwatch::os::process::Identity;
use serde_json::Value;

use crate::harness::programs::copy;
use crate::harness::{Machine, PATIENCE, binary, example, free_address, pause, stop, until};
use crate::upgrade::{all_run_the_installed, upgrade};

const SMALL: &str = "[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n";

/// A machine whose processes have all become another build.
fn renewed() -> (Machine, Value) {
    let machine = Machine::with_own_program(SMALL);
    machine.up();
    let before = machine.until_state("web", "online");
    renew(&machine, &["web"], "another build");
    (machine, before)
}

/// Lets all processes become another build, under the numbers that they have.
#[track_caller]
fn renew(machine: &Machine, names: &[&str], line: &str) {
    let pids = all_run_the_installed(machine, names);
    let new = machine.dir().join("new");
    copy(&binary(), &new, line);
    let summary = upgrade(machine, Some(&new), 0);
    assert_eq!(summary["ending"], "done", "{summary:#}");
    assert_eq!(all_run_the_installed(machine, names), pids);
}

/// Stops that process, and waits until another one has its place.
#[track_caller]
fn stall(who: impl Fn() -> Option<Identity>) {
    let old = who().unwrap();
    stop(&old);
    until("a successor", who, |new| new.as_ref().is_some_and(|new| *new != old));
}

/// Says that the work is done, also of work that fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets the viewer ask how the services are; the last packet that it got.
pub fn ask(viewer: SocketAddr) -> Value {
    let mut stream = TcpStream::connect(viewer).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    writeln!(stream, "ask").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let last = answer.lines().last().unwrap_or_else(|| panic!("no answer"));
    serde_json::from_str(last).unwrap()
}

#[test]
fn a_view_is_answered_all_the_while() {
    let (viewer, program) = (free_address(), example("viewer"));
    let machine = Machine::with_own_program(&format!(
        "[services.viewer]\ncommand = [{program:?}]\nlisten = [\"{viewer}\"]\nready = \"notify\"\n\
         dogwatch_access = \"view\"\n"
    ));
    machine.up();
    let before = machine.until_state("viewer", "online");
    let done = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let renewing = scope.spawn(|| {
            let _done = Done(&done);
            for line in ["one", "two"] {
                renew(&machine, &["viewer"], line);
            }
        });
        let mut answers = Vec::new();
        while !done.load(Ordering::Relaxed) {
            answers.push(ask(viewer)["services"][0]["pid"].clone());
            pause();
        }
        renewing.join().unwrap();
        answers
    });
    assert!(answers.len() > 3 && answers.iter().all(|pid| *pid == before["pid"]), "{answers:?}");
    assert_eq!(ask(viewer)["services"][0]["pid"], before["pid"]);
    let after = machine.until_state("viewer", "online");
    assert_eq!((&after["pid"], &after["run"]), (&before["pid"], &before["run"]));
    assert!(after["incidents"].is_null(), "nobody was replaced: {after:#}");
}

#[test]
fn a_keeper_and_a_warden_that_stall_afterwards_are_replaced() {
    let (machine, before) = renewed();
    assert!(machine.status("web")["incidents"].is_null());
    stall(|| machine.keeper("web"));
    let after = until("told", || machine.status("web"), |now| now["incidents"]["replaced"] == 1);
    assert_eq!((&after["pid"], &after["run"]), (&before["pid"], &before["run"]));
    stall(|| machine.warden());
    assert_eq!(machine.until_state("web", "online")["pid"], before["pid"]);
    all_run_the_installed(&machine, &["web"]);
}

#[test]
fn a_control_plane_that_stalls_afterwards_is_replaced() {
    let (machine, before) = renewed();
    watched_again(&machine);
    stall(|| machine.control());
    assert_eq!(machine.until_state("web", "online")["pid"], before["pid"]);
}

#[test]
fn a_control_plane_that_could_not_become_another_program_is_watched_as_before() {
    let machine = Machine::with_own_program(SMALL);
    machine.up();
    let (control, before) = (machine.control().unwrap(), machine.until_state("web", "online"));
    let nonsense = machine.dir().join("ecosystem.toml");
    order_to_become(&machine, &nonsense);
    until("told", || machine.run(&["status"]).out, |status| status.contains("cannot become "));
    assert_eq!(machine.control().unwrap(), control);
    watched_again(&machine);
    stall(|| machine.control());
    assert_eq!(machine.until_state("web", "online")["pid"], before["pid"]);
}

/// Waits until the warden has the control plane's dead man's switch.
fn watched_again(machine: &Machine) {
    let switches = || {
        let warden = machine.warden()?;
        let files = std::fs::read_dir(format!("/proc/{}/fd", warden.pid)).ok()?;
        let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        Some(links.filter(|link| link.to_string_lossy() == "anon_inode:[timerfd]").count())
    };
    until("the warden has the switch", switches, |switches| *switches == Some(1));
}

/// What `dogwatch upgrade` would not ask for: it looks at the program first.
fn order_to_become(machine: &Machine, program: &Path) {
    let body = serde_json::json!({ "program": program }).to_string();
    let (_folder, socket) = dogwatch::os::unix::short_path(&machine.paths().control_sock()).unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /v1/exec HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer); // it may let go of us when it tries
}
