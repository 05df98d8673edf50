//! A listener that waits when it cannot accept.
//!
//! A connection that nobody can accept, because there is no descriptor left for it, keeps the listener readable: a
//! loop that polls it would do nothing else any more, and nothing would tell why. So it is left alone for a moment,
//! again and again; who has connected waits meanwhile, and is accepted as soon as there is a descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::packet::{Connection, Listener};
use crate::model::moment::Moment;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// The listener.
#[derive(Debug)]
pub struct Door {
    listener: Listener,
    /// It is left alone until then.
    closed_until: Option<Moment>,
    /// That it cannot accept has been told.
    told: bool,
}

impl Door {
    /// Nobody has come yet.
    pub fn new(listener: Listener) -> Door {
        Door { listener, closed_until: None, told: false }
    }

    /// What to poll; none while it is left alone.
    pub fn polled(&self) -> Option<BorrowedFd<'_>> {
        self.closed_until.is_none().then(|| self.listener.as_fd())
    }

    /// When to try again; none if it is not left alone.
    pub fn deadline(&self) -> Option<Moment> {
        self.closed_until
    }

    /// The next waiting connection; none if nobody waits, or while it is left alone.
    ///
    /// # Errors
    /// Those of accept4(2), such as EMFILE: once, until all who waited were accepted.
    pub fn accept(&mut self, now: Moment) -> io::Result<Option<Connection>> {
        if self.closed_until.is_some_and(|until| until > now) {
            return Ok(None);
        }
        let accepted = self.listener.accept();
        self.closed_until = accepted.is_err().then(|| now.plus(PAUSE));
        match accepted {
            Ok(connection) => {
                self.told &= connection.is_some();
                Ok(connection)
            }
            Err(_) if std::mem::replace(&mut self.told, true) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
