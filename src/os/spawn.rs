//! Starting a service's process: exactly once, in its own process group and cgroup, and with a failure that
//! names its step.
//!
//! The child is created first and let go later. Between the two the caller records who it is; a keeper that
//! is killed in between leaves a child that reads the end of the go pipe and vanishes without ever having
//! become the service. What the child does between fork and exec is written with system calls alone: no
//! allocation, no lock, no libc wrapper that believes in the parent's threads (signal-safety(7); glibc's
//! setuid would wait for them for ever).

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::attributes::Prepared;
use super::landlock;
use super::process::PidFd;
use crate::model::failure::{StartFailure, Step};

/// Exit code of a child that was never let go.
pub const NEVER_LET_GO: i32 = 125;
/// Time from the go byte to exec; beyond it the start has failed (a program on a hanging file system).
const EXEC_TIMEOUT_MS: u16 = 5000;
/// The child's descriptors are prepared at this number and above, so that moving them to 0, 1, 2, 3 … never
/// overwrites one that is still to be moved.
const HIGH: RawFd = 64;
/// Sockets that can be handed down.
pub const MAX_LISTEN: usize = 32;

/// Numbers of a user; looked up beforehand, since there is no user database between fork and exec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Everything that the child needs.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Absolute path of the program.
    pub program: CString,
    /// argv.
    pub argv: Vec<CString>,
    /// `NAME=value`.
    pub env: Vec<CString>,
    /// Working folder.
    pub cwd: CString,
    /// Priority, limits and rights.
    pub attributes: Prepared,
    /// User to become; none: stay.
    pub ids: Option<Ids>,
    /// Standard output and standard error.
    pub output: [BorrowedFd<'a>; 2],
    /// Sockets to inherit as 3, 4, …; with them LISTEN_PID is set to the child's number.
    pub listen: Vec<BorrowedFd<'a>>,
    /// One more descriptor to inherit, with the number after those.
    pub view: Option<BorrowedFd<'a>>,
    /// What alone it may change.
    pub writable: Option<BorrowedFd<'a>>,
    /// Its oom_score_adj: the keeper's own would be inherited.
    pub oom_score: i32,
    /// Its nice, if it may have it; what `attributes` say comes afterwards.
    pub nice: Option<i32>,
}

/// A child that waits to be let go.
#[derive(Debug)]
pub struct Held {
    /// Its number.
    pub pid: i32,
    /// A handle on it.
    pub pidfd: PidFd,
    go: OwnedFd,
    status: OwnedFd,
}

/// Creates the child, in the cgroup of that folder if one is given, and leaves it waiting.
///
/// # Errors
/// EMFILE, and those of clone3(2).
pub fn hold(plan: &Plan<'_>, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Held> {
    let null = open_null()?;
    let (go_read, go) = high_pipe()?;
    let (status, status_write) = high_pipe()?;
    let mut sources = vec![high(null.as_fd())?];
    for fd in plan.output.iter().chain(&plan.listen).chain(&plan.view) {
        sources.push(high(*fd)?);
    }
    let source_numbers: Vec<RawFd> = sources.iter().map(AsRawFd::as_raw_fd).collect();
    let mut kept: Vec<RawFd> = source_numbers.clone();
    let writable = plan.writable.map(high).transpose()?;
    kept.extend([go_read.as_raw_fd(), status_write.as_raw_fd()]);
    kept.extend(writable.as_ref().map(AsRawFd::as_raw_fd));
    let gaps = gaps_between(kept);

    let mut env: Vec<CString> = plan.env.clone();
    let listen_pid = (!plan.listen.is_empty()).then(|| {
        env.push(CString::from(c"LISTEN_PID=0000000000"));
        env.len() - 1
    });
    let mut env: Vec<Vec<u8>> = env.into_iter().map(CString::into_bytes_with_nul).collect();
    let argv_pointers = pointers(plan.argv.iter().map(|word| word.as_ptr()));
    let env_pointers = pointers(env.iter().map(|line| line.as_ptr().cast()));
    let mut child = Child {
        program: &plan.program,
        argv: &argv_pointers,
        env: &env_pointers,
        listen_pid: listen_pid.map(|index| &mut env[index][b"LISTEN_PID=".len()..]),
        cwd: &plan.cwd,
        attributes: &plan.attributes,
        ids: plan.ids.as_ref(),
        gaps: &gaps,
        sources: &source_numbers,
        go: go_read.as_raw_fd(),
        status: status_write.as_raw_fd(),
        writable: writable.as_ref().map(AsRawFd::as_raw_fd),
        oom_score: plan.oom_score.to_string().into_bytes(),
        nice: plan.nice,
    };

    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: libc::CLONE_PIDFD as u64,
        pidfd: ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= 0x2_0000_0000; // CLONE_INTO_CGROUP, Linux 5.7
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    #[expect(unsafe_code, reason = "nix has no clone3, and the child must run on system calls alone")]
    // SAFETY: without CLONE_VM this is fork(2): the child has its own copy of all memory. `args` is a live
    // clone_args of the size given. The child runs only `Child::run`, which never returns.
    let pid = unsafe {
        let pid = libc::syscall(libc::SYS_clone3, ptr::from_mut(&mut args), size_of::<CloneArgs>());
        if pid == 0 {
            child.run();
        }
        pid
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(unsafe_code, reason = "a descriptor from the kernel becomes an owned one")]
    // SAFETY: clone3 with CLONE_PIDFD has just stored a new descriptor there; nobody else owns it.
    let pidfd = PidFd::from_owned(unsafe { OwnedFd::from_raw_fd(pidfd) });
    let pid = pid as i32;
    set_group(pid);
    Ok(Held { pid, pidfd, go, status })
}

