//! Processes of dogwatch that live and do nothing: stopped, or hanging. They are found without waking anybody in
//! peace, and replaced like dead ones. And locks: whoever comes second says who was first.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dogwatch::model::name::ServiceName;
use dogwatch::os::packet::Connection;
use dogwatch::os::process::Identity;

use crate::harness::lines::{Account, Tally, account, tally};
use crate::harness::{Machine, free_address, go_on, kill, kill_pid, pause, stop, until};

/// From the moment when a keeper or the warden stalls.
const REPLACED: Duration = Duration::from_secs(10);
/// The same for the control plane.
const CONTROL_REPLACED: Duration = Duration::from_secs(20);
/// The same for both at once.
const BOTH_REPLACED: Duration = Duration::from_secs(40);
/// A command that finds somebody stalled answers within this time; twice what is promised, for busy machines.
const ANSWER: Duration = Duration::from_secs(4);

/// Waits until another process holds that lock.
#[track_caller]
fn until_replaced(old: &Identity, longest: Duration, holder: impl Fn() -> Option<Identity>) -> Identity {
    let begin = Instant::now();
    let new = until("a successor", holder, |new| new.as_ref().is_some_and(|new| new != old));
    let took = begin.elapsed();
    assert!(took < longest, "replaced after {took:?}");
    new.unwrap()
}

#[test]
fn the_service_of_a_stopped_keeper_is_restarted_when_it_dies() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    machine.up();
    let before = machine.until_state("web", "online");
    let keeper = machine.keeper("web").unwrap();
    let begin = Instant::now();
    stop(&keeper);
    kill_pid(&before);
    until("another run", || machine.status("web"), |now| now["run"] == 2 && now["pid"].is_i64());
    assert!(begin.elapsed() < REPLACED, "{:?}", begin.elapsed());
    assert!(machine.until_state("web", "online")["reason"].as_str().unwrap().contains("killed by SIGKILL"));
}

#[test]
fn a_stopped_keeper_costs_its_service_nothing_and_is_told_of() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"whole\", \"number\", \"5\", \"100\", \"hang\"]\nlog = { compress = false, keep = 100 }\n",
    );
    machine.up();
    let before = machine.until_state("web", "online");
    let keeper = machine.keeper("web").unwrap();
    stop(&keeper);
    until_replaced(&keeper, REPLACED, || machine.keeper("web"));
    let after = until("told", || machine.status("web"), |now| now["incidents"]["replaced"] == 1);
    assert_eq!((&after["pid"], &after["run"]), (&before["pid"], &before["run"]));
    assert!(machine.ok(&["show", "web"]).contains("stopped; replaced after "));
    assert!(machine.own_log().contains("control: the keeper of web was stalled (stopped): replaced after "));
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]); // the keeper ends when the last byte is in its file
    let found = tally(&machine.log_files("web", "out"));
    assert!(found.lines > 1000, "{found:?}");
    assert_eq!(found, Tally { lines: found.lines, ..Tally::default() });
}

#[test]
fn a_keeper_that_hangs_is_replaced_and_the_order_it_hung_over_is_carried_out() {
    if cfg!(not(debug_assertions)) || std::env::var_os("DOGWATCH").is_some() {
        return; // a release build has no moments to hang at
    }
    let mut machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"say\", \"hello\", \"hang\"]\n");
    let marker = machine.dir().join("hangs");
    machine.set("DOGWATCH_HANG", &format!("asked to flush={}", marker.display()));
    machine.up();
    let before = machine.until_state("web", "online");
    let keeper = machine.keeper("web").unwrap();
    let mut flush = machine.command(&["flush", "web"]).spawn().unwrap();
    until("it hangs", || marker.exists(), |hangs| *hangs);
    // Whoever looks at the services notices.
    machine.run(&["status"]);
    until_replaced(&keeper, REPLACED, || machine.keeper("web"));
    assert_eq!(flush.wait().unwrap().code(), Some(0));
    assert_eq!(machine.log("web", "out"), "");
    let after = until("told", || machine.status("web"), |now| now["incidents"]["replaced"] == 1);
    assert_eq!(after["incidents"]["last"]["why"], "it did not answer");
    assert_eq!(after["pid"], before["pid"]);
}

