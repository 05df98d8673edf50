//! The FIFOs of one run: made ahead of time, found again by their names.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};

use super::stream::Channel;
use crate::os::fifo;
use crate::paths::ServicePaths;
use crate::wire::keeper::FIFOS;
use crate::wire::log_line::StreamName;

/// FIFO size of a critical service: room for what it says while the disk is slow.
const CRITICAL_SIZE: i32 = 1 << 20;

/// Where the FIFOs of standard error are while the streams are merged: who has them apart again needs no room for them.
const ASIDE: [&str; 2] = ["err.fifo.aside", "err.stage.aside"];

/// The FIFOs of one run: those of standard output, and those of standard error unless it goes the same way.
#[derive(Debug)]
pub struct Channels {
    /// The run.
    pub run: u64,
    folder: PathBuf,
    out: [OwnedFd; 2],
    err: Option<[OwnedFd; 2]>,
}

/// The pump's ends of a run.
#[derive(Debug)]
pub enum Output {
    /// Standard output, standard error.
    Apart([Channel; 2]),
    /// Both.
    Merged(Channel),
}

impl Channels {
    /// Makes the FIFOs of `run`. Where there is no room for them on the disk they are those that an earlier run has left
    /// ([`Channels::leave`]): a service is restarted on a full disk, too.
    ///
    /// # Errors
    /// Those of mkdir(2), mkfifo(3) and open(2).
    pub fn prepare(
        paths: &ServicePaths,
        run: u64,
        merge: bool,
        owner: Option<(u32, u32)>,
        critical: bool,
    ) -> io::Result<Channels> {
        let folder = paths.run_dir(run);
        let made = Channels::open(paths, run, merge, owner, critical).or_else(|error| {
            remove(&folder);
            fs::rename(paths.spare_dir(), &folder).map_err(|_| error)?;
            // They may have been another user's.
            let owner = owner.unwrap_or_else(|| (geteuid().as_raw(), getegid().as_raw()));
            Channels::open(paths, run, merge, Some(owner), critical)
        });
        if made.is_err() {
            remove(&folder);
        }
        made
    }

    /// Opens the FIFOs of `run`; those that are not there are made.
    ///
    /// # Errors
    /// As [`Channels::prepare`].
    pub fn open(
        paths: &ServicePaths,
        run: u64,
        merge: bool,
        owner: Option<(u32, u32)>,
        critical: bool,
    ) -> io::Result<Channels> {
        let folder = paths.run_dir(run);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if owner.is_some() {
            // The service's user opens /dev/stdout by this path.
            fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        }
        let open = |name: &str| {
            let path = folder.join(name);
            fifo::make(&path, owner.filter(|_| name.ends_with("fifo")))?;
            fifo::open_pump(&path)
        };
        let out = [open(FIFOS[0])?, open(FIFOS[1])?];
        let err = match merge {
            true => {
                put_aside(&folder)?;
                None
            }
            false => {
                take_back(&folder);
                Some([open(FIFOS[2])?, open(FIFOS[3])?])
            }
        };
        if critical {
            for [fifo, _] in std::iter::once(&out).chain(&err) {
                // Less is granted where the user's pipe budget is used up; 64 KiB do too.
                let _ = fifo::resize(fifo.as_fd(), CRITICAL_SIZE);
            }
        }
        Ok(Channels { run, folder, out, err })
    }

    /// Opens the FIFOs of a run that was prepared by a predecessor, however it was configured then.
    ///
    /// # Errors
    /// As [`Channels::prepare`].
    pub fn find(
        paths: &ServicePaths,
        run: u64,
        owner: Option<(u32, u32)>,
        critical: bool,
    ) -> io::Result<Channels> {
        let has = |name: &str| paths.run_dir(run).join(name).exists();
        Channels::open(paths, run, has(FIFOS[1]) && !has(FIFOS[2]), owner, critical)
    }

    /// Whether both streams go one way.
    pub fn are_merged(&self) -> bool {
        self.err.is_none()
    }

