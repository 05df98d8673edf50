//! What is used up: descriptors, memory, processes, room on the disk. dogwatch goes on, says what it cannot do, and
//! does it as soon as it can.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use dogwatch::os::packet::Connection;
use dogwatch::os::process::{self, Identity};

use crate::harness::full_disk::FullDisk;
use crate::harness::limits::{Lowered, descriptors, is_calm};
use crate::harness::{Machine, kill, kill_pid, until};

const SERVICE: &str = "[services.web]\ncommand = [\"UNRULY\", \"say\", \"hello\", \"ready\", \"hang\"]\nready = \"notify\"\nrestart = { delay = \"10ms\", max_delay = \"20ms\" }\n";

fn up(machine: &Machine) -> serde_json::Value {
    machine.up();
    machine.until_state("web", "online")
}

/// What a process has open of the service's runs.
fn fifos(machine: &Machine, of: &Identity) -> BTreeSet<PathBuf> {
    let links = fs::read_dir(format!("/proc/{}/fd", of.pid)).into_iter().flatten().flatten();
    let links = links.filter_map(|link| fs::read_link(link.path()).ok());
    links.filter(|link| link.starts_with(machine.paths().services())).collect()
}

/// The folders of runs: the present one, and one for the next.
fn run_folders(machine: &Machine) -> Vec<String> {
    let entries = fs::read_dir(machine.paths().services().join("web")).unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("0."))
        .collect()
}

#[track_caller]
fn until_said(machine: &Machine, what: &str) {
    until(what, || machine.own_log(), |log| log.contains(what));
}

/// Waits for a run after this one, and returns its status.
#[track_caller]
fn until_restarted(machine: &Machine, before: &serde_json::Value) -> serde_json::Value {
    until(
        "another run",
        || machine.status("web"),
        |now| now["run"].as_u64() > before["run"].as_u64() && now["state"] == "online",
    )
}

#[test]
fn a_keeper_without_descriptors_goes_on_and_restarts_when_it_has_some() {
    let machine = Machine::new(SERVICE);
    let before = up(&machine);
    let keeper = machine.keeper("web").unwrap();
    let shortage = Lowered::descriptors(&keeper, 0);
    let asker = Connection::connect(&machine.paths().services().join("web/keeper.sock")).unwrap();
    asker.send(br#"{"v":1,"op":"ping"}"#, &[]).unwrap();
    until_said(&machine, "keeper web: cannot accept a connection: Too many open files");
    is_calm(&keeper);
    kill_pid(&before);
    let told = |now: &serde_json::Value| {
        now["reason"].as_str().is_some_and(|reason| reason.contains("too many open files"))
    };
    until("the reason", || machine.status("web"), told);
    is_calm(&keeper);
    shortage.lift();
    until_restarted(&machine, &before);
    until("an answer", || asker.wait(1000).unwrap(), |there| *there);
    assert_eq!(machine.keeper("web"), Some(keeper));
    assert_eq!(machine.own_log().matches("cannot accept a connection").count(), 1, "{}", machine.own_log());
    until("nothing is left of the attempts", || run_folders(&machine), |folders| folders.len() == 2);
}

#[test]
fn a_warden_without_descriptors_starts_keepers_when_it_has_some() {
    let machine = Machine::new(SERVICE);
    let before = up(&machine);
    let (warden, keeper) = (machine.warden().unwrap(), machine.keeper("web").unwrap());
    let shortage = Lowered::descriptors(&warden, 0);
    kill(&keeper);
    until_said(&machine, "warden: cannot start a keeper for web: ");
    is_calm(&warden);
    shortage.lift();
    until("a new keeper", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != keeper));
    let after = machine.until_state("web", "online");
    assert_eq!((&after["pid"], machine.warden()), (&before["pid"], Some(warden)));
}

