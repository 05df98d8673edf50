//! What goes on for long: a line that does not end, and a service that never stops crashing. `make soak` makes both as
//! long as docs/fault-matrix.md says: `DOGWATCH_LINE_MIB`, `DOGWATCH_CRASHES`.

use std::fs;

use dogwatch::os::process::Identity;
use dogwatch::os::tree;

use crate::harness::limits::descriptors;
use crate::harness::{Machine, setting, until};

const MIB: u64 = 1 << 20;

#[test]
fn a_line_without_an_end_takes_no_memory_and_loses_no_byte() {
    let mib = setting("DOGWATCH_LINE_MIB", 64);
    let budget = 2 * mib; // all of it is kept
    let machine = Machine::new(&format!(
        r#"
        [services.web]
        command = ["UNRULY", "ready", "endless", "{mib}", "say", "", "say", "after", "hang"]
        ready = "notify"
        log = {{ rotate_size = "8MiB", keep = 100000, budget = "{budget}MiB", compress = false }}
        "#
    ));
    machine.up();
    let keeper = machine.keeper("web").unwrap().pid;
    let begin = tree::resident(&[keeper]);
    let sizes = || -> Vec<u64> {
        let files = machine.log_files("web", "out").into_iter();
        files.filter_map(|file| file.metadata().ok()).map(|about| about.len()).collect()
    };
    let mut most = begin;
    let all = mib * MIB + "\nafter\n".len() as u64;
    let mut found = 0;
    while found < all {
        let before = found;
        found = until("more of it", || sizes().iter().sum(), |now| *now > before);
        most = tree::resident(&[keeper]).max(most);
    }
    assert_eq!(found, all);
    eprintln!(
        "{mib} MiB in one line: the keeper had {} KiB, {} KiB more than before",
        most / 1024,
        (most - begin) / 1024
    );
    assert!(most < begin + MIB, "{most} bytes, {begin} before");
    // Cut a mebibyte after the size at which it is to be rotated, and what is in a FIFO and its stage beyond.
    assert!(sizes().iter().all(|size| *size <= 8 * MIB + MIB + MIB / 2), "{:?}", sizes());
    assert!(machine.log("web", "out").ends_with("e\nafter\n"));
}

/// In the folder of a stopped service: the FIFOs of its next run, and a set that is spare.
const LEFT: [&str; 14] = [
    "0.RUN",
    "err.fifo",
    "err.fifo",
    "err.stage",
    "err.stage",
    "keeper.sock",
    "out.fifo",
    "out.fifo",
    "out.stage",
    "out.stage",
    "spare",
    "spec.json",
    "state.0",
    "state.1",
];

/// What dogwatch's processes have, and what they have left in the service's folder.
#[derive(Debug, PartialEq, Eq)]
struct Footprint {
    descriptors: [usize; 3],
    children: [usize; 3],
    files: Vec<String>,
}

fn footprint(machine: &Machine) -> Footprint {
    let all: [Identity; 3] =
        [machine.control().unwrap(), machine.warden().unwrap(), machine.keeper("web").unwrap()];
    let mut files: Vec<String> = Vec::new();
    let mut folders = vec![machine.paths().services().join("web")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            // The folder of the next run has its number.
            let name = entry.file_name().into_string().unwrap();
            files.push(if name.starts_with("0.") { "0.RUN".to_owned() } else { name });
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    files.sort();
    Footprint {
        descriptors: all.each_ref().map(descriptors),
        children: all.each_ref().map(|one| tree::children(one.pid).len()),
        files,
    }
}

/// Memory that is a process's own: what it shares with others, its program, depends on how many there are.
fn anonymous(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_service_that_never_stops_crashing_leaves_nothing_behind() {
    let crashes = setting("DOGWATCH_CRASHES", 300);
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["/bin/sh", "-c", "printf x >>ran; echo crash; exit 1"]
        restart = { delay = "0s", max_delay = "0s" }
        "#,
    );
    let _ = machine.run(&["up", "-d"]);
    // Stopped, nothing is under way.
    let after = |crashes: u64| {
        let run = || machine.status("web")["run"].as_u64().unwrap_or(0);
        let mut seen = 0;
        while seen < crashes {
            seen = until("more crashes", run, |run| *run > seen);
        }
        machine.ok(&["stop", "web"]);
        let keeper = machine.keeper("web").unwrap().pid;
        let memory = anonymous(keeper);
        // Each that ran has said so in a file of its own. The last one may have been stopped before it said anything
        // else, both times. A start that was put off, because the log was behind, has not run.
        let ran = fs::read(machine.dir().join("ran")).unwrap().len();
        let lines = || machine.log("web", "out").lines().count();
        until("the last words of each", lines, |lines| (ran - 2..=ran).contains(lines));
        (memory, ran)
    };
    let (before, _) = after(50);
    let settled = |seen: &Footprint| seen.children == [1, 1, 0] && seen.files == LEFT;
    let first = until("rest", || footprint(&machine), settled);
    let _ = machine.run(&["start", "web"]);
    let (memory, runs) = after(crashes);
    eprintln!(
        "{runs} runs: the keeper has {} KiB, {} KiB after the first ones",
        memory / 1024,
        before / 1024
    );
    assert!(memory < before + MIB / 4, "{memory} bytes, {before} before");
    // A client more or less; a leak is one for each crash.
    let few =
        |seen: &Footprint| seen.descriptors.iter().zip(first.descriptors).all(|(now, then)| *now <= then + 8);
    until("nothing more than before", || footprint(&machine), |seen| settled(seen) && few(seen));
}
