//! What a service is handed besides its output: the sockets it listens on, the one it reports on, and the one on
//! which it asks how all services are. They belong to the keeper and its holders, so a service that crashes refuses
//! no connection.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::model::failure::{StartFailure, Step};
use crate::os::notify::{Notice, Notify};
use crate::os::packet::Connection;
use crate::os::{own, port, socket, unix};
use crate::wire::keeper::{run_of_view, view_key};

/// The sockets of one service.
#[derive(Debug, Default)]
pub struct Sockets {
    listening: Vec<(SocketAddr, OwnedFd)>,
    notify: Option<Notify>,
    /// dogwatch's ends of the views of the living runs. The keeper never reads them: the control plane does.
    views: Vec<(u64, OwnedFd)>,
}

/// Key of the socket that the service reports on.
const NOTIFY: &str = "notify";

impl Sockets {
    /// Takes over what a predecessor had: inherited descriptors under their keys, and of the views those of the
    /// runs that still live.
    pub fn from_inherited(inherited: &mut BTreeMap<String, OwnedFd>, living: &[u64]) -> Sockets {
        let notify = inherited.remove(NOTIFY).map(Notify::from_owned);
        let views =
            living.iter().filter_map(|run| Some((*run, inherited.remove(&view_key(*run))?))).collect();
        inherited.retain(|key, _| run_of_view(key).is_none());
        let keys: Vec<String> = inherited.keys().filter(|key| key.starts_with("listen.")).cloned().collect();
        let listening = keys.into_iter().filter_map(|key| {
            let fd = inherited.remove(&key)?;
            Some((socket::address_of(fd.as_fd())?, fd))
        });
        Sockets { listening: listening.collect(), notify, views }
    }

    /// Closes those that the service has shut down: they would refuse everybody for ever. Returns their keys.
    pub fn close_deaf(&mut self) -> Vec<String> {
        let (good, deaf) =
            self.listening.drain(..).partition::<Vec<_>, _>(|(_, fd)| socket::is_listening(fd.as_fd()));
        self.listening = good;
        deaf.into_iter().map(|(address, _)| key(address)).collect()
    }

    /// Listens on all of `wanted`.
    ///
    /// # Errors
    /// The first address that cannot be had, with the holder of a taken port. Sockets that are open stay so.
    pub fn ensure(&mut self, wanted: &[SocketAddr]) -> Result<(), StartFailure> {
        for address in wanted {
            if self.listening.iter().all(|(have, _)| have != address) {
                let fd = socket::listen_tcp(*address).map_err(|error| refused(*address, &error))?;
                self.listening.push((*address, fd));
            }
        }
        Ok(())
    }

    /// Closes the listening sockets that are not `wanted`. Returns their keys.
    pub fn close_but(&mut self, wanted: &[SocketAddr]) -> Vec<String> {
        self.listening
            .extract_if(.., |(address, _)| !wanted.contains(address))
            .map(|(address, _)| key(address))
            .collect()
    }