#[test]
fn what_a_warden_had_no_descriptors_for_it_holds_later() {
    let machine = Machine::new(SERVICE);
    let before = up(&machine);
    let (warden, keeper) = (machine.warden().unwrap(), machine.keeper("web").unwrap());
    let holds = || fifos(&machine, &warden);
    let open = until("it holds the run", || (holds().len(), descriptors(&warden)), |(held, _)| *held == 4).1;
    // Room for two of the four FIFOs of a run.
    let shortage = Lowered::descriptors(&warden, 2);
    kill_pid(&before);
    let after = until_restarted(&machine, &before);
    is_calm(&warden);
    shortage.lift();
    let of_the_run = |held: &BTreeSet<PathBuf>| {
        let run = format!("0.{}", after["run"]);
        held.iter().filter(|path| path.parent().is_some_and(|folder| folder.ends_with(&run))).count()
    };
    until("it holds the new run, and nothing else", holds, |held| of_the_run(held) == 4 && held.len() == 4);
    until("as many descriptors as before", || descriptors(&warden), |now| *now == open);
    assert_eq!((machine.warden(), machine.keeper("web")), (Some(warden), Some(keeper)));
}

#[test]
fn a_control_plane_without_descriptors_is_answered_for_by_the_keepers() {
    let machine = Machine::new(SERVICE);
    let before = up(&machine);
    let control = machine.control().unwrap();
    let shortage = Lowered::descriptors(&control, 0);
    let asked = machine.run(&["status"]);
    assert!(asked.code == 0 && asked.err.contains("asked the keepers directly"), "{asked:#?}");
    kill_pid(&before);
    until_restarted(&machine, &before);
    is_calm(&control);
    shortage.lift();
    let asked = until("it answers again", || machine.run(&["status"]), |asked| asked.err.is_empty());
    assert_eq!((asked.code, machine.control()), (0, Some(control)));
    let told = "control: cannot accept a connection to the API: Too many open files";
    assert_eq!(machine.own_log().matches(told).count(), 1, "{}", machine.own_log());
}

#[test]
fn whoever_gets_no_memory_costs_the_service_nothing() {
    let machine = Machine::new(SERVICE);
    let before = up(&machine);
    // Each of them either goes on with what it has, or ends and is replaced.
    let shortage = Lowered::memory(&machine.control().unwrap());
    for _ in 0..5 {
        machine.run(&["status", "--json"]);
    }
    shortage.lift();
    until("the API answers", || machine.run(&["status"]), |asked| asked.code == 0 && asked.err.is_empty());

    let keeper = machine.keeper("web").unwrap();
    let shortage = Lowered::memory(&machine.warden().unwrap());
    kill(&keeper);
    until("a new keeper", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != keeper));
    shortage.lift();

    let shortage = Lowered::memory(&machine.keeper("web").unwrap());
    for _ in 0..5 {
        machine.run(&["show", "web"]);
    }
    let after = machine.until_state("web", "online");
    assert_eq!((&after["pid"], &after["run"]), (&before["pid"], &before["run"]));
    shortage.lift();
    kill_pid(&after);
    until_restarted(&machine, &after);
    assert!(machine.warden().is_some() && machine.control().is_some());
}

#[test]
fn without_processes_restarts_wait_and_nobody_gives_up() {
    if nix::unistd::geteuid().as_raw() != 0 {
        eprintln!("left out: only root may be somebody of whom there are few processes");
        return;
    }
    // Somebody of their own: root may always have one more.
    let user = 700_000 + std::process::id();
    let machine = Machine::new(SERVICE);
    for path in [machine.dir().to_owned(), machine.dir().join("ecosystem.toml")] {
        chown(path, Some(user), Some(user)).unwrap();
    }
    let mut command = machine.command(&["up", "-d"]);
    let started = command.uid(user).gid(user).env("HOME", machine.dir()).output().unwrap();
    assert!(started.status.success(), "{started:#?}");
    let before = machine.until_state("web", "online");
    let (warden, keeper) = (machine.warden().unwrap(), machine.keeper("web").unwrap());

    let shortage = Lowered::processes(&keeper);
    kill_pid(&before);
    let told = |now: &serde_json::Value| {
        now["reason"] == "create a process: no more processes allowed"
            && now["hint"] == "see: ulimit -u, pids.max"
    };
    until("the reason", || machine.status("web"), told);
    is_calm(&keeper);
    shortage.lift();
    let after = until_restarted(&machine, &before);
    until("nothing is left of the attempts", || run_folders(&machine), |folders| folders.len() == 2);

    let shortage = Lowered::processes(&warden);
    kill(&keeper);
    until_said(&machine, "warden: cannot start a keeper for web: Resource temporarily unavailable");
    is_calm(&warden);
    assert!(process::is_alive(&identity(&after)));
    shortage.lift();
    until("a new keeper", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != keeper));
    assert_eq!(machine.until_state("web", "online")["pid"], after["pid"]);
    assert_eq!(machine.warden(), Some(warden));
}

