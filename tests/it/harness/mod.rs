//! A dogwatch of its own for each test: a temporary home, an ecosystem.toml, the real binary.
//!
//! Nothing here sleeps for a length of time and hopes: [`until`] waits for a condition and fails with what it
//! saw last.

pub mod clients;
pub mod disk;
pub mod full_disk;
pub mod limits;
pub mod lines;
pub mod programs;
pub mod shell;

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dogwatch::model::name::ServiceName;
use dogwatch::os::lock;
use dogwatch::os::process::Identity;
use dogwatch::paths::Paths;
use serde_json::Value;
pub use service_testing::free_address;

/// Longest wait for a condition: machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One dogwatch.
pub struct Machine {
    home: tempfile::TempDir,
    file: PathBuf,
    env: Vec<(String, String)>,
    program: PathBuf,
}

/// What a command came to.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Machine {
    /// A home with this `ecosystem.toml`. `UNRULY` in it becomes the path of the misbehaving program.
    pub fn new(ecosystem: &str) -> Machine {
        let home = tempfile::Builder::new().prefix("dw").tempdir().unwrap();
        let file = home.path().join("ecosystem.toml");
        let machine = Machine { home, file, env: Vec::new(), program: binary() };
        machine.write(ecosystem);
        machine
    }

    /// The same with a dogwatch of its own to run, `bin/dogwatch` in the folder, which may be replaced.
    pub fn with_own_program(ecosystem: &str) -> Machine {
        let mut machine = Machine::new(ecosystem);
        fs::create_dir(machine.dir().join("bin")).unwrap();
        machine.program = machine.dir().join("bin/dogwatch");
        programs::copy(&binary(), &machine.program, "");
        machine
    }

    /// The program that its commands run.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Sets a variable for every command, and so for all of dogwatch's processes.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Replaces the ecosystem.toml.
    pub fn write(&self, ecosystem: &str) {
        fs::write(&self.file, ecosystem.replace("UNRULY", unruly().to_str().unwrap())).unwrap();
    }

    /// The home folder.
    pub fn dir(&self) -> &Path {
        self.home.path()
    }

    /// Where dogwatch keeps things.
    pub fn paths(&self) -> Paths {
        Paths::below(&self.dir().join("home"))
    }

    /// `dogwatch ARGS`, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--home")
            .arg(self.dir().join("home"))
            .args(args)
            .current_dir(self.dir())
            .env_remove("DOGWATCH_HOME")
            .env_remove("NOTIFY_SOCKET")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs `dogwatch ARGS`.
    pub fn run(&self, args: &[&str]) -> Outcome {
        outcome(&mut self.command(args))
    }

    /// Runs `dogwatch ARGS`, which must succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let outcome = self.run(args);
        assert_eq!(outcome.code, 0, "dogwatch {args:?}: {outcome:#?}");
        outcome.out
    }

    /// Starts everything in the background.
    #[track_caller]
    pub fn up(&self) {
        self.ok(&["up", "-d"]);
    }

    /// The status of one service, by way of its keeper.
    pub fn status(&self, name: &str) -> Value {
        let outcome = self.run(&["status", "--json"]);
        let all: Value = serde_json::from_str(&outcome.out).unwrap_or(Value::Null);
        let services = all["services"].as_array().cloned().unwrap_or_default();
        services.into_iter().find(|service| service["name"] == name).unwrap_or(Value::Null)
    }

    /// Waits until the service is in this state; returns its status.
    #[track_caller]
    pub fn until_state(&self, name: &str, state: &str) -> Value {
        until(&format!("{name} {state}"), || self.status(name), |status| status["state"] == state)
    }

    /// The control plane's process.
    pub fn control(&self) -> Option<Identity> {
        lock::holder(&self.paths().control_lock())
    }

    /// The warden's process.
    pub fn warden(&self) -> Option<Identity> {
        lock::holder(&self.paths().warden_lock())
    }

    /// The process of a service's keeper.
    pub fn keeper(&self, name: &str) -> Option<Identity> {
        lock::holder(&self.paths().service(&ServiceName::new(name).unwrap()).lock)
    }

    /// A service's log, archives first.
    pub fn log_files(&self, name: &str, kind: &str) -> Vec<PathBuf> {
        self.log_files_in("logs", name, kind)
    }

    /// The same where `log_dir` is another folder.
    pub fn log_files_in(&self, dir: &str, name: &str, kind: &str) -> Vec<PathBuf> {
        let dir = self.dir().join(dir);
        let mut files = dogwatch::archive::list(&dir, &format!("{name}-{kind}"));
        files.push(dir.join(format!("{name}-{kind}.log")));
        files
    }

    /// The current log file of a service.
    pub fn log(&self, name: &str, kind: &str) -> String {
        let bytes = fs::read(self.dir().join(format!("logs/{name}-{kind}.log"))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// dogwatch's own log.
    pub fn own_log(&self) -> String {
        fs::read_to_string(self.paths().own_log()).unwrap_or_default()
    }
}

impl Machine {
    /// Ends all of it.
    pub fn end(&self) {
        if self.control().is_some() || self.warden().is_some() {
            let _ = outcome(&mut self.command(&["down"]));
        }
        // What `down` left, by its identity: nothing of a test outlives it.
        for _ in 0..20 {
            let services = fs::read_dir(self.paths().services()).into_iter().flatten().flatten();
            let keepers: Vec<_> =
                services.filter_map(|entry| self.keeper(&entry.file_name().to_string_lossy())).collect();
            let left: Vec<_> = keepers.into_iter().chain(self.control()).chain(self.warden()).collect();
            if left.is_empty() {
                break;
            }
            left.iter().for_each(kill);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.paths().own_log()).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(40).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            eprintln!("--- the end of dogwatch.log ---\n{}", last.join("\n"));
        }
        self.end();
    }
}

fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The binary under test; DOGWATCH names another one than cargo has just built.
pub fn binary() -> PathBuf {
    let named = std::env::var_os("DOGWATCH").map(PathBuf::from);
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_dogwatch").into())
}

/// The misbehaving program, which cargo builds beside the tests.
pub fn unruly() -> PathBuf {
    if let Some(named) = std::env::var_os("UNRULY") {
        return named.into();
    }
    example("unruly")
}

/// A program that cargo builds beside the tests.
pub fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing: cargo build --examples", path.display());
    path
}

/// SIGKILLs exactly that process.
pub fn kill(identity: &Identity) {
    if let Some(pidfd) = dogwatch::os::process::open(identity) {
        let _ = pidfd.signal(dogwatch::model::signal::Signal::KILL);
    }
}

/// SIGSTOPs exactly that process, and waits until it stands still.
pub fn stop(identity: &Identity) {
    send(identity, libc::SIGSTOP);
    until("stopped", || dogwatch::os::process::is_stopped(identity.pid), |stopped| *stopped);
}

/// Lets a stopped process go on.
pub fn go_on(identity: &Identity) {
    send(identity, libc::SIGCONT);
}

/// Sends a signal to exactly that process.
pub fn send(identity: &Identity, signal: i32) {
    if let Some(pidfd) = dogwatch::os::process::open(identity) {
        pidfd.signal(dogwatch::model::signal::Signal(signal)).unwrap();
    }
}

/// SIGKILLs a service's process, by the number in its status.
#[track_caller]
pub fn kill_pid(status: &Value) {
    let pid = status["pid"].as_i64().unwrap_or_else(|| panic!("no pid in {status}")) as i32;
    dogwatch::os::process::PidFd::open(pid).unwrap().signal(dogwatch::model::signal::Signal::KILL).unwrap();
}

/// Looks again and again until `good`; fails with the last look.
#[track_caller]
pub fn until<T: Debug>(what: &str, mut look: impl FnMut() -> T, good: impl Fn(&T) -> bool) -> T {
    let begin = Instant::now();
    loop {
        let seen = look();
        if good(&seen) {
            return seen;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; last seen: {seen:#?}");
        pause();
    }
}

/// A number that an environment variable may set.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Between two looks.
#[expect(clippy::disallowed_methods, reason = "between two looks at a condition")]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
