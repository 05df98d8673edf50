//! A service as a process.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Answer, eventually, request};

/// How to start a service: only what is said here is in its environment.
pub struct Program {
    path: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: std::path::PathBuf,
    inherited: Option<Inherited>,
}

/// What a service inherits.
enum Inherited {
    /// As descriptor 3, announced by LISTEN_FDS.
    Listener(TcpListener),
    /// As descriptor 4, announced by DOGWATCH_STATUS_FD.
    View(OwnedFd),
}

impl Inherited {
    /// A shell moves its input to the right descriptor and knows the process id that the program will have.
    fn script(&self) -> &'static str {
        match self {
            Self::Listener(_) => r#"export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@" 3<&0 </dev/null"#,
            Self::View(_) => r#"export DOGWATCH_STATUS_FD=4; exec "$0" "$@" 4<&0 </dev/null"#,
        }
    }
}

impl From<Inherited> for Stdio {
    fn from(inherited: Inherited) -> Self {
        match inherited {
            Inherited::Listener(listener) => OwnedFd::from(listener).into(),
            Inherited::View(end) => end.into(),
        }
    }
}

/// A service that runs; it is killed when this goes away.
pub struct Running {
    child: Child,
    output: Arc<Mutex<String>>,
    address: SocketAddr,
}

impl Program {
    /// The program at `path`, to run in `folder`.
    #[must_use]
    pub fn new(path: &str, folder: &Path) -> Self {
        Self {
            path: path.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.to_owned(),
            inherited: None,
        }
    }

    /// With this variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// With this socket as descriptor 3, announced by LISTEN_FDS.
    #[must_use]
    pub fn inherit(mut self, listener: TcpListener) -> Self {
        self.inherited = Some(Inherited::Listener(listener));
        self
    }

    /// With this end of a supervisor's socket as descriptor 4, announced by DOGWATCH_STATUS_FD.
    #[must_use]
    pub fn inherit_view(mut self, end: OwnedFd) -> Self {
        self.inherited = Some(Inherited::View(end));
        self
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Running {
        let (child, output) = self.spawn();
        let mut running = Running { child, output, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        eventually("the service serves", || match served_address(&running.output()) {
            Some(address) => {
                running.address = address;
                true
            }
            None => {
                let ended = running.child.try_wait().expect("the child is ours");
                assert!(ended.is_none(), "it ended with {ended:?}: {}", running.output());
                false
            }
        });
        running
    }

    /// Starts what cannot run, and waits for its end: the exit code and all it said.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    #[track_caller]
    pub fn fail(self) -> (Option<i32>, String) {
        let (mut child, output) = self.spawn();
        let mut code = None;
        eventually("the service ends", || match child.try_wait().expect("the child is ours") {
            Some(status) => {
                code = status.code();
                true
            }
            None => false,
        });
        eventually("its output is read", || Arc::strong_count(&output) == 1);
        let said = output.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (code, said)
    }

    fn spawn(self) -> (Child, Arc<Mutex<String>>) {
        let mut command = match self.inherited {
            Some(inherited) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(inherited.script()).arg(&self.path).stdin(inherited);
                shell
            }
            None => {
                let mut program = Command::new(&self.path);
                program.stdin(Stdio::null());
                program
            }
        };
        let mut child = command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment)
            .current_dir(&self.folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().expect("it is piped"), Arc::clone(&output));
        collect(child.stderr.take().expect("it is piped"), Arc::clone(&output));
        (child, output)
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All it wrote so far, both streams mixed.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A GET.
    #[must_use]
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        request(self.address, "GET", target, &[], b"")
    }

    /// Any request.
    #[must_use]
    #[track_caller]
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        request(self.address, method, target, headers, body)
    }

    /// Asks it to end.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub fn ask_to_end(&self) {
        kill(self.pid(), Signal::SIGTERM).expect("it is running, or was not waited for yet");
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn end(mut self) -> (ExitStatus, String) {
        self.ask_to_end();
        let mut ended = None;
        eventually("the service ends", || {
            ended = self.child.try_wait().expect("the child is ours");
            ended.is_some()
        });
        eventually("its output is read", || Arc::strong_count(&self.output) == 1);
        (ended.expect("it ended"), self.output())
    }

    /// Ends it without a chance to say anything.
    pub fn kill(mut self) {
        self.finish();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are small"))
    }

    fn finish(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish();
    }
}

fn collect(stream: impl Read + Send + 'static, output: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.push_str(&line);
            output.push('\n');
        }
    });
}

fn served_address(output: &str) -> Option<SocketAddr> {
    let (_, after) = output.split_once("serving http://")?;
    after.split_once(' ')?.0.parse().ok()
}
