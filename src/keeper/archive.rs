//! Archived log files: their names, and how many are kept.
//!
//! `<log_dir>/archive/YYYY-MM/<stem>.<UTC>.log`, with `.gz` once compressed. The UTC stamp sorts by time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::os::clock;

/// A free name for the file that is rotated away now, with its folder made.
///
/// # Errors
/// Those of mkdir(2).
pub fn new_name(log_dir: &Path, stem: &str, unix_ms: u64) -> io::Result<PathBuf> {
    // Two in one millisecond: the later one takes the next free one, so that names still sort by time.
    for unix_ms in unix_ms.. {
        let (month, stamp) = clock::utc_stamps(unix_ms);
        let folder = log_dir.join("archive").join(month);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{stem}.{stamp}.log"));
        if !path.exists() && !path.with_extension("log.gz").exists() {
            return Ok(path);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// All archives of one stream, oldest first.
pub fn list(log_dir: &Path, stem: &str) -> Vec<PathBuf> {
    let months = fs::read_dir(log_dir.join("archive")).into_iter().flatten().flatten();
    let files = months.flat_map(|month| fs::read_dir(month.path()).into_iter().flatten().flatten());
    let mut found: Vec<PathBuf> =
        files.map(|file| file.path()).filter(|path| is_archive(path, stem)).collect();
    found.sort_unstable_by(|a, b| a.file_name().cmp(&b.file_name()));
    found
}

/// Whether this is an archive of exactly that stream: `web-out.` is followed by a stamp, so `web`'s archives
/// are never taken for those of a service that is called `web-out`.
fn is_archive(path: &Path, stem: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
    let stamped =
        rest.len() > 20 && rest.as_bytes()[..8].iter().all(u8::is_ascii_digit) && rest.as_bytes()[8] == b'T';
    stamped && (rest.ends_with(".log") || rest.ends_with(".log.gz"))
}

/// Deletes the oldest archives until `keep` are left.
pub fn prune(log_dir: &Path, stem: &str, keep: u32) {
    let all = list(log_dir, stem);
    for path in &all[..all.len().saturating_sub(keep as usize)] {
        let _ = fs::remove_file(path); // compressed under another name meanwhile: next time
    }
}

/// Archives that are not compressed yet.
pub fn uncompressed(log_dir: &Path, stem: &str) -> Vec<PathBuf> {
    list(log_dir, stem).into_iter().filter(|path| path.extension().is_some_and(|end| end == "log")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_free_sorted_and_the_streams_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for n in 0..12 {
            let path = new_name(dir.path(), "web-out", 1_000_000_000_000 + n / 4).unwrap();
            fs::write(&path, "x").unwrap();
            names.push(path);
        }
        let folder = names[0].parent().unwrap();
        for other in ["web-out-out.20010909T014640.000Z.log", "web-out.log", "web-out.x.log"] {
            fs::write(folder.join(other), "x").unwrap();
        }
        assert_eq!(list(dir.path(), "web-out"), names);
        prune(dir.path(), "web-out", 3);
        assert_eq!(list(dir.path(), "web-out"), names[9..]);
        assert!(folder.join("web-out.log").exists());
    }
}
