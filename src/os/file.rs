//! Files that must be right after a crash, and files of others that are only read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Puts `bytes` in the place of the file at `path`: whole or not at all, mode 0600. What must survive a power
/// cut is flushed to the disk when `durable`. What stands there already is not written again: a full disk has no room
/// for it.
///
/// # Errors
/// Those of writing beside it and of rename(2).
pub fn replace(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    if !durable && fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    if durable {
        file.sync_all()?;
    }
    fs::rename(&beside, path)?;
    if durable && let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Room on a file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All.
    pub total: u64,
    /// What is taken.
    pub used: u64,
    /// What a program without privileges can still write.
    pub free: u64,
}

/// Asks the file system of a folder how much room there is. It may hang with its disk.
///
/// # Errors
/// Those of statvfs(3).
pub fn space(folder: &Path) -> io::Result<Space> {
    let about = nix::sys::statvfs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(about.fragment_size());
    Ok(Space {
        total: bytes(about.blocks()),
        used: bytes(about.blocks().saturating_sub(about.blocks_free())),
        free: bytes(about.blocks_available()),
    })
}

/// How many files a file system has room for, and how many more; none where it makes room as needed.
///
/// # Errors
/// Those of statvfs(3).
pub fn inodes(folder: &Path) -> io::Result<Option<(u64, u64)>> {
    let about = nix::sys::statvfs::statvfs(folder)?;
    Ok((about.files() > 0).then(|| (about.files(), about.files_available())))
}

/// Whether a folder is in memory, and gone after a reboot.
///
/// # Errors
/// Those of statfs(2).
pub fn is_in_memory(folder: &Path) -> io::Result<bool> {
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    let kind = nix::sys::statfs::statfs(folder)?.filesystem_type();
    Ok(kind == nix::sys::statfs::TMPFS_MAGIC || kind.0 as i64 == RAMFS_MAGIC)
}

/// Opens a file of fixed size for writing in place, mode 0600, with its blocks allocated: later writes need
/// no space.
///
/// # Errors
/// Those of open(2) and fallocate(2); a file system without fallocate is filled by writing.
pub fn open_preallocated(path: &Path, size: usize) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.len() < size as u64 {
        file.write_all_at(&vec![b' '; size], 0)?;
    }
    Ok(file)
}

/// Opens a log file to read it. A symbolic link is not followed, and nothing but a regular file with one name is
/// read: a service that may write into its log folder shows us nothing else, and keeps nobody waiting at a FIFO.
///
/// # Errors
/// ELOOP for a symbolic link, `InvalidInput` for anything else that is no such file.
pub fn open_log(path: &Path) -> io::Result<File> {
    let safely = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(safely).open(path)?;
    let about = file.metadata()?;
    match about.is_file() && about.nlink() <= 1 {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file with one name")),
    }
}

/// Which file this is: device and inode.
pub type FileId = (u64, u64);

/// Which file has this name now; none if there is none.
pub fn id_at(path: &Path) -> Option<FileId> {
    let about = fs::symlink_metadata(path).ok()?;
    Some((about.dev(), about.ino()))
}