    /// The service's ends: standard output and standard error, opened anew.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open_service(&self) -> io::Result<[OwnedFd; 2]> {
        let err = if self.are_merged() { FIFOS[0] } else { FIFOS[2] };
        Ok([fifo::open_service(&self.folder.join(FIFOS[0]))?, fifo::open_service(&self.folder.join(err))?])
    }

    /// The pump's ends, duplicates of these.
    ///
    /// # Errors
    /// EMFILE.
    pub fn for_pump(&self) -> io::Result<Output> {
        let channel = |[fifo, stage]: &[OwnedFd; 2]| {
            Ok::<_, io::Error>(Channel { fifo: fifo.try_clone()?, stage: stage.try_clone()? })
        };
        let out = channel(&self.out)?;
        Ok(match &self.err {
            Some(err) => Output::Apart([out, channel(err)?]),
            None => Output::Merged(out),
        })
    }

    /// The FIFO of that stream, if the run has it.
    pub fn fifo(&self, stream: StreamName) -> Option<BorrowedFd<'_>> {
        match (stream, &self.err) {
            (StreamName::Out, Some(_)) | (StreamName::Merged, None) => Some(self.out[0].as_fd()),
            (StreamName::Error, Some([fifo, _])) => Some(fifo.as_fd()),
            _ => None,
        }
    }

    /// What holders hold: key and descriptor.
    pub fn held(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        let fds = self.out.iter().chain(self.err.iter().flatten());
        FIFOS.iter().zip(fds).map(|(name, fd)| (format!("{}/{name}", self.run), fd.as_fd()))
    }

    /// Removes the FIFOs; whoever still has them open keeps them until the last one closes.
    pub fn remove(self) {
        remove(&self.folder);
    }

    /// Leaves them, which are empty, for a later run that finds the disk full; one set is enough.
    pub fn leave(self, paths: &ServicePaths) {
        if fs::rename(&self.folder, paths.spare_dir()).is_err() {
            self.remove();
        }
    }
}

/// Removes the FIFOs in this folder, and the folder.
pub fn remove(folder: &Path) {
    for name in FIFOS.iter().chain(&ASIDE) {
        let _ = fs::remove_file(folder.join(name)); // it may not be there
    }
    let _ = fs::remove_dir(folder);
}

/// No FIFO of standard error has its name any more: so whoever finds the run knows how it was configured.
fn put_aside(folder: &Path) -> io::Result<()> {
    for (name, aside) in FIFOS[2..].iter().zip(ASIDE) {
        match fs::rename(folder.join(name), folder.join(aside)) {
            Ok(()) => {}
            // Without room for one there is none to spare.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _ = fifo::make(&folder.join(aside), None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn take_back(folder: &Path) {
    for (name, aside) in FIFOS[2..].iter().zip(ASIDE) {
        let _ = fs::rename(folder.join(aside), folder.join(name)); // it may not be there
    }
}

/// The runs that have a folder, oldest first.
pub fn existing(paths: &ServicePaths) -> Vec<u64> {
    let entries = fs::read_dir(&paths.dir).into_iter().flatten().flatten();
    let mut runs: Vec<u64> =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("0.")?.parse().ok()).collect();
    runs.sort_unstable();
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::ServiceName;
    use crate::paths::Paths;
    use std::os::unix::fs::MetadataExt;

    /// On a full disk a FIFO that is not there cannot be made.
    #[test]
    fn what_a_merged_run_leaves_is_enough_for_one_whose_streams_are_apart() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::below(dir.path()).service(&ServiceName::new("web").unwrap());
        fs::create_dir_all(&paths.dir).unwrap();
        let inodes = |run: u64, names: &[&str]| -> Vec<Option<u64>> {
            let inode = |name| fs::metadata(paths.run_dir(run).join(name)).ok().map(|about| about.ino());
            names.iter().map(inode).collect()
        };
        let (all, aside) = (&FIFOS[..], [&FIFOS[..2], &ASIDE].concat());
        let open = |run, merge| Channels::open(&paths, run, merge, None, false).unwrap();
        let find = |run| Channels::find(&paths, run, None, false).unwrap();
        open(1, true);
        let made = inodes(1, &aside);
        assert!(made.iter().all(Option::is_some) && find(1).are_merged(), "{made:?}");
        for (run, merge) in [(2, false), (3, true), (4, true), (5, false)] {
            find(run - 1).leave(&paths);
            fs::rename(paths.spare_dir(), paths.run_dir(run)).unwrap();
            assert_eq!(open(run, merge).are_merged(), merge);
            assert_eq!(find(run).are_merged(), merge);
            assert_eq!(inodes(run, if merge { &aside } else { all }), made, "run {run}");
        }
        find(5).remove();
        assert!(existing(&paths).is_empty());
    }
}
