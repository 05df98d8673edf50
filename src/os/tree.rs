//! A service's process tree: which processes, how much memory and processor time, and its end.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::cgroup::Cgroup;
use super::process::stat;
use crate::model::signal::Signal;

/// Variables that a service's processes inherit.
const SERVICE: &str = "DOGWATCH_SERVICE";
const RUN: &str = "DOGWATCH_RUN";

/// What a tree uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Resident memory, bytes. Pages that processes share count for each.
    pub resident: u64,
    /// User and system time of the living processes, nanoseconds.
    pub cpu_ns: u64,
    /// How many processes.
    pub processes: u32,
}

/// The processes of a service: those of its cgroup; without one, `main` and its descendants as far as
/// parenthood shows them.
pub fn members(cgroup: Option<&Cgroup>, main: i32) -> Vec<i32> {
    if let Some(cgroup) = cgroup {
        return cgroup.processes();
    }
    let mut found = vec![main];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// The children of a process: those of each of its threads (proc_tid_children(5)).
pub fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Adds up what these processes use; one that has ended meanwhile counts as nothing.
pub fn usage(members: &[i32]) -> Usage {
    let mut sum = Usage::default();
    let tick = ticks_per_second();
    for pid in members {
        let Ok(stat) = stat(*pid) else {
            continue;
        };
        let Some((_, after)) = stat.rsplit_once(')') else {
            continue;
        };
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        // Counted from field 3 (state): utime 14, stime 15, rss 24 (proc_pid_stat(5)).
        let field =
            |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        sum.cpu_ns += (field(14) + field(15)) * 1_000_000_000 / tick;
        sum.resident += field(24) * page_size();
        sum.processes += 1;
    }
    sum
}

/// Resident memory alone, from statm: the cheapest question there is (1 µs a process).
pub fn resident(members: &[i32]) -> u64 {
    let pages = members.iter().filter_map(|pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    });
    pages.sum::<u64>() * page_size()
}

/// Memory with shared pages divided among those who share them (PSS); costly, so only to confirm.
pub fn proportional(members: &[i32]) -> u64 {
    let each = members.iter().filter_map(|pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    each.sum::<u64>() * 1024
}

/// Whose tree it is that is to be killed.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The service.
    pub service: &'a str,
    /// Its run.
    pub run: u64,
    /// The main process of another run of the service, which must be spared.
    pub spared: Option<i32>,
    /// Those of other services, which are spared with all that descends from them.
    pub neighbours: &'a [i32],
}

/// SIGKILLs what is left of a run: its cgroup; without one, its process group and every descendant that
/// has come to this process as the subreaper. `certain` says that the group's number cannot have been used again;
/// if it can, only those of its members are killed whose environment names the service. True when nothing was
/// left.
pub fn kill_rest(cgroup: Option<&Cgroup>, group: i32, certain: bool, whose: Whose<'_>) -> bool {
    if let Some(cgroup) = cgroup {
        if !cgroup.is_populated() {
            return true;
        }
        // A cgroup.kill that fails leaves the polite way of one signal each.
        if cgroup.kill().is_err() {
            for pid in cgroup.processes() {
                let _ = signal_process(pid, Signal::KILL);
            }
        }
        return false;
    }
    let own = nix::unistd::getpid().as_raw();
    let mut clean = true;
    if certain {
        let _ = signal_group(group, Signal::KILL);
    } else {
        for pid in all_processes().filter(|pid| group_of(*pid) == Some(group) && !is_zombie(*pid)) {
            if variable(pid, SERVICE).is_some_and(|name| name == whose.service.as_bytes()) {
                let _ = signal_process(pid, Signal::KILL);
                clean = false;
            }
        }
    }
    for orphan in children(own) {
        clean &= kill_orphans(orphan, whose);
    }
    clean
}

/// SIGKILLs `pid` and what descends from it, as far as it belongs to the service. True if there was nothing.
fn kill_orphans(pid: i32, whose: Whose<'_>) -> bool {
    let is_other_run = Some(pid) == whose.spared || whose.neighbours.contains(&pid);
    if is_other_run || is_zombie(pid) || !belongs(pid, whose) {
        return true;
    }
    children(pid).into_iter().for_each(|child| {
        kill_orphans(child, whose);
    });
    let _ = signal_process(pid, Signal::KILL);
    false
}

