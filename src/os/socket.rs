//! Sockets that outlive the service: the ones it listens on, and the one it says READY=1 on.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrStorage,
    UnixCredentials, bind, getsockname, listen, recvmsg, setsockopt, socket, sockopt,
};

use super::unix::{MOST_FDS, close_received, short_address};

/// Connections that may wait while no instance accepts; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Listens on a TCP address.
///
/// # Errors
/// EADDRINUSE, EACCES, EADDRNOTAVAIL: see bind(2).
pub fn listen_tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN))?;
    Ok(fd)
}

/// The address that a socket is bound to; none if it is no internet socket.
pub fn address_of(fd: BorrowedFd<'_>) -> Option<SocketAddr> {
    let address: SockaddrStorage = getsockname(fd.as_raw_fd()).ok()?;
    if let Some(v4) = address.as_sockaddr_in() {
        return Some((*v4).into());
    }
    address.as_sockaddr_in6().map(|v6| (*v6).into())
}

/// Makes the datagram socket at `path` on which a service reports its state (sd_notify(3)), owned by the
/// service's user.
///
/// # Errors
/// Those of bind(2) and chown(2).
pub fn notify_socket(path: &Path, owner: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let (_folder, address) = short_address(path)?;
    bind(fd.as_raw_fd(), &address)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    }
    setsockopt(&fd, sockopt::PassCred, &true)?;
    Ok(fd)
}

/// A report from a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its text, lines of `NAME=value`.
    pub text: String,
    /// The process that sent it, as the kernel says.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
}

/// The next waiting report; none if there is none. Descriptors that come along are closed.
///
/// # Errors
/// Those of recvmsg(2) but EAGAIN.
pub fn receive_notice(fd: &impl AsFd) -> io::Result<Option<Notice>> {
    let mut bytes = [0u8; 4096];
    // Room for as many descriptors as a message can carry (SCM_MAX_FD): what does not fit would stay open.
    let mut space = nix::cmsg_space!(UnixCredentials, [i32; MOST_FDS]);
    let mut buffers = [io::IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = match recvmsg::<()>(fd.as_fd().as_raw_fd(), &mut buffers, Some(&mut space), flags) {
        Ok(message) => message,
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (mut pid, mut uid) = (0, u32::MAX);
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::ScmCredentials(who) => (pid, uid) = (who.pid(), who.uid()),
            ControlMessageOwned::ScmRights(fds) => fds.into_iter().for_each(close_received),
            _ => {}
        }
    }
    let length = message.bytes;
    Ok(Some(Notice { text: String::from_utf8_lossy(&bytes[..length]).into_owned(), pid, uid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_names_its_sender() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify.sock");
        let socket = notify_socket(&path, None).unwrap();
        assert_eq!(receive_notice(&socket).unwrap(), None);
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.send_to(b"READY=1\n", &path).unwrap();
        let own = nix::unistd::getpid().as_raw();
        assert_eq!(
            receive_notice(&socket).unwrap(),
            Some(Notice { text: "READY=1\n".to_owned(), pid: own, uid: nix::unistd::geteuid().as_raw() })
        );
    }

    #[test]
    fn a_listening_socket_knows_its_address_and_a_taken_one_is_refused() {
        let first = listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = address_of(first.as_fd()).unwrap();
        assert_eq!(listen_tcp(address).unwrap_err().raw_os_error(), Some(libc::EADDRINUSE));
        let six = listen_tcp("[::1]:0".parse().unwrap()).unwrap();
        assert!(address_of(six.as_fd()).unwrap().port() > 0);
    }
}
