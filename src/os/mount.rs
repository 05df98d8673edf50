//! A small file system in memory, for showing what a full one does.

use std::io;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Mounts one of this size over a folder (tmpfs(5)).
///
/// # Errors
/// EPERM for all but root.
pub fn memory(at: &Path, bytes: u64) -> io::Result<()> {
    let options = format!("size={bytes},mode=0700");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("dogwatch-drill"), at, Some("tmpfs"), flags, Some(options.as_str()))?)
}

/// Takes it away; who still has files open keeps them until they are closed.
///
/// # Errors
/// EINVAL if nothing is mounted there.
pub fn unmount(at: &Path) -> io::Result<()> {
    Ok(umount2(at, MntFlags::MNT_DETACH)?)
}

/// Whether something is mounted over the folder: then it is on another device than the one it is in.
pub fn is_mounted(at: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).map(|about| about.dev()).ok();
    device(at).zip(at.parent().and_then(device)).is_some_and(|(own, outer)| own != outer)
}
