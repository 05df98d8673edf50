//! The warden becomes a newer program: the same process, still the parent of all keepers.
//!
//! It finds its keepers again by their locks, as a warden does that replaces a dead one. What it alone knows, how
//! orphans ended, it tells itself.

use std::os::fd::AsFd;

use super::event_loop::Warden;
use super::log;
use crate::os::exec::{Exec, exec};
use crate::os::fault;
use crate::wire::environment::{LOCK_FD, ORPHANS, REQUESTS_FD};

impl Warden {
    /// Becomes the program that somebody has asked for, if somebody has.
    pub(super) fn become_program(&mut self) {
        let Some(program) = self.exec.take() else { return };
        fault::point("the warden before exec");
        let mut inherit =
            vec![(LOCK_FD.to_owned(), self.lock.as_fd()), (REQUESTS_FD.to_owned(), self.door.as_fd())];
        inherit.extend(self.holdings.all());
        let memo = vec![(ORPHANS, self.orphans.memo())];
        let error = exec(Exec { program: &program, args: vec!["warden".into()], inherit, memo });
        log(&format!("cannot become {}: {error}", program.display()));
    }
}
