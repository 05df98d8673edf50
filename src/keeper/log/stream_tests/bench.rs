//! A stream with real FIFOs and files, and a service's end of them.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use crate::archive;
use crate::keeper::log::dropping;
use crate::keeper::log::sources::Channel;
use crate::keeper::log::stream::{Stream, Turn};
use crate::model::date_format::DateFormat;
use crate::model::dress::Dress;
use crate::model::moment::{Moment, Now};
use crate::model::spec::LogPolicy;
use crate::os::fifo;
use crate::paths::ServicePaths;
use crate::wire::log_line::StreamName;

/// The run folder of the service is the folder of the test.
fn paths(dir: &tempfile::TempDir) -> ServicePaths {
    ServicePaths { dir: dir.path().to_owned(), lock: PathBuf::new(), goal: PathBuf::new() }
}

fn new_stream(paths: &ServicePaths, policy: LogPolicy) -> io::Result<Stream> {
    let dropping = dropping::Shared::resume(paths.log_dropped(StreamName::Out.word()));
    Stream::new("web", StreamName::Out, paths, policy, dropping)
}

pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) stream: Stream,
    pub(super) now: Now,
}

impl Bench {
    pub(super) fn new(rotate_size: u64) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let policy = LogPolicy::new(dir.path().join("logs"), rotate_size, 100, false);
        let stream = new_stream(&paths(&dir), policy).unwrap();
        let mut bench = Bench { dir, stream, now: Now { mono: Moment(1), unix_ms: 1_000_000_000_000 } };
        bench.stream.take_over(bench.now);
        bench
    }

    /// Attaches the FIFOs of a run; returns the service's end.
    pub(super) fn run(&mut self, run: u64) -> OwnedFd {
        let path = |name: &str| self.dir.path().join(format!("{run}.{name}"));
        for name in ["fifo", "stage"] {
            fifo::make(&path(name), None).unwrap();
        }
        let channel = Channel {
            fifo: fifo::open_pump(&path("fifo")).unwrap(),
            stage: fifo::open_pump(&path("stage")).unwrap(),
        };
        self.stream.attach(run, channel);
        fifo::open_service(&path("fifo")).unwrap()
    }

    /// Its keeper was killed, and another one takes over the runs.
    pub(super) fn kill_keeper(&mut self, runs: &[u64]) {
        let policy = self.stream.file.policy().clone();
        // The FIFOs of before have other holders, too.
        let mut stream = new_stream(&paths(&self.dir), policy).unwrap();
        for run in runs {
            let open = |name: &str| fifo::open_pump(&self.dir.path().join(format!("{run}.{name}"))).unwrap();
            stream.attach(*run, Channel { fifo: open("fifo"), stage: open("stage") });
        }
        stream.take_over(self.now);
        self.stream = stream;
    }

    /// Its keeper was killed, and another one takes over; runs are to be attached again.
    pub(super) fn replace_stream(&mut self) {
        let policy = self.stream.file.policy().clone();
        self.stream = new_stream(&paths(&self.dir), policy).unwrap();
        self.stream.take_over(self.now);
    }

    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.stream.next_due_ms(self.now)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.stream.state().trouble
    }

    pub(super) fn turn(&mut self) -> Turn {
        self.now.mono = self.now.mono.plus(Duration::from_millis(300));
        self.now.unix_ms += 300;
        self.stream.turn(self.now)
    }

    /// As [`Bench::turn`], until there is nothing more to do at once.
    pub(super) fn turns(&mut self) {
        for _ in 0..100 {
            if !self.turn().more {
                return;
            }
        }
        panic!("it never rests");
    }

    pub(super) fn set_policy(&mut self, change: impl FnOnce(&mut LogPolicy)) {
        let mut policy = self.stream.file.policy().clone();
        change(&mut policy);
        self.stream.set_policy(policy);
    }

    /// Puts something in the way of the log file.
    pub(super) fn block(&self) {
        fs::create_dir_all(&self.stream.file.policy().dir).unwrap();
        std::os::unix::fs::symlink("/nowhere", self.stream.path()).unwrap();
    }

    pub(super) fn unblock(&self) {
        fs::remove_file(self.stream.path()).unwrap();
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.stream.path()).unwrap_or_default()
    }

    pub(super) fn archives(&self) -> Vec<String> {
        let all = archive::list(&self.stream.file.policy().dir, "web-out");
        all.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

/// Whole numbered lines, from the first on, until the FIFO has at least so many bytes. Returns the next number.
pub(super) fn fill(fd: &OwnedFd, first: u64, bytes: usize) -> u64 {
    let mut next = first;
    while fifo::waiting(fd.as_fd()).unwrap() < bytes {
        write(fd, &format!("line {next:06}\n"));
        next += 1;
    }
    next
}

/// The numbered lines, and what the marks among them say was dropped; no other line is there.
pub(super) fn read_lines(log: &str) -> (Vec<u64>, u64, Vec<String>) {
    let (mut numbers, mut dropped, mut marks) = (Vec::new(), 0, Vec::new());
    for line in log.lines() {
        if let Some(number) = line.strip_prefix("line ").filter(|number| number.len() == 6) {
            numbers.push(number.parse().unwrap());
        } else {
            let mark = line.strip_prefix("[dogwatch: ").unwrap_or_else(|| panic!("torn: {line:?}"));
            let count = mark.strip_prefix("at least ").unwrap_or(mark).split_once(" line").unwrap().0;
            dropped += count.replace(',', "").parse::<u64>().unwrap();
            marks.push(line.to_owned());
        }
    }
    (numbers, dropped, marks)
}

pub(super) fn write(fd: &OwnedFd, text: &str) {
    assert_eq!(nix::unistd::write(fd.as_fd(), text.as_bytes()).unwrap(), text.len());
}

pub(super) fn dress(bench: &mut Bench, dress: Dress) {
    bench.set_policy(|policy| policy.dress = dress);
}

pub(super) fn inline() -> Dress {
    Dress::Inline(DateFormat::parse("X").unwrap())
}

/// The log, without the beginnings of its objects.
pub(super) fn shapes(bench: &Bench) -> String {
    let lines = bench.log();
    let shape = |line: &str| {
        line.split_once("\"stream\":\"out\",").map_or(line.to_owned(), |(_, rest)| "#".to_owned() + rest)
    };
    lines.lines().map(|line| shape(line) + "\n").collect()
}
