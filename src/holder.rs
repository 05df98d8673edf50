//! The second and third holder of what services need: FIFOs, stages, sockets.
//!
//! A FIFO that nobody has open forgets its bytes, and a socket that nobody has open refuses connections. So
//! every keeper hands duplicates of them to the warden and to the control plane, which do nothing with them
//! but hold them. When the keeper dies its successor inherits them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::name::ServiceName;
use crate::wire::keeper::Reply;

/// Everything that is held, by service and key.
#[derive(Debug, Default)]
pub struct Holdings(BTreeMap<(ServiceName, String), OwnedFd>);

impl Holdings {
    /// Takes the holdings of a predecessor: inherited names of the form `SERVICE/KEY`. Names of another form
    /// are returned.
    pub fn from_inherited(inherited: BTreeMap<String, OwnedFd>) -> (Holdings, BTreeMap<String, OwnedFd>) {
        let mut holdings = Holdings::default();
        let mut others = BTreeMap::new();
        for (name, fd) in inherited {
            let parts =
                name.split_once('/').and_then(|(service, key)| Some((ServiceName::new(service).ok()?, key)));
            match parts {
                Some((service, key)) => {
                    holdings.0.insert((service, key.to_owned()), fd);
                }
                None => {
                    others.insert(name, fd);
                }
            }
        }
        (holdings, others)
    }

    /// Follows what a keeper says; replies about other things are ignored.
    pub fn apply(&mut self, service: &ServiceName, reply: Reply, fds: Vec<OwnedFd>) {
        match reply {
            Reply::Hold { key } => {
                if let Some(fd) = fds.into_iter().next() {
                    self.0.insert((service.clone(), key), fd);
                }
            }
            Reply::Release { key } => {
                self.0.remove(&(service.clone(), key));
            }
            Reply::Status(_) | Reply::Done { .. } | Reply::WhatOf { .. } | Reply::Error { .. } => {}
        }
    }

    /// Lets go of all that was held for a service.
    pub fn forget(&mut self, service: &ServiceName) {
        self.0.retain(|(name, _), _| name != service);
    }

    /// What a new keeper of this service inherits: key and descriptor.
    pub fn of(&self, service: &ServiceName) -> Vec<(String, BorrowedFd<'_>)> {
        let own = self.0.iter().filter(|((name, _), _)| name == service);
        own.map(|((_, key), fd)| (key.clone(), fd.as_fd())).collect()
    }

    /// What a new warden or control plane inherits: `SERVICE/KEY` and descriptor.
    pub fn all(&self) -> Vec<(String, BorrowedFd<'_>)> {
        self.0.iter().map(|((name, key), fd)| (format!("{name}/{key}"), fd.as_fd())).collect()
    }

    /// How many descriptors are held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
