//! Who is connected to the keeper: askers, watchers, holders. Nobody is ever waited for: a peer whose queue
//! is full is dropped, and connects again.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::vigil::Others;
use crate::model::moment::Moment;
use crate::os::door::Door;
use crate::os::packet::{Connection, Listener};
use crate::os::switch;
use crate::wire::VERSION;
use crate::wire::environment::{HOLDER_FD, REQUESTS_FD, SWITCH_FD, WARDEN_FD, WATCHER_FD};
use crate::wire::keeper::{Op, Reply, Request};

/// Connections at one time; more are not accepted until one closes.
const MOST: usize = 64;

/// The socket and everyone on it.
#[derive(Debug)]
pub struct Clients {
    door: Door,
    connected: Vec<Client>,
    last_id: u64,
}

#[derive(Debug)]
struct Client {
    id: u64,
    connection: Connection,
    watches: bool,
    holds: bool,
    /// The control plane's: it falls when that stalls.
    switch: Option<OwnedFd>,
    /// It does not read, or is gone; it is removed at the next [`Clients::accept`].
    dropped: bool,
}

impl Client {
    fn new(id: u64, connection: Connection, holds: bool) -> Client {
        Client { id, connection, watches: false, holds, switch: None, dropped: false }
    }

    fn send(&mut self, reply: &Reply, fds: &[BorrowedFd<'_>]) {
        let bytes = serde_json::to_vec(reply).expect("a reply has only string keys and finite numbers");
        self.dropped |= self.connection.send(&bytes, fds).is_err();
    }

    /// The next request; marks the client as dropped when it has closed.
    fn receive(&mut self) -> Option<Op> {
        loop {
            let mut packet = match self.connection.receive() {
                Ok(Some(packet)) => packet,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Ok(None) | Err(_) => {
                    self.dropped = true;
                    return None;
                }
            };
            let message = match serde_json::from_slice::<Request>(&packet.bytes) {
                Ok(request) if request.v <= VERSION => {
                    if request.op == Op::Hold {
                        self.switch = packet.fds.pop();
                    }
                    return Some(request.op);
                }
                Ok(request) => format!("this keeper speaks version {VERSION}, not {}", request.v),
                Err(error) => format!("not a request: {error}"),
            };
            self.send(&Reply::Error { message }, &[]);
        }
    }
}

/// One request that has come in.
#[derive(Debug)]
pub struct Asked {
    /// Whose it is; never used again for another connection.
    pub by: u64,
    /// What is asked.
    pub op: Op,
}

impl Clients {
    /// Listens at `path`, and takes the connections that are inherited: the warden's, who holds from the beginning;
    /// and, when this process was another program before, that one's socket, and those who held and watched.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn take_over(path: &Path, inherited: &mut BTreeMap<String, OwnedFd>) -> io::Result<Clients> {
        let listener = Listener::take_over(inherited.remove(REQUESTS_FD), path)?;
        let door = Door::new(listener);
        let mut clients = Clients { door, connected: Vec::new(), last_id: 0 };
        let (peers, others): (BTreeMap<String, OwnedFd>, _) =
            std::mem::take(inherited).into_iter().partition(|(name, _)| is_peer(name));
        *inherited = others;
        for (name, fd) in peers {
            clients.last_id += 1;
            let watches = name.starts_with(WATCHER_FD);
            let number = name.strip_prefix(HOLDER_FD);
            let switch = number.and_then(|number| inherited.remove(&format!("{SWITCH_FD}{number}")));
            let connection = Connection::from_owned(fd);
            let client = Client::new(clients.last_id, connection, !watches);
            clients.connected.push(Client { watches, switch, ..client });
        }
        Ok(clients)
    }

    /// What this process keeps when it becomes another program: the socket, and the connections of those who hold and
    /// watch. Who has asked something else asks again.
    pub fn kept(&self) -> Vec<(String, BorrowedFd<'_>)> {
        let mut kept = vec![(REQUESTS_FD.to_owned(), self.door.as_fd())];
        for client in self.connected.iter().filter(|client| !client.dropped) {
            let prefix = match (client.holds, client.watches) {
                (true, _) => HOLDER_FD,
                (false, true) => WATCHER_FD,
                (false, false) => continue,
            };
            kept.push((format!("{prefix}{}", client.id), client.connection.as_fd()));
            if let Some(switch) = client.switch.as_ref().filter(|_| client.holds) {
                kept.push((format!("{SWITCH_FD}{}", client.id), switch.as_fd()));
            }
        }
        kept
    }

    /// What to poll: the listener, then each connection.
    pub fn polled(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listener = self.door.polled().filter(|_| self.connected.len() < MOST);
        listener.into_iter().chain(self.connected.iter().map(|client| client.connection.as_fd()))
    }

    /// Whether anyone holds what the service needs.
    pub fn any_holder(&self) -> bool {
        self.connected.iter().any(|client| client.holds && !client.dropped)
    }

    /// How warden and control plane are.
    pub fn others(&self) -> Others {
        let holders = || self.connected.iter().filter(|client| client.holds && !client.dropped);
        let stalled = holders().find(|client| client.switch.as_ref().is_some_and(switch::has_fallen));
        match stalled.map(|client| client.connection.peer_pid()) {
            Some(Ok(pid)) => Others::Stalled(pid),
            Some(Err(_)) => Others::Incomplete,
            None if holders().count() < 2 => Others::Incomplete,
            None => Others::Well,
        }
    }