#[test]
fn a_stopped_warden_is_replaced() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    machine.up();
    let before = machine.until_state("web", "online");
    let (warden, keeper) = (machine.warden().unwrap(), machine.keeper("web").unwrap());
    stop(&warden);
    // Both at once: for a few seconds nobody can restart the service.
    kill(&keeper);
    until_replaced(&warden, REPLACED, || machine.warden());
    until_replaced(&keeper, REPLACED, || machine.keeper("web"));
    assert_eq!(machine.until_state("web", "online")["pid"], before["pid"]);
    let told = "control: the warden was stalled (stopped): replaced after ";
    until("told", || machine.own_log(), |log| log.contains(told));
}

#[test]
fn a_stopped_control_plane_affects_nothing_and_is_replaced() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    machine.up();
    let before = machine.until_state("web", "online");
    let control = machine.control().unwrap();
    stop(&control);
    let stopped = Instant::now();
    let answered = |args: &[&str]| {
        let begin = Instant::now();
        let outcome = machine.run(args);
        assert!(outcome.code == 0 && begin.elapsed() < ANSWER, "{:?}: {outcome:#?}", begin.elapsed());
        assert!(outcome.err.contains("asked the keepers directly"), "{outcome:#?}");
    };
    answered(&["status"]);
    let joining = machine.command(&["up", "-d"]).stderr(Stdio::piped()).spawn().unwrap();
    kill_pid(&before);
    answered(&["restart", "web"]);
    let joined = joining.wait_with_output().unwrap();
    assert!(joined.status.success(), "{joined:#?}");
    let joined = String::from_utf8(joined.stderr).unwrap();
    let waited = format!("the control plane (pid {}) does not answer (it is stopped)", control.pid);
    assert!(joined.contains(&waited) && joined.contains("joining it"), "{joined}");
    assert!(stopped.elapsed() < CONTROL_REPLACED, "{:?}", stopped.elapsed());
    assert_ne!(machine.control().unwrap(), control);
    let told = format!("warden: the control plane (pid {}) was stalled (stopped)", control.pid);
    assert!(machine.own_log().contains(&told), "{}", machine.own_log());
}

/// What becomes of warden and control plane, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stalls,
    Dies,
}

/// Neither of them does anything any more: their service notices nothing, is restarted if it dies, and a keeper sees to
/// the rest.
fn nobody_watches(warden: Fate, control: Fate) {
    let address = free_address();
    let machine = Machine::new(&format!(
        r#"
        [services.web]
        command = ["UNRULY", "whole", "number", "5", "100", "serve", "ready", "hang"]
        listen = ["{address}"]
        ready = "notify"
        log = {{ compress = false, keep = 100 }}
        [services.mortal]
        command = ["UNRULY", "hang"]
        "#
    ));
    machine.up();
    let before = machine.until_state("web", "online");
    let mortal = machine.until_state("mortal", "online");
    let old = [machine.warden().unwrap(), machine.control().unwrap()];
    let keeper = machine.keeper("web");
    let befall = |fate: Fate, whom: &Identity| if fate == Fate::Stalls { stop(whom) } else { kill(whom) };
    // The one that stalls first: it is not to bring the other one back.
    if warden == Fate::Stalls {
        befall(warden, &old[0]);
        befall(control, &old[1]);
    } else {
        befall(control, &old[1]);
        befall(warden, &old[0]);
    }
    let begin = Instant::now();
    kill_pid(&mortal);
    let path = machine.paths().service(&ServiceName::new("mortal").unwrap()).keeper_sock();
    until("it is restarted all the same", || asked(&path), |now| now["run"] == 2 && now["pid"].is_i64());
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let (mut answers, mut back) = (0, false);
    while !back {
        assert!(begin.elapsed() < BOTH_REPLACED, "{}", machine.own_log());
        let mut answer = String::new();
        TcpStream::connect(address).unwrap().read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("{} ", before["pid"])), "{answer:?}");
        answers += 1;
        let now = [machine.warden(), machine.control()];
        back = now.iter().zip(&old).all(|(now, old)| now.as_ref().is_some_and(|now| now != old));
        pause();
    }
    eprintln!("{answers} answers, back after {:?}", begin.elapsed());
    let after = machine.until_state("web", "online");
    assert_eq!((&after["pid"], &after["run"]), (&before["pid"], &before["run"]));
    assert_eq!(machine.keeper("web"), keeper);
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let found = tally(&machine.log_files("web", "out"));
    assert!(found.lines > 10_000, "{found:?}");
    assert_eq!(found, Tally { lines: found.lines, ..Tally::default() });
}

