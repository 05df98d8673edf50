//! The database and the files that it is of no use without, in one folder with their checksums.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Job;
use super::backup::{copy_checked, prepare};
use super::backup_name::{dated, stem};
use super::disk::{length, need};
use super::examine::Content;
use super::workplace::Workplace;
use crate::Error;
use crate::file::{folder_of, give_to_owner_of, make_private_folder, sync};

/// What `sha256sum --check` reads.
const SUMS: &str = "SHA256SUMS";

/// A full backup that was made.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct FullBackup {
    /// The database.
    pub database: PathBuf,
    /// The folder.
    pub backup: PathBuf,
    /// The files in it, with the list of checksums.
    pub files: Vec<PathBuf>,
    /// Bytes of all files.
    pub bytes: u64,
    /// What is in the database.
    #[serde(flatten)]
    pub content: Content,
}

/// Backs up the database and `files` into a new folder in `folder`.
///
/// # Errors
/// When one of them cannot be read, two have the same name, or the copies cannot be written; then there is no new
/// folder.
pub fn back_up_fully(job: Job<'_>, folder: &Path, files: &[PathBuf]) -> Result<FullBackup, Error> {
    prepare(job, folder)?;
    need(folder, files.iter().map(|path| length(path)).sum())?;
    let work = Workplace::new(folder)?;
    let new = work.file("full");
    make_private_folder(&new)?;
    let mut names = vec![job.database.file_name().unwrap_or_default().to_owned()];
    let copy = new.join(&names[0]);
    let content = copy_checked(job, &copy)?;
    for path in files {
        let name = path.file_name().unwrap_or_default().to_owned();
        if name == SUMS || names.contains(&name) {
            let twice = io::Error::new(io::ErrorKind::AlreadyExists, "another file has its name");
            return Err(Error::Path("back up", path.clone(), twice));
        }
        copy_file(path, &new.join(&name))?;
        names.push(name);
    }
    let mut sums = String::new();
    for name in &names {
        sync(&new.join(name))?;
        sums.push_str(&format!("{}  {}\n", checksum(&new.join(name))?, name.to_string_lossy()));
    }
    write_new(&new.join(SUMS), |file| file.write_all(sums.as_bytes()))?;
    names.push(SUMS.into());
    for path in names.iter().map(|name| new.join(name)).chain([new.clone()]) {
        give_to_owner_of(job.database, &path)?;
    }
    sync(&new)?;
    let backup = folder.join(format!("full-{}", dated(&stem(job.database), Timestamp::now())));
    // A folder takes the place of nothing but an empty folder.
    fs::rename(&new, &backup).map_err(|error| Error::Path("put the new folder at", backup.clone(), error))?;
    sync(folder)?;
    let files: Vec<PathBuf> = names.iter().map(|name| backup.join(name)).collect();
    let bytes = files.iter().map(|path| length(path)).sum();
    Ok(FullBackup { database: job.database.to_owned(), backup, files, bytes, content })
}

/// Compares a file with the list of checksums beside it, if there is one that names it.
///
/// # Errors
/// [`Error::NotWhole`] when it is another content.
pub(super) fn compare_with_checksum(path: &Path) -> Result<(), Error> {
    let Ok(sums) = fs::read_to_string(folder_of(path).join(SUMS)) else {
        return Ok(());
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let sum = sums.lines().filter_map(|line| line.split_once("  ")).find(|(_, named)| *named == name);
    match sum {
        Some((sum, _)) if sum != checksum(path)? => {
            Err(Error::NotWhole(path.to_owned(), format!("its checksum is not the one in {SUMS}")))
        }
        _ => Ok(()),
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |error| Error::Path("back up", from.to_owned(), error);
    let mut source = File::open(from).map_err(failed)?;
    if !source.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
    }
    write_new(to, |file| io::copy(&mut source, file).map(|_| ()))
}

fn write_new(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Error> {
    let failed = |error| Error::Path("write", path.to_owned(), error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    write(&mut file).and_then(|()| file.sync_all()).map_err(failed)
}

fn checksum(path: &Path) -> Result<String, Error> {
    let failed = |error| Error::Path("read", path.to_owned(), error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            length => hash.update(&buffer[..length]),
        }
    }
}
