//! Folders of logs: files are made, moved and removed in them without ever being led elsewhere.
//!
//! dogwatch may be root, and the service whose log it writes may be anybody, with a right to write into the folder
//! (a log folder in an application's own one, for instance). What such a service puts in the place of a log file or
//! of the archive must never make root write anything else. So a folder is opened once and kept; every name in it is
//! a single one, opened with O_NOFOLLOW (open(2)); and what has been opened is looked at before it is used.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, readlinkat, renameat, renameat2};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::file::FileId;
use super::own::effective_uid;

/// Symbolic links on the way to a folder; the kernel has the same limit (path_resolution(7)).
const MOST_LINKS: u32 = 40;
/// What others may do with a new folder is up to the umask.
const FOLDER_MODE: Mode = Mode::from_bits_truncate(0o777);
const FILE_MODE: Mode = Mode::from_bits_truncate(0o640);

/// What to do about something that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Make it.
    Make,
    /// Say so.
    Fail,
}

/// A folder that is kept open: whatever becomes of its name, it stays the same.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    about: FileStat,
}

impl Folder {
    /// Opens the folder at this absolute path. A symbolic link on the way is followed only if it belongs to root, to
    /// this process's user, or to the owner of what it leads to: nobody leads us to what is not his.
    ///
    /// # Errors
    /// Those of open(2) and mkdir(2); a sentence about a link that is not followed.
    pub fn open(path: &Path, missing: Missing) -> io::Result<Folder> {
        let root = openat(nix::fcntl::AT_FDCWD, "/", look_only(), Mode::empty())?;
        Folder::of(walk(root, path, missing, MOST_LINKS)?)
    }

    /// The folder `name` in this one; never by way of a link.
    ///
    /// # Errors
    /// As [`Folder::open`]; ENOTDIR if it is something else.
    pub fn inner(&self, name: &str, missing: Missing) -> io::Result<Folder> {
        let fd = enter(&self.fd, Path::new(name), missing)?;
        match Folder::of(fd)? {
            folder if is_kind(&folder.about, libc::S_IFDIR) => Ok(folder),
            folder if is_kind(&folder.about, libc::S_IFLNK) => Err(a_link()),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn of(fd: OwnedFd) -> io::Result<Folder> {
        let about = fstat(&fd)?;
        Ok(Folder { fd, about })
    }

    /// Whether this path still leads to it.
    pub fn is_at(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|about| (about.dev(), about.ino()) == id(&self.about))
    }

    /// Opens a log file in it for reading and writing, mode 0640 if it is new.
    ///
    /// # Errors
    /// Those of open(2); a sentence about what is not a regular file with one name, of dogwatch's user or of the
    /// folder's owner.
    pub fn open_file(&self, name: &str, missing: Missing) -> io::Result<(File, FileId)> {
        let make = match missing {
            Missing::Make => OFlag::O_CREAT,
            Missing::Fail => OFlag::empty(),
        };
        self.open_as(name, OFlag::O_RDWR | make)
    }

    /// Makes a file in it, in the place of one that may be there, and opens it for writing.
    ///
    /// # Errors
    /// As [`Folder::open_file`].
    pub fn make_file(&self, name: &str) -> io::Result<File> {
        match self.remove(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(self.open_as(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL)?.0)
    }

    fn open_as(&self, name: &str, how: OFlag) -> io::Result<(File, FileId)> {
        // O_NONBLOCK: a FIFO that somebody has put there keeps nobody waiting.
        let safely = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let opened = openat(&self.fd, single(name)?, how | safely, FILE_MODE);
        let file = File::from(opened.map_err(|error| match error {
            Errno::ELOOP => a_link(),
            other => other.into(),
        })?);
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(refused("it is not a regular file; remove it".to_owned()));
        }
        if about.nlink() > 1 {
            return Err(refused(
                "it is a hard link to a file that has another name too; remove it".to_owned(),
            ));
        }
        if !self.is_ours_alone() && ![effective_uid(), self.about.st_uid].contains(&about.uid()) {
            let (uid, owner) = (about.uid(), self.about.st_uid);
            let text =
                format!("it belongs to user {uid}, its folder to user {owner}; run chown, or remove it");
            return Err(refused(text));
        }
        Ok((file, (about.dev(), about.ino())))
    }

    /// Whether nobody else can put anything into it.
    fn is_ours_alone(&self) -> bool {
        [0, effective_uid()].contains(&self.about.st_uid) && self.about.st_mode & 0o022 == 0
    }

    /// Which file has this name; none if there is none.
    pub fn id_of(&self, name: &str) -> Option<FileId> {
        let about = fstatat(&self.fd, single(name).ok()?, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        Some(id(&about))
    }

    /// What the file of this name takes, bytes; none if there is none.
    pub fn size_of(&self, name: &str) -> Option<u64> {
        let about = fstatat(&self.fd, single(name).ok()?, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        u64::try_from(about.st_size).ok()
    }

    /// Flushes the names in it to the disk.
    ///
    /// # Errors
    /// Those of fsync(2).
    pub fn sync(&self) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = openat(&self.fd, ".", flags, Mode::empty())?; // what is open by its path alone takes no fsync
        Ok(nix::unistd::fsync(folder)?)
    }

    /// Moves the file `name` into another folder, where nothing has the name `new` yet.
    ///
    /// # Errors
    /// `AlreadyExists`, and those of rename(2).
    pub fn move_file(&self, name: &str, to: &Folder, new: &str) -> io::Result<()> {
        let (old, new) = (single(name)?, single(new)?);
        match renameat2(&self.fd, old, &to.fd, new, RenameFlags::RENAME_NOREPLACE) {
            // A file system that cannot be told so.
            Err(Errno::EINVAL | Errno::ENOSYS) if to.id_of(new).is_none() => {
                Ok(renameat(&self.fd, old, &to.fd, new)?)
            }
            Err(Errno::EINVAL | Errno::ENOSYS) => Err(ErrorKind::AlreadyExists.into()),
            other => Ok(other?),
        }
    }

    /// Gives the file `name` the name `new`, in the place of what has it.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, single(name)?, &self.fd, single(new)?)?)
    }

    /// Removes a file; a link itself, not what it leads to.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, single(name)?, UnlinkatFlags::NoRemoveDir)?)
    }

