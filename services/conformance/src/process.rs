//! A service as a process, known by the port it was told to use.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use service_testing::{Answer, eventually, free_address, is_free, request};

use crate::binaries;

/// How to start a service: only what is said here is in its environment.
#[derive(Clone)]
pub struct Start {
    program: &'static str,
    port: &'static str,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    folder: PathBuf,
}

/// A service that runs; it is killed when this goes away.
pub struct Service {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Start {
    /// This program, in this folder; `port` is the variable that tells it where to listen.
    #[must_use]
    pub fn new(program: &'static str, port: &'static str, folder: PathBuf) -> Self {
        Self { program, port, arguments: Vec::new(), environment: BTreeMap::new(), folder }
    }

    /// With this variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Without this variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// With this argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Told its port by another variable.
    #[must_use]
    pub fn port_by(mut self, variable: &'static str) -> Self {
        self.port = variable;
        self
    }

    /// Starts it and waits until it takes connections.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Service {
        self.start_or_refused().unwrap_or_else(|said| panic!("it ended: {said}"))
    }

    /// Starts it and waits until it takes connections; or all that it said, if it ended instead.
    ///
    /// # Errors
    /// When it ended.
    ///
    /// # Panics
    /// When it does neither.
    #[track_caller]
    pub fn start_or_refused(self) -> Result<Service, String> {
        for _ in 0..5 {
            let mut service = self.spawn();
            let mut ended = false;
            eventually("the service takes connections", || {
                ended = service.child.try_wait().expect("the child is ours").is_some();
                ended || TcpStream::connect(service.address).is_ok()
            });
            if !ended {
                return Ok(service);
            }
            if is_free(service.address.port()) {
                return Err(service.output());
            }
        }
        panic!("other programs take every port");
    }

    /// Starts what must not start; all that it said.
    ///
    /// # Panics
    /// When it runs on, or ends as if all were well.
    #[track_caller]
    pub fn refused(self) -> String {
        let mut service = self.spawn();
        let status = service.wait();
        assert!(!status.success(), "it started: {}", service.output());
        service.output()
    }

    fn spawn(&self) -> Service {
        let address = free_address();
        let log = self.folder.join(format!("{}.{}.output", self.program, address.port()));
        let output = OpenOptions::new().create(true).append(true).open(&log).expect("a file for its output");
        let child = Command::new(binaries::path(self.program))
            .args(&self.arguments)
            .env_clear()
            .env(self.port, address.port().to_string())
            .envs(&self.environment)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("the program starts");
        Service { child, address, log }
    }
}

impl Service {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection to it.
    ///
    /// # Panics
    /// When it does not take one.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the service takes the connection");
        stream.set_read_timeout(Some(crate::LIMIT)).expect("a time limit");
        stream
    }

    /// All it wrote so far, both streams mixed.
    ///
    /// # Panics
    /// When that cannot be read.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("its output is there")).into_owned()
    }

    /// A GET.
    #[must_use]
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }

    /// A request without a body.
    #[must_use]
    #[track_caller]
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        request(self.address, method, target, headers, b"")
    }

    /// Any request.
    #[must_use]
    #[track_caller]
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        request(self.address, method, target, headers, body)
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("process ids are small"));
        kill(pid, signal).expect("it is running, or was not waited for yet");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the service ends", || {
            ended = self.child.try_wait().expect("the child is ours");
            ended.is_some()
        });
        ended.expect("it ended")
    }

    /// SIGTERM, and all that it wrote until its end.
    ///
    /// # Panics
    /// When it does not end, or not with 0.
    #[track_caller]
    pub fn end(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.output());
        self.output()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.finish();
    }
}
