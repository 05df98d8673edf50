//! What this process is and may: its user, its mask, its terminal, its private files.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::sys::stat::{Mode, umask};

/// The effective user id.
pub fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Whether it is in this group, as its own or as one more.
pub fn is_in_group(gid: u32) -> bool {
    let more = nix::unistd::getgroups().unwrap_or_default();
    gid == effective_gid() || more.iter().any(|group| group.as_raw() == gid)
}

/// The effective group id.
pub fn effective_gid() -> u32 {
    nix::unistd::getegid().as_raw()
}

/// From now on nothing that this process makes can be read by others.
pub fn private_umask() {
    umask(Mode::from_bits_truncate(0o077));
}

/// How likely the kernel is to take this process when memory runs out (proc_pid_oom_score_adj(5)).
pub fn oom_score() -> i32 {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Sets it. Only root may lower it; where it is refused the old one holds.
pub fn set_oom_score(score: i32) {
    let _ = std::fs::write("/proc/self/oom_score_adj", score.to_string());
}

/// Whether standard error is a regular file.
pub fn speaks_into_a_file() -> bool {
    let about = nix::sys::stat::fstat(std::io::stderr());
    about.is_ok_and(|about| about.st_mode & libc::S_IFMT == libc::S_IFREG)
}

/// Makes `fd` this process's standard output and standard error.
///
/// # Errors
/// Those of dup2(2).
pub fn speak_into(fd: impl AsFd) -> io::Result<()> {
    nix::unistd::dup2_stdout(&fd)?;
    Ok(nix::unistd::dup2_stderr(&fd)?)
}

/// Makes a folder and those above it, 0700 each; one that exists stays as it is.
///
/// # Errors
/// Those of mkdir(2).
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The user that owns a file.
///
/// # Errors
/// Those of stat(2).
pub fn owner(path: &Path) -> io::Result<u32> {
    Ok(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path)?))
}

/// The width of the terminal behind `fd`, columns; none if it is not one (TIOCGWINSZ, ioctl_tty(2)).
pub fn terminal_width(fd: impl AsFd) -> Option<u16> {
    use std::os::fd::AsRawFd;
    nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, libc::winsize);
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    #[expect(unsafe_code, reason = "an ioctl")]
    // SAFETY: the descriptor is borrowed, so open; `size` is the struct that the request fills in.
    let answer = unsafe { window_size(fd.as_fd().as_raw_fd(), &raw mut size) };
    (answer.is_ok() && size.ws_col > 0).then_some(size.ws_col)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_width() {
        assert_eq!(terminal_width(tempfile::tempfile().unwrap()), None);
    }
}
