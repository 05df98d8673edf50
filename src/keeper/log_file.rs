//! The log file of one stream, under its name: opened, written to, moved to the archive.
//!
//! The bytes come out of a stage by splice, which refuses O_APPEND: where the next byte goes is known here. So the name
//! and the length are looked at again and again: somebody may have moved, replaced or truncated the file.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use super::archive;
use crate::model::moment::{Moment, Now};
use crate::model::spec::LogPolicy;
use crate::os::folder::{FileId, Folder, Missing};
use crate::os::{fault, fifo};
use crate::wire::archive_name;

/// How often the name of the log file is compared with the file that is written to.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file.
#[derive(Debug)]
pub struct LogFile {
    stem: String,
    policy: LogPolicy,
    folder: Option<Folder>,
    open: Option<Open>,
    looked: Option<Moment>,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: FileId,
    offset: u64,
}

impl LogFile {
    /// The log of that stem; it is not opened yet.
    pub fn new(stem: String, policy: LogPolicy) -> LogFile {
        LogFile { stem, policy, folder: None, open: None, looked: None }
    }

    /// Its name in full.
    pub fn path(&self) -> PathBuf {
        self.policy.dir.join(self.name())
    }

    fn name(&self) -> String {
        archive_name::log(&self.stem)
    }

    /// Where it is, and how much of it is kept.
    pub fn policy(&self) -> &LogPolicy {
        &self.policy
    }

    /// Replaces the policy; another folder holds from the next byte.
    pub fn set_policy(&mut self, policy: LogPolicy) {
        if policy.dir != self.policy.dir {
            (self.folder, self.open) = (None, None);
        }
        self.policy = policy;
    }

    /// Archives that wait to be compressed, if they shall be.
    pub fn uncompressed(&self) -> Vec<PathBuf> {
        match self.policy.compress {
            true => archive::uncompressed(&self.policy.dir, &self.stem),
            false => Vec::new(),
        }
    }

    /// The name is looked at before the next byte.
    pub fn look_soon(&mut self) {
        self.looked = None;
    }

    /// Where the next byte goes; the file is opened if it must be.
    ///
    /// # Errors
    /// Those of [`Folder`].
    pub fn offset(&mut self, now: Moment) -> io::Result<u64> {
        Ok(self.ensure_open(now)?.offset)
    }

    /// Moves up to `most` bytes from a stage into the file.
    ///
    /// # Errors
    /// Those of opening and of splice(2): the bytes are still in the stage.
    pub fn take(&mut self, stage: BorrowedFd<'_>, most: usize, now: Moment) -> io::Result<usize> {
        let open = self.ensure_open(now)?;
        fifo::to_file(stage, &open.file, &mut open.offset, most)
    }

    /// Whether the next byte begins a line. The file must have been opened.
    ///
    /// # Errors
    /// Those of reading.
    pub fn at_line_start(&self) -> io::Result<bool> {
        let Some(open) = &self.open else { return Ok(true) };
        if open.offset == 0 {
            return Ok(true);
        }
        let mut last = [0];
        let read = open.file.read_at(&mut last, open.offset - 1)?;
        Ok(read == 0 || last[0] == b'\n')
    }

    /// Ends a line that is not ended, so that the next byte begins a new one.
    ///
    /// # Errors
    /// Those of opening and writing.
    pub fn end_line(&mut self, now: Moment) -> io::Result<()> {
        self.ensure_open(now)?;
        if !self.at_line_start()? {
            let open = self.open.as_mut().expect("ensure_open has just opened it");
            open.file.write_all_at(b"\n", open.offset)?;
            open.offset += 1;
        }
        Ok(())
    }

    /// Empties it.
    ///
    /// # Errors
    /// Those of opening and truncating.
    pub fn flush(&mut self, now: Moment) -> io::Result<()> {
        self.looked = None;
        let open = self.ensure_open(now)?;
        open.file.set_len(0)?;
        open.offset = 0;
        Ok(())
    }

    /// Moves it to the archive; the next byte begins a new one. Returns where it is now, unless somebody has taken it
    /// away before.
    ///
    /// # Errors
    /// Those of [`archive::put`].
    pub fn rotate(&mut self, now: Now) -> io::Result<Option<PathBuf>> {
        let (Some(folder), Some(open)) = (&self.folder, &self.open) else { return Ok(None) };
        if folder.id_of(&self.name()) != Some(open.id) {
            self.open = None; // somebody has put something else in its place
            return Ok(None);
        }
        let target = archive::put(folder, &self.policy.dir, &self.stem, now.unix_ms)
            .map_err(|error| io::Error::new(error.kind(), format!("its archive: {error}")))?;
        fault::point("after the rename of a rotation");
        self.open = None;
        archive::prune(folder, &self.stem, self.policy.keep);
        Ok(Some(target))
    }

    /// The file to write to. Once a second it is compared with its name: moved away or replaced, it is opened
    /// anew; truncated, writing goes on at its end.
    fn ensure_open(&mut self, now: Moment) -> io::Result<&mut Open> {
        let due = self.looked.is_none_or(|looked| now.since(looked) >= LOOK_EVERY);
        if due {
            self.looked = Some(now);
            if self.folder.as_ref().is_some_and(|folder| !folder.is_at(&self.policy.dir)) {
                (self.folder, self.open) = (None, None);
            }
            let now_there = self.folder.as_ref().and_then(|folder| folder.id_of(&self.name()));
            if self.open.as_ref().is_some_and(|open| now_there != Some(open.id)) {
                self.open = None;
            }
        }
        if let Some(open) = &mut self.open {
            // Truncated by somebody (`: > web-out.log`, copytruncate)? Then it goes on at the end that is left.
            open.offset = open.offset.min(open.file.metadata()?.len());
        }
        if self.open.is_none() {
            let folder = match self.folder.take() {
                Some(folder) => folder,
                None => Folder::open(&self.policy.dir, Missing::Make)?,
            };
            let folder = self.folder.insert(folder);
            self.open = Some(Open::new(folder, &archive_name::log(&self.stem))?);
        }
        Ok(self.open.as_mut().expect("it was opened above"))
    }
}

impl Open {
    fn new(folder: &Folder, name: &str) -> io::Result<Open> {
        let (file, id) = folder.open_file(name, Missing::Make)?;
        let offset = file.metadata()?.len();
        Ok(Open { file, id, offset })
    }
}