    /// The names in it that are text, in no order.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
        let names = entries.into_iter().flatten().flatten();
        names.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

/// Opens the file or the folder at this absolute path, only to point at it. Above `top`, which is the path itself or
/// above it, links are followed as by [`Folder::open`]; from there on none is.
///
/// # Errors
/// Those of open(2); a sentence about a link that is not followed.
pub fn point_at(path: &Path, top: &Path) -> io::Result<OwnedFd> {
    let above = top.parent().unwrap_or(top);
    let root = openat(nix::fcntl::AT_FDCWD, "/", look_only(), Mode::empty())?;
    let mut place = walk(root, above, Missing::Fail, MOST_LINKS)?;
    for component in path.strip_prefix(above).unwrap_or(path).components() {
        place = enter(&place, component.as_ref(), Missing::Fail)?;
        if is_kind(&fstat(&place)?, libc::S_IFLNK) {
            let link = component.as_os_str().display();
            return Err(refused(format!("{link} is a symbolic link, and none is followed here")));
        }
    }
    Ok(place)
}

/// Goes on from `folder`, component by component.
fn walk(mut folder: OwnedFd, path: &Path, missing: Missing, links: u32) -> io::Result<OwnedFd> {
    for component in path.components() {
        let next = match component {
            Component::RootDir => openat(&folder, "/", look_only(), Mode::empty())?,
            Component::ParentDir => openat(&folder, "..", look_only(), Mode::empty())?,
            Component::CurDir | Component::Prefix(_) => continue,
            Component::Normal(name) => enter(&folder, Path::new(name), missing)?,
        };
        let about = fstat(&next)?;
        folder = if is_kind(&about, libc::S_IFLNK) {
            if links == 0 {
                return Err(Errno::ELOOP.into());
            }
            let target = readlinkat(&next, "")?;
            let led_to = walk(folder, Path::new(&target), Missing::Fail, links - 1)?;
            let owner = fstat(&led_to)?.st_uid;
            if ![0, effective_uid(), owner].contains(&about.st_uid) {
                let (link, target) = (component.as_os_str().display(), target.display());
                let text = format!(
                    "{link} is a symbolic link of user {} to {target}, which belongs to user {owner}",
                    about.st_uid
                );
                return Err(refused(text));
            }
            led_to
        } else {
            next
        };
    }
    match is_kind(&fstat(&folder)?, libc::S_IFDIR) {
        true => Ok(folder),
        false => Err(ErrorKind::NotADirectory.into()),
    }
}

/// Opens what has this name, a link itself, only to look at it and to go on from there.
fn enter(folder: &OwnedFd, name: &Path, missing: Missing) -> io::Result<OwnedFd> {
    let look = || openat(folder, name, look_only(), Mode::empty());
    match look() {
        Err(Errno::ENOENT) if missing == Missing::Make => match mkdirat(folder, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EEXIST) => Ok(look()?),
            Err(error) => Err(error.into()),
        },
        other => Ok(other?),
    }
}

