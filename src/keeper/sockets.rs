//! What a service is handed besides its output: the sockets it listens on, and the one it reports on. They
//! belong to the keeper and its holders, so a service that crashes refuses no connection.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::model::failure::{StartFailure, Step};
use crate::os::{port, socket};

/// The sockets of one service.
#[derive(Debug, Default)]
pub struct Sockets {
    listening: Vec<(SocketAddr, OwnedFd)>,
    notify: Option<OwnedFd>,
}

/// Key of the socket that the service reports on.
const NOTIFY: &str = "notify";

impl Sockets {
    /// Takes over what a predecessor had: inherited descriptors under their keys.
    pub fn from_inherited(inherited: &mut BTreeMap<String, OwnedFd>) -> Sockets {
        let notify = inherited.remove(NOTIFY);
        let keys: Vec<String> = inherited.keys().filter(|key| key.starts_with("listen.")).cloned().collect();
        let listening = keys.into_iter().filter_map(|key| {
            let fd = inherited.remove(&key)?;
            Some((socket::address_of(fd.as_fd())?, fd))
        });
        Sockets { listening: listening.collect(), notify }
    }

    /// Listens on all of `wanted` and on nothing else. Returns the keys of sockets that were closed.
    ///
    /// # Errors
    /// The first address that cannot be had, with the holder of a taken port. Sockets that are open stay so.
    pub fn ensure(&mut self, wanted: &[SocketAddr]) -> Result<Vec<String>, StartFailure> {
        let mut closed = Vec::new();
        self.listening.retain(|(address, _)| {
            let keep = wanted.contains(address);
            if !keep {
                closed.push(key(*address));
            }
            keep
        });
        for address in wanted {
            if self.listening.iter().all(|(have, _)| have != address) {
                let fd = socket::listen_tcp(*address).map_err(|error| refused(*address, &error))?;
                self.listening.push((*address, fd));
            }
        }
        // The service counts on the order of its file.
        self.listening.sort_by_key(|(address, _)| wanted.iter().position(|other| other == address));
        Ok(closed)
    }

    /// Closes the listening sockets: the service is wanted down. Returns their keys.
    pub fn close(&mut self) -> Vec<String> {
        self.listening.drain(..).map(|(address, _)| key(address)).collect()
    }

    /// The listening sockets, in the order of the file.
    pub fn listening(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listening.iter().map(|(_, fd)| fd.as_fd())
    }

    /// Makes sure that the service can report on `path`; true if the socket is new.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn ensure_notify(&mut self, path: &Path, owner: Option<(u32, u32)>) -> io::Result<bool> {
        if self.notify.is_some() && path.exists() {
            return Ok(false);
        }
        self.notify = Some(socket::notify_socket(path, owner)?);
        Ok(true)
    }

    /// The socket that the service reports on.
    pub fn notify(&self) -> Option<BorrowedFd<'_>> {
        self.notify.as_ref().map(AsFd::as_fd)
    }

    /// What holders hold: key and descriptor.
    pub fn held(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        let listening = self.listening.iter().map(|(address, fd)| (key(*address), fd.as_fd()));
        listening.chain(self.notify.iter().map(|fd| (NOTIFY.to_owned(), fd.as_fd())))
    }
}

/// A key without the separators of [`crate::os::inherit`].
fn key(address: SocketAddr) -> String {
    format!("listen.{}", address.to_string().replace([',', '='], "_"))
}

fn refused(address: SocketAddr, error: &io::Error) -> StartFailure {
    if error.raw_os_error() != Some(libc::EADDRINUSE) {
        return StartFailure::from_io(Step::Listen, &address.to_string(), error);
    }
    let port = address.port();
    let who = port::holder(address).unwrap_or_else(|| "another process".to_owned());
    let cause = format!("port {port} is held by {who}, which dogwatch does not manage");
    let hint = format!("end it, or choose another port; see: ss -tlnp 'sport = :{port}'");
    StartFailure::new(Step::Listen, &address.to_string(), cause, Some(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens_on_what_is_wanted_and_hands_it_on() {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (one, two) = (free(), free());
        let mut sockets = Sockets::default();
        assert!(sockets.ensure(&[one, two]).unwrap().is_empty());
        let mut inherited: BTreeMap<String, OwnedFd> =
            sockets.held().map(|(key, fd)| (key, fd.try_clone_to_owned().unwrap())).collect();
        drop(sockets);
        let mut heir = Sockets::from_inherited(&mut inherited);
        assert_eq!(heir.ensure(&[two]).unwrap(), [key(one)]);
        assert_eq!(heir.listening().map(socket::address_of).collect::<Vec<_>>(), [Some(two)]);
        let failure = Sockets::default().ensure(&[two]).unwrap_err();
        let own = format!("port {} is held by pid {} (", two.port(), std::process::id());
        assert!(failure.cause.starts_with(&own), "{failure}");
    }
}