/// What the keeper with that socket says, asked directly.
fn asked(socket: &Path) -> serde_json::Value {
    let ask = || {
        let connection = Connection::connect(socket).ok()?;
        connection.send(br#"{"v":1,"op":"status"}"#, &[]).ok()?;
        let packet = connection.wait(1000).ok()?.then(|| connection.receive().ok().flatten()).flatten()?;
        serde_json::from_slice::<serde_json::Value>(&packet.bytes).ok()
    };
    ask().map_or(serde_json::Value::Null, |reply| reply["status"].clone())
}

#[test]
fn a_stopped_warden_and_a_stopped_control_plane_cost_nothing() {
    nobody_watches(Fate::Stalls, Fate::Stalls);
}

#[test]
fn a_stopped_warden_and_a_dead_control_plane_cost_nothing() {
    nobody_watches(Fate::Stalls, Fate::Dies);
}

#[test]
fn a_dead_warden_and_a_stopped_control_plane_cost_nothing() {
    nobody_watches(Fate::Dies, Fate::Stalls);
}

/// Lines so far, and the longest write, milliseconds.
fn timed(file: &Path) -> (u64, u64) {
    let text = fs::read_to_string(file).unwrap_or_default();
    let (lines, longest) = text.split_once(' ').unwrap_or(("0", "0"));
    (lines.parse().unwrap(), longest.parse().unwrap())
}

#[test]
fn a_critical_service_never_waits_for_a_stopped_keeper() {
    let machine = Machine::new("");
    let timing = machine.dir().join("timing");
    machine.write(&format!(
        r#"
        [compartments.production]
        critical = true
        [services.web]
        compartment = "production"
        command = ["UNRULY", "whole", "timed", "{}", "5", "400", "hang"]
        log = {{ keep = 1000, compress = false }}
        "#,
        timing.display()
    ));
    machine.up();
    machine.until_state("web", "online");
    let first = machine.keeper("web").unwrap();
    stop(&first);
    until_replaced(&first, REPLACED, || machine.keeper("web"));
    until("told", || machine.status("web"), |now| now["incidents"]["replaced"] == 1);
    // One kill a minute: the next one stays stopped for a while, ten times as long as its FIFO lasts.
    let second = machine.keeper("web").unwrap();
    stop(&second);
    let (begun, _) = timed(&timing);
    until("200 000 lines more", || timed(&timing).0, |lines| *lines > begun + 200_000);
    go_on(&second);
    until(
        "it is told",
        || machine.status("web"),
        |now| now["incidents"]["dropped_lines"].as_u64().is_some_and(|lines| lines > 100_000),
    );
    assert_eq!(machine.keeper("web"), Some(second));
    let (_, longest) = timed(&timing);
    eprintln!("the longest write took {longest} ms");
    assert!(longest < 2000, "a write took {longest} ms");
    assert!(machine.ok(&["show", "web"]).contains("so that the service did not wait"));
    machine.ok(&["stop", "web"]);
    let account = all_missing_lines_are_counted(&machine, "logs");
    assert!(account.uncounted > 0, "{account:?}");
}

/// Lines that were dropped for it: by its keeper, and by the control plane.
fn dropped(machine: &Machine) -> u64 {
    let status = machine.status("web");
    let of = |who: &str| status[who]["dropped_lines"].as_u64().unwrap_or(0);
    of("log") + of("incidents")
}

/// A file system that can be made to hang.
struct Disk(PathBuf);

impl Disk {
    /// Makes and mounts it; none where that is not allowed.
    fn mount(at: PathBuf) -> Option<Disk> {
        let image = at.with_extension("image");
        fs::create_dir(&at).unwrap();
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let run = |program: &str, words: &[&Path]| {
            Command::new(program)
                .args(words)
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        let made = run("mkfs.ext4", &["-q".as_ref(), &image])
            && run("mount", &["-o".as_ref(), "loop".as_ref(), &image, &at]);
        made.then_some(Disk(at))
    }

    /// Makes one in memory that is soon full; none where that is not allowed.
    fn small(at: PathBuf) -> Option<Disk> {
        fs::create_dir(&at).unwrap();
        let disk = Disk(at);
        disk.mount_in_memory("size=4m").then_some(disk)
    }

    /// Gives it room.
    fn grow(&self) {
        assert!(self.mount_in_memory("remount,size=1g"));
    }

    fn mount_in_memory(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&self.0).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }

    fn freeze(&self, option: &str) {
        // One that is not frozen cannot be thawed, and need not be.
        let _ = Command::new("fsfreeze").arg(option).arg(&self.0).stderr(Stdio::null()).status();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.freeze("-u");
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A critical service on such a disk, which writes numbered lines and times its writes.
fn on_a_disk(make: impl Fn(PathBuf) -> Option<Disk>) -> Option<(Machine, Disk, PathBuf)> {
    let machine = Machine::new("");
    let timing = machine.dir().join("timing");
    let Some(disk) = make(machine.dir().join("disk")) else {
        eprintln!("left out: no file system can be mounted here");
        return None;
    };
    machine.write(&format!(
        r#"
        [dogwatch]
        log_dir = "disk"
        [compartments.production]
        critical = true
        [services.web]
        compartment = "production"
        command = ["UNRULY", "whole", "timed", "{}", "5", "400", "hang"]
        log = {{ keep = 1000, compress = false }}
        "#,
        timing.display()
    ));
    machine.up();
    machine.until_state("web", "online");
    Some((machine, disk, timing))
}

/// Each line that is missing was counted, and no other, and the log says where. The service has ended.
#[track_caller]
fn all_missing_lines_are_counted(machine: &Machine, dir: &str) -> Account {
    let files = || machine.log_files_in(dir, "web", "out");
    let (found, _) = until(
        "each line that is missing was counted, and no other",
        || (tally(&files()), dropped(machine)),
        |(found, counted)| *counted == found.lost,
    );
    let account = account(&files());
    let marks = account.marks + account.uncounted;
    assert!(marks > 0, "{found:?}");
    assert_eq!(found, Tally { lines: found.lines, lost: found.lost, torn: marks, ..Tally::default() });
    account
}

/// And the log says how many, to the line.
#[track_caller]
fn all_missing_lines_are_counted_in_the_log(machine: &Machine) {
    let account = all_missing_lines_are_counted(machine, "disk");
    let exact = Account { dropped: account.missing, uncounted: 0, at_least: false, ..account };
    assert_eq!(account, exact);
}

#[test]
fn a_disk_that_hangs_ends_nobody_and_a_critical_service_does_not_wait_for_it() {
    let Some((machine, disk, timing)) = on_a_disk(Disk::mount) else { return };
    let before = machine.until_state("web", "online");
    let keeper = machine.keeper("web");
    disk.freeze("-f");
    let told = "the log disk of web hangs: lines are dropped when its FIFO is full";
    until("it is told", || machine.ok(&["status"]), |text| text.contains(told));
    let begun = timed(&timing).0;
    until("it goes on writing", || timed(&timing).0, |lines| *lines > begun + 100_000);
    assert!(dropped(&machine) > 50_000);
    disk.freeze("-u");
    until("it is over", || machine.ok(&["status"]), |text| !text.contains(told));
    let (_, longest) = timed(&timing);
    eprintln!("the longest write took {longest} ms");
    assert!(longest < 1500, "a write took {longest} ms");
    let after = machine.until_state("web", "online");
    assert_eq!((machine.keeper("web"), &after["pid"]), (keeper, &before["pid"]));
    machine.ok(&["stop", "web"]);
    all_missing_lines_are_counted_in_the_log(&machine);
}

#[test]
fn a_disk_that_hangs_is_borne_without_a_control_plane() {
    let Some((machine, disk, timing)) = on_a_disk(Disk::mount) else { return };
    let control = machine.control().unwrap();
    stop(&control);
    disk.freeze("-f");
    let begun = timed(&timing).0;
    until("it goes on writing", || timed(&timing).0, |lines| *lines > begun + 200_000);
    disk.freeze("-u");
    assert_eq!(machine.control(), Some(control.clone()), "nobody has helped");
    go_on(&control);
    let (_, longest) = timed(&timing);
    assert!(longest < 1500, "a write took {longest} ms");
    machine.ok(&["stop", "web"]);
    all_missing_lines_are_counted_in_the_log(&machine);
}

#[test]
fn a_keeper_that_not_even_a_kill_ends_is_back_when_its_disk_is() {
    let machine = Machine::new(
        r#"
        [dogwatch]
        log_dir = "disk"
        [services.web]
        command = ["UNRULY", "whole", "number", "5", "100", "hang"]
        log = { compress = false, keep = 100 }
        "#,
    );
    let Some(disk) = Disk::mount(machine.dir().join("disk")) else { return };
    machine.up();
    let before = machine.until_state("web", "online");
    let keeper = machine.keeper("web").unwrap();
    disk.freeze("-f");
    let waits = || dogwatch::os::process::thread_waits_for_disk(keeper.pid, "pump");
    until("it waits in the kernel", waits, |waits| *waits);
    kill(&keeper);
    // Nobody can help as long as the disk hangs; it is told, and nothing is done in vain.
    let seen = until("it is seen", || machine.ok(&["status"]), |text| text.contains("is being replaced"));
    assert!(seen.contains("the keeper of web is stalled (it did not answer)"), "{seen}");
    disk.freeze("-u");
    let new = until_replaced(&keeper, REPLACED, || machine.keeper("web"));
    let after = until("it answers", || machine.status("web"), |now| now["keeper_pid"] == i64::from(new.pid));
    assert_eq!(after["pid"], before["pid"]);
    assert_eq!(machine.own_log().matches("a new one in").count(), 1);
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let found = tally(&machine.log_files_in("disk", "web", "out"));
    assert_eq!(found, Tally { lines: found.lines, ..Tally::default() });
}

#[test]
fn a_keeper_that_is_killed_while_its_disk_hangs_is_followed_by_one_that_says_at_least() {
    let Some((machine, disk, timing)) = on_a_disk(Disk::mount) else { return };
    let before = machine.until_state("web", "online");
    let keeper = machine.keeper("web").unwrap();
    disk.freeze("-f");
    let begun = timed(&timing).0;
    until("it drops", || timed(&timing).0, |lines| *lines > begun + 100_000);
    kill(&keeper); // which ends when the disk goes on
    until("it goes on writing", || timed(&timing).0, |lines| *lines > begun + 200_000);
    disk.freeze("-u");
    let new = until_replaced(&keeper, REPLACED, || machine.keeper("web"));
    let after = until("it answers", || machine.status("web"), |now| now["keeper_pid"] == i64::from(new.pid));
    assert_eq!((&after["pid"], &after["log"]["at_least"]), (&before["pid"], &true.into()));
    machine.ok(&["stop", "web"]);
    let files = || machine.log_files_in("disk", "web", "out");
    let marked = || -> String { files().into_iter().map(|file| fs::read_to_string(file).unwrap()).collect() };
    until("the mark", marked, |text| {
        text.contains("[dogwatch: at least ") && text.contains(", disk hangs, ")
    });
    machine.ok(&["down"]);
    let found = tally(&files());
    eprintln!("{found:?}");
    // A line that was half written when the disk stood still may have lost its end with the keeper.
    assert!(found.doubled == 0 && found.ragged == 0 && found.torn <= 2, "{found:?}");
    assert!(found.lost > 100_000, "{found:?}");
}

#[test]
fn a_disk_that_is_full_is_no_reason_to_wait() {
    let Some((machine, disk, timing)) = on_a_disk(Disk::small) else { return };
    let begun = timed(&timing).0;
    until("it goes on writing", || timed(&timing).0, |lines| *lines > begun + 300_000);
    disk.grow();
    let (_, longest) = timed(&timing);
    assert!(longest < 1500, "a write took {longest} ms");
    machine.ok(&["stop", "web"]);
    all_missing_lines_are_counted_in_the_log(&machine);
}

/// How often each thread of a process has gone to sleep so far.
fn sleeps(pid: i32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let count =
        |text: String| text.lines().find(|line| line.starts_with("voluntary_ctxt")).map(str::to_owned);
    status.filter_map(count).collect()
}

#[test]
fn in_peace_nobody_is_woken() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    machine.up();
    machine.until_state("web", "online");
    let pids = [machine.warden().unwrap().pid, machine.keeper("web").unwrap().pid];
    let quiet_for = |time: Duration| {
        let (before, begin) = (pids.map(sleeps), Instant::now());
        while begin.elapsed() < time {
            pause();
        }
        (before.clone(), pids.map(sleeps))
    };
    // What the start has set in motion comes to rest.
    until("rest", || quiet_for(Duration::from_secs(1)), |(before, after)| before == after);
    let (before, after) = quiet_for(Duration::from_secs(11));
    assert_eq!(before, after, "woken within two looks of the control plane");
}

#[test]
fn of_twenty_that_start_it_one_does() {
    let machine = Machine::new(
        "[services.a]\ncommand = [\"UNRULY\", \"hang\"]\n[services.b]\ncommand = [\"UNRULY\", \"hang\"]\n",
    );
    let started: Vec<_> = (0..20).map(|_| machine.command(&["up", "-d"]).spawn().unwrap()).collect();
    for mut one in started {
        assert_eq!(one.wait().unwrap().code(), Some(0));
    }
    for name in ["a", "b"] {
        assert_eq!(machine.until_state(name, "online")["run"], 1);
    }
    let log = machine.own_log();
    assert_eq!(log.matches("control: started warden ").count(), 1, "{log}");
    let count = |kind| processes(&machine, kind).len();
    until(
        "the others have ended",
        || ["control", "warden", "keeper"].map(count),
        |found| *found == [1, 1, 2],
    );
}

/// The processes of this dogwatch that were started with this word.
fn processes(machine: &Machine, kind: &str) -> Vec<i32> {
    let home = format!("DOGWATCH_HOME={}", machine.dir().join("home").display());
    let ours = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|word| word == home.as_bytes())
    };
    let entries = fs::read_dir("/proc").unwrap();
    let all = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_one = |pid: i32| {
        dogwatch::os::process::command_line(pid).get(1).is_some_and(|word| word == kind) && ours(pid)
    };
    all.filter(|pid| is_one(*pid)).collect()
}