    /// Readable when the control plane stalls.
    pub fn switch(&self) -> Option<BorrowedFd<'_>> {
        let of = |client: &Client| client.holds && !client.dropped && client.switch.is_some();
        self.connected.iter().find(|client| of(client))?.switch.as_ref().map(AsFd::as_fd)
    }

    /// When to accept again, if that was not possible.
    pub fn deadline(&self) -> Option<Moment> {
        self.door.deadline()
    }

    /// Accepts whoever waits.
    ///
    /// # Errors
    /// Those of [`Door::accept`].
    pub fn accept(&mut self, now: Moment) -> io::Result<()> {
        self.connected.retain(|client| !client.dropped);
        while self.connected.len() < MOST {
            let Some(connection) = self.door.accept(now)? else { break };
            if is_ours(&connection) {
                self.last_id += 1;
                self.connected.push(Client::new(self.last_id, connection, false));
            } // another user's is closed
        }
        Ok(())
    }

    /// Reads every waiting request. Bad requests are answered here.
    pub fn receive(&mut self) -> Vec<Asked> {
        let mut asked = Vec::new();
        for client in &mut self.connected {
            while let Some(op) = client.receive() {
                asked.push(Asked { by: client.id, op });
            }
        }
        asked
    }

    fn find(&mut self, id: u64) -> Option<&mut Client> {
        self.connected.iter_mut().find(|client| client.id == id)
    }

    /// Answers one request.
    pub fn answer(&mut self, to: u64, reply: &Reply) {
        if let Some(client) = self.find(to) {
            client.send(reply, &[]);
        }
    }

    /// Makes a connection a stream of states.
    pub fn watch(&mut self, who: u64) {
        if let Some(client) = self.find(who) {
            client.watches = true;
        }
    }

    /// Makes a connection a holder, and tells it all there is to hold.
    pub fn hold<'a>(&mut self, who: u64, all: impl Iterator<Item = (String, BorrowedFd<'a>)>) {
        if let Some(client) = self.find(who) {
            client.holds = true;
            let all: Vec<_> = all.collect();
            client.send(&Reply::Retain { keys: all.iter().map(|(key, _)| key.clone()).collect() }, &[]);
            all.into_iter().for_each(|(key, fd)| client.send(&Reply::Hold { keys: vec![key] }, &[fd]));
        }
    }

    /// Tells every watcher.
    pub fn tell_watchers(&mut self, reply: &Reply) {
        self.connected.iter_mut().filter(|client| client.watches).for_each(|client| client.send(reply, &[]));
    }

    /// Tells every holder to hold these, in one packet: at most four.
    pub fn hand_over<'a>(&mut self, what: impl Iterator<Item = (String, BorrowedFd<'a>)>) {
        let (keys, fds): (Vec<String>, Vec<BorrowedFd<'_>>) = what.unzip();
        let reply = Reply::Hold { keys };
        self.connected.iter_mut().filter(|client| client.holds).for_each(|client| client.send(&reply, &fds));
    }

    /// Tells every holder to let go of these.
    pub fn take_back(&mut self, keys: Vec<String>) {
        if !keys.is_empty() {
            self.tell_holders(&Reply::Release { keys });
        }
    }

    /// Tells every holder.
    pub fn tell_holders(&mut self, reply: &Reply) {
        self.connected.iter_mut().filter(|client| client.holds).for_each(|client| client.send(reply, &[]));
    }

    /// Whether a connection waits to be closed.
    pub fn any_dropped(&self) -> bool {
        self.connected.iter().any(|client| client.dropped)
    }

    /// Whether anyone watches.
    pub fn any_watcher(&self) -> bool {
        self.connected.iter().any(|client| client.watches && !client.dropped)
    }
}

/// Whether an inherited name is that of a connection.
fn is_peer(name: &str) -> bool {
    name == WARDEN_FD || name.starts_with(HOLDER_FD) || name.starts_with(WATCHER_FD)
}

/// Only root and the keeper's own user may ask.
fn is_ours(connection: &Connection) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    connection.peer_uid().is_ok_and(|uid| uid == 0 || uid == own)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::os::switch::Switch;

    #[test]
    fn the_switch_of_a_holder_is_kept_through_exec() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keeper.sock");
        let (ours, _theirs) = Connection::pair().unwrap();
        let switch = Switch::new().unwrap();
        let duplicate = switch.as_fd().try_clone_to_owned().unwrap();
        let inherited = [(format!("{HOLDER_FD}3"), ours.into_owned()), (format!("{SWITCH_FD}3"), duplicate)];
        let clients = Clients::take_over(&path, &mut inherited.into_iter().collect()).unwrap();
        assert_eq!(clients.others(), Others::Incomplete, "the warden is missing");
        let kept = clients.kept();
        let mut inherited =
            kept.iter().map(|(name, fd)| (name.clone(), fd.try_clone_to_owned().unwrap())).collect();
        let heir = Clients::take_over(&path, &mut inherited).unwrap();
        assert!(inherited.is_empty() && heir.switch().is_some());
        switch.hold(Duration::from_nanos(1)).unwrap();
        while heir.others() == Others::Incomplete {
            std::thread::yield_now();
        }
        assert_eq!(heir.others(), Others::Stalled(std::process::id() as i32));
    }
}
