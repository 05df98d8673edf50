//! Archived log files: how they get there, how many are kept. Their names: [`crate::wire::archive_name`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::os::folder::{Folder, Missing};
use crate::wire::archive_name::{ArchiveName, FOLDER, Form, log};

/// Moves the log file of a stream into its archive, whose folders are made. Returns where it is now.
///
/// # Errors
/// Those of [`Folder`]: what stands in the way is named by the path of the error's sentence.
pub fn put(logs: &Folder, log_dir: &Path, stem: &str, unix_ms: u64) -> io::Result<PathBuf> {
    let archive = logs.inner(FOLDER, Missing::Make)?;
    // Two in one millisecond: the later one takes the next free one, so that names still sort by time.
    for at_ms in unix_ms.. {
        let name = ArchiveName { stem: stem.to_owned(), at_ms, form: Form::Plain };
        let month = name.month();
        let folder = archive.inner(&month, Missing::Make)?;
        if folder.id_of(&name.in_form(Form::Gzip).to_string()).is_some() {
            continue;
        }
        match logs.move_file(&log(stem), &folder, &name.to_string()) {
            Ok(()) => return Ok(log_dir.join(FOLDER).join(month).join(name.to_string())),
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

/// All archived logs of one stream, oldest first, each once: one that is just being compressed is still there as it was.
pub fn list(log_dir: &Path, stem: &str) -> Vec<PathBuf> {
    let months = fs::read_dir(log_dir.join(FOLDER)).into_iter().flatten().flatten();
    let files = months.flat_map(|month| fs::read_dir(month.path()).into_iter().flatten().flatten());
    let named = files.filter_map(|file| Some((ArchiveName::parse(file.file_name().to_str()?)?, file.path())));
    let mut found: Vec<(ArchiveName, PathBuf)> =
        named.filter(|(name, _)| name.stem == stem && name.form != Form::Index).collect();
    found.sort_unstable();
    found.dedup_by_key(|(name, _)| name.at_ms);
    found.into_iter().map(|(_, path)| path).collect()
}

/// Deletes the oldest archives until `keep` are left.
pub fn prune(logs: &Folder, stem: &str, keep: u32) {
    let Ok(archive) = logs.inner(FOLDER, Missing::Fail) else { return };
    let months: Vec<Folder> =
        archive.names().iter().filter_map(|month| archive.inner(month, Missing::Fail).ok()).collect();
    let mut all: Vec<(ArchiveName, &Folder)> = Vec::new();
    for month in &months {
        let names = month.names();
        let ours = names.iter().filter_map(|name| ArchiveName::parse(name)).filter(|name| name.stem == stem);
        all.extend(ours.map(|name| (name, month)));
    }
    all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (name, month) in &all[..all.len().saturating_sub(keep as usize)] {
        let _ = month.remove(&name.to_string()); // compressed under another name meanwhile: next time
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
