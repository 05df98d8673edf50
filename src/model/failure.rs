//! A start that failed: at which step, on what, for what cause, and what to do.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// The cause of an error, without the number that only a programmer looks up.
pub fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// The steps between the decision to start a service and its first instruction, in order. The child reports
/// the step as a number through its status pipe, so the order is part of the wire format: add at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Step {
    /// Find the program file.
    Find,
    /// Look up the user.
    User,
    /// Bind a listening socket.
    Listen,
    /// Make the FIFOs and open the log files.
    Log,
    /// Create the process.
    Fork,
    /// Join a process group, reset signals.
    Group,
    /// Become the user.
    Become,
    /// Enter the working folder.
    Chdir,
    /// Put the file descriptors in their places.
    Descriptors,
    /// Execute the program.
    Exec,
    /// Record the process before it is let go.
    Record,
    /// Priority, limits and rights of the process.
    Attributes,
}

impl Step {
    /// The step that a child reported by number.
    pub fn from_number(number: u8) -> Option<Step> {
        const ALL: [Step; 12] = [
            Step::Find,
            Step::User,
            Step::Listen,
            Step::Log,
            Step::Fork,
            Step::Group,
            Step::Become,
            Step::Chdir,
            Step::Descriptors,
            Step::Exec,
            Step::Record,
            Step::Attributes,
        ];
        ALL.get(usize::from(number)).copied()
    }
}

/// A start that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// Where it failed.
    pub step: Step,
    /// What the step was about: a path, a user, an address.
    pub object: String,
    /// The cause, a lowercase fragment.
    pub cause: String,
    /// What to do, one line; absent if nothing better than the cause is known.
    #[serde(default)]
    pub hint: Option<String>,
}

/// Longest text of a failure, characters: it stands in a record of fixed size.
const LONGEST: usize = 240;

/// Cuts a text that is too long for a record.
fn short(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl StartFailure {
    /// A failure of `step` on `object`; long texts are cut.
    pub fn new(step: Step, object: &str, cause: impl Into<String>, hint: Option<String>) -> StartFailure {
        StartFailure {
            step,
            object: short(object.to_owned()),
            cause: short(cause.into()),
            hint: hint.map(short),
        }
    }

    /// The failure of `step` on `object` as the standard library reports it.
    pub fn from_io(step: Step, object: &str, error: &std::io::Error) -> StartFailure {
        match error.raw_os_error() {
            Some(errno) => StartFailure::from_errno(step, object, errno),
            None => StartFailure::new(step, object, error.to_string(), None),
        }
    }

    /// The failure of `step` on `object` with the errno that the kernel gave (names and causes after
    /// errno(3), execve(2), chdir(2)).
    pub fn from_errno(step: Step, object: &str, errno: i32) -> StartFailure {
        let plain = cause(&io::Error::from_raw_os_error(errno)).to_lowercase();
        let (cause, hint) = match (step, errno) {
            (Step::Exec, libc_errno::ENOENT) => (
                "no such file".to_owned(),
                Some(format!("check the path, or the interpreter in the first line of {object}")),
            ),
            (Step::Find, libc_errno::ENOENT) => {
                ("no such file".to_owned(), Some("check `command` in ecosystem.toml".to_owned()))
            }
            (Step::Exec | Step::Find, libc_errno::EACCES) => {
                ("permission denied (not executable)".to_owned(), Some(format!("run: chmod +x {object}")))
            }
            (Step::Exec, libc_errno::ENOEXEC) => (
                "not a program that Linux can run".to_owned(),
                Some(format!(
                    "does {object} begin with #! and an interpreter, or is it built for another machine?"
                )),
            ),
            (Step::Chdir, libc_errno::ENOENT) => {
                ("no such folder".to_owned(), Some(format!("run: mkdir -p {object}")))
            }
            (Step::Chdir, libc_errno::ENOTDIR) => {
                ("not a folder".to_owned(), Some("check `cwd` in ecosystem.toml".to_owned()))
            }
            (Step::Chdir, libc_errno::EACCES) => {
                (plain, Some("the service's user needs the right to enter it".to_owned()))
            }
            (Step::Become, libc_errno::EPERM) => (
                "only root may start services as another user or in another group".to_owned(),
                Some("run dogwatch as root, or remove `user` and `group` from ecosystem.toml".to_owned()),
            ),
            (Step::Attributes, libc_errno::EPERM | libc_errno::EACCES) => (
                "not permitted".to_owned(),
                Some(
                    "a lower nice, `ionice = \"realtime\"` and limits above `ulimit -aH` need root; `nofile` above \
                     sysctl fs.nr_open is for nobody"
                        .to_owned(),
                ),
            ),
            (Step::Attributes, libc_errno::EINVAL) => (
                "the kernel refuses a value".to_owned(),
                Some("does `cpus` name a processor of this machine? see: nproc".to_owned()),
            ),
            (Step::Listen, libc_errno::EACCES) => (
                plain,
                Some("ports below 1024 need root, or sysctl net.ipv4.ip_unprivileged_port_start".to_owned()),
            ),
            (Step::Listen, libc_errno::EADDRNOTAVAIL) => (
                "this machine has no such address".to_owned(),
                Some("check `listen`; see: ip address".to_owned()),
            ),
            (Step::Fork, libc_errno::EAGAIN) => {
                ("no more processes allowed".to_owned(), Some("see: ulimit -u, pids.max".to_owned()))
            }
            _ => (plain, None),
        };
        StartFailure::new(step, object, cause, hint)
    }
}

/// The errno numbers that have a sentence of their own (asm-generic/errno-base.h and errno.h).
mod libc_errno {
    pub const EPERM: i32 = 1;
    pub const ENOENT: i32 = 2;
    pub const ENOEXEC: i32 = 8;
    pub const EAGAIN: i32 = 11;
    pub const EACCES: i32 = 13;
    pub const ENOTDIR: i32 = 20;
    pub const EINVAL: i32 = 22;
    pub const EADDRNOTAVAIL: i32 = 99;
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StartFailure { object, cause, .. } = self;
        match self.step {
            Step::Find => write!(f, "exec {object}: {cause}"),
            Step::User => write!(f, "run as user {object}: {cause}"),
            Step::Listen => write!(f, "listen on {object}: {cause}"),
            Step::Log => write!(f, "prepare the log {object}: {cause}"),
            Step::Fork => write!(f, "create a process: {cause}"),
            Step::Group => write!(f, "set up the process: {cause}"),
            Step::Become => write!(f, "become {object}: {cause}"),
            Step::Chdir => write!(f, "enter the folder {object}: {cause}"),
            Step::Descriptors => write!(f, "set up file descriptors: {cause}"),
            Step::Exec => write!(f, "exec {object}: {cause}"),
            Step::Record => write!(f, "write the state record {object}: {cause}"),
            Step::Attributes => write!(f, "set priority, limits and rights: {cause}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_number() {
        for number in 0..=11 {
            assert_eq!(Step::from_number(number).unwrap() as u8, number);
        }
        assert_eq!(Step::from_number(12), None);
    }

    #[test]
    fn says_step_object_cause_and_what_to_do() {
        let failure = StartFailure::from_errno(Step::Exec, "./app", 13);
        assert_eq!(failure.to_string(), "exec ./app: permission denied (not executable)");
        assert_eq!(failure.hint.as_deref(), Some("run: chmod +x ./app"));
        let failure = StartFailure::from_errno(Step::Chdir, "/srv/x", 2);
        assert_eq!(failure.to_string(), "enter the folder /srv/x: no such folder");
    }
}