/// A process is stopped before it has done anything: before it has a lock or a connection by which others know it.
fn is_stopped_at_birth(kind: &str, moment: &str) {
    if cfg!(not(debug_assertions)) || std::env::var_os("DOGWATCH").is_some() {
        return; // a release build has no moments to hang at
    }
    let mut machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    let marker = machine.dir().join("hangs");
    fs::write(&marker, "").unwrap(); // not yet
    machine.set("DOGWATCH_HANG", &format!("{moment}={}", marker.display()));
    machine.up();
    let before = machine.until_state("web", "online");
    let holder = || if kind == "keeper" { machine.keeper("web") } else { machine.control() };
    fs::remove_file(&marker).unwrap();
    kill(&holder().unwrap());
    until("its successor hangs", || marker.exists(), |hangs| *hangs);
    let born = until("there it is", || processes(&machine, kind), |found| found.len() == 1)[0];
    dogwatch::os::process::PidFd::open(born)
        .unwrap()
        .signal(dogwatch::model::signal::Signal(libc::SIGSTOP))
        .unwrap();
    until("another one", holder, |now| now.as_ref().is_some_and(|now| now.pid != born));
    assert_eq!(machine.until_state("web", "online")["pid"], before["pid"]);
    until("the first one is gone", || processes(&machine, kind), |found| !found.contains(&born));
}

