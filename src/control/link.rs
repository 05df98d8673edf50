//! A connection to a keeper or to the warden that tokio can wait on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, timeout_at};

use crate::os::packet::{Connection, Packet};
use crate::os::process::PidFd;
use crate::os::watched::{self, Lasting};
use crate::wire::keeper::{Op, Reply, Request};
use crate::wire::warden;

/// A keeper or warden answers within this time, or it is not answering at all.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// One connection.
#[derive(Debug)]
pub struct Link(AsyncFd<Lasting<Connection>>);

impl Link {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// ENOENT or ECONNREFUSED if nobody listens there.
    pub fn connect(path: &Path) -> io::Result<Link> {
        Link::over(Connection::connect(path)?)
    }

    /// Goes on with a connection that there is.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn over(connection: Connection) -> io::Result<Link> {
        Ok(Link(watched::connection(connection)?))
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// EPIPE if the other end is gone.
    pub async fn send(&self, packet: &impl Serialize) -> io::Result<()> {
        self.send_with(packet, &[]).await
    }

    /// Sends one packet with descriptors attached.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub async fn send_with(&self, packet: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_bytes(&serde_json::to_vec(packet)?, fds).await
    }

    /// Sends one packet as it is.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub async fn send_bytes(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.0.async_io(Interest::WRITABLE, |link| link.get().send(bytes, fds)).await
    }

    /// Whether a packet is there, whatever tokio knows of it: the kernel is asked.
    pub fn has_packet(&self) -> bool {
        matches!(self.0.get_ref().get().receive(), Ok(Some(_)))
    }

    /// The next packet; none when the other end has closed.
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub async fn receive(&self) -> io::Result<Option<Packet>> {
        self.0.async_io(Interest::READABLE, |link| link.get().receive()).await
    }

    /// The connection itself.
    pub fn into_connection(self) -> Connection {
        self.0.into_inner().into_inner()
    }

    /// The next packet of somebody who is not trusted (see [`Connection::receive_bytes`]).
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub async fn receive_bytes(&self, most: usize) -> io::Result<Option<Packet>> {
        self.0.async_io(Interest::READABLE, |link| link.get().receive_bytes(most)).await
    }

    /// The next packet, read as `T`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other end has closed, `InvalidData` when it says something else.
    pub async fn read<T: DeserializeOwned>(&self) -> io::Result<T> {
        match self.receive().await? {
            Some(packet) => Ok(serde_json::from_slice(&packet.bytes)?),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }

    /// Asks a keeper and waits for its answer.
    ///
    /// # Errors
    /// `TimedOut` at `deadline`, and those of [`Link::send`] and [`Link::read`].
    pub async fn ask(&self, op: Op, deadline: Instant) -> io::Result<Reply> {
        let exchange = async {
            self.send(&Request::new(op)).await?;
            self.read().await
        };
        timeout_at(deadline, exchange).await.unwrap_or(Err(io::Error::from(io::ErrorKind::TimedOut)))
    }
}

/// Asks the warden at `path` and waits for its answer.
///
/// # Errors
/// As [`Link::connect`] and [`Link::ask`].
pub async fn ask_warden(path: &Path, request: warden::Request) -> io::Result<warden::Reply> {
    // A warden that becomes another program lets go of who is asking. What can be asked twice is asked again.
    let attempts = match request {
        warden::Request::Ping | warden::Request::Keep { .. } => 3,
        warden::Request::Watch | warden::Request::Quit | warden::Request::Exec { .. } => 1,
    };
    let mut answer = ask_warden_once(path, &request).await;
    for _ in 1..attempts {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match &answer {
            Err(error) if [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind()) => {
                answer = ask_warden_once(path, &request).await;
            }
            _ => break,
        }
    }
    answer
}

async fn ask_warden_once(path: &Path, request: &warden::Request) -> io::Result<warden::Reply> {
    let link = Link::connect(path)?;
    let exchange = async {
        link.send(request).await?;
        link.read().await
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or(Err(io::Error::from(io::ErrorKind::TimedOut)))
}

/// Waits until the process has ended.
pub async fn ended(process: &PidFd) {
    // A descriptor that tokio cannot watch is looked at instead; pidfds can be watched since Linux 5.3.
    let Ok(duplicate) = process.as_fd().try_clone_to_owned() else {
        return look_until_ended(process).await;
    };
    match watched::readable(duplicate) {
        Ok(watched) => drop(watched.readable().await),
        Err(_) => look_until_ended(process).await,
    }
}

async fn look_until_ended(process: &PidFd) {
    while !process.has_ended() {
        sleep(Duration::from_millis(100)).await;
    }
}
