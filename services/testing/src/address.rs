//! Addresses for programs that are about to listen.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::errno::Errno;
use nix::sys::socket::sockopt::ReuseAddr;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket};

/// Below the ports that the kernel gives to clients (net.ipv4.ip_local_port_range): no connection takes one of these
/// before the program does.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A TCP address on this machine that is free now and that no other test of this process gets.
///
/// It is tried by a socket that never listens. One that does would be seen by others: whatever another thread starts at
/// that moment inherits it until it has become its program. A connection to it succeeds, and the program that is to
/// listen there finds the address taken.
///
/// # Panics
/// When no port is free.
#[must_use]
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    // Tests of several packages may run at the same time.
    let first = std::process::id().wrapping_mul(7);
    let next = || first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).into()) % u32::from(count);
    let port = PORTS.map(|_| PORTS.start + next() as u16).find(|port| is_free(*port)).expect("a free port");
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Whether nobody listens there. Two sockets with SO_REUSEADDR can be bound to it as long as none listens (socket(7)).
///
/// # Panics
/// When it cannot be tried.
#[must_use]
pub fn is_free(port: u16) -> bool {
    let tried =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).and_then(|trial| {
            setsockopt(&trial, ReuseAddr, &true)?;
            bind(trial.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port))
        });
    match tried {
        Ok(()) => true,
        Err(Errno::EADDRINUSE) => false,
        Err(error) => panic!("cannot try port {port}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn nobody_else_gets_it_and_who_listens_is_seen() {
        let (one, other) = (free_address(), free_address());
        assert_ne!(one, other);
        assert!(TcpStream::connect(one).is_err());
        assert!(is_free(one.port()));
        let _listener = TcpListener::bind(one).unwrap();
        assert!(!is_free(one.port()));
    }
}
