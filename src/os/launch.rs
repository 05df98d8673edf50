//! Starting dogwatch's own processes: detached, with descriptors handed down.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{AccessFlags, access};

use super::inherit::{self, VARIABLE};
use super::process::PidFd;
use super::{exec, fifo, limits, program};

/// Without its per-thread cache glibc's allocator gives freed memory back: a fifth less private memory for
/// processes that do next to nothing (GNU C library manual, "Tunables"). Services have an environment of their
/// own and do not see it.
const ALLOCATOR: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");

/// One process of dogwatch, to be started.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The program; usually [`own_program`].
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables set beside the ones of this process.
    pub env: Vec<(String, String)>,
    /// Descriptors that it inherits, each under a name (see [`super::inherit`]).
    pub inherit: Vec<(String, BorrowedFd<'a>)>,
    /// Where its output goes.
    pub output: &'a Path,
}

/// The program to start other processes of dogwatch from: the file that this process was started from. After an upgrade
/// that is another one, under the same name.
///
/// # Errors
/// When /proc is not mounted.
pub fn own_program() -> io::Result<PathBuf> {
    let own = nix::unistd::getpid().as_raw();
    let path = program::of(own)?.path;
    // Somebody has removed it, or it may not be run any more: what this process runs still can.
    Ok(if access(&path, AccessFlags::X_OK).is_ok() { path } else { program::link(own) })
}

/// Starts a process as [`launch_in`] does, in `/`: dogwatch's own processes keep no folder busy.
///
/// # Errors
/// As [`launch_in`].
pub fn launch(what: &Launch<'_>) -> io::Result<(i32, PidFd)> {
    launch_in(what, Path::new("/"))
}

/// Starts a process in this folder, in a session of its own (its own share of the processor under autogroup, sched(7), and no
/// terminal that could send it signals), with stdin from /dev/null. Returns its number and a handle. It is a
/// child of this process: who launches must reap.
///
/// # Errors
/// Those of opening the output, of fork, of entering the folder and of exec.
pub fn launch_in(what: &Launch<'_>, folder: &Path) -> io::Result<(i32, PidFd)> {
    let output = open_output(what.output)?;
    let numbers: Vec<RawFd> = what.inherit.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
    let mut command = Command::new(&what.program);
    command
        .args(&what.args)
        .envs(what.env.iter().map(|(name, value)| (name, value)))
        .env(VARIABLE, inherit::words(&what.inherit))
        .env_remove(exec::MEMO)
        .env(ALLOCATOR.0, ALLOCATOR.1)
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let files = limits::for_children();
    #[expect(unsafe_code, reason = "pre_exec is the only way to run code in the child")]
    // SAFETY: the closure calls only setsid, sigprocmask, setrlimit and fcntl, which are async-signal-safe
    // (signal-safety(7)), and allocates nothing: `numbers` is only read.
    unsafe {
        command.pre_exec(move || {
            libc::setsid();
            let mut none = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            if let Some(files) = &files {
                libc::setrlimit(libc::RLIMIT_NOFILE, files);
            }
            for fd in &numbers {
                if libc::fcntl(*fd, libc::F_SETFD, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    let child = command.spawn()?;
    let pid = child.id() as i32;
    Ok((pid, PidFd::open(pid)?))
}

/// Opens a FIFO so that nobody who writes into it ever waits; a file for appending, mode 0600. A process without a
/// voice is better than none: what cannot be opened becomes /dev/null.
///
/// # Errors
/// There is no /dev/null.
fn open_output(path: &Path) -> io::Result<File> {
    let is_fifo = path.extension().is_some_and(|kind| kind == "fifo");
    let opened = if is_fifo {
        fifo::open_pump(path).map(File::from)
    } else {
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)
    };
    opened.or_else(|_| OpenOptions::new().write(true).open("/dev/null"))
}
