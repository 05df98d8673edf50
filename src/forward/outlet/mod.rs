//! What can be sent a line, and the kinds of it. None of them ever waits: who cannot take a line now says so.

use std::io;
use std::os::fd::BorrowedFd;

use crate::logs::render::Label;
use crate::logs::sieve::Line;
use crate::model::sink::{Address, Target};
use crate::os::outgoing;
use crate::wire::log_line::StreamName;

mod bytes;
mod journald;
mod stdout;
mod syslog;

/// A line on its way.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The number of its stream among all of the sink.
    pub label: usize,
    /// Whose it is.
    pub service: &'a str,
    /// Which of its logs.
    pub stream: StreamName,
    /// The process that wrote it, if that is known.
    pub pid: Option<i32>,
    /// The line, or a part of a long one.
    pub line: &'a Line,
    /// It is dogwatch's own, about lines that are missing.
    pub notice: bool,
}

/// The way into a sink.
pub trait Outlet {
    /// Connects, if it is not connected.
    ///
    /// # Errors
    /// Why it cannot be, now.
    fn connect(&mut self) -> io::Result<()>;

    /// Lets go of the connection, and forgets what it has not passed on.
    fn close(&mut self);

    /// Takes a message whole, or not at all. True if it was cut.
    ///
    /// # Errors
    /// `WouldBlock`: not now. Anything else: the connection is no good any more.
    fn send(&mut self, message: &Message<'_>) -> io::Result<bool>;

    /// Passes on what was taken.
    ///
    /// # Errors
    /// As [`Outlet::send`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// How much has been taken since it was connected, in a unit of its own.
    fn taken(&self) -> u64;

    /// How much of that has reached the other side.
    ///
    /// # Errors
    /// The connection is no good any more.
    fn confirmed(&mut self) -> io::Result<u64> {
        Ok(self.taken())
    }

    /// What to wait on until it takes more; none: there is nothing to wait on.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether the other side is still there, as far as its end of the connection says anything.
    ///
    /// # Errors
    /// It is not.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The way into this sink, for streams with these labels.
pub fn to(target: &Target, labels: Vec<Label>) -> Box<dyn Outlet> {
    match target {
        Target::Journald { address } => Box::new(journald::Journald::new(address.clone())),
        Target::Syslog { address, facility, max_message } => {
            let most = usize::try_from(*max_message).unwrap_or(usize::MAX);
            let style = syslog::Style { host: outgoing::host_name(), facility: *facility, most };
            match address {
                Address::Unix(path) => Box::new(syslog::Local::new(path.clone(), style)),
                Address::Udp(address) => Box::new(syslog::Udp::new(*address, style)),
                Address::Tcp(address) => Box::new(syslog::Tcp::new(*address, style)),
            }
        }
        Target::Stdout { format } => Box::new(stdout::Stdout::new(*format, labels)),
    }
}