fn identity(status: &serde_json::Value) -> Identity {
    let pid = status["pid"].as_i64().unwrap() as i32;
    let boot_id = dogwatch::os::clock::boot_id().unwrap();
    Identity { pid, ticks: process::start_ticks(pid).unwrap(), boot_id }
}

#[test]
fn on_a_full_disk_everything_is_restarted_and_what_is_not_kept_is_said() {
    let machine = Machine::new(&format!(
        "[dogwatch]\nlog_dir = \"home/logs\"\n{SERVICE}{}",
        SERVICE.replace("web", "off")
    ));
    let Some(disk) = FullDisk::mount(&machine, "home") else { return };
    let mut before = up(&machine);
    machine.until_state("off", "online");
    // Whatever was ordered once has its room; as if nothing ever was.
    fs::remove_file(machine.paths().state.join("goal/off")).unwrap();
    disk.fill();

    // The service, more often than there are FIFOs in stock.
    for _ in 0..5 {
        kill_pid(&before);
        disk.fill(); // somebody takes what is set free
        before = until_restarted(&machine, &before);
    }
    // Keeper, warden, control plane.
    let (control, warden) = (machine.control().unwrap(), machine.warden().unwrap());
    let keeper = machine.keeper("web").unwrap();
    kill(&keeper);
    until("a new keeper", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != keeper));
    kill(&warden);
    until("a new warden", || machine.warden(), |new| new.as_ref().is_some_and(|new| *new != warden));
    kill(&control);
    until("a new control plane", || machine.control(), |new| new.as_ref().is_some_and(|new| *new != control));
    until("the API answers", || machine.run(&["status"]), |asked| asked.code == 0 && asked.err.is_empty());
    assert_eq!(machine.until_state("web", "online")["pid"], before["pid"]);

    // Orders: what needs no room is done, what cannot be kept is said, what cannot be done is refused.
    disk.fill();
    machine.ok(&["restart", "web"]);
    let restarted = machine.status("web");
    let stopped = machine.run(&["stop", "off"]);
    assert_eq!((stopped.code, machine.status("off")["state"].as_str()), (7, Some("stopped")), "{stopped:#?}");
    assert!(stopped.err.contains("No space left on device"), "{stopped:#?}");
    let more = format!("env = {{ TEXT = \"{}\" }}\n", "x".repeat(8000));
    machine.write(&format!(
        "[dogwatch]\nlog_dir = \"home/logs\"\n{SERVICE}{more}{}",
        SERVICE.replace("web", "off")
    ));
    let refused = machine.run(&["restart", "web"]);
    assert!(refused.code == 1 && refused.err.contains("No space left on device"), "{refused:#?}");
    assert_eq!(machine.status("web")["pid"], restarted["pid"]);

    disk.make_room();
    machine.ok(&["stop", "off"]);
    machine.ok(&["restart", "web"]);
    let log = || fs::read_to_string(machine.dir().join("home/logs/web-out.log")).unwrap_or_default();
    let runs = machine.status("web")["run"].as_u64().unwrap() as usize;
    until("the words of every run", log, |log| *log == "hello\n".repeat(runs));
    until("its own log tells", || machine.own_log(), |log| log.contains("web"));
    machine.ok(&["down"]);
    let goal = fs::read_to_string(machine.paths().state.join("goal/off")).unwrap();
    assert!(goal.contains(" down "), "{goal}");
}