fn look_only() -> OFlag {
    OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

/// A name without folders: O_NOFOLLOW is about the last component only.
fn single(name: &str) -> io::Result<&str> {
    match name.contains('/') || matches!(name, "" | "." | "..") {
        true => Err(ErrorKind::InvalidFilename.into()),
        false => Ok(name),
    }
}

fn id(about: &FileStat) -> FileId {
    (about.st_dev, about.st_ino)
}

fn is_kind(about: &FileStat, kind: libc::mode_t) -> bool {
    about.st_mode & libc::S_IFMT == kind
}

fn a_link() -> io::Error {
    refused("it is a symbolic link, and none is followed here; remove it".to_owned())
}

fn refused(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

    /// A number that nobody on the machine has.
    const STRANGER: u32 = 54_321;

    fn words<T: std::fmt::Debug>(result: io::Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn makes_finds_moves_and_removes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert_eq!(Folder::open(&path, Missing::Fail).unwrap_err().kind(), ErrorKind::NotFound);
        let logs = Folder::open(&path, Missing::Make).unwrap();
        assert_eq!(logs.open_file("x", Missing::Fail).unwrap_err().kind(), ErrorKind::NotFound);
        let (_, first) = logs.open_file("x", Missing::Make).unwrap();
        assert_eq!((logs.id_of("x"), logs.id_of("y")), (Some(first), None));
        let month = logs.inner("archive", Missing::Make).unwrap();
        logs.move_file("x", &month, "x1").unwrap();
        logs.open_file("x", Missing::Make).unwrap();
        assert_eq!(logs.move_file("x", &month, "x1").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(month.names(), ["x1"]);
        std::fs::write(path.join("archive/x1"), "of before").unwrap();
        assert_eq!(month.make_file("x1").unwrap().metadata().unwrap().len(), 0);
        month.rename("x1", "x2").unwrap();
        month.remove("x2").unwrap();
        assert!(month.names().is_empty() && logs.is_at(&path) && !month.is_at(&path));
        for name in ["../x", "a/b", "..", ""] {
            assert!(logs.open_file(name, Missing::Make).is_err() && logs.remove(name).is_err(), "{name}");
        }
    }

    #[test]
    fn nothing_but_a_plain_file_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "untouched").unwrap();
        let path = dir.path().join("logs");
        let logs = Folder::open(&path, Missing::Make).unwrap();
        symlink(&victim, path.join("link")).unwrap();
        symlink(dir.path(), path.join("archive")).unwrap();
        symlink(dir.path().join("nowhere"), path.join("dangling")).unwrap();
        std::fs::hard_link(&victim, path.join("hard")).unwrap();
        super::super::fifo::make(&path.join("fifo"), None).unwrap();
        std::fs::create_dir(path.join("folder")).unwrap();
        let open = |name| words(logs.open_file(name, Missing::Make));
        assert!(open("link").starts_with("it is a symbolic link"));
        assert!(open("dangling").starts_with("it is a symbolic link"));
        assert!(open("hard").starts_with("it is a hard link"));
        assert!(open("fifo").starts_with("it is not a regular file"));
        assert!(open("folder").contains("directory"));
        assert!(words(logs.inner("archive", Missing::Make)).starts_with("it is a symbolic link"));
        assert!(logs.inner("hard", Missing::Make).is_err());
        assert!(logs.make_file("folder").is_err());
        logs.make_file("link").unwrap(); // the link is gone, not what it led to
        assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn links_are_followed_for_those_who_own_what_they_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        std::fs::create_dir(&real).unwrap();
        let link = dir.path().join("link");
        symlink("real", &link).unwrap();
        let open = || Folder::open(&link.join("logs"), Missing::Make);
        assert!(open().unwrap().is_at(&real.join("logs")), "our own link");
        symlink("loop", dir.path().join("loop")).unwrap();
        assert!(Folder::open(&dir.path().join("loop"), Missing::Make).is_err());
        if effective_uid() != 0 {
            eprintln!("only root can make links for somebody else: the rest is not looked at");
            return;
        }
        lchown(&link, Some(STRANGER), None).unwrap();
        let refusal = words(open());
        assert!(refusal.starts_with("link is a symbolic link of user 54321 to real"), "{refusal}");
        chown(&real, Some(STRANGER), None).unwrap();
        open().unwrap();
    }

    #[test]
    fn a_file_of_somebody_else_is_taken_only_where_nobody_else_can_have_put_it() {
        if effective_uid() != 0 {
            eprintln!("only root can give files away: nothing to see");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "").unwrap();
        chown(dir.path().join("x"), Some(STRANGER), None).unwrap();
        let open = || Folder::open(dir.path(), Missing::Fail).unwrap().open_file("x", Missing::Fail);
        open().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(words(open()).starts_with("it belongs to user 54321, its folder to user 0"));
        chown(dir.path(), Some(STRANGER), None).unwrap();
        open().unwrap();
    }
}
