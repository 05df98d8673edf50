//! systemd's journal, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram a line; a line that is
//! too large for one goes in a file in memory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::{Message, Outlet};
use crate::forward::rfc5424;
use crate::model::sink::Facility;
use crate::os::outgoing;

/// The journal.
#[derive(Debug)]
pub struct Journald {
    path: PathBuf,
    socket: Option<OwnedFd>,
    taken: u64,
    scratch: Vec<u8>,
}

impl Journald {
    /// The one that listens at `path`.
    pub fn new(path: PathBuf) -> Journald {
        Journald { path, socket: None, taken: 0, scratch: Vec::new() }
    }
}

impl Outlet for Journald {
    fn connect(&mut self) -> io::Result<()> {
        if self.socket.is_none() {
            self.socket = Some(outgoing::unix(&self.path, false)?);
        }
        Ok(())
    }

    fn close(&mut self) {
        self.socket = None;
    }

    fn send(&mut self, message: &Message<'_>) -> io::Result<bool> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?.as_fd();
        self.scratch.clear();
        encode(message, &mut self.scratch);
        match outgoing::send(socket, &self.scratch) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS)) => {
                outgoing::send_as_file(socket, &self.scratch)?;
            }
            sent => drop(sent?),
        }
        self.taken += 1;
        Ok(false)
    }

    fn taken(&self) -> u64 {
        self.taken
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }
}

/// All values with their length before them: a line may hold anything.
fn encode(message: &Message<'_>, out: &mut Vec<u8>) {
    let mut field = |name: &str, value: &[u8]| {
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        out.extend_from_slice(value);
        out.push(b'\n');
    };
    field("MESSAGE", &message.line.bytes);
    field("PRIORITY", rfc5424::severity(message).to_string().as_bytes());
    field("SYSLOG_FACILITY", Facility::default().number().to_string().as_bytes());
    field("SYSLOG_IDENTIFIER", message.service.as_bytes());
    if let Some(pid) = message.pid {
        field("SYSLOG_PID", pid.to_string().as_bytes());
    }
    if let Some(time) = rfc5424::time(message.line.at) {
        field("SYSLOG_TIMESTAMP", time.as_bytes());
    }
    field("DOGWATCH_SERVICE", message.service.as_bytes());
    field("DOGWATCH_STREAM", message.stream.word().as_bytes());
    if !message.line.ends {
        field("DOGWATCH_PARTIAL", b"true");
    }
}