#[test]
fn a_keeper_that_is_stopped_at_birth_has_a_successor() {
    is_stopped_at_birth("keeper", "a keeper begins");
}

#[test]
fn a_control_plane_that_is_stopped_at_birth_has_a_successor() {
    is_stopped_at_birth("control", "a control plane begins");
}

#[test]
fn up_beside_systemd_says_who_runs_it_and_leaves_it_alone() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    // As systemd starts it.
    let socket = machine.dir().join("notify");
    let _manager = UnixDatagram::bind(&socket).unwrap();
    let mut unit = machine.command(&["control"]).env("NOTIFY_SOCKET", &socket).spawn().unwrap();
    machine.until_state("web", "online");
    let pid = machine.control().unwrap().pid;
    assert_eq!(pid, unit.id() as i32);
    let joined = machine.run(&["up", "-d"]);
    let said = format!("dogwatch runs here already (control plane pid {pid}, run by systemd): joining it");
    assert!(joined.code == 0 && joined.err.contains(&said), "{joined:#?}");
    let second = machine.run(&["control"]);
    assert_eq!(second.code, 6, "{second:#?}");
    assert!(
        second.err.contains(&format!("another control plane runs here already: pid {pid}")),
        "{second:#?}"
    );
    // In the foreground, too, it is only a guest.
    let output = fs::File::create(machine.dir().join("output")).unwrap();
    let mut guest = machine.command(&["up"]).stdout(output).spawn().unwrap();
    let shown = || fs::read_to_string(machine.dir().join("output")).unwrap();
    until("it follows", shown, |text| text.contains("Ctrl-C leaves all running"));
    dogwatch::os::process::PidFd::open(guest.id() as i32)
        .unwrap()
        .signal(dogwatch::model::signal::Signal(libc::SIGINT))
        .unwrap();
    assert_eq!(guest.wait().unwrap().code(), Some(0));
    assert_eq!(machine.until_state("web", "online")["run"], 1);
    machine.ok(&["down"]);
    unit.wait().unwrap();
}

