//! The file itself: made with the right mode, and recognised again.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::Error;

/// Owner reads and writes, group reads; SQLite gives its -wal and -shm the same.
pub(crate) const FILE_MODE: u32 = 0o640;
pub(crate) const FOLDER_MODE: u32 = 0o750;
/// Backups are for their owner alone.
const PRIVATE_FOLDER_MODE: u32 = 0o700;

/// Which file a path named when it was opened. Another one there now means: it was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(path: &Path) -> Result<Self, Error> {
        let about = fs::metadata(path).map_err(|error| Error::File(path.to_owned(), error))?;
        Ok(Self { device: about.dev(), inode: about.ino() })
    }

    /// Does the path still name this file?
    pub(crate) fn is_still_at(self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|now| now == self)
    }
}

/// The folder of the file; the working folder for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the folder of a database, if it is missing.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    make_folder_with(folder, FOLDER_MODE)
}

/// Makes a folder for its owner alone, if it is missing. Tells whether it was.
pub(crate) fn make_private_folder(folder: &Path) -> Result<bool, Error> {
    let is_new = !folder.exists();
    make_folder_with(folder, PRIVATE_FOLDER_MODE)?;
    Ok(is_new)
}

fn make_folder_with(folder: &Path, mode: u32) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .map_err(|error| Error::Folder(folder.to_owned(), error))
}

/// What root makes beside the database is for the user of the database, or the services could not use it. Anyone else
/// makes files of their own, and cannot give them away.
pub(crate) fn give_to_owner_of(example: &Path, path: &Path) -> Result<(), Error> {
    let Ok(example) = fs::metadata(example) else {
        return Ok(());
    };
    match chown(path, Some(example.uid()), Some(example.gid())) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            Err(Error::Path("give away", path.to_owned(), error))
        }
        _ => Ok(()),
    }
}

/// Brings a file, or the names in a folder, to the disk.
pub(crate) fn sync(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| Error::Path("write to the disk", path.to_owned(), error))
}

/// The name of a file that belongs to the database: its own name and something added.
pub(crate) fn beside(database: &Path, addition: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(addition);
    name.into()
}

/// Makes a file that is not there yet.
pub(crate) fn make_new(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(|error| Error::File(path.to_owned(), error))
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::File(path.to_owned(), error)),
        _ => Ok(()),
    }
}

/// Takes from a database that is ours what others must not have. Its -wal and -shm follow: SQLite gives them the mode
/// that the database had when they were made, and a -wal of a time when nobody might write stays so.
pub(crate) fn tighten(database: &Path) -> Result<(), Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(database)
        .and_then(|file| {
            tighten_open(&file)?;
            let mode = file.metadata()?.permissions();
            for part in ["-wal", "-shm"] {
                let part = beside(database, part);
                if fs::metadata(&part).is_ok_and(|about| about.permissions() != mode) {
                    // Another user's, or gone meanwhile: opening the database says what is wrong.
                    let _ = fs::set_permissions(part, mode.clone());
                }
            }
            Ok(())
        })
        .map_err(|error| Error::File(database.to_owned(), error))
}

fn tighten_open(file: &File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & !FILE_MODE == 0 {
        return Ok(());
    }
    match file.set_permissions(Permissions::from_mode(mode & FILE_MODE)) {
        // The file of another user: theirs to decide.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        outcome => outcome,
    }
}
