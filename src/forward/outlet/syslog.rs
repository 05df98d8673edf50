//! A syslog receiver: on this machine, over UDP, or over TCP.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::bytes::Waiting;
use super::{Message, Outlet};
use crate::forward::rfc5424;
use crate::model::sink::Facility;
use crate::os::outgoing;

/// A receiver that does not answer within this time is not there.
const PATIENCE: Duration = Duration::from_secs(3);

/// What messages look like.
#[derive(Debug)]
pub struct Style {
    /// This machine's name.
    pub host: String,
    /// Their facility.
    pub facility: Facility,
    /// The longest, bytes.
    pub most: usize,
}

impl Style {
    fn encode(&self, message: &Message<'_>, out: &mut Vec<u8>) -> bool {
        rfc5424::encode(message, &self.host, self.facility, self.most, out)
    }
}

/// A unix socket: of datagrams, or else a stream, where each message ends with a line feed.
#[derive(Debug)]
pub struct Local {
    path: PathBuf,
    style: Style,
    socket: Option<OwnedFd>,
    /// It is a stream: what waits to be written.
    stream: Option<Waiting>,
    taken: u64,
    scratch: Vec<u8>,
}

impl Local {
    /// The receiver at `path`.
    pub fn new(path: PathBuf, style: Style) -> Local {
        Local { path, style, socket: None, stream: None, taken: 0, scratch: Vec::new() }
    }
}

impl Outlet for Local {
    fn connect(&mut self) -> io::Result<()> {
        if self.socket.is_some() {
            return Ok(());
        }
        match outgoing::unix(&self.path, false) {
            Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
                self.socket = Some(outgoing::unix(&self.path, true)?);
                self.stream = Some(Waiting::default());
            }
            socket => (self.socket, self.stream) = (Some(socket?), None),
        }
        self.taken = 0;
        Ok(())
    }

    fn close(&mut self) {
        (self.socket, self.stream) = (None, None);
    }

    fn send(&mut self, message: &Message<'_>) -> io::Result<bool> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?.as_fd();
        if let Some(waiting) = &mut self.stream {
            let put = |out: &mut Vec<u8>| {
                let cut = self.style.encode(message, out);
                out.push(b'\n');
                cut
            };
            return waiting.add(|bytes| outgoing::send(socket, bytes), put);
        }
        self.scratch.clear();
        let cut = self.style.encode(message, &mut self.scratch);
        outgoing::send(socket, &self.scratch)?;
        self.taken += 1;
        Ok(cut)
    }

    fn flush(&mut self) -> io::Result<()> {
        match (&self.socket, &mut self.stream) {
            (Some(socket), Some(waiting)) => waiting.flush(|bytes| outgoing::send(socket.as_fd(), bytes)),
            _ => Ok(()),
        }
    }

    fn taken(&self) -> u64 {
        self.stream.as_ref().map_or(self.taken, Waiting::taken)
    }

    fn confirmed(&mut self) -> io::Result<u64> {
        Ok(self.stream.as_ref().map_or(self.taken, Waiting::written))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    fn check(&self) -> io::Result<()> {
        self.socket.as_ref().map_or(Ok(()), |socket| outgoing::check(socket.as_fd()))
    }
}

/// One datagram a message (RFC 5426). What becomes of it nobody knows, but that nobody listens is told. A receiver has
/// room for a few hundred that it has not read, so they come in small bursts.
#[derive(Debug)]
pub struct Udp {
    address: SocketAddr,
    style: Style,
    socket: Option<UdpSocket>,
    taken: u64,
    /// When the present burst began, and how many belong to it.
    burst: (Option<Instant>, u32),
    scratch: Vec<u8>,
}

/// Messages in a burst.
const BURST: u32 = 64;
/// From one burst to the next.
const PACE: Duration = Duration::from_millis(4);

impl Udp {
    /// The receiver at `address`.
    pub fn new(address: SocketAddr, style: Style) -> Udp {
        Udp { address, style, socket: None, taken: 0, burst: (None, 0), scratch: Vec::new() }
    }
}

impl Outlet for Udp {
    fn connect(&mut self) -> io::Result<()> {
        if self.socket.is_none() {
            self.socket = Some(outgoing::udp(self.address)?);
        }
        Ok(())
    }

    fn close(&mut self) {
        self.socket = None;
    }

    fn send(&mut self, message: &Message<'_>) -> io::Result<bool> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let now = Instant::now();
        if self.burst.0.is_none_or(|since| now.duration_since(since) >= PACE) {
            self.burst = (Some(now), 0);
        }
        if self.burst.1 >= BURST {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.scratch.clear();
        let cut = self.style.encode(message, &mut self.scratch);
        socket.send(&self.scratch)?;
        self.taken += 1;
        self.burst.1 += 1;
        Ok(cut)
    }

    fn taken(&self) -> u64 {
        self.taken
    }

    /// On this machine the answer that nobody listens is there before the datagram has been sent.
    fn confirmed(&mut self) -> io::Result<u64> {
        match self.socket.as_ref().map(UdpSocket::take_error).transpose()?.flatten() {
            Some(error) => Err(error),
            None => Ok(self.taken),
        }
    }

    /// It takes more when it is time.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A stream, each message with its length before it (RFC 6587, octet counting). A message has arrived when the
/// receiver's kernel has confirmed it.
#[derive(Debug)]
pub struct Tcp {
    address: SocketAddr,
    style: Style,
    stream: Option<TcpStream>,
    waiting: Waiting,
    scratch: Vec<u8>,
}

impl Tcp {
    /// The receiver at `address`.
    pub fn new(address: SocketAddr, style: Style) -> Tcp {
        Tcp { address, style, stream: None, waiting: Waiting::default(), scratch: Vec::new() }
    }
}

impl Outlet for Tcp {
    fn connect(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            self.stream = Some(outgoing::tcp(self.address, PATIENCE)?);
            self.waiting = Waiting::default();
        }
        Ok(())
    }

    fn close(&mut self) {
        (self.stream, self.waiting) = (None, Waiting::default());
    }

    fn send(&mut self, message: &Message<'_>) -> io::Result<bool> {
        let stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?.as_fd();
        self.scratch.clear();
        let cut = self.style.encode(message, &mut self.scratch);
        let frame = &self.scratch;
        let put = |out: &mut Vec<u8>| {
            out.extend_from_slice(format!("{} ", frame.len()).as_bytes());
            out.extend_from_slice(frame);
        };
        self.waiting.add(|bytes| outgoing::send(stream, bytes), put)?;
        Ok(cut)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(stream) = &self.stream else { return Ok(()) };
        self.waiting.flush(|bytes| outgoing::send(stream.as_fd(), bytes))
    }

    fn taken(&self) -> u64 {
        self.waiting.taken()
    }

    fn confirmed(&mut self) -> io::Result<u64> {
        let Some(stream) = &self.stream else { return Ok(0) };
        let on_the_way = outgoing::unconfirmed(stream)?;
        // Asked afterwards: of a connection that was reset, what was on the way is not known any more.
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(self.waiting.written().saturating_sub(on_the_way)),
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    fn check(&self) -> io::Result<()> {
        self.stream.as_ref().map_or(Ok(()), |stream| outgoing::check(stream.as_fd()))
    }
}
