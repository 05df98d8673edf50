//! The socket on which a service reports its state (sd_notify(3)).
//!
//! Whoever may send to it may attach descriptors, and whoever drops the last copy of a descriptor waits for as long as
//! its owner has arranged: closing a TCP socket with SO_LINGER and unsent data waits for the whole time set on it
//! (socket(7)), in the process that reads the message. So the kernel is told to refuse descriptors; before Linux 6.16 it
//! cannot be, and then a message that carries some is taken off the queue by a thread of its own, and counts for nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread::{self, JoinHandle};

use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials, bind, recv, recvmsg,
    setsockopt, socket, sockopt,
};

use super::unix::{refuse_descriptors, short_address};

/// Longest report, bytes; what is longer is cut.
const LONGEST: usize = 4096;
/// The thread makes one system call.
const STACK: usize = 16 * 1024;

/// dogwatch's end.
#[derive(Debug)]
pub struct Notify {
    fd: OwnedFd,
    swallowing: Option<JoinHandle<()>>,
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

impl Notify {
    /// Makes the socket at `path`, owned by the service's user, in the place of one that may be there.
    ///
    /// # Errors
    /// Those of bind(2) and chown(2).
    pub fn bind(path: &Path, owner: Option<(u32, u32)>) -> io::Result<Notify> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&fd, sockopt::PassCred, &true)?;
        let _ = refuse_descriptors(&fd);
        let (_folder, address) = short_address(path)?;
        bind(fd.as_raw_fd(), &address)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
        }
        Ok(Notify { fd, swallowing: None })
    }

    /// Takes over the socket of a predecessor.
    pub fn from_owned(fd: OwnedFd) -> Notify {
        let _ = refuse_descriptors(&fd); // an older dogwatch may not have said so
        Notify { fd, swallowing: None }
    }

    /// What to poll; none while a message with descriptors is on its way to nowhere.
    pub fn polled(&self) -> Option<BorrowedFd<'_>> {
        (!self.is_swallowing()).then(|| self.fd.as_fd())
    }

    /// Whether a message with descriptors is on its way to nowhere: nothing tells when that is done.
    pub fn is_swallowing(&self) -> bool {
        self.swallowing.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// The next waiting report; none if there is none.
    ///
    /// # Errors
    /// Those of recvmsg(2) but EAGAIN.
    pub fn receive(&mut self) -> io::Result<Option<Notice>> {
        while !self.is_swallowing() {
            let looked = match self.look() {
                Ok(looked) => looked,
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if looked.is_some() {
                take(&self.fd);
                return Ok(looked);
            }
            let fd = self.fd.try_clone()?;
            let thread = thread::Builder::new().name("swallow".to_owned()).stack_size(STACK);
            self.swallowing = Some(thread.spawn(move || take(&fd))?);
        }
        Ok(None)
    }

    /// Reads the next message, and leaves it where it is; none if it carries descriptors.
    fn look(&self) -> nix::Result<Option<Notice>> {
        let mut bytes = [0u8; LONGEST];
        // No room for descriptors: they stay attached, and never get a number here.
        let mut space = nix::cmsg_space!(UnixCredentials);
        let mut buffers = [io::IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        let message = recvmsg::<()>(self.fd.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
        if message.flags.contains(MsgFlags::MSG_CTRUNC) {
            return Ok(None);
        }
        let (mut pid, mut uid) = (0, u32::MAX);
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmCredentials(who) = control {
                (pid, uid) = (who.pid(), who.uid());
            }
        }
        let length = message.bytes;
        Ok(Some(Notice { text: String::from_utf8_lossy(&bytes[..length]).into_owned(), pid, uid }))
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Takes one message off the queue; what is attached to it is dropped here.
fn take(fd: &OwnedFd) {
    let _ = recv(fd.as_raw_fd(), &mut [], MsgFlags::MSG_DONTWAIT);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::{IoSlice, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixDatagram;
    use std::time::{Duration, Instant};

    use nix::sys::socket::{ControlMessage, UnixAddr, sendmsg};

    #[test]
    fn a_notice_names_its_sender() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify.sock");
        let mut socket = Notify::bind(&path, None).unwrap();
        assert_eq!(socket.receive().unwrap(), None);
        let sender = UnixDatagram::unbound().unwrap();
        for text in ["READY=1\n", "", "STATUS=well"] {
            sender.send_to(text.as_bytes(), &path).unwrap();
        }
        let own = (nix::unistd::getpid().as_raw(), nix::unistd::geteuid().as_raw());
        for text in ["READY=1\n", "", "STATUS=well"] {
            let notice = Notice { text: text.to_owned(), pid: own.0, uid: own.1 };
            assert_eq!(socket.receive().unwrap(), Some(notice));
        }
        assert_eq!(socket.receive().unwrap(), None);
    }

    /// A connection that its last owner waits for, for so many seconds; and its other end.
    pub(crate) fn lingering(seconds: i32) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        while stream.write(&[0; 65536]).is_ok() {}
        let linger = libc::linger { l_onoff: 1, l_linger: seconds };
        setsockopt(&stream, sockopt::Linger, &linger).unwrap();
        (stream, other)
    }

    fn send_with(path: &Path, gift: &TcpStream) -> nix::Result<usize> {
        let sender = UnixDatagram::unbound().unwrap();
        let fds = [gift.as_raw_fd()];
        let address = UnixAddr::new(path).unwrap();
        let text = [IoSlice::new(b"READY=1")];
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg(sender.as_raw_fd(), &text, &rights, MsgFlags::empty(), Some(&address))
    }

    #[test]
    fn a_descriptor_that_lingers_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify.sock");
        let mut socket = Notify::bind(&path, None).unwrap();
        let (gift, _other) = lingering(0);
        if send_with(&path, &gift).is_err() {
            assert_eq!(socket.receive().unwrap(), None, "refused: Linux 6.16 and later");
        }
        // As before Linux 6.16.
        std::fs::remove_file(&path).unwrap();
        let old = UnixDatagram::bind(&path).unwrap();
        old.set_nonblocking(true).unwrap();
        setsockopt(&old, sockopt::PassCred, &true).unwrap();
        let mut socket = Notify { fd: old.into(), swallowing: None };
        let (gift, other) = lingering(60);
        send_with(&path, &gift).unwrap();
        drop(gift); // the copy in the queue is the last one
        UnixDatagram::unbound().unwrap().send_to(b"STATUS=behind it", &path).unwrap();
        let begin = Instant::now();
        assert_eq!(socket.receive().unwrap(), None);
        assert!(begin.elapsed() < Duration::from_secs(30), "it was waited for");
        drop(other); // nothing to linger for any more
        while socket.is_swallowing() {
            assert!(begin.elapsed() < Duration::from_secs(50));
            thread::yield_now();
        }
        assert_eq!(socket.receive().unwrap().unwrap().text, "STATUS=behind it");
    }
}
