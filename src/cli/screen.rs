//! Where the output goes, and what may go there.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::fail::{Failure, Outcome};
use crate::exit_code;
use crate::os::{own, wait};

/// Standard output, as this command found it.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// A person reads it, at a terminal this wide.
    pub width: Option<usize>,
    /// Colours are welcome.
    pub colour: bool,
}

/// Colours that every terminal has (ECMA-48 SGR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// All is well.
    Green,
    /// On its way.
    Yellow,
    /// Not as it should be.
    Red,
    /// Of little weight.
    Grey,
    /// One of six for telling services apart.
    Tag(usize),
}

impl Screen {
    /// Looks at standard output and at NO_COLOR (no-color.org).
    pub fn of_stdout() -> Screen {
        let stdout = io::stdout();
        let width = stdout.is_terminal().then(|| own::terminal_width(&stdout).unwrap_or(80));
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Screen { width: width.map(usize::from), colour: width.is_some() && !no_colour && !dumb }
    }

    /// `text` in a colour, where colours are welcome.
    pub fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Grey => 90,
            Colour::Tag(number) => [36, 35, 34, 32, 33, 96][number % 6],
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Writes to standard output. A reader that went away has seen enough: the command ends with success.
///
/// # Errors
/// The end of the command.
pub fn print(text: &str) -> Outcome {
    print_bytes(text.as_bytes())
}

/// As [`print`], for what may not be UTF-8.
///
/// # Errors
/// The end of the command.
pub fn print_bytes(bytes: &[u8]) -> Outcome {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::quiet(exit_code::OK),
        _ => Failure::failed(format!("cannot write to standard output: {error}")),
    })
}

/// Waits for so long, or until nobody reads stdout any more: what would tell that only with the next byte (poll(2)).
///
/// # Errors
/// The end of the command, as with [`print_bytes`].
pub fn wait_while_read(time: Duration) -> Outcome {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    wait::for_any(&mut fds, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
    let gone =
        fds[0].revents().is_some_and(|events| events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP));
    if gone { Err(Failure::quiet(exit_code::OK)) } else { Ok(()) }
}

/// One JSON document and a line feed.
///
/// # Errors
/// The end of the command.
pub fn print_json(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::failed(format!("cannot write the answer as JSON: {error}")))?;
    print(&(text + "\n"))
}

/// A line on stderr. If nobody reads it, nobody misses it.
pub fn tell(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
