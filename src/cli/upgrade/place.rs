//! The file that dogwatch runs from, and the one from before beside it.
//!
//! A file is put in the place of another by rename, whole and on the disk, or not at all: who starts a process at any
//! moment starts one or the other.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::cli::fail::{Failure, Outcome};
use crate::os::file::{self, FileId};
use crate::os::program;
use crate::paths::Paths;
use crate::wire::VERSION;
use crate::wire::upgrade::Journal;

/// Where dogwatch's program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file that all processes are started from.
    pub program: PathBuf,
    /// The last one that is known to have run everything.
    pub previous: PathBuf,
    /// It already stood there: an upgrade was interrupted.
    pub interrupted: bool,
    journal: PathBuf,
}

impl Place {
    /// The place of the program that runs as `program`.
    pub fn of(paths: &Paths, program: &Path) -> Place {
        let journal = paths.upgrade_journal();
        let left: Option<Journal> =
            fs::read(&journal).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let left = left.filter(|left| left.program == program && left.previous.is_file());
        Place {
            program: program.to_owned(),
            previous: beside(program, "prev"),
            interrupted: left.is_some(),
            journal,
        }
    }

    /// Puts the program at `candidate`, which is that build, into the place, and keeps the one that process `running`
    /// runs. Returns which file stands there now. From now on an interruption can be seen ([`Place::finish`]).
    ///
    /// # Errors
    /// What cannot be written, and what to do; it is not that build any more.
    pub fn install(&self, candidate: &Path, build: &str, running: i32) -> Outcome<FileId> {
        let failed = |what: &Path, error: io::Error| {
            let folder = self.program.parent().unwrap_or(Path::new("/")).display();
            let advice = match is_full(&error) {
                true => "make room for four of them",
                false => "run this as a user who may write there",
            };
            Failure::failed(format!("cannot upgrade: {}: {error}", what.display()))
                .hint(format!("the program and the one from before are kept in {folder}: {advice}"))
        };
        // First a copy of the new one: it may be the very file that is kept from the last time.
        let in_place = file::id_at(candidate) == file::id_at(&self.program);
        let staged = match in_place {
            true => None,
            false => Some(Staged::copy(candidate, &self.program).map_err(|error| failed(candidate, error))?),
        };
        // What has shown that it can take over, and nothing that somebody has put there since.
        let copy = staged.as_ref().map_or(candidate, |staged| &staged.path);
        if program::build(copy).map_err(|error| failed(candidate, error))? != build {
            let candidate = candidate.display();
            return Err(Failure::failed(format!(
                "cannot upgrade: {candidate} has changed since it was checked"
            )));
        }
        if !self.interrupted {
            let kept = Staged::copy(&program::link(running), &self.previous).and_then(Staged::commit);
            kept.map_err(|error| failed(&self.previous, error))?;
        }
        let journal = Journal { v: VERSION, program: self.program.clone(), previous: self.previous.clone() };
        let bytes = serde_json::to_vec(&journal).expect("a journal has only paths and numbers");
        file::replace(&self.journal, &bytes, true).map_err(|error| failed(&self.journal, error))?;
        if let Some(staged) = staged {
            staged.commit().map_err(|error| failed(&self.program, error))?;
        }
        file::id_at(&self.program).ok_or_else(|| failed(&self.program, io::ErrorKind::NotFound.into()))
    }

