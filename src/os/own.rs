//! What this process is and may: its user, its mask, its terminal, its private files.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::stat::{Mode, umask};

/// The effective user id.
pub fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// From now on nothing that this process makes can be read by others.
pub fn private_umask() {
    umask(Mode::from_bits_truncate(0o077));
}

/// Makes a folder and those above it, 0700 each; one that exists stays as it is.
///
/// # Errors
/// Those of mkdir(2).
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Puts `bytes` into the place of the file at `path`: whoever reads sees the old or the new, never a part.
/// Mode 0600.
///
/// # Errors
/// Those of writing beside it and of rename(2).
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    drop(file);
    std::fs::rename(&beside, path)
}

/// The width of the terminal behind `fd`, columns; none if it is not one (TIOCGWINSZ, ioctl_tty(2)).
pub fn terminal_width(fd: impl AsFd) -> Option<u16> {
    use std::os::fd::AsRawFd;
    nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, libc::winsize);
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    #[expect(unsafe_code, reason = "an ioctl")]
    // SAFETY: the descriptor is borrowed, so open; `size` is the struct that the request fills in.
    let answer = unsafe { window_size(fd.as_fd().as_raw_fd(), &raw mut size) };
    (answer.is_ok() && size.ws_col > 0).then_some(size.ws_col)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_replaced_file_is_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        make_folder(&folder).unwrap();
        make_folder(&folder).unwrap();
        let path = folder.join("spec.json");
        replace_file(&path, b"old").unwrap();
        replace_file(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_file_has_no_width() {
        assert_eq!(terminal_width(tempfile::tempfile().unwrap()), None);
    }
}
