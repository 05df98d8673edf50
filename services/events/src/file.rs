//! The file itself: made with the right mode, and recognised again.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::Error;

/// Owner reads and writes, group reads; SQLite gives its -wal and -shm the same.
pub(crate) const FILE_MODE: u32 = 0o640;
pub(crate) const FOLDER_MODE: u32 = 0o750;

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

/// The name of a file that belongs to the database: its own name and something added.
pub(crate) fn beside(database: &Path, addition: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(addition);
    name.into()
}

/// Makes folder and file where they are missing, and takes from a file that is ours what others
/// must not have.
pub(crate) fn prepare(path: &Path) -> Result<(), Error> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder)
            .map_err(|error| Error::Folder(folder.to_owned(), error))?;
    }
    open_or_create(path).and_then(|file| tighten(&file)).map_err(|error| Error::File(path.to_owned(), error))
}

fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}

fn tighten(file: &File) -> io::Result<()> {
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
