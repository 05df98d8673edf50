//! Other processes: who they are, whether they live, and telling them to end — never by a bare number.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::str::FromStr;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::clock;
use crate::model::end::Exit;
use crate::model::signal::Signal;

/// What identifies a process for ever: numbers are used again, but not with the same start in the same boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Process number.
    pub pid: i32,
    /// Start time in clock ticks since boot (proc_pid_stat(5), field 22).
    pub ticks: u64,
    /// Which boot.
    pub boot_id: String,
}

impl Identity {
    /// This process.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn own() -> io::Result<Identity> {
        let pid = nix::unistd::getpid().as_raw();
        Ok(Identity { pid, ticks: start_ticks(pid)?, boot_id: clock::boot_id()? })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.pid, self.ticks, self.boot_id)
    }
}

impl FromStr for Identity {
    type Err = ();
    fn from_str(text: &str) -> Result<Identity, ()> {
        let mut words = text.split_whitespace();
        let mut next = || words.next().ok_or(());
        Ok(Identity {
            pid: next()?.parse().map_err(|_| ())?,
            ticks: next()?.parse().map_err(|_| ())?,
            boot_id: next()?.to_owned(),
        })
    }
}

/// The start time of a process, clock ticks since boot.
///
/// # Errors
/// No such process, or no /proc.
pub fn start_ticks(pid: i32) -> io::Result<u64> {
    stat_field(pid, 22)?.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// /proc/PID/stat. A program may call itself what it likes, also in bytes that are no UTF-8.
///
/// # Errors
/// No such process, or no /proc.
pub fn stat(pid: i32) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/stat"))?).into_owned())
}

/// Field `number` of /proc/PID/stat, counted from 1 as in proc_pid_stat(5); 3 or more.
fn stat_field(pid: i32, number: usize) -> io::Result<String> {
    let text = stat(pid)?;
    // The command (field 2) is in parentheses and may hold anything, so count from the last one.
    let after = text.rsplit_once(')').map(|(_, after)| after).unwrap_or_default();
    let field = after.split_ascii_whitespace().nth(number - 3);
    field.map(str::to_owned).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Whether the kernel holds a process still: SIGSTOP, or a tracer (state `T` or `t`, proc_pid_stat(5)).
pub fn is_stopped(pid: i32) -> bool {
    stat_field(pid, 3).is_ok_and(|state| state == "T" || state == "t")
}

/// Whether a process has ended: it is gone, or waits to be reaped. Of a number that may be another process's by
/// now the answer is worth nothing: see [`is_alive`].
pub fn seems_ended(pid: i32) -> bool {
    stat_field(pid, 3).map_or(true, |state| state == "Z" || state == "X")
}

/// Whether the thread `name` of a process waits for a disk (state `D`).
pub fn thread_waits_for_disk(pid: i32, name: &str) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| std::fs::read(task.path().join("stat")).ok()).any(|stat| {
        let stat = String::from_utf8_lossy(&stat);
        let parts = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
        parts.is_some_and(|(comm, rest)| comm == name && rest.trim_start().starts_with('D'))
    })
}