impl Held {
    /// Lets the child vanish: it reads the end of the go pipe.
    pub fn give_up(self) -> PidFd {
        self.pidfd
    }

    /// Lets the child go and waits until it has become the service.
    ///
    /// # Errors
    /// The step at which it failed; the child ends by itself then, and must be reaped.
    pub fn let_go(self, program: &str, cwd: &str, who: &str) -> Result<PidFd, (PidFd, StartFailure)> {
        let Held { pidfd, go, status, .. } = self;
        if let Err(error) = nix::unistd::write(&go, b"g") {
            return Err((pidfd, StartFailure::from_io(Step::Group, program, &error.into())));
        }
        let mut report = [0u8; 5];
        match read_report(&status, &mut report) {
            Ok(0) => Ok(pidfd),
            Ok(5) => {
                let step = Step::from_number(report[0]).unwrap_or(Step::Exec);
                let errno = i32::from_ne_bytes([report[1], report[2], report[3], report[4]]);
                let object = match step {
                    Step::Chdir => cwd,
                    Step::Become => who,
                    _ => program,
                };
                Err((pidfd, StartFailure::from_errno(step, object, errno)))
            }
            Ok(_) => {
                Err((pidfd, StartFailure::from_io(Step::Exec, program, &io::ErrorKind::UnexpectedEof.into())))
            }
            Err(error) => {
                let _ = pidfd.signal(crate::model::signal::Signal::KILL);
                Err((pidfd, StartFailure::from_io(Step::Exec, program, &error)))
            }
        }
    }
}

fn read_report(status: &OwnedFd, report: &mut [u8; 5]) -> io::Result<usize> {
    let mut fds = [PollFd::new(status.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(EXEC_TIMEOUT_MS)) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) => Ok(nix::unistd::read(status, report)?),
        Err(error) => Err(error.into()),
    }
}

/// struct clone_args of linux/sched.h, version 2 (88 bytes, Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// What the child has; all of it was allocated before the fork.
struct Child<'a> {
    program: &'a CStr,
    argv: &'a [*const libc::c_char],
    env: &'a [*const libc::c_char],
    listen_pid: Option<&'a mut [u8]>,
    cwd: &'a CStr,
    attributes: &'a Prepared,
    ids: Option<&'a Ids>,
    gaps: &'a [(RawFd, RawFd)],
    sources: &'a [RawFd],
    go: RawFd,
    status: RawFd,
    writable: Option<RawFd>,
    oom_score: Vec<u8>,
    nice: Option<i32>,
}

