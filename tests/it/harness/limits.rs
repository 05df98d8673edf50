//! Limits of running processes, lowered for a while: what it is like when there is no more.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use dogwatch::os::process::Identity;

use super::pause;

/// A process that is calm uses less than this share of a processor.
const CALM: f64 = 0.15;

/// A soft limit of a running process, lowered until this is dropped.
pub struct Lowered {
    pid: i32,
    /// As prlimit(1) calls it.
    what: &'static str,
    before: String,
}

impl Lowered {
    /// No more descriptors than it has, and `spare`.
    pub fn descriptors(of: &Identity, spare: usize) -> Lowered {
        let taken = numbers_at_rest(of);
        let free = (0..).filter(|number| !taken.contains(number)).nth(spare);
        Lowered::new(of.pid, "nofile", "Max open files", free.unwrap())
    }

    /// No more memory than it has.
    pub fn memory(of: &Identity) -> Lowered {
        Lowered::new(of.pid, "as", "Max address space", 1)
    }

    /// No more processes of its user.
    pub fn processes(of: &Identity) -> Lowered {
        Lowered::new(of.pid, "nproc", "Max processes", 1)
    }

    fn new(pid: i32, what: &'static str, name: &str, most: usize) -> Lowered {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let before = line.split_whitespace().next().unwrap().to_owned();
        let lowered = Lowered { pid, what, before };
        assert!(lowered.set(&most.to_string()), "prlimit --{what} of {pid}");
        lowered
    }

    /// Lets it have again what it had.
    pub fn lift(self) {}

    fn set(&self, soft: &str) -> bool {
        // Its own user may do that anyway; root may it only with CAP_SYS_RESOURCE.
        let Ok(about) = fs::metadata(format!("/proc/{}", self.pid)) else { return false };
        let mut prlimit = Command::new("prlimit");
        prlimit.uid(about.uid()).gid(about.gid());
        prlimit.args(["--pid", &self.pid.to_string(), &format!("--{}={soft}:", self.what)]);
        prlimit.output().unwrap().status.success()
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        self.set(&self.before); // fails if it has ended
    }
}

/// How many descriptors a process has.
pub fn descriptors(of: &Identity) -> usize {
    numbers(of).len()
}

fn numbers(of: &Identity) -> BTreeSet<usize> {
    let entries = fs::read_dir(format!("/proc/{}/fd", of.pid)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect()
}

/// Without what is open for a moment only, like a connection that has just been answered.
fn numbers_at_rest(of: &Identity) -> BTreeSet<usize> {
    let looks = || {
        pause();
        numbers(of)
    };
    let mut seen = looks();
    for _ in 0..100 {
        let next: Vec<BTreeSet<usize>> = (0..10).map(|_| looks()).collect();
        if next.iter().all(|numbers| *numbers == seen) {
            return seen;
        }
        seen = next.into_iter().last().unwrap();
    }
    panic!("process {} opens and closes descriptors all the time", of.pid);
}

/// Fails if a process is busy, as one is that looks again and again at what it cannot have.
#[track_caller]
pub fn is_calm(process: &Identity) {
    let used = || dogwatch::os::tree::usage(&[process.pid]).cpu_ns as f64 / 1e9;
    let (before, begin) = (used(), Instant::now());
    while begin.elapsed() < Duration::from_millis(400) {
        pause();
    }
    let share = (used() - before) / begin.elapsed().as_secs_f64();
    assert!(share < CALM, "{:.0} % of a processor", share * 100.0);
}