    /// Puts the program from before back. One that was not brought by this upgrade, but stood in the place already, or
    /// has come there since, is kept under the returned name.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn restore(&self, keep_refused: bool) -> io::Result<Option<PathBuf>> {
        let is_there = self.program.symlink_metadata().is_ok();
        let refused = (keep_refused && is_there).then(|| beside(&self.program, "refused"));
        if let Some(refused) = &refused {
            Staged::copy_or_link(&self.program, refused).and_then(Staged::commit)?;
        }
        Staged::copy_or_link(&self.previous, &self.program)?.commit()?;
        Ok(refused)
    }

    /// Nothing is under way any more.
    ///
    /// # Errors
    /// The journal cannot be removed.
    pub fn finish(&self) -> io::Result<()> {
        match fs::remove_file(&self.journal) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// `dogwatch.prev` for `dogwatch`.
fn beside(program: &Path, what: &str) -> PathBuf {
    let mut name = program.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}"));
    program.with_file_name(name)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A finished copy beside the file whose place it is to take; removed if it does not.
#[derive(Debug)]
struct Staged {
    path: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// Copies `source`, with the mode and the owner of the target, if that is a program, else of the source.
    fn copy(source: &Path, target: &Path) -> io::Result<Staged> {
        let about = fs::metadata(target).ok().filter(|about| about.mode() & 0o111 != 0);
        let about = about.map_or_else(|| fs::metadata(source), Ok)?;
        let path = beside(target, &format!("new.{}", std::process::id()));
        let _ = fs::remove_file(&path); // of a process that died and had this number
        let mut from = File::open(source)?;
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let staged = Staged { path, target: target.to_owned() };
        io::copy(&mut from, &mut to)?;
        let _ = fchown(&to, Some(about.uid()), Some(about.gid())); // only root may, and only root has to
        to.set_permissions(fs::Permissions::from_mode(about.mode() & 0o777))?;
        to.sync_all()?;
        Ok(staged)
    }

    /// The same; where there is no room for a copy, another name of the source, with its own mode and owner.
    fn copy_or_link(source: &Path, target: &Path) -> io::Result<Staged> {
        match Staged::copy(source, target) {
            Err(error) if is_full(&error) => Staged::link(source, target),
            copied => copied,
        }
    }

    fn link(source: &Path, target: &Path) -> io::Result<Staged> {
        let path = beside(target, &format!("new.{}", std::process::id()));
        fs::hard_link(source, &path)?;
        Ok(Staged { path, target: target.to_owned() })
    }

    fn commit(self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // not there any more, if it was committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_program_from_before_is_kept_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::below(&dir.path().join("home"));
        fs::create_dir_all(&paths.state).unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let (program, new) = (bin.join("dogwatch"), dir.path().join("new"));
        let own = std::process::id() as i32;
        fs::write(&program, "old").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o750)).unwrap();
        fs::write(&new, "new").unwrap();
        let place = Place::of(&paths, &program);
        let read = |path: &Path| fs::read(path).unwrap();
        // What is kept is what runs: here the test itself.
        let running = fs::read("/proc/self/exe").unwrap();
        let build = |path: &Path| program::build(path).unwrap();
        let stale = place.install(&new, &build(&program), own).unwrap_err().to_string();
        assert!(stale.ends_with("/new has changed since it was checked"), "{stale}");
        assert!(names(&bin) == ["dogwatch"] && !Place::of(&paths, &program).interrupted);
        let id = place.install(&new, &build(&new), own).unwrap();
        assert_eq!((read(&program), file::id_at(&program)), (b"new".to_vec(), Some(id)));
        assert_eq!(fs::metadata(&program).unwrap().mode() & 0o777, 0o750);
        assert!(read(&place.previous) == running && !place.interrupted);
        // Interrupted: the next attempt does not keep the new one as the one from before.
        let again = Place::of(&paths, &program);
        assert!(again.interrupted);
        fs::write(&again.previous, "old").unwrap();
        again.install(&program, &build(&program), own).unwrap();
        assert_eq!(again.restore(true).unwrap(), Some(bin.join("dogwatch.refused")));
        assert_eq!((read(&program), read(&again.previous)), (b"old".to_vec(), b"old".to_vec()));
        again.finish().unwrap();
        again.finish().unwrap();
        assert!(!Place::of(&paths, &program).interrupted);
        // The one from before is installed as any other.
        let back = Place::of(&paths, &program);
        fs::write(&back.previous, "older").unwrap();
        back.install(&back.previous, &build(&back.previous), own).unwrap();
        assert_eq!(read(&program), b"older");
        assert_eq!(names(&bin), ["dogwatch", "dogwatch.prev", "dogwatch.refused"]);
    }

    #[test]
    fn the_way_back_needs_neither_room_nor_the_file_that_is_to_go() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("dogwatch");
        let place = Place::of(&Paths::below(dir.path()), &program);
        fs::write(&place.previous, "old").unwrap();
        assert_eq!(place.restore(true).unwrap(), None);
        assert_eq!(fs::read(&program).unwrap(), b"old");
        fs::write(&program, "bad").unwrap();
        Staged::link(&place.previous, &program).unwrap().commit().unwrap();
        assert_eq!(file::id_at(&program), file::id_at(&place.previous));
        assert_eq!(names(dir.path()), ["dogwatch", "dogwatch.prev"]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::below(&dir.path().join("home"));
        let program = dir.path().join("dogwatch");
        fs::write(&program, "old").unwrap();
        // There is no state folder: the journal cannot be written.
        let failure = Place::of(&paths, &program).install(&dir.path().join("nothing"), "", 1).unwrap_err();
        assert!(failure.to_string().contains("run this as a user who may write there"), "{failure}");
        let own = std::process::id() as i32;
        fs::write(dir.path().join("new"), "new").unwrap();
        let build = program::build(&dir.path().join("new")).unwrap();
        Place::of(&paths, &program).install(&dir.path().join("new"), &build, own).unwrap_err();
        assert_eq!(fs::read(&program).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["dogwatch", "dogwatch.prev", "new"]);
    }
}