#[expect(unsafe_code, reason = "between fork and exec there are only system calls")]
impl Child<'_> {
    /// From birth to exec.
    ///
    /// # Safety
    /// Only for the child of a fork, which it never leaves.
    unsafe fn run(&mut self) -> ! {
        // SAFETY: in all calls below the arguments are integers, or pointers to memory that was allocated
        // before the fork and lives as long as the child; every call is async-signal-safe.
        unsafe {
            // First of all let go of what is the keeper's: its lock, and our own copy of the go pipe's
            // writing end, without which we would never see that the keeper has died.
            for (first, last) in self.gaps {
                libc::syscall(libc::SYS_close_range, *first, *last, 0);
            }
            libc::setpgid(0, 0);
            let mut byte = 0u8;
            while libc::read(self.go, (&raw mut byte).cast(), 1) != 1 {
                if *libc::__errno_location() != libc::EINTR {
                    libc::_exit(NEVER_LET_GO);
                }
                *libc::__errno_location() = 0;
            }
            for signal in 1..=64 {
                libc::signal(signal, libc::SIG_DFL); // fails for KILL and STOP, and for glibc's own two
            }
            let none = [0u64; 2];
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, none.as_ptr(), 0usize, 8usize);
            let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            libc::write(fd, self.oom_score.as_ptr().cast(), self.oom_score.len());
            libc::close(fd);
            if let Some(nice) = self.nice {
                libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS as usize, 0, nice);
            }
            if !self.attributes.apply_with_rights() {
                self.fail(Step::Attributes);
            }
            if let Some(ids) = self.ids {
                self.check(
                    Step::Become,
                    libc::syscall(libc::SYS_setgroups, ids.groups.len(), ids.groups.as_ptr()),
                );
                self.check(Step::Become, libc::syscall(libc::SYS_setresgid, ids.gid, ids.gid, ids.gid));
                self.check(Step::Become, libc::syscall(libc::SYS_setresuid, ids.uid, ids.uid, ids.uid));
            }
            if !self.attributes.apply_as_the_user() {
                self.fail(Step::Attributes);
            }
            if let Some(rules) = self.writable
                && !landlock::obey(rules)
            {
                self.fail(Step::Attributes);
            }
            self.check(Step::Chdir, i64::from(libc::chdir(self.cwd.as_ptr())));
            for (target, source) in self.sources.iter().enumerate() {
                self.check(Step::Descriptors, i64::from(libc::dup2(*source, target as i32)));
            }
            const CLOSE_RANGE_CLOEXEC: u32 = 4; // Linux 5.11
            let first = self.sources.len() as u32;
            self.check(
                Step::Descriptors,
                libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC),
            );
            if let Some(digits) = &mut self.listen_pid {
                write_number(digits, libc::syscall(libc::SYS_getpid) as u32);
            }
            libc::execve(self.program.as_ptr(), self.argv.as_ptr(), self.env.as_ptr());
            self.fail(Step::Exec)
        }
    }

    unsafe fn check(&self, step: Step, answer: i64) {
        if answer < 0 {
            // SAFETY: as in `run`.
            unsafe { self.fail(step) }
        }
    }

    unsafe fn fail(&self, step: Step) -> ! {
        // SAFETY: as in `run`; five bytes are below PIPE_BUF, so they arrive whole.
        unsafe {
            let errno = (*libc::__errno_location()).to_ne_bytes();
            let report = [step as u8, errno[0], errno[1], errno[2], errno[3]];
            libc::write(self.status, report.as_ptr().cast(), report.len());
            libc::_exit(NEVER_LET_GO)
        }
    }
}

/// Writes `number` and a NUL into `digits`, which has room for ten and the NUL.
fn write_number(digits: &mut [u8], mut number: u32) {
    let length = number.checked_ilog10().unwrap_or(0) as usize + 1;
    if let Some(end) = digits.get_mut(length) {
        *end = 0;
    }
    for place in digits.iter_mut().take(length).rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The ranges to close so that, above 2, only `kept` stays open.
fn gaps_between(mut kept: Vec<RawFd>) -> Vec<(RawFd, RawFd)> {
    kept.sort_unstable();
    let mut gaps = Vec::with_capacity(kept.len() + 1);
    let mut from = 3;
    for fd in kept {
        if fd > from {
            gaps.push((from, fd - 1));
        }
        from = fd + 1;
    }
    gaps.push((from, RawFd::MAX));
    gaps
}

fn pointers(each: impl Iterator<Item = *const libc::c_char>) -> Vec<*const libc::c_char> {
    each.chain([ptr::null()]).collect()
}

fn open_null() -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open(c"/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?)
}

fn high_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((high(read.as_fd())?, high(write.as_fd())?))
}

