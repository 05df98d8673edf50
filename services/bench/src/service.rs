//! A service as a process on a processor of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);
/// The processor of the service.
const PROCESSOR: &str = "0";

/// Leaves the first processor to the services.
pub(crate) fn keep_off_the_services_processor() {
    let mut others = sched_getaffinity(Pid::from_raw(0)).unwrap();
    others.unset(0).unwrap();
    if (1..CpuSet::count()).any(|processor| others.is_set(processor).unwrap()) {
        sched_setaffinity(Pid::from_raw(0), &others).unwrap();
    } else {
        println!("one processor only: service and load share it");
    }
}

/// A running service; killed when this goes away.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Service {
    /// Starts `program` in `folder` with this environment alone. `before` is a shell command that runs first, in a mount
    /// namespace of its own; empty for none.
    pub(crate) fn start(program: &Path, folder: &Path, environment: &[(&str, &str)], before: &str) -> Self {
        let program = &program.canonicalize().expect("the programs are built: make build");
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let mut command = if before.is_empty() {
            let mut command = Command::new("taskset");
            command.args(["-c", PROCESSOR]).arg(program);
            command
        } else {
            let mut command = Command::new("unshare");
            let script = format!("{before} && exec taskset -c {PROCESSOR} \"$0\"");
            command.args(["-m", "sh", "-c", &script]).arg(program);
            command
        };
        let child = command
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut service = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), log };
        let mut found = None;
        until("the service serves", || {
            let ended = service.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", service.said());
            found = served_address(&service.said());
            found.is_some()
        });
        service.address = found.unwrap();
        service
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// A path as the service sees it, from outside its mount namespace.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join("root")
            .join(path.strip_prefix("/").unwrap())
    }

    /// Processor time it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10) // USER_HZ is 100 on Linux
    }

    /// Resident and private memory, in words.
    pub(crate) fn memory(&self) -> String {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap();
        let kib = |name: &str| -> u64 {
            let lines = rollup.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
        };
        let (all, data, private) = (kib("Rss:"), kib("Anonymous:"), kib("Private_"));
        format!("RSS {:.1} MB, private {:.1} MB, of it data {:.1} MB", mb(all), mb(private), mb(data))
    }
}

fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition, for a limited time.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::park_timeout(PAUSE);
    }
}

fn served_address(log: &str) -> Option<SocketAddr> {
    let (_, after) = log.split_once("serving http://")?;
    after.split_once(' ')?.0.parse().ok()
}