/// The words that a process was started with; none if it has ended.
pub fn command_line(pid: i32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Whether that very process still runs (a zombie does not).
pub fn is_alive(identity: &Identity) -> bool {
    open(identity).is_some()
}

/// Opens that very process; none if it has ended.
///
/// The order matters: first the pidfd, then the comparison. What the pidfd names cannot change any more, so
/// if the start time fits afterwards, the pidfd is the right one.
pub fn open(identity: &Identity) -> Option<PidFd> {
    find(identity).ok().flatten()
}

/// As [`open`], for who must not take a living process for a dead one.
///
/// # Errors
/// It cannot be told whether that process lives: EMFILE, ENFILE, ENOMEM, no /proc.
pub fn find(identity: &Identity) -> io::Result<Option<PidFd>> {
    if clock::boot_id()? != identity.boot_id {
        return Ok(None);
    }
    let found = PidFd::open(identity.pid).and_then(|pidfd| Ok((pidfd, start_ticks(identity.pid)?)));
    match found {
        Ok((pidfd, ticks)) => Ok((ticks == identity.ticks && !pidfd.has_ended()).then_some(pidfd)),
        // EINVAL: the number is a thread's by now.
        Err(error) => match error.raw_os_error() {
            Some(libc::ESRCH | libc::ENOENT | libc::EINVAL) => Ok(None),
            _ => Err(error),
        },
    }
}

/// A handle on one process that can never come to mean another.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has this number now (pidfd_open(2), Linux 5.3).
    ///
    /// # Errors
    /// ESRCH if there is none.
    pub fn open(pid: i32) -> io::Result<PidFd> {
        #[expect(unsafe_code, reason = "nix 0.31 has no pidfd_open")]
        // SAFETY: the call takes two integers and touches no memory of ours.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        #[expect(unsafe_code, reason = "a descriptor from the kernel becomes an owned one")]
        // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Ok(PidFd(fd))
    }

    /// Takes a pidfd that clone3(2) returned.
    pub fn from_owned(fd: OwnedFd) -> PidFd {
        PidFd(fd)
    }

    /// Whether the process has ended (a pidfd becomes readable then).
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Sends a signal (pidfd_send_signal(2)).
    ///
    /// # Errors
    /// ESRCH if it has ended, EPERM if it is not ours to signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let none = std::ptr::null::<libc::siginfo_t>();
        #[expect(unsafe_code, reason = "nix 0.31 has no pidfd_send_signal")]
        // SAFETY: the descriptor is open for the length of the call; a null siginfo is allowed.
        let answer =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal.0, none, 0) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// How the process ended, from a kernel that remembers (PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15);
    /// only once it has been reaped by its parent.
    pub fn exit_from_kernel(&self) -> Option<Exit> {
        /// struct pidfd_info of linux/pidfd.h as first published (6.13: 64 bytes).
        #[repr(C)]
        #[derive(Default)]
        struct PidfdInfo {
            mask: u64,
            cgroupid: u64,
            pid: u32,
            tgid: u32,
            ppid: u32,
            ids: [u32; 8],
            exit_code: i32,
        }
        const PIDFD_INFO_EXIT: u64 = 1 << 3;
        nix::ioctl_readwrite!(pidfd_get_info, 0xFF, 11, PidfdInfo);
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        #[expect(unsafe_code, reason = "an ioctl")]
        // SAFETY: `info` is a live struct of the size that the request number encodes.
        let answer = unsafe { pidfd_get_info(self.0.as_raw_fd(), &raw mut info) };
        (answer.is_ok() && info.mask & PIDFD_INFO_EXIT != 0).then(|| exit_of_status(info.exit_code))
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Reads a wait status (wait(2)).
pub fn exit_of_status(status: i32) -> Exit {
    if libc::WIFEXITED(status) {
        Exit::Code(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Exit::Signal(Signal(libc::WTERMSIG(status)))
    } else {
        Exit::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_its_own_end() {
        let own = Identity::own().unwrap();
        assert_eq!(own.to_string().parse(), Ok(own.clone()));
        assert!(is_alive(&own));
        assert!(!is_alive(&Identity { ticks: own.ticks + 1, ..own.clone() }));
        assert!(!is_alive(&Identity { boot_id: "another".to_owned(), ..own }));
    }

    #[test]
    fn sees_who_is_stopped() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id() as i32;
        let pidfd = PidFd::open(pid).unwrap();
        assert!(!is_stopped(pid) && !seems_ended(pid) && !thread_waits_for_disk(pid, "sleep"));
        pidfd.signal(Signal(libc::SIGSTOP)).unwrap();
        while !is_stopped(pid) {
            std::thread::yield_now();
        }
        assert_eq!(super::super::wait::next_stopped(), Some(pid));
        assert_eq!(super::super::wait::next_stopped(), None, "told once");
        child.kill().unwrap();
        while !seems_ended(pid) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(seems_ended(pid));
    }

    #[test]
    fn a_zombie_is_not_alive_and_the_kernel_remembers_its_end() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "read x; exit 7"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        let pidfd = PidFd::open(pid).unwrap();
        let identity = Identity { pid, ticks: start_ticks(pid).unwrap(), boot_id: clock::boot_id().unwrap() };
        assert!(is_alive(&identity));
        drop(child.stdin.take());
        poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        assert!(!is_alive(&identity), "a zombie");
        child.wait().unwrap();
        if let Some(exit) = pidfd.exit_from_kernel() {
            assert_eq!(exit, Exit::Code(7)); // Linux 6.15 and later
        }
    }
}
