//! The standard output of this process: what a container shows.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use jiff::tz::TimeZone;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::bytes::Waiting;
use super::{Message, Outlet};
use crate::logs::render::{Label, Look, Renderer, Shape};
use crate::model::sink::Format;

/// What a pipe that is not full takes without waiting, bytes (PIPE_BUF, pipe(7)).
const ATOMIC: usize = 4096;

/// Standard output. It is shared with others, so it is not made non-blocking: it is asked before each write.
pub struct Stdout {
    renderer: Renderer,
    out: io::Stdout,
    waiting: Waiting,
}

impl Stdout {
    /// For streams with these labels, whose lines look like this.
    pub fn new(format: Format, labels: Vec<Label>) -> Stdout {
        let labels = labels.into_iter().map(|label| match format {
            Format::Named => label,
            Format::Raw | Format::Json => Label { prefix: String::new(), ..label },
        });
        let shape = if format == Format::Json { Shape::Json } else { Shape::Text };
        let renderer = Renderer::new(labels.collect(), Look { shape, ..Look::default() }, TimeZone::UTC);
        Stdout { renderer, out: io::stdout(), waiting: Waiting::default() }
    }
}

fn write(out: &io::Stdout, bytes: &[u8]) -> io::Result<usize> {
    let mut ready = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
    poll(&mut ready, PollTimeout::ZERO)?;
    let has = |flag| ready[0].revents().is_some_and(|events| events.intersects(flag));
    if has(PollFlags::POLLERR) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    if !has(PollFlags::POLLOUT) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let mut out = out.lock();
    let bytes = &bytes[..bytes.len().min(ATOMIC)];
    out.write_all(bytes)?;
    out.flush()?;
    Ok(bytes.len())
}

impl Outlet for Stdout {
    fn connect(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) {
        self.waiting = Waiting::default();
    }

    fn send(&mut self, message: &Message<'_>) -> io::Result<bool> {
        let Stdout { renderer, out, waiting } = self;
        waiting.add(|bytes| write(out, bytes), |bytes| renderer.line(message.label, message.line, bytes))?;
        Ok(false)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Stdout { out, waiting, .. } = self;
        waiting.flush(|bytes| write(out, bytes))
    }

    fn taken(&self) -> u64 {
        self.waiting.taken()
    }

    fn confirmed(&mut self) -> io::Result<u64> {
        Ok(self.waiting.written())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.out.as_fd())
    }
}
