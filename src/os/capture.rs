//! Running a program for what it says, and never longer than is good.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::process::PidFd;
use crate::model::end::Exit;
use crate::os::process::exit_of_status;

/// More than this nobody wants to hear, bytes.
const LONGEST: usize = 64 * 1024;

/// What a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// What it wrote to standard output.
    pub out: Vec<u8>,
    /// How it ended; none if it was killed because its time was over.
    pub exit: Option<Exit>,
}

/// Runs `command` with nothing to read, standard error thrown away, and kills it after `patience`.
///
/// # Errors
/// It cannot be started.
pub fn capture(command: &mut Command, patience: Duration) -> io::Result<Captured> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + patience;
    let mut out = Vec::new();
    let watched = PidFd::open(child.id() as i32);
    if let (Some(mut stdout), Ok(pidfd)) = (child.stdout.take(), &watched) {
        let mut block = [0; 4096];
        while out.len() < LONGEST && is_ready(&stdout, deadline) {
            match stdout.read(&mut block) {
                Ok(0) => break,
                Ok(length) => out.extend_from_slice(&block[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Closed, it may still run: so also its end has until the deadline.
        if is_ready(pidfd, deadline) {
            let status = std::os::unix::process::ExitStatusExt::into_raw(child.wait()?);
            return Ok(Captured { out, exit: Some(exit_of_status(status)) });
        }
    }
    child.kill()?;
    child.wait()?;
    Ok(Captured { out, exit: None })
}

/// Waits until something can be read; false at the deadline.
fn is_ready(fd: &impl AsFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(0) | Err(nix::Error::EINTR) if !left.is_zero() => {}
            Ok(ready) => return ready > 0,
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hears_what_is_said_and_does_not_wait_for_ever() {
        let sh = |line: &str, patience| {
            let mut command = Command::new("/bin/sh");
            capture(command.args(["-c", line]), Duration::from_millis(patience)).unwrap()
        };
        let said = sh("echo one; exit 3", 10_000);
        assert_eq!(said, Captured { out: b"one\n".to_vec(), exit: Some(Exit::Code(3)) });
        assert_eq!(sh("echo one; exec sleep 1000", 50).exit, None);
        assert_eq!(sh("exec >/dev/null; exec sleep 1000", 50), Captured { out: Vec::new(), exit: None });
    }
}
