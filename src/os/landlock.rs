//! Keeping a process from changing files (landlock(7)): what it may write to is listed, all else is read-only to it
//! and to everything that it starts, whoever they become.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::folder;

/// Rights of linux/landlock.h. The first that are about changing: a file's content, then the entries of a folder.
const WRITE_FILE: u64 = 1 << 1;
const REMOVE_AND_MAKE: u64 = 0b1_1111_1111 << 4;
/// To move or link between folders; from version 2 on it can be allowed.
const REFER: u64 = 1 << 13;
/// From version 3 on.
const TRUNCATE: u64 = 1 << 14;
/// What every program counts on to be writable.
const ALWAYS: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/urandom"];

/// The version of Landlock's interface, from 1; none where the kernel has none, or does not use it.
pub fn version() -> Option<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: usize = 1;
    #[expect(unsafe_code, reason = "nix has no landlock_create_ruleset")]
    // SAFETY: a null pointer with size 0 and this flag only asks for the version; nothing is made.
    let answer = unsafe {
        let none = std::ptr::null::<u8>();
        libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, LANDLOCK_CREATE_RULESET_VERSION)
    };
    u32::try_from(answer).ok().filter(|version| *version > 0)
}

/// What a process may change.
#[derive(Debug)]
pub struct Writable {
    rules: OwnedFd,
    version: u32,
}

impl Writable {
    /// Nothing but what every program counts on, such as /dev/null.
    ///
    /// # Errors
    /// `Unsupported` where the kernel has no Landlock.
    pub fn nothing() -> io::Result<Writable> {
        let version = version().ok_or(io::ErrorKind::Unsupported)?;
        let handled = changes(version);
        #[expect(unsafe_code, reason = "nix has no landlock_create_ruleset")]
        // SAFETY: `handled` is struct landlock_ruleset_attr as of version 1, of the size that is given; what the kernel
        // returns is a new descriptor that nobody else owns.
        let rules = unsafe {
            let size = size_of_val(&handled);
            let fd = libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd as RawFd)
        };
        let writable = Writable { rules, version };
        for path in ALWAYS {
            match writable.allow(Path::new(path), WRITE_FILE | TRUNCATE) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(writable)
    }

    /// Also this file, or this folder with all below it. Neither it nor anything below `top`, a folder above it that may
    /// be changed, is reached by way of a link: the one who may change it could lead us anywhere.
    ///
    /// # Errors
    /// Those of open(2); a sentence about a link.
    pub fn add(&self, path: &Path, top: &Path) -> io::Result<()> {
        self.allow_at(&File::from(folder::point_at(path, top)?), u64::MAX)
    }

    /// Also the files that are in this folder, but not its entries.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn add_files_in(&self, folder: &Path) -> io::Result<()> {
        self.allow(folder, WRITE_FILE | TRUNCATE)
    }

    fn allow(&self, path: &Path, rights: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        self.allow_at(&options.read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)?, rights)
    }

    fn allow_at(&self, place: &File, rights: u64) -> io::Result<()> {
        /// struct landlock_path_beneath_attr of linux/landlock.h.
        #[repr(C, packed)]
        struct Beneath {
            allowed: u64,
            parent: RawFd,
        }
        const LANDLOCK_RULE_PATH_BENEATH: usize = 1;
        let possible = match place.metadata()?.is_dir() {
            true => changes(self.version),
            false => changes(self.version) & (WRITE_FILE | TRUNCATE),
        };
        let rule = Beneath { allowed: rights & possible, parent: place.as_raw_fd() };
        #[expect(unsafe_code, reason = "nix has no landlock_add_rule")]
        // SAFETY: `rule` is the struct that this kind of rule has, and both descriptors are open.
        let answer = unsafe {
            let rules = self.rules.as_raw_fd();
            libc::syscall(libc::SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &raw const rule, 0)
        };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsFd for Writable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.rules.as_fd()
    }
}

/// All rights to change something that this version knows.
fn changes(version: u32) -> u64 {
    let refer = if version >= 2 { REFER } else { 0 };
    let truncate = if version >= 3 { TRUNCATE } else { 0 };
    WRITE_FILE | REMOVE_AND_MAKE | refer | truncate
}

/// Puts the calling process, for ever, under these rules; no rights can be gained by exec any more. False: errno says
/// why not.
///
/// # Safety
/// For the child of a fork; async-signal-safe. The descriptor is a [`Writable`]'s.
#[expect(unsafe_code, reason = "between fork and exec there are only system calls")]
pub unsafe fn obey(rules: RawFd) -> bool {
    // SAFETY: integers only.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_landlock_restrict_self, rules, 0) == 0
    }
}