/// Whether a descendant of a keeper is that run's. dogwatch's own processes, and services of other keepers,
/// can be its descendants too: after it has started a warden. Their environment says so. A process that has
/// cleared its environment is taken for the service's, unless it may be that of another run; the main ones of other
/// services are known ([`Whose::neighbours`]).
fn belongs(pid: i32, whose: Whose<'_>) -> bool {
    let alone = whose.spared.is_none();
    let of_run = || variable(pid, RUN).is_some_and(|run| run == whose.run.to_string().as_bytes());
    match variable(pid, SERVICE) {
        Some(name) => name == whose.service.as_bytes() && (alone || of_run()),
        None => alone && variable(pid, super::inherit::VARIABLE).is_none(),
    }
}

/// A variable of the environment that a process was started with.
fn variable(pid: i32, name: &str) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut lines = environment.split(|byte| *byte == 0);
    lines.find_map(|line| Some(line.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec()))
}

fn all_processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// How many processes and threads a user has, as RLIMIT_NPROC counts them.
pub fn tasks_of(uid: u32) -> u64 {
    let owned = all_processes().filter(|pid| {
        fs::metadata(format!("/proc/{pid}")).is_ok_and(|about| MetadataExt::uid(&about) == uid)
    });
    owned.map(threads_of).sum()
}

/// The threads of a process (proc_pid_stat(5), field 20); none if it has ended.
fn threads_of(pid: i32) -> u64 {
    let stat = stat(pid).unwrap_or_default();
    let threads =
        stat.rsplit_once(')').and_then(|(_, after)| after.split_ascii_whitespace().nth(17)?.parse().ok());
    threads.unwrap_or(0)
}

/// The process group (proc_pid_stat(5), field 5).
fn group_of(pid: i32) -> Option<i32> {
    let stat = stat(pid).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(2)?.parse().ok()
}

fn is_zombie(pid: i32) -> bool {
    let stat = stat(pid).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, after)| after.trim_start().starts_with(['Z', 'X']))
}

/// Sends a signal to a process group.
///
/// # Errors
/// ESRCH if the group is empty.
pub fn signal_group(group: i32, signal: Signal) -> io::Result<()> {
    if group <= 1 {
        return Err(io::ErrorKind::InvalidInput.into()); // 0 is our own group, 1 is init's
    }
    send(-group, signal)
}

/// Sends a signal to a process that is known to be a descendant of this one, and not yet reaped.
fn signal_process(pid: i32, signal: Signal) -> io::Result<()> {
    if pid <= 1 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    send(pid, signal)
}

fn send(target: i32, signal: Signal) -> io::Result<()> {
    #[expect(unsafe_code, reason = "nix knows no real-time signals")]
    // SAFETY: kill takes two integers.
    let answer = unsafe { libc::kill(target, signal.0) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn page_size() -> u64 {
    sysconf(libc::_SC_PAGESIZE, 4096)
}

fn ticks_per_second() -> u64 {
    sysconf(libc::_SC_CLK_TCK, 100)
}

fn sysconf(name: i32, default: u64) -> u64 {
    #[expect(unsafe_code, reason = "sysconf")]
    // SAFETY: sysconf takes an integer.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).unwrap_or(default).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_itself() {
        let own = nix::unistd::getpid().as_raw();
        let usage = usage(&members(None, own));
        assert!(usage.processes >= 1 && usage.resident > 100_000);
        assert!(proportional(&[own]) > 10_000);
        let here = threads_of(own);
        assert!(here >= 1 && tasks_of(nix::unistd::geteuid().as_raw()) >= here);
        assert!(signal_group(0, Signal::TERM).is_err(), "never our own group");
    }

    #[test]
    fn a_neighbour_that_says_nothing_of_itself_is_spared_if_it_is_known() {
        let mut command = std::process::Command::new("/bin/sleep");
        let mut child = command.arg("1000").env_clear().spawn().unwrap();
        let pid = child.id() as i32;
        let known = [pid];
        let whose = Whose { service: "web", run: 1, spared: None, neighbours: &known };
        assert!(kill_orphans(pid, whose) && !is_zombie(pid));
        assert!(!kill_orphans(pid, Whose { neighbours: &[], ..whose }));
        child.wait().unwrap();
    }
}
