//! What a service is handed besides its output: the sockets it listens on, the one it reports on, and the one on
//! which it asks how all services are. They belong to the keeper and its holders, so a service that crashes refuses
//! no connection.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::model::failure::{StartFailure, Step};
use crate::os::notify::{Notice, Notify};
use crate::os::packet::Connection;
use crate::os::{port, socket};
use crate::wire::keeper::{run_of_view, view_key};

/// The sockets of one service.
#[derive(Debug, Default)]
pub struct Sockets {
    listening: Vec<(SocketAddr, OwnedFd)>,
    notify: Option<Notify>,
    /// dogwatch's end of the view of a run. The keeper never reads it: the control plane does.
    view: Option<(u64, OwnedFd)>,
}

/// Key of the socket that the service reports on.
const NOTIFY: &str = "notify";

impl Sockets {
    /// Takes over what a predecessor had: inherited descriptors under their keys, and of the views that of the run
    /// which still lives.
    pub fn from_inherited(inherited: &mut BTreeMap<String, OwnedFd>, living: Option<u64>) -> Sockets {
        let notify = inherited.remove(NOTIFY).map(Notify::from_owned);
        let view = living.and_then(|run| Some((run, inherited.remove(&view_key(run))?)));
        inherited.retain(|key, _| run_of_view(key).is_none());
        let keys: Vec<String> = inherited.keys().filter(|key| key.starts_with("listen.")).cloned().collect();
        let listening = keys.into_iter().filter_map(|key| {
            let fd = inherited.remove(&key)?;
            Some((socket::address_of(fd.as_fd())?, fd))
        });
        Sockets { listening: listening.collect(), notify, view }
    }

    /// Listens on all of `wanted` and on nothing else. Returns the keys of sockets that were closed.
    ///
    /// # Errors
    /// The first address that cannot be had, with the holder of a taken port. Sockets that are open stay so.
    pub fn ensure(&mut self, wanted: &[SocketAddr]) -> Result<Vec<String>, StartFailure> {
        let mut closed = Vec::new();
        self.listening.retain(|(address, fd)| {
            // One that the service has shut down would refuse everybody for ever.
            let keep = wanted.contains(address) && socket::is_listening(fd.as_fd());
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
        self.notify = Some(Notify::bind(path, owner)?);
        Ok(true)
    }

    /// The socket that the service reports on.
    pub fn notify(&self) -> Option<&Notify> {
        self.notify.as_ref()
    }

    /// The next report on it.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notify.as_mut()?.receive().ok()?
    }

    /// Makes the view of a run, in place of an older one. Returns the service's end.
    ///
    /// # Errors
    /// EMFILE.
    pub fn open_view(&mut self, run: u64) -> io::Result<OwnedFd> {
        let (ours, theirs) = Connection::pair_with_service()?;
        self.view = Some((run, ours.into_owned()));
        Ok(theirs)
    }

    /// The view of the present run, as holders hold it.
    pub fn view(&self) -> Option<(String, BorrowedFd<'_>)> {
        self.view.as_ref().map(|(run, fd)| (view_key(*run), fd.as_fd()))
    }

    /// Closes the view: its run is over. Returns its key.
    pub fn close_view(&mut self) -> Option<String> {
        self.view.take().map(|(run, _)| view_key(run))
    }

    /// What holders hold: key and descriptor.
    pub fn held(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        let listening = self.listening.iter().map(|(address, fd)| (key(*address), fd.as_fd()));
        let notify = self.notify.iter().map(|fd| (NOTIFY.to_owned(), fd.as_fd()));
        listening.chain(notify).chain(self.view())
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
        let mut heir = Sockets::from_inherited(&mut inherited, None);
        assert_eq!(heir.ensure(&[two]).unwrap(), [key(one)]);
        assert_eq!(heir.listening().map(socket::address_of).collect::<Vec<_>>(), [Some(two)]);
        let failure = Sockets::default().ensure(&[two]).unwrap_err();
        let own = format!("port {} is held by pid {} (", two.port(), std::process::id());
        assert!(failure.cause.starts_with(&own), "{failure}");
    }
    #[test]
    fn a_view_is_handed_on_while_its_run_lives_and_no_longer() {
        let mut sockets = Sockets::default();
        assert!(sockets.view().is_none() && sockets.close_view().is_none());
        let service = Connection::from_owned(sockets.open_view(3).unwrap());
        let all = |sockets: &Sockets| -> BTreeMap<String, OwnedFd> {
            sockets.held().map(|(key, fd)| (key, fd.try_clone_to_owned().unwrap())).collect()
        };
        let heir = |living| Sockets::from_inherited(&mut all(&sockets), living);
        assert_eq!(heir(Some(3)).view().map(|(key, _)| key).as_deref(), Some("view.3"));
        assert!(heir(Some(4)).view().is_none() && heir(None).view().is_none());
        service.send(b"a question", &[]).unwrap();
        assert_eq!(sockets.close_view().as_deref(), Some("view.3"));
        assert!(service.send(b"another one", &[]).is_err(), "nobody has the other end any more");
    }
}