#[test]
fn up_never_takes_the_place_of_one_that_systemd_is_about_to_start_again() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    let socket = machine.dir().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let over = AtomicBool::new(false);
    let listen = || {
        while !over.load(Ordering::Relaxed) {
            let _ = manager.recv(&mut [0; 256]); // a queue that is full would stall who reports
        }
    };
    // Restart=always, RestartSec=100ms.
    let restart = || {
        let mut ends = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let mut unit = machine.command(&["control"]).env("NOTIFY_SOCKET", &socket).spawn().unwrap();
            ends.push(unit.wait().unwrap().code());
            let pause_until = Instant::now() + Duration::from_millis(100);
            while Instant::now() < pause_until {
                pause();
            }
        }
        ends
    };
    /// Whatever comes of the test, the other thread ends.
    struct Over<'a>(&'a AtomicBool, &'a Machine);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
            self.1.control().iter().for_each(kill);
        }
    }
    let ends = thread::scope(|scope| {
        let unit = scope.spawn(restart);
        scope.spawn(listen);
        let _over = Over(&over, &machine);
        let before = machine.until_state("web", "online");
        for _ in 0..20 {
            let control = until("it runs", || machine.control(), Option::is_some).unwrap();
            kill(&control);
            let ups = [0, 1].map(|_| machine.command(&["up", "-d"]).stderr(Stdio::piped()).spawn().unwrap());
            for up in ups {
                let up = up.wait_with_output().unwrap();
                let said = String::from_utf8(up.stderr).unwrap();
                assert!(
                    up.status.success() && said.contains("run by systemd): joining it"),
                    "{}: {said}",
                    up.status
                );
            }
        }
        let after = machine.until_state("web", "online");
        assert_eq!((&after["pid"], &after["run"]), (&before["pid"], &before["run"]));
        over.store(true, Ordering::Relaxed);
        machine.ok(&["down"]);
        unit.join().unwrap()
    });
    assert_eq!(ends.len(), 21, "each end but the last one was a kill: {ends:?}");
    assert_eq!(ends.iter().filter(|end| end.is_none()).count(), 20, "{ends:?}");
}
