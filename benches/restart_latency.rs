//! SIGKILL to the new child's first instruction: dogwatch beside a bare fork-exec-wait loop in C, in turns, in
//! the same run.
//!
//! `cargo bench --bench restart_latency [-- KILLS]`; DOGWATCH names another binary to measure.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dogwatch::model::signal::Signal;
use dogwatch::os::clock;
use dogwatch::os::process::PidFd;

/// Kills per turn.
const TURN: usize = 100;
/// A pause before each kill, so that the last start is over.
const SETTLE: Duration = Duration::from_millis(3);

fn main() {
    let kills = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1000);
    let dir = tempfile::tempdir().unwrap();
    let child = compile(dir.path(), "child");
    let floor = compile(dir.path(), "floor");
    let dogwatch = std::env::var_os("DOGWATCH").map_or(env!("CARGO_BIN_EXE_dogwatch").into(), PathBuf::from);
    let run = |args: &[&str]| {
        let done = Command::new(&dogwatch)
            .arg("--home")
            .arg(dir.path().join("home"))
            .args(args)
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success(), "dogwatch {args:?}");
    };

    let ours = Fifo::new(dir.path().join("ours"));
    let theirs = Fifo::new(dir.path().join("theirs"));
    let entry = format!(
        "[services.child]\ncommand = [{child:?}, {:?}]\nrestart = {{ delay = \"0s\" }}\n",
        ours.path.to_str().unwrap()
    );
    fs::write(dir.path().join("ecosystem.toml"), entry).unwrap();
    let mut bare = Command::new(&floor).arg(&child).arg(&theirs.path).spawn().unwrap();
    run(&["up", "-d"]);

    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    let (mut our_pid, mut their_pid) = (ours.next().1, theirs.next().1);
    while our_times.len() < kills {
        for _ in 0..TURN {
            our_times.push(kill(&ours, &mut our_pid));
        }
        for _ in 0..TURN {
            their_times.push(kill(&theirs, &mut their_pid));
        }
    }
    run(&["down"]);
    bare.kill().unwrap();
    bare.wait().unwrap();
    let _ = PidFd::open(their_pid).and_then(|pidfd| pidfd.signal(Signal::KILL));

    let (our_p50, our_p99) = show("dogwatch", &mut our_times);
    let (their_p50, their_p99) = show("fork+exec loop in C", &mut their_times);
    println!("ratio: p50 {:.2}, p99 {:.2}", our_p50 / their_p50, our_p99 / their_p99);
}

/// Kills the child and waits for its successor; microseconds from the kill to its first instruction.
fn kill(fifo: &Fifo, pid: &mut i32) -> f64 {
    settle();
    let pidfd = PidFd::open(*pid).unwrap();
    let begin = clock::mono();
    pidfd.signal(Signal::KILL).unwrap();
    let (at, successor) = fifo.next();
    *pid = successor;
    (at - begin.0) as f64 / 1000.0
}

#[expect(clippy::disallowed_methods, reason = "a pause is what is wanted")]
fn settle() {
    std::thread::sleep(SETTLE);
}

fn show(who: &str, times: &mut [f64]) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{who}: {} kills, min {:.0} µs, p50 {:.0} µs, p99 {:.0} µs, max {:.0} µs",
        times.len(),
        at(0.0),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    (at(0.5), at(0.99))
}

fn compile(dir: &Path, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/support/{name}.c"));
    let target = dir.join(name);
    let done = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&target).arg(source).status();
    assert!(done.unwrap().success(), "cc {name}.c");
    target
}

/// What the children of one supervisor say.
struct Fifo {
    path: PathBuf,
    file: File,
}

impl Fifo {
    fn new(path: PathBuf) -> Fifo {
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Fifo { path, file }
    }

    /// When the next child began, and its number.
    fn next(&self) -> (u64, i32) {
        let mut said = [0u8; 16];
        (&self.file).read_exact(&mut said).unwrap();
        let half = |range: std::ops::Range<usize>| u64::from_ne_bytes(said[range].try_into().unwrap());
        (half(0..8), half(8..16) as i32)
    }
}
