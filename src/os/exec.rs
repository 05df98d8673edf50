//! Becoming another program: the same process, with its number, its children, its locks, and the descriptors that
//! are named.
//!
//! All signals are blocked before exec and stay so: a handler is gone with the old program, and a signal that came
//! before the new one waits for it would end the process. The new program lets them through when it is ready for
//! them ([`super::wait::signals`], [`super::wait::let_signals_through`]); what came meanwhile is still there then.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::ptr;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{SigSet, SigmaskHow};

use super::{inherit, limits};

/// Names what a process tells itself: `NAME=VALUE;NAME=VALUE`. Processes that it starts do not get it.
pub const MEMO: &str = "DOGWATCH_MEMO";

/// What a process is to become.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// Descriptors that it keeps, each under a name (see [`super::inherit`]).
    pub inherit: Vec<(String, BorrowedFd<'a>)>,
    /// What it is told besides, by name (see [`told`]).
    pub memo: Vec<(&'static str, String)>,
}

/// Becomes that program, with the environment of this one. Other threads of this process end at once, wherever they
/// are. It returns only if that is impossible, with the reason; then nothing has changed.
#[must_use]
pub fn exec(what: Exec<'_>) -> io::Error {
    match try_exec(what) {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

fn try_exec(what: Exec<'_>) -> io::Result<Infallible> {
    let mut memo = what.memo;
    memo.extend(limits::before().map(|before| (limits::MEMO, before)));
    let memo: Vec<String> = memo.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let own = [inherit::VARIABLE, MEMO];
    let env = std::env::vars_os().filter(|(name, _)| !own.iter().any(|own| name == own));
    let mut env: Vec<CString> = env
        .map(|(name, value)| {
            let mut line = name.into_vec();
            line.push(b'=');
            line.extend(value.into_vec());
            CString::new(line)
        })
        .collect::<Result<_, _>>()?;
    env.push(CString::new(format!("{}={}", inherit::VARIABLE, inherit::words(&what.inherit)))?);
    env.push(CString::new(format!("{MEMO}={}", memo.join(";")))?);
    let program = CString::new(what.program.as_os_str().as_bytes())?;
    let mut argv = vec![program.clone()];
    for word in what.args {
        argv.push(CString::new(word.into_vec())?);
    }
    let pointers = |words: &[CString]| -> Vec<*const libc::c_char> {
        words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv_pointers, env_pointers) = (pointers(&argv), pointers(&env));
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let kept = set_cloexec(&what.inherit, false);
    let error = kept.err().unwrap_or_else(|| {
        #[expect(unsafe_code, reason = "nix's execve takes no array made beforehand")]
        // SAFETY: both arrays end in a null pointer, and what they point to lives through the call.
        unsafe {
            libc::execve(program.as_ptr(), argv_pointers.as_ptr(), env_pointers.as_ptr());
        }
        io::Error::last_os_error()
    });
    // Both worked a moment ago with the same arguments; there is nobody to tell if they do not now.
    let _ = set_cloexec(&what.inherit, true);
    let _ = before.thread_set_mask();
    Err(error)
}

fn set_cloexec(which: &[(String, BorrowedFd<'_>)], on: bool) -> io::Result<()> {
    let flag = if on { FdFlag::FD_CLOEXEC } else { FdFlag::empty() };
    for (_, fd) in which {
        fcntl(fd, FcntlArg::F_SETFD(flag)).map_err(|error| {
            io::Error::other(format!("descriptor {} cannot be handed on: {error}", fd.as_raw_fd()))
        })?;
    }
    Ok(())
}

/// Whether this process was another program before.
pub fn has_happened() -> bool {
    std::env::var_os(MEMO).is_some()
}

/// What this process was told under that name by the program that it was before; none if it was told nothing, or was
/// no other program.
pub fn told(name: &str) -> Option<String> {
    let memo = std::env::var(MEMO).ok()?;
    let value = memo.split(';').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.filter(|value| !value.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_program_that_is_not_there_changes_nothing() {
        let file = tempfile::tempfile().unwrap();
        let mask = || SigSet::thread_get_mask().unwrap();
        let before = mask();
        let answer = exec(Exec {
            program: Path::new("/nothing/here"),
            args: vec!["word".into()],
            inherit: vec![("file".to_owned(), file.as_fd())],
            memo: vec![("helper", "7".to_owned())],
        });
        assert_eq!(answer.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(fcntl(&file, FcntlArg::F_GETFD).unwrap(), FdFlag::FD_CLOEXEC.bits());
        assert_eq!(mask(), before);
    }
}
