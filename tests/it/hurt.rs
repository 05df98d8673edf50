//! Services and helpers that are hurt, alone or with their keeper.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use dogwatch::os::process::{self, Identity};
use dogwatch::os::tree;

use crate::harness::full_disk::FullDisk;
use crate::harness::lines::{Tally, tally};
use crate::harness::{Machine, binary, go_on, kill, stop, until};

fn identity(pid: i32) -> Option<Identity> {
    Some(Identity {
        pid,
        ticks: process::start_ticks(pid).ok()?,
        boot_id: dogwatch::os::clock::boot_id().ok()?,
    })
}

#[test]
fn a_service_that_hangs_is_replaced_when_it_is_told_to_restart() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"ready\", \"hang\"]\nready = \"notify\"\nstop = { timeout = \"300ms\" }\n",
    );
    machine.up();
    let before = machine.until_state("web", "online");
    stop(&identity(before["pid"].as_i64().unwrap() as i32).unwrap());
    machine.ok(&["restart", "web"]);
    let after = machine.until_state("web", "online");
    assert_eq!(after["run"], 2);
    assert_eq!(after["reason"], "restarted on request, killed because it did not stop in time");
}

#[test]
fn last_words_survive_service_and_keeper_together() {
    let machine = Machine::new("");
    let timing = machine.dir().join("timing");
    machine.write(&format!(
        "[services.web]\ncommand = [\"UNRULY\", \"timed\", \"{}\", \"5\", \"20\", \"ready\", \"hang\"]\nready = \"notify\"\nrestart = {{ policy = \"never\" }}\n",
        timing.display()
    ));
    machine.up();
    let service = identity(machine.until_state("web", "online")["pid"].as_i64().unwrap() as i32).unwrap();
    let keeper = machine.keeper("web").unwrap();
    let lines =
        || fs::read_to_string(&timing).unwrap_or_default().split(' ').next().unwrap().parse().unwrap_or(0);
    // From now on nobody moves what it writes.
    stop(&keeper);
    let begun: u64 = lines();
    until("lines that only the FIFO has", lines, |now| *now > begun + 200);
    kill(&service);
    kill(&keeper);
    until("a new keeper", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != keeper));
    let said = lines();
    // Each batch is one write below PIPE_BUF: it is there, or it was never written.
    let found = until("every line", || tally(&machine.log_files("web", "out")), |found| found.lines >= said);
    assert_eq!(found, Tally { lines: found.lines, ..Tally::default() });
}

/// The helper that compresses an archive of the service.
fn helper(machine: &Machine) -> Option<Identity> {
    let children = tree::children(machine.keeper("web")?.pid);
    let is_helper = |pid: &i32| process::command_line(*pid).get(1).is_some_and(|word| word == "compress");
    children.into_iter().find(is_helper).and_then(identity)
}

#[test]
fn a_helper_that_hangs_or_is_killed_costs_no_line_and_keeps_nobody_waiting() {
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "burst", "40000", "100", "ready", "hang"]
        ready = "notify"
        log = { rotate_size = "1MiB", keep = 100 }
        "#,
    );
    let mut up = machine.command(&["up", "-d"]).spawn().unwrap();
    let victim = until("a helper at work", || helper(&machine), Option::is_some).unwrap();
    stop(&victim);
    up.wait().unwrap();
    machine.until_state("web", "online");
    let sizes = || -> u64 {
        let files = machine.log_files("web", "out").into_iter();
        files
            .filter(|file| file.extension().is_some_and(|end| end == "log"))
            .map(|file| file.metadata().map_or(0, |about| about.len()))
            .sum()
    };
    until("all is written while it hangs", sizes, |bytes| *bytes == 40_000 * 100);
    kill(&victim);
    // What it has left is cleared up, and done again, by the helper of the next keeper.
    until("the others", || helper(&machine), |next| *next != Some(victim.clone()));
    let keeper = machine.keeper("web").unwrap();
    kill(&keeper);
    let archives = || -> Vec<PathBuf> { machine.log_files("web", "out").into_iter().rev().skip(1).collect() };
    until("all archives are compressed", archives, |all| {
        all.len() == 3 && all.iter().all(|path| path.extension().is_some_and(|end| end == "gz"))
    });
    let folder = archives()[0].parent().unwrap().to_owned();
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (indexes, others): (Vec<PathBuf>, _) =
        names.partition(|path| path.extension().is_some_and(|end| end == "idx"));
    assert_eq!((indexes.len(), others.len()), (3, 3), "{indexes:?} {others:?}");
    assert_eq!(tally(&machine.log_files("web", "out")), Tally { lines: 40_000, ..Tally::default() });
    go_on(&victim);
}

#[test]
fn on_a_full_disk_an_archive_stays_as_it_is() {
    let machine = Machine::new("");
    let Some(disk) = FullDisk::mount(&machine, "logs") else { return };
    let folder = machine.dir().join("logs/archive/2026-01");
    fs::create_dir_all(&folder).unwrap();
    let archive = folder.join("web-out.20260101T000000.000Z.log");
    // Numbers that no compressor makes much smaller.
    let bytes: Vec<u8> = (0..1_u64 << 18)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[4..].to_vec())
        .collect();
    fs::write(&archive, &bytes).unwrap();
    disk.fill();
    let compress = || Command::new(binary()).arg("compress").arg(&archive).output().unwrap();
    let refused = compress();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("cannot compress"), "{said}");
    assert!(fs::read(&archive).unwrap() == bytes && fs::read_dir(&folder).unwrap().count() == 1);
    disk.make_room();
    assert!(compress().status.success());
    assert!(!archive.exists() && archive.with_extension("log.gz").exists());
}

#[test]
fn who_keeps_the_services_is_taken_after_them_when_memory_runs_out() {
    let machine =
        Machine::new("[services.web]\ncommand = [\"UNRULY\", \"ready\", \"hang\"]\nready = \"notify\"\n");
    machine.up();
    let service = machine.until_state("web", "online")["pid"].as_i64().unwrap() as i32;
    let score = |pid: i32| {
        fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse::<i32>().unwrap()
    };
    let all = [machine.control(), machine.warden(), machine.keeper("web")];
    for process in all.map(Option::unwrap) {
        assert!(score(process.pid) < score(service), "{} {}", score(process.pid), score(service));
    }
}
