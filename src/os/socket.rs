//! The sockets that a service listens on, which outlive it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockname, getsockopt, listen,
    setsockopt, socket, sockopt,
};

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

/// Whether a socket still listens. A service that has inherited it can shut it down, for all who have it.
pub fn is_listening(fd: BorrowedFd<'_>) -> bool {
    getsockopt(&fd, sockopt::AcceptConn).unwrap_or(true)
}

/// The address that a socket is bound to; none if it is no internet socket.
pub fn address_of(fd: BorrowedFd<'_>) -> Option<SocketAddr> {
    let address: SockaddrStorage = getsockname(fd.as_raw_fd()).ok()?;
    if let Some(v4) = address.as_sockaddr_in() {
        return Some((*v4).into());
    }
    address.as_sockaddr_in6().map(|v6| (*v6).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_listening_socket_knows_its_address_and_a_taken_one_is_refused() {
        let first = listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = address_of(first.as_fd()).unwrap();
        assert_eq!(listen_tcp(address).unwrap_err().raw_os_error(), Some(libc::EADDRINUSE));
        let six = listen_tcp("[::1]:0".parse().unwrap()).unwrap();
        assert!(address_of(six.as_fd()).unwrap().port() > 0);
        assert!(is_listening(six.as_fd()));
        nix::sys::socket::shutdown(six.as_raw_fd(), nix::sys::socket::Shutdown::Both).unwrap();
        assert!(!is_listening(six.as_fd()));
    }
}