    /// The listening sockets of these addresses, in their order: the service counts on that of its file.
    pub fn listening(&self, wanted: &[SocketAddr]) -> impl Iterator<Item = BorrowedFd<'_>> {
        let find = |address| self.listening.iter().find(move |(have, _)| have == address);
        wanted.iter().filter_map(find).map(|(_, fd)| fd.as_fd())
    }

    /// Makes sure that the service can report on `path`; true if the socket is new.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn ensure_notify(&mut self, path: &Path, owner: Option<(u32, u32)>) -> io::Result<bool> {
        let uid = owner.map_or_else(own::effective_uid, |(uid, _)| uid);
        // The one of another user, whom the entry named before, the service could not write to.
        let is_there = path.symlink_metadata().is_ok_and(|about| about.uid() == uid);
        if self.notify.is_some() && is_there {
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

    /// Makes the view of a run. Returns the service's end.
    ///
    /// # Errors
    /// EMFILE.
    pub fn open_view(&mut self, run: u64) -> io::Result<OwnedFd> {
        let (ours, theirs) = Connection::pair_with_service()?;
        self.views.push((run, ours.into_owned()));
        Ok(theirs)
    }

    /// The views of the living runs, as holders hold them.
    pub fn views(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        self.views.iter().map(|(run, fd)| (view_key(*run), fd.as_fd()))
    }

    /// The view of a run, likewise.
    pub fn view(&self, run: u64) -> Option<(String, BorrowedFd<'_>)> {
        self.views().find(|(key, _)| run_of_view(key) == Some(run))
    }

    /// Closes all views but those of these runs. Returns their keys.
    pub fn close_views_but(&mut self, living: &[u64]) -> Vec<String> {
        let closed = self.views.extract_if(.., |(run, _)| !living.contains(run));
        let (runs, views): (Vec<u64>, Vec<OwnedFd>) = closed.unzip();
        unix::let_go(views);
        runs.into_iter().map(view_key).collect()
    }

    /// What holders hold: key and descriptor.
    pub fn held(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        let listening = self.listening.iter().map(|(address, fd)| (key(*address), fd.as_fd()));
        let notify = self.notify.iter().map(|fd| (NOTIFY.to_owned(), fd.as_fd()));
        listening.chain(notify).chain(self.views())
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
    if port::holders(address).is_none() && port::is_lingering(address) {
        let cause = format!("port {port} is kept by a connection that was closed a moment ago (TIME-WAIT)");
        let hint = "it is free within a minute".to_owned();
        return StartFailure::new(Step::Listen, &address.to_string(), cause, Some(hint));
    }
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
        sockets.ensure(&[one, two]).unwrap();
        let mut inherited: BTreeMap<String, OwnedFd> =
            sockets.held().map(|(key, fd)| (key, fd.try_clone_to_owned().unwrap())).collect();
        drop(sockets);
        let mut heir = Sockets::from_inherited(&mut inherited, &[]);
        heir.ensure(&[two]).unwrap();
        let addresses =
            |wanted: &[SocketAddr]| heir.listening(wanted).map(socket::address_of).collect::<Vec<_>>();
        assert_eq!(addresses(&[two, one]), [Some(two), Some(one)]);
        assert_eq!(addresses(&[two]), [Some(two)]);
        assert_eq!(heir.close_but(&[two]), [key(one)]);
        assert_eq!(heir.listening(&[two, one]).map(socket::address_of).collect::<Vec<_>>(), [Some(two)]);
        let failure = Sockets::default().ensure(&[two]).unwrap_err();
        let own = format!("port {} is held by pid {} (", two.port(), std::process::id());
        assert!(failure.cause.starts_with(&own), "{failure}");
    }

    #[test]
    fn a_view_is_handed_on_while_its_run_lives_and_no_longer() {
        let mut sockets = Sockets::default();
        assert!(sockets.view(3).is_none() && sockets.close_views_but(&[]).is_empty());
        let service = Connection::from_owned(sockets.open_view(3).unwrap());
        let next = Connection::from_owned(sockets.open_view(4).unwrap());
        let all = |sockets: &Sockets| -> BTreeMap<String, OwnedFd> {
            sockets.held().map(|(key, fd)| (key, fd.try_clone_to_owned().unwrap())).collect()
        };
        let heir = |living: &[u64]| {
            let heir = Sockets::from_inherited(&mut all(&sockets), living);
            heir.views().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(heir(&[4, 3]), ["view.4", "view.3"]);
        assert_eq!(heir(&[3]), ["view.3"]);
        assert!(heir(&[5]).is_empty() && heir(&[]).is_empty());
        service.send(b"a question", &[]).unwrap();
        assert_eq!(sockets.close_views_but(&[4]), ["view.3"]);
        assert!(service.send(b"another one", &[]).is_err(), "nobody has the other end any more");
        next.send(b"a question", &[]).unwrap();
        assert_eq!(sockets.view(4).map(|(key, _)| key).as_deref(), Some("view.4"));
    }
}
