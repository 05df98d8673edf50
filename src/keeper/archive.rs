//! Archived log files: their names, and how many are kept.
//!
//! `<log_dir>/archive/YYYY-MM/<stem>.<UTC>.log`, with `.gz` once compressed. The UTC stamp sorts by time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::os::clock;
use crate::os::folder::{Folder, Missing};

/// In the log folder.
const FOLDER: &str = "archive";

/// Moves the log file of a stream into its archive, whose folders are made. Returns where it is now.
///
/// # Errors
/// Those of [`Folder`]: what stands in the way is named by the path of the error's sentence.
pub fn put(logs: &Folder, log_dir: &Path, stem: &str, unix_ms: u64) -> io::Result<PathBuf> {
    let archive = logs.inner(FOLDER, Missing::Make)?;
    // Two in one millisecond: the later one takes the next free one, so that names still sort by time.
    for unix_ms in unix_ms.. {
        let (month, stamp) = clock::utc_stamps(unix_ms);
        let folder = archive.inner(&month, Missing::Make)?;
        let name = format!("{stem}.{stamp}.log");
        if folder.id_of(&format!("{name}.gz")).is_some() {
            continue;
        }
        match logs.move_file(&format!("{stem}.log"), &folder, &name) {
            Ok(()) => return Ok(log_dir.join(FOLDER).join(month).join(name)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The folder of an archive file, reached without being led elsewhere.
///
/// # Errors
/// Those of [`Folder`]; `InvalidInput` if the path is not that of an archive.
pub fn folder_of(archived: &Path) -> io::Result<(Folder, String)> {
    let name = |path: Option<&Path>| Some(path?.file_name()?.to_str()?.to_owned());
    let parts = || {
        let month = archived.parent()?;
        let archive = month.parent().filter(|archive| archive.ends_with(FOLDER))?;
        Some((archive.parent()?, name(Some(month))?, name(Some(archived))?))
    };
    let (logs, month, file) = parts().ok_or(io::ErrorKind::InvalidInput)?;
    let archive = Folder::open(logs, Missing::Fail)?.inner(FOLDER, Missing::Fail)?;
    Ok((archive.inner(&month, Missing::Fail)?, file))
}

/// All archives of one stream, oldest first.
pub fn list(log_dir: &Path, stem: &str) -> Vec<PathBuf> {
    let months = fs::read_dir(log_dir.join(FOLDER)).into_iter().flatten().flatten();
    let files = months.flat_map(|month| fs::read_dir(month.path()).into_iter().flatten().flatten());
    let mut found: Vec<PathBuf> =
        files.map(|file| file.path()).filter(|path| is_archive(&name_of(path), stem)).collect();
    found.sort_unstable_by(|a, b| a.file_name().cmp(&b.file_name()));
    found
}

fn name_of(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned()
}

/// Whether this is an archive of exactly that stream: `web-out.` is followed by a stamp, so `web`'s archives
/// are never taken for those of a service that is called `web-out`.
fn is_archive(name: &str, stem: &str) -> bool {
    let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
    let stamped =
        rest.len() > 20 && rest.as_bytes()[..8].iter().all(u8::is_ascii_digit) && rest.as_bytes()[8] == b'T';
    stamped && (rest.ends_with(".log") || rest.ends_with(".log.gz"))
}

/// Deletes the oldest archives until `keep` are left.
pub fn prune(logs: &Folder, stem: &str, keep: u32) {
    let Ok(archive) = logs.inner(FOLDER, Missing::Fail) else { return };
    let months: Vec<Folder> =
        archive.names().iter().filter_map(|month| archive.inner(month, Missing::Fail).ok()).collect();
    let mut all: Vec<(String, &Folder)> = Vec::new();
    for month in &months {
        let names = month.names().into_iter().filter(|name| is_archive(name, stem));
        all.extend(names.map(|name| (name, month)));
    }
    all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (name, month) in &all[..all.len().saturating_sub(keep as usize)] {
        let _ = month.remove(name); // compressed under another name meanwhile: next time
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
        let logs = Folder::open(dir.path(), Missing::Fail).unwrap();
        let mut names = Vec::new();
        for n in 0..12 {
            fs::write(dir.path().join("web-out.log"), "x").unwrap();
            names.push(put(&logs, dir.path(), "web-out", 1_000_000_000_000 + n / 4).unwrap());
        }
        let folder = names[0].parent().unwrap();
        for other in ["web-out-out.20010909T014640.000Z.log", "web-out.log", "web-out.x.log"] {
            fs::write(folder.join(other), "x").unwrap();
        }
        assert_eq!(list(dir.path(), "web-out"), names);
        prune(&logs, "web-out", 3);
        assert_eq!(list(dir.path(), "web-out"), names[9..]);
        assert!(folder.join("web-out.log").exists());
        let (found, name) = folder_of(&names[11]).unwrap();
        assert!(found.is_at(folder) && names[11].ends_with(name));
        assert!(folder_of(&dir.path().join("web-out.log")).is_err());
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Folder::open(dir.path(), Missing::Fail).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let theirs = elsewhere.path().join("web-out.20010909T014640.000Z.log");
        fs::write(&theirs, "not ours").unwrap();
        fs::write(dir.path().join("web-out.log"), "x").unwrap();
        let refused = |what: &str| {
            let error = put(&logs, dir.path(), "web-out", 1_000_000_000_000).unwrap_err().to_string();
            assert!(error.starts_with("it is a symbolic link"), "{what}: {error}");
            prune(&logs, "web-out", 0);
            assert!(theirs.exists(), "{what}");
            let through = dir.path().join("archive/2001-09/web-out.20010909T014640.000Z.log");
            assert!(folder_of(&through).is_err(), "{what}");
        };
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("archive")).unwrap();
        refused("archive");
        fs::remove_file(dir.path().join("archive")).unwrap();
        fs::create_dir(dir.path().join("archive")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("archive/2001-09")).unwrap();
        refused("month");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }
}
