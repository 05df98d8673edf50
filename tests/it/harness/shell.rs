//! Lines as one types them: through `sh -c`, with `pm2` in PATH.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Machine, Outcome, PATIENCE, binary, outcome};

/// A shell in a machine's folder.
pub struct Shell<'a> {
    machine: &'a Machine,
    path: OsString,
    home: Option<PathBuf>,
}

impl Shell<'_> {
    /// A shell that has `dogwatch` and its link `pm2` in PATH, and DOGWATCH_HOME.
    pub fn new(machine: &Machine) -> Shell<'_> {
        let links = machine.dir().join("links");
        std::fs::create_dir_all(&links).unwrap();
        for name in ["dogwatch", "pm2"] {
            symlink(binary(), links.join(name)).unwrap();
        }
        let old = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(std::iter::once(links).chain(std::env::split_paths(&old))).unwrap();
        Shell { machine, path, home: Some(machine.dir().join("home")) }
    }

    /// The same without DOGWATCH_HOME.
    pub fn without_home(self) -> Self {
        Self { home: None, ..self }
    }

    /// Runs a line.
    pub fn run(&self, line: &str) -> Outcome {
        outcome(&mut self.command(line))
    }

    /// Starts a line that does not end by itself.
    pub fn start(&self, line: &str) -> Running {
        let mut child = self.command(line).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Running { child, lines }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(self.machine.dir())
            .env("PATH", &self.path)
            .env_remove("DOGWATCH_HOME")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        if let Some(home) = &self.home {
            command.env("DOGWATCH_HOME", home);
        }
        command
    }
}

/// A line that runs.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Reads up to the first line for which this holds, and returns all read.
    #[track_caller]
    pub fn until(&self, what: &str, good: impl Fn(&str) -> bool) -> Vec<String> {
        let mut read: Vec<String> = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => read.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no line in {PATIENCE:?}: {what}; read: {read:#?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before: {what}; read: {read:#?}"),
            }
            if read.last().is_some_and(|line| good(line)) {
                return read;
            }
        }
    }

    /// Ctrl-C.
    pub fn interrupt(mut self) -> ExitStatus {
        killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        self.child.wait().unwrap()
    }
}

/// Whether a line was ended by Ctrl-C, or ended itself upon it.
pub fn was_interrupted(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGINT as i32) || status.code() == Some(130)
}
