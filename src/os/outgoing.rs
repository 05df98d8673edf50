//! Sockets to whoever takes log lines. None of these calls waits, but for the connecting of TCP, which is bounded.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    self, AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, setsockopt, sockopt,
};

use super::unix::short_address;

/// What the kernel may keep of a stream that the other end has not taken, bytes (it doubles it).
const IN_FLIGHT: usize = 128 << 10;

/// Connects to a unix socket of datagrams, or of a stream.
///
/// # Errors
/// ENOENT or ECONNREFUSED if nobody listens there; EPROTOTYPE if it is of the other type; EAGAIN if too many wait.
pub fn unix(path: &Path, stream: bool) -> io::Result<OwnedFd> {
    let (_folder, address) = short_address(path)?;
    let kind = if stream { SockType::Stream } else { SockType::Datagram };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(AddressFamily::Unix, kind, flags, None)?;
    socket::connect(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

/// A socket for datagrams to this address.
///
/// # Errors
/// Those of connect(2).
pub fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Connects by TCP, which takes at most `patience`. The kernel keeps little of what is sent then, and looks after
/// whether the other end is still there.
///
/// # Errors
/// Those of connect(2).
pub fn tcp(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_nonblocking(true)?;
    setsockopt(&stream, sockopt::SndBuf, &IN_FLIGHT)?;
    setsockopt(&stream, sockopt::KeepAlive, &true)?;
    Ok(stream)
}

/// What of a TCP stream the other end's kernel has not confirmed yet, bytes (SIOCOUTQ, tcp(7)).
///
/// # Errors
/// Those of ioctl(2).
pub fn unconfirmed(stream: &TcpStream) -> io::Result<u64> {
    nix::ioctl_read_bad!(out_queue, libc::TIOCOUTQ, libc::c_int);
    let mut bytes: libc::c_int = 0;
    #[expect(unsafe_code, reason = "an ioctl")]
    // SAFETY: the descriptor is borrowed, so open; `bytes` is the integer that the request fills in.
    unsafe {
        out_queue(stream.as_raw_fd(), &raw mut bytes)?;
    }
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Sends one datagram, or what a stream takes of it now.
///
/// # Errors
/// `WouldBlock` if it takes nothing now; EMSGSIZE if it is too large for a datagram.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    Ok(socket::send(socket.as_raw_fd(), bytes, flags)?)
}

/// Sends a message that is too large for a datagram: in a sealed file in memory, whose descriptor is sent instead
/// (systemd.io/JOURNAL_NATIVE_PROTOCOL).
///
/// # Errors
/// As [`send`]; those of memfd_create(2).
pub fn send_as_file(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
    let mut file = File::from(memfd_create(c"dogwatch-line", flags)?);
    file.write_all(bytes)?;
    let all =
        SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(all))?;
    let fds = [file.as_fd().as_raw_fd()];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let attached = [ControlMessage::ScmRights(&fds)];
    socket::sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&[])], &attached, flags, None)?;
    Ok(())
}

/// Whether the other end is still there. Whatever it has said is thrown away: nothing is to be said.
///
/// # Errors
/// It has closed its end, or the connection has failed.
pub fn check(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut bytes = [0; 512];
    match socket::recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
        Ok(0) => Err(io::ErrorKind::ConnectionReset.into()),
        Ok(_) | Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// This machine's name; `-` if it has none.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deeper than the 108 bytes of sockaddr_un, with the longest name that a configuration may have.
    #[test]
    fn a_unix_socket_may_stand_deep() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder/".repeat(30)).join("n".repeat(80));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (_folder, address) = short_address(&path).unwrap();
        let receiver =
            socket::socket(AddressFamily::Unix, SockType::Datagram, SockFlag::empty(), None).unwrap();
        socket::bind(receiver.as_raw_fd(), &address).unwrap();
        let sender = unix(&path, false).unwrap();
        send(sender.as_fd(), b"line").unwrap();
        let mut bytes = [0; 9];
        assert_eq!(socket::recv(receiver.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT), Ok(4));
    }
}
