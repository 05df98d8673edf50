//! The second and third holder of what services need: FIFOs, stages, sockets.
//!
//! A FIFO that nobody has open forgets its bytes, and a socket that nobody has open refuses connections. So
//! every keeper hands duplicates of them to the warden and to the control plane, which do nothing with them
//! but hold them. When the keeper dies its successor inherits them.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::name::ServiceName;
use crate::os::unix;
use crate::wire::keeper::{FIFOS, Reply};

/// Everything that is held, by service: key and descriptor. Compact, because a warden holds four FIFOs and more
/// for each service.
#[derive(Debug, Default)]
pub struct Holdings(BTreeMap<ServiceName, Vec<(Key, OwnedFd)>>);

/// One stream of one run.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// The service writes into this one.
    pub fifo: BorrowedFd<'a>,
    /// Between it and the file.
    pub stage: BorrowedFd<'a>,
}

/// A key without an allocation of its own, where it is one of the four that every service has.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    /// `RUN/NAME`, the name by its place in [`FIFOS`].
    Fifo { run: u32, name: u8 },
    /// Any other.
    Other(Box<str>),
}

impl Key {
    fn new(text: &str) -> Key {
        let fifo = text.split_once('/').and_then(|(run, name)| {
            let name = FIFOS.iter().position(|other| *other == name)?;
            // A number that would be printed in another way is no run.
            let number: u32 = run.parse().ok().filter(|number: &u32| number.to_string() == run)?;
            Some(Key::Fifo { run: number, name: name as u8 })
        });
        fifo.unwrap_or_else(|| Key::Other(text.into()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Fifo { run, name } => write!(f, "{run}/{}", FIFOS[usize::from(*name)]),
            Key::Other(text) => f.write_str(text),
        }
    }
}

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
                Some((service, key)) => holdings.hold(&service, key, fd),
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
            Reply::Hold { keys } => keys.iter().zip(fds).for_each(|(key, fd)| self.hold(service, key, fd)),
            Reply::Retain { keys } => {
                if let Some(held) = self.0.get_mut(service) {
                    let keys: Vec<Key> = keys.iter().map(|key| Key::new(key)).collect();
                    release(held, |key| keys.contains(key));
                }
            }
            Reply::Release { keys } => {
                if let Some(held) = self.0.get_mut(service) {
                    let keys: Vec<Key> = keys.iter().map(|key| Key::new(key)).collect();
                    release(held, |key| !keys.contains(key));
                }
            }
            Reply::Status(_)
            | Reply::Done { .. }
            | Reply::WhatOf { .. }
            | Reply::Later { .. }
            | Reply::Error { .. } => {}
        }
    }

    fn hold(&mut self, service: &ServiceName, key: &str, fd: OwnedFd) {
        if !self.0.contains_key(service) {
            self.0.insert(service.clone(), Vec::new());
        }
        if let Some(held) = self.0.get_mut(service) {
            let key = Key::new(key);
            release(held, |other| *other != key);
            held.push((key, fd));
        }
    }

    /// Lets go of all that was held for a service.
    pub fn forget(&mut self, service: &ServiceName) {
        release(&mut self.0.remove(service).unwrap_or_default(), |_| false);
    }

    /// What a new keeper of this service inherits: key and descriptor.
    pub fn of(&self, service: &ServiceName) -> Vec<(String, BorrowedFd<'_>)> {
        let held = self.0.get(service).into_iter().flatten();
        held.map(|(key, fd)| (key.to_string(), fd.as_fd())).collect()
    }

    /// What a new warden or control plane inherits: `SERVICE/KEY` and descriptor.
    pub fn all(&self) -> Vec<(String, BorrowedFd<'_>)> {
        let each = self.0.iter().flat_map(|(name, held)| held.iter().map(move |(key, fd)| (name, key, fd)));
        each.map(|(name, key, fd)| (format!("{name}/{key}"), fd.as_fd())).collect()
    }

    /// What the service writes into, each with the stage behind it, of every run that is held.
    pub fn outputs(&self, service: &ServiceName) -> Vec<Output<'_>> {
        let held = self.0.get(service).map_or(&[][..], Vec::as_slice);
        let stage_of = |run: u32, name: u8| {
            let wanted = Key::Fifo { run, name: name + 1 };
            held.iter().find(|(key, _)| *key == wanted).map(|(_, fd)| fd.as_fd())
        };
        // In FIFOS each stage stands behind its FIFO.
        let outputs = held.iter().filter_map(|(key, fd)| match key {
            Key::Fifo { run, name } if name % 2 == 0 => {
                Some(Output { fifo: fd.as_fd(), stage: stage_of(*run, *name)? })
            }
            Key::Fifo { .. } | Key::Other(_) => None,
        });
        outputs.collect()
    }

    /// How many descriptors are held.
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Closes all but what is kept. The kernel closes FIFOs at once; what a service speaks on has its own way.
fn release(held: &mut Vec<(Key, OwnedFd)>, keep: impl Fn(&Key) -> bool) {
    let gone = held.extract_if(.., |(key, _)| !keep(key));
    unix::let_go(gone.filter(|(key, _)| matches!(key, Key::Other(_))).map(|(_, fd)| fd).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_comes_back_as_it_was() {
        for text in [
            "1/out.fifo",
            "4000000000/err.stage",
            "01/out.fifo",
            "9999999999/out.fifo",
            "notify",
            "a/b",
            "listen.[::1]:80",
        ] {
            assert_eq!(Key::new(text).to_string(), text);
        }
        assert_eq!(size_of::<(Key, OwnedFd)>(), 24);
    }

    #[test]
    fn holds_releases_and_hands_on() {
        let web = ServiceName::new("web").unwrap();
        let fd = || OwnedFd::from(tempfile::tempfile().unwrap());
        let mut holdings = Holdings::default();
        let keys = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        holdings.apply(&web, Reply::Hold { keys: keys(&["1/out.fifo", "notify"]) }, vec![fd(), fd()]);
        holdings.apply(&web, Reply::Hold { keys: keys(&["notify"]) }, vec![fd()]);
        assert_eq!(
            (holdings.len(), holdings.outputs(&web).len()),
            (2, 0),
            "a FIFO without its stage is of no use"
        );
        holdings.apply(&web, Reply::Hold { keys: keys(&["1/out.stage"]) }, vec![fd()]);
        assert_eq!(holdings.outputs(&web).len(), 1);
        holdings.apply(&web, Reply::Release { keys: keys(&["1/out.stage"]) }, vec![]);
        let names: Vec<String> = holdings.all().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["web/1/out.fifo", "web/notify"]);
        let inherited = names.into_iter().chain(["warden".to_owned()]).map(|name| (name, fd())).collect();
        let (heir, others) = Holdings::from_inherited(inherited);
        assert_eq!((heir.of(&web).len(), others.len()), (2, 1));
        holdings.apply(&web, Reply::Release { keys: keys(&["1/out.fifo"]) }, vec![]);
        assert_eq!(holdings.of(&web)[0].0, "notify");
        holdings.forget(&web);
        assert!(holdings.is_empty());
    }
}
