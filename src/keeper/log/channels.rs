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
                remove_files(&folder, &FIFOS[2..]); // made when it was configured otherwise
                None
            }
            false => Some([open(FIFOS[2])?, open(FIFOS[3])?]),
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
    remove_files(folder, &FIFOS);
    let _ = fs::remove_dir(folder);
}

fn remove_files(folder: &Path, names: &[&str]) {
    for name in names {
        let _ = fs::remove_file(folder.join(name)); // it may not be there
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
