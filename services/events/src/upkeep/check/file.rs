//! The file as others see it: is it there, whose is it, who may read it, on what does it lie?

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{self, statfs};

use super::{Finding, command, word};
use crate::Error;
use crate::file::{FILE_MODE, FOLDER_MODE, beside, folder_of};
use crate::upkeep::disk::wal_length;
use crate::upkeep::facts::{owner_name, show_mode};

/// A -wal longer than this is not brought into the file any more.
const WAL_LIMIT: u64 = 64 << 20;
/// What belongs to the database, by what is added to its name.
const FILES: [&str; 5] = ["", "-wal", "-shm", "-journal", ".lock"];
/// Everyone's folder, such as /tmp, has this bit: its mode is not ours to set.
const STICKY: u32 = 0o1000;

/// An error, if there is no file to look at.
pub(super) fn presence(database: &Path) -> Option<Finding> {
    const CHECK: &str = "database-access";
    const WHY: &str = "nothing is written or read";
    let shown = database.display();
    match fs::metadata(database) {
        Ok(about) if about.is_file() => None,
        Ok(_) => Some(Finding::error(
            CHECK,
            format!("{shown} is not a file"),
            WHY,
            format!("ls -ld {}", word(database)),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Finding::error(
            CHECK,
            format!("missing: {shown}"),
            "the webhook makes it when it starts; until then nothing is written or read",
            format!(
                "dogwatch start webhook-button-handler, or to have the old events: {}",
                command(database, "restore BACKUP")
            ),
        )),
        Err(error) => Some(Finding::error(
            CHECK,
            format!("{shown} cannot be reached: {error}"),
            WHY,
            format!("ls -ld {}", word(folder_of(database))),
        )),
    }
}

pub(super) fn check(database: &Path) -> Vec<Finding> {
    vec![permissions(database), owner(database), place(database), wal_size(database)]
}

/// The files of the database that are there.
fn files(database: &Path) -> Vec<(PathBuf, Metadata)> {
    let about = |path: PathBuf| fs::metadata(&path).ok().map(|about| (path, about));
    FILES.iter().filter_map(|part| about(beside(database, part))).collect()
}

fn mode(about: &Metadata) -> u32 {
    about.permissions().mode() & 0o7777
}

/// The folder, if it is the database's own: its owner's, and not everyone's.
fn own_folder(database: &Path) -> Option<(PathBuf, Metadata)> {
    let folder = folder_of(database);
    let about = fs::metadata(folder).ok()?;
    let owner = fs::metadata(database).ok()?.uid();
    (about.uid() == owner && mode(&about) & STICKY == 0).then(|| (folder.to_owned(), about))
}

/// Everything with another mode than it should have: path, mode it has, mode it should have.
fn wrong_modes(database: &Path) -> Vec<(PathBuf, u32, u32)> {
    let files = files(database).into_iter().map(|(path, about)| (path, mode(&about), FILE_MODE));
    let folder = own_folder(database).map(|(path, about)| (path, mode(&about), FOLDER_MODE));
    files.chain(folder).filter(|(_, has, wanted)| has != wanted).collect()
}

fn permissions(database: &Path) -> Finding {
    const CHECK: &str = "database-permissions";
    let wrong = wrong_modes(database);
    if wrong.is_empty() {
        return Finding::ok(CHECK, format!("{}, folder {}", show_mode(FILE_MODE), show_mode(FOLDER_MODE)));
    }
    let found: Vec<String> =
        wrong.iter().map(|(path, has, _)| format!("{} {}", path.display(), show_mode(*has))).collect();
    let fix = command(database, "check --fix");
    // Without these the services cannot work; anything else is only wider or narrower than need be.
    if wrong.iter().any(|(_, has, wanted)| has & wanted & 0o700 != wanted & 0o700) {
        return Finding::error(CHECK, found.join(", "), "the services cannot read or write", fix);
    }
    Finding::warning(
        CHECK,
        found.join(", "),
        "the file holds phone numbers and messages: 0640, its folder 0750",
        fix,
    )
}

/// Gives the files of the database 0640 and its own folder 0750. Returns what was changed.
///
/// # Errors
/// When a mode cannot be set; those before it are.
pub fn set_modes(database: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut changed = Vec::new();
    for (path, _, wanted) in wrong_modes(database) {
        fs::set_permissions(&path, Permissions::from_mode(wanted))
            .map_err(|error| Error::Path("set the mode of", path.clone(), error))?;
        changed.push(path);
    }
    Ok(changed)
}

fn owner(database: &Path) -> Finding {
    const CHECK: &str = "database-owner";
    let files = files(database);
    let Ok(folder) = fs::metadata(folder_of(database)) else {
        return Finding::ok(CHECK, "unknown");
    };
    let owner = owner_name(folder.uid());
    let foreign: Vec<&PathBuf> =
        files.iter().filter(|(_, about)| about.uid() != folder.uid()).map(|(path, _)| path).collect();
    if foreign.is_empty() {
        return Finding::ok(CHECK, owner);
    }
    let words: Vec<String> = foreign.iter().map(|path| word(*path)).collect();
    Finding::warning(
        CHECK,
        format!("not of {owner}, who has the folder: {}", words.join(" ")),
        "all services run as one user, and must write every one of these files",
        format!("chown {}:{} {}", folder.uid(), folder.gid(), words.join(" ")),
    )
}

fn place(database: &Path) -> Finding {
    const CHECK: &str = "database-place";
    const MOVE: &str = "stop the services, move the folder, and set EVENTS_DB";
    let real = |path: &Path| fs::canonicalize(path).ok();
    let leads_away =
        real(database).zip(real(folder_of(database))).is_some_and(|(file, folder)| !file.starts_with(folder));
    if leads_away {
        let why = "its -wal is looked for beside the link, and a restore replaces the link";
        return Finding::warning(CHECK, "a link to a file in another folder", why, MOVE);
    }
    let Ok(disk) = statfs(folder_of(database)) else {
        return Finding::ok(CHECK, "unknown");
    };
    let kind = disk.filesystem_type();
    // FUSE and CIFS have no name in nix; the numbers are those of linux/magic.h.
    let away = [
        (statfs::NFS_SUPER_MAGIC, "NFS"),
        (statfs::SMB_SUPER_MAGIC, "SMB"),
        (statfs::FsType(0xff53_4d42), "CIFS"),
        (statfs::FsType(0xfe53_4d42), "SMB2"),
        (statfs::FUSE_SUPER_MAGIC, "FUSE"),
    ];
    match away.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => {
            let why = "SQLite's -wal needs memory shared between processes, which only a local disk gives";
            Finding::warning(CHECK, format!("on {name}"), why, MOVE)
        }
        None => Finding::ok(CHECK, "a local disk"),
    }
}

fn wal_size(database: &Path) -> Finding {
    const CHECK: &str = "wal-size";
    let bytes = wal_length(database);
    let found = format!("{} KiB", bytes.div_ceil(1024));
    if bytes <= WAL_LIMIT {
        return Finding::ok(CHECK, found);
    }
    let fix = format!("fuser -v {} (then restart who has read for long)", word(beside(database, "-wal")));
    Finding::warning(
        CHECK,
        found,
        "over 64 MiB: someone reads without end, so it is never brought into the file",
        fix,
    )
}
