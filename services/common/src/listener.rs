//! The listening socket: inherited from the supervisor, else bound here.
//!
//! An inherited socket outlives us: connections that arrive while we restart wait in it.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{FromRawFd, RawFd};

use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::TcpListener;

const FIRST_INHERITED: RawFd = 3;

/// A socket to serve.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: TcpListener,
    address: SocketAddr,
    inherited: bool,
}

/// Why there is no socket to serve.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// LISTEN_FDS or LISTEN_PID is set to something else than a number, or names descriptors that are not open.
    #[error("cannot take over the socket that LISTEN_FDS announces: {0}")]
    Announcement(#[source] io::Error),
    /// Descriptor 3 is something else.
    #[error("cannot serve descriptor 3, which LISTEN_FDS announces: it is not a listening TCP socket")]
    NotListening,
    /// The address is taken.
    #[error("cannot listen on {0}: another process does; find it with: ss -ltnp 'sport = :{port}'", port = .0.port())]
    InUse(SocketAddr),
    /// The address cannot be had for another reason.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, #[source] io::Error),
}

impl Listener {
    /// Takes the inherited socket if one is announced to this process, else binds `address`.
    ///
    /// # Errors
    /// When neither can be had.
    pub fn inherit_or_bind(address: SocketAddr) -> Result<Self, ListenError> {
        let inherited = sd_notify::listen_fds().map_err(ListenError::Announcement)?.next().is_some();
        let socket = if inherited { inherit()? } else { bind(address)? };
        let from_std = |socket: StdListener| {
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            Ok((TcpListener::from_std(socket)?, address))
        };
        let (socket, address) = from_std(socket).map_err(|error| ListenError::Bind(address, error))?;
        Ok(Self { socket, address, inherited })
    }

    /// Where it listens; with port 0 asked for, the port that was given.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Did the supervisor open it?
    #[must_use]
    pub fn inherited(&self) -> bool {
        self.inherited
    }
}

fn inherit() -> Result<StdListener, ListenError> {
    #[expect(unsafe_code, reason = "the protocol of LISTEN_FDS hands over a bare number")]
    // SAFETY: LISTEN_PID names this process, so descriptor 3 was opened for it; `listen_fds` has just
    // set its close-on-exec flag, so it is open; this runs once, at start, so nobody else owns it.
    let socket = unsafe { StdListener::from_raw_fd(FIRST_INHERITED) };
    match getsockopt(&socket, sockopt::AcceptConn) {
        Ok(true) if socket.local_addr().is_ok() => Ok(socket),
        _ => Err(ListenError::NotListening),
    }
}

fn bind(address: SocketAddr) -> Result<StdListener, ListenError> {
    StdListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        _ => ListenError::Bind(address, error),
    })
}
