//! SOCK_SEQPACKET unix sockets: whole packets or nothing, with descriptors attached.
//!
//! Nothing here waits: a peer that does not read gets an error and is dropped by the caller.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use super::unix::{MOST_FDS, descriptors_of, own, refuse_descriptors, short_address};
use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    self, AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, sockopt,
};

/// Largest packet on the keepers' and the warden's sockets, bytes.
pub const MAX_PACKET: usize = 64 * 1024;

/// A socket that accepts [`Connection`]s.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// One end of a connection.
#[derive(Debug)]
pub struct Connection(OwnedFd);

/// A packet that came in.
#[derive(Debug)]
pub struct Packet {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The descriptors that were attached.
    pub fds: Vec<OwnedFd>,
}

impl Listener {
    /// Listens at `path` with mode 0600, in place of whatever socket was there. Only the holder of the right
    /// lock may call this: the old socket is taken for a dead one's.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn bind(path: &Path) -> io::Result<Listener> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let fd = new_socket()?;
        let (_folder, address) = short_address(path)?;
        socket::bind(fd.as_raw_fd(), &address)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        socket::listen(&fd, Backlog::new(64)?)?;
        Ok(Listener(fd))
    }

    /// The same for the holder of a lock that was another program before and has kept the socket: whoever has
    /// connected meanwhile waits in it. Without one, or when its name is gone, a new one is made.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn take_over(kept: Option<OwnedFd>, path: &Path) -> io::Result<Listener> {
        match kept {
            Some(fd) if path.exists() => Ok(Listener(fd)),
            _ => Listener::bind(path),
        }
    }

    /// The next waiting connection; none if nobody waits.
    ///
    /// # Errors
    /// Those of accept4(2), such as EMFILE.
    pub fn accept(&self) -> io::Result<Option<Connection>> {
        match socket::accept4(self.0.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
            Ok(fd) => Ok(Some(Connection(own(fd)))),
            Err(nix::Error::EAGAIN | nix::Error::ECONNABORTED | nix::Error::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Connection {
    /// Connects to the listener at `path`.
    ///
    /// # Errors
    /// ENOENT or ECONNREFUSED if nobody listens there.
    pub fn connect(path: &Path) -> io::Result<Connection> {
        let fd = new_socket()?;
        let (_folder, address) = short_address(path)?;
        socket::connect(fd.as_raw_fd(), &address)?;
        Ok(Connection(fd))
    }

    /// Two connected ends.
    ///
    /// # Errors
    /// EMFILE.
    pub fn pair() -> io::Result<(Connection, Connection)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (one, other) = socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Connection(one), Connection(other)))
    }

    /// Two connected ends: ours, and one for a service, whose calls wait as programs are used to. Descriptors that
    /// the service sends are refused by the kernel where it can be told so (see [`Connection::receive_bytes`]).
    ///
    /// # Errors
    /// EMFILE.
    pub fn pair_with_service() -> io::Result<(Connection, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let _ = refuse_descriptors(&ours);
        Ok((Connection(ours), theirs))
    }

    /// Takes an inherited end.
    pub fn from_owned(fd: OwnedFd) -> Connection {
        Connection(fd)
    }

    /// Gives the end away.
    pub fn into_owned(self) -> OwnedFd {
        self.0
    }

    /// Sends one packet, at once or not at all.
    ///
    /// # Errors
    /// EAGAIN if the peer's queue is full, EPIPE if it is gone, EMSGSIZE above [`MAX_PACKET`].
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if bytes.len() > MAX_PACKET {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let attached: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        socket::sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(bytes)], attached, flags, None)?;
        Ok(())
    }

    /// The next packet; `Ok(None)` when the peer has closed.
    ///
    /// # Errors
    /// `WouldBlock` if there is none yet; EMSGSIZE for a packet above [`MAX_PACKET`]; EMFILE if there was no room for
    /// its descriptors: it is gone, so whoever needs them connects again.
    pub fn receive(&self) -> io::Result<Option<Packet>> {
        // A look at the length first: a buffer for the longest packet would stay in the heap for ever.
        let look = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
        let length = socket::recv(self.0.as_raw_fd(), &mut [], look)?;
        let mut bytes = vec![0; length.min(MAX_PACKET)];
        let mut space = cmsg_space!([RawFd; MOST_FDS]);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = socket::recvmsg::<()>(self.0.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
        if message.flags.contains(MsgFlags::MSG_CTRUNC) {
            drop(descriptors_of(&space));
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let mut fds = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = control {
                fds.extend(raw.into_iter().map(own));
            }
        }
        if message.flags.contains(MsgFlags::MSG_TRUNC) {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        let length = message.bytes;
        if length == 0 {
            return Ok(None);
        }
        bytes.truncate(length);
        Ok(Some(Packet { bytes, fds }))
    }

    /// The next packet from somebody who is not trusted, cut after `most` bytes; none when the peer has closed, or has
    /// sent nothing at all. What is attached, where the kernel lets it come, is to be dropped aside
    /// ([`super::unix::drop_aside`]).
    ///
    /// # Errors
    /// `WouldBlock` if there is none yet.
    pub fn receive_bytes(&self, most: usize) -> io::Result<Option<Packet>> {
        let mut bytes = vec![0; most];
        let mut space = cmsg_space!([RawFd; MOST_FDS]);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = socket::recvmsg::<()>(self.0.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
        let mut fds = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = control {
                fds.extend(raw.into_iter().map(own));
            }
        }
        let length = message.bytes;
        bytes.truncate(length);
        Ok((length > 0).then_some(Packet { bytes, fds }))
    }

    /// Waits up to `millis` for something to [`receive`](Connection::receive); false if nothing came. For
    /// command lines only: a supervisor polls.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, millis: u16) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::Error::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The user id at the other end, as the kernel noted it at connect (SO_PEERCRED, unix(7)).
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn peer_uid(&self) -> io::Result<u32> {
        Ok(socket::getsockopt(&self.0, sockopt::PeerCredentials)?.uid())
    }

    /// The process at the other end, as the kernel noted it at connect.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn peer_pid(&self) -> io::Result<i32> {
        Ok(socket::getsockopt(&self.0, sockopt::PeerCredentials)?.pid())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_keep_their_borders_and_carry_descriptors() {
        let (one, other) = Connection::pair().unwrap();
        assert_eq!(other.receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let file = tempfile::tempfile().unwrap();
        one.send(b"first", &[file.as_fd()]).unwrap();
        one.send(b"second", &[]).unwrap();
        let first = other.receive().unwrap().unwrap();
        assert_eq!((first.bytes.as_slice(), first.fds.len()), (&b"first"[..], 1));
        assert_eq!(other.receive().unwrap().unwrap().bytes, b"second");
        drop(one);
        assert!(other.receive().unwrap().is_none());
    }

    #[test]
    fn what_a_service_attaches_is_handed_over_to_be_dropped_and_what_is_too_long_is_cut() {
        let (ours, theirs) = Connection::pair_with_service().unwrap();
        let theirs = Connection::from_owned(theirs);
        assert_eq!(ours.receive_bytes(8).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let (file, watched) = std::io::pipe().unwrap();
        // Refused from Linux 6.16 on.
        let sent = theirs.send(b"gift", &[watched.as_fd()]);
        if sent.is_ok() {
            let gift = ours.receive_bytes(8).unwrap().unwrap();
            assert_eq!((gift.bytes.as_slice(), gift.fds.len()), (&b"gift"[..], 1));
        }
        drop(watched);
        assert_eq!(io::Read::read(&mut &file, &mut [0]).unwrap(), 0, "nobody else has the other end");
        theirs.send(b"123456789", &[]).unwrap();
        assert_eq!(ours.receive_bytes(8).unwrap().unwrap().bytes, b"12345678");
        theirs.send(b"12", &[]).unwrap();
        assert_eq!(ours.receive_bytes(8).unwrap().unwrap().bytes, b"12");
        drop(theirs);
        assert!(ours.receive_bytes(8).unwrap().is_none());
    }

    #[test]
    fn a_path_longer_than_an_address_works() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("a.sock");
        let listener = Listener::bind(&path).unwrap();
        let client = Connection::connect(&path).unwrap();
        let server = listener.accept().unwrap().unwrap();
        client.send(b"hello", &[]).unwrap();
        assert_eq!(server.receive().unwrap().unwrap().bytes, b"hello");
        assert_eq!(server.peer_uid().unwrap(), nix::unistd::geteuid().as_raw());
    }
}