/// A duplicate at [`HIGH`] or above.
fn high(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(HIGH))?;
    #[expect(unsafe_code, reason = "a descriptor from the kernel becomes an owned one")]
    // SAFETY: F_DUPFD_CLOEXEC has just made this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The parent sets the group too, so that it is there whoever comes first.
fn set_group(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    // EACCES: the child has already exec'd, and set it itself. ESRCH: it has already ended.
    let _ = nix::unistd::setpgid(pid, pid);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::process::exit_of_status;
    use std::io::Read;

    fn plan<'a>(argv: &[&str], out: BorrowedFd<'a>, env: &[&str]) -> Plan<'a> {
        let words = |list: &[&str]| list.iter().map(|word| CString::new(*word).unwrap()).collect::<Vec<_>>();
        Plan {
            program: CString::new(argv[0]).unwrap(),
            argv: words(argv),
            env: words(env),
            cwd: CString::new("/").unwrap(),
            attributes: Prepared::default(),
            ids: None,
            output: [out, out],
            listen: vec![],
            view: None,
            writable: None,
            oom_score: 0,
            nice: None,
        }
    }

    fn reap(pid: i32) -> crate::model::end::Exit {
        let mut status = 0;
        #[expect(unsafe_code, reason = "test")]
        // SAFETY: `status` is live; the pid is a child of this test.
        let answer = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!(answer, pid);
        exit_of_status(status)
    }

    #[test]
    fn runs_with_its_environment_folder_and_listen_pid() {
        let (read, write) = nix::unistd::pipe().unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let script = "echo $A $(pwd) $$ $LISTEN_PID; ls /proc/self/fd | wc -l; exit 3";
        let mut plan = plan(&["/bin/sh", "-c", script], write.as_fd(), &["A=b", "PATH=/usr/bin:/bin"]);
        plan.listen = vec![socket.as_fd()];
        let held = hold(&plan, None).unwrap();
        let pid = held.pid;
        held.let_go("/bin/sh", "/", "").unwrap();
        assert_eq!(reap(pid), crate::model::end::Exit::Code(3));
        drop(write);
        let mut text = String::new();
        std::fs::File::from(read).read_to_string(&mut text).unwrap();
        // Five open descriptors: 0, 1, 2, the socket, and the folder that ls reads.
        assert_eq!(text, format!("b / {pid} {pid}\n5\n"));
    }

    #[test]
    fn a_child_that_is_never_let_go_vanishes() {
        let file = tempfile::tempfile().unwrap();
        let held = hold(&plan(&["/bin/true"], file.as_fd(), &[]), None).unwrap();
        let pid = held.pid;
        drop(held);
        assert_eq!(reap(pid), crate::model::end::Exit::Code(NEVER_LET_GO));
    }

    #[test]
    fn failures_name_their_step() {
        let file = tempfile::tempfile().unwrap();
        let start = |plan: &Plan<'_>| {
            let held = hold(plan, None).unwrap();
            let pid = held.pid;
            let (_, failure) = held.let_go("PROGRAM", "CWD", "USER").unwrap_err();
            reap(pid);
            failure.to_string()
        };
        assert_eq!(start(&plan(&["/no/such"], file.as_fd(), &[])), "exec PROGRAM: no such file");
        assert_eq!(
            start(&plan(&["/etc/passwd"], file.as_fd(), &[])),
            "exec PROGRAM: permission denied (not executable)"
        );
        let mut bad = plan(&["/bin/true"], file.as_fd(), &[]);
        bad.cwd = CString::new("/no/such").unwrap();
        assert_eq!(start(&bad), "enter the folder CWD: no such folder");
    }

    #[test]
    fn numbers_and_gaps() {
        let mut digits = *b"0000000000\0";
        write_number(&mut digits, 4711);
        assert_eq!(&digits[..5], b"4711\0");
        assert_eq!(gaps_between(vec![70, 64, 65]), [(3, 63), (66, 69), (71, RawFd::MAX)]);
    }
}
