//! What a warden is asked, and what it answers.

use std::io;

use super::event_loop::{MOST_CLIENTS, Warden};
use super::log;
use super::overseen::Overseen;
use crate::os::packet::Connection;
use crate::os::{clock, lock};
use crate::wire::PROGRAM;
use crate::wire::warden::{Reply, Request};

impl Warden {
    pub(super) fn on_clients(&mut self) {
        while self.clients.len() < MOST_CLIENTS {
            match self.door.accept(clock::mono()) {
                Ok(Some(client)) if client.peer_uid().is_ok_and(is_ours) => self.clients.push(client),
                Ok(Some(_)) => {} // another user: closed
                Ok(None) => break,
                Err(error) => log(&format!("cannot accept a connection: {error}; it waits")),
            }
        }
        let clients = std::mem::take(&mut self.clients);
        for client in clients {
            match self.serve(&client) {
                Served::Stays => self.clients.push(client),
                Served::Gone => {}
                Served::Watches { switch } => {
                    if self.control.is_none() {
                        self.find_control();
                    }
                    self.busy = true;
                    let holder = lock::named(&self.paths.control_lock());
                    self.overseen = holder.and_then(|holder| Overseen::new(client, &holder, switch));
                }
            }
        }
    }

    /// Answers what a client has asked.
    fn serve(&mut self, client: &Connection) -> Served {
        loop {
            let mut packet = match client.receive() {
                Ok(Some(packet)) => packet,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Served::Stays,
                Ok(None) | Err(_) => return Served::Gone,
            };
            let reply = match serde_json::from_slice::<Request>(&packet.bytes) {
                Ok(Request::Watch) => return Served::Watches { switch: packet.fds.pop() },
                Ok(request) => self.obey(request),
                Err(error) => Reply::Error { message: format!("not a request: {error}") },
            };
            let bytes = serde_json::to_vec(&reply).expect("a reply has only strings and numbers");
            if client.send(&bytes, &[]).is_err() {
                return Served::Gone;
            }
        }
    }

    fn obey(&mut self, request: Request) -> Reply {
        if self.control.is_none() {
            self.find_control(); // most likely it is the one that asks
        }
        match request {
            Request::Ping => {
                let keepers = self.keepers.iter().map(|(name, keeper)| (name.clone(), keeper.pid)).collect();
                let version = PROGRAM.to_owned();
                Reply::Keepers { warden: nix::unistd::getpid().as_raw(), keepers, version }
            }
            Request::Keep { name } => {
                // Somebody has thought better of it. What a signal has told stays told.
                self.quitting = self.told_by_signal;
                self.keep(name);
                Reply::Done
            }
            Request::Exec { program } if self.quitting => {
                let program = program.display();
                Reply::Error { message: format!("it is ending, and does not become {program}") }
            }
            Request::Exec { program } => {
                self.exec = Some(program);
                Reply::Done
            }
            Request::Quit => {
                self.quitting = true;
                Reply::Done
            }
            Request::Watch => Reply::Done, // `serve` has seen to it
        }
    }
}

/// What becomes of a client's connection.
enum Served {
    /// It may ask more.
    Stays,
    /// It is closed.
    Gone,
    /// It is the control plane's, which wants to be told things, and to be watched by this switch.
    Watches { switch: Option<std::os::fd::OwnedFd> },
}

/// Root and the warden's own user may ask.
fn is_ours(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}
