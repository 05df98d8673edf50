//! The log file of one stream, under its name: opened, written to, moved to the archive.
//!
//! The bytes come out of a stage by splice, which refuses O_APPEND: where the next byte goes is known here. So the name
//! and the length are looked at again and again: somebody may have moved, replaced or truncated the file.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::dress::{Before, PART};
use super::hold::Hold;
use super::time_index::TimeIndex;
use crate::archive;
use crate::model::dress::Dress;
use crate::model::moment::{Moment, Now};
use crate::model::spec::{LogPolicy, OnFull};
use crate::os::file::FileId;
use crate::os::folder::{Folder, Missing};
use crate::os::peek::Peek;
use crate::os::switch::Switch;
use crate::os::{fault, fifo};
use crate::wire::archive_name;
use crate::wire::log_line::StreamName;

/// How often the name of the log file is compared with the file that is written to.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file.
#[derive(Debug)]
pub struct LogFile {
    service: String,
    stem: String,
    /// Of all logs of the service.
    stems: Vec<String>,
    policy: LogPolicy,
    folder: Option<Folder>,
    open: Option<Open>,
    looked: Option<Moment>,
    /// When the next archive is too old, milliseconds since 1970.
    expires_ms: Option<u64>,
    hold: Hold,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: FileId,
    offset: u64,
    /// When its first byte was written, milliseconds since 1970; none if it has none.
    begun_ms: Option<u64>,
    /// When it is too old, milliseconds since 1970.
    due_ms: Option<u64>,
    /// When its bytes were written.
    times: TimeIndex,
}

impl LogFile {
    /// The log of that stream of that service; it is not opened yet.
    pub fn new(service: &str, stream: StreamName, policy: LogPolicy) -> LogFile {
        let merged = policy.merge || stream == StreamName::Merged;
        let (stem, stems) = (archive_name::stem(service, stream), archive_name::stems(service, merged));
        LogFile {
            service: service.to_owned(),
            stem,
            stems,
            policy,
            folder: None,
            open: None,
            looked: None,
            expires_ms: None,
            hold: Hold::default(),
        }
    }

    /// From now on this switch is held while there is work to do on the disk, if its service never waits.
    pub fn hold(&mut self, switch: Arc<Switch>) {
        self.hold.take(switch);
    }

    /// Whether lines are dropped rather than the service waits.
    pub fn drops(&self) -> bool {
        self.policy.on_full == Some(OnFull::Drop)
    }

    fn begin_work(&mut self) {
        if self.drops() {
            self.hold.begin();
        }
    }

    /// Nothing is wanted of the disk any more.
    pub fn end_work(&mut self) {
        self.hold.end();
    }

    /// Its name in full.
    pub fn path(&self) -> PathBuf {
        self.policy.dir.join(self.name())
    }

    fn name(&self) -> String {
        archive_name::log(&self.stem)
    }

    fn stems(&self) -> Vec<&str> {
        self.stems.iter().map(String::as_str).collect()
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
        self.stems = archive_name::stems(&self.service, policy.merge || self.stem == self.service);
        self.policy = policy;
        if let Some(open) = &mut self.open {
            open.due_ms = due(&self.policy, open.begun_ms);
        }
    }

    /// Takes over from a predecessor, who may have been killed in a rotation: finishes it. Returns what is to be compressed.
    pub fn take_over(&mut self, now: Now) -> Vec<PathBuf> {
        self.begin_work();
        if let Ok(folder) = Folder::open(&self.policy.dir, Missing::Fail) {
            let _ = archive::mend(&folder, &self.policy.dir, &self.stem);
            self.folder = Some(folder);
            self.prune(now);
        }
        // A log of before grows old, too. What is wrong with it is said when something is to be written.
        if self.folder.as_ref().is_some_and(|folder| folder.id_of(&self.name()).is_some()) {
            let _ = self.ensure_open(now);
        }
        match self.policy.compress {
            true => archive::uncompressed(&self.policy.dir, &self.stem),
            false => Vec::new(),
        }
    }

    /// The name is looked at before the next byte.
    pub fn look_soon(&mut self) {
        self.looked = None;
    }

    /// Opens what has its name now, and makes it if nothing has.
    ///
    /// # Errors
    /// Those of [`Folder`].
    pub fn reopen(&mut self, now: Now) -> io::Result<()> {
        (self.folder, self.open) = (None, None);
        self.ensure_open(now).map(drop)
    }

    /// Where the next byte goes; the file is opened if it must be.
    ///
    /// # Errors
    /// Those of [`Folder`].
    pub fn offset(&mut self, now: Now) -> io::Result<u64> {
        Ok(self.ensure_open(now)?.offset)
    }

    /// Moves up to `most` bytes from a stage into the file.
    ///
    /// # Errors
    /// Those of opening, of splice(2) and of write(2): the bytes are still in the stage.
    pub fn take(
        &mut self,
        stage: BorrowedFd<'_>,
        most: usize,
        peek: &mut Peek,
        now: Now,
    ) -> io::Result<usize> {
        let open = self.ensure_open(now)?;
        open.times.note(open.offset, now.unix_ms);
        let moved = match fifo::to_file(stage, &open.file, &mut open.offset, most) {
            // A file system that cannot splice.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => open.copy(stage, most, peek)?,
            other => other?,
        };
        if moved > 0 {
            self.hold.renew();
        }
        self.has_begun(now);
        Ok(moved)
    }

    /// Whether the next byte begins a line. The file must have been opened.
    ///
    /// # Errors
    /// Those of reading.
    pub fn at_line_start(&self) -> io::Result<bool> {
        Ok(self.before()? == Before::LineEnd)
    }

    /// What it ends with.
    ///
    /// # Errors
    /// Those of reading.
    pub fn before(&self) -> io::Result<Before> {
        let Some(open) = &self.open else { return Ok(Before::LineEnd) };
        let may_be_part = self.policy.dress == Dress::Json;
        let mut end = [0; PART.len()];
        let most = if may_be_part { end.len() } else { 1 };
        let length = usize::try_from(open.offset).map_or(most, |offset| offset.min(most));
        let read = open.file.read_at(&mut end[..length], open.offset - length as u64)?;
        Ok(match &end[..read] {
            end if may_be_part && end == PART => Before::Part,
            [.., b'\n'] | [] => Before::LineEnd,
            _ => Before::MidLine,
        })
    }

    /// Whether it ends with these bytes.
    ///
    /// # Errors
    /// Those of opening and reading.
    pub fn ends_with(&mut self, text: &[u8], now: Now) -> io::Result<bool> {
        let open = self.ensure_open(now)?;
        let Some(from) = open.offset.checked_sub(text.len() as u64) else { return Ok(false) };
        let mut end = vec![0; text.len()];
        let read = open.file.read_at(&mut end, from)?;
        Ok(end[..read] == *text)
    }

    /// Ends a line that is not ended, so that the next byte begins a new one.
    ///
    /// # Errors
    /// Those of opening and writing.
    pub fn end_line(&mut self, now: Now) -> io::Result<()> {
        self.ensure_open(now)?;
        if !self.at_line_start()? {
            self.put(b"\n", now)?;
        }
        Ok(())
    }

    /// Which file it is, and its length, if it is there.
    pub fn opened(&self) -> Option<(FileId, u64)> {
        self.open.as_ref().map(|open| (open.id, open.offset))
    }

    /// The next byte goes there: what stands behind it is written anew.
    pub fn go_back(&mut self, offset: u64) {
        if let Some(open) = &mut self.open {
            open.offset = open.offset.min(offset);
        }
    }

    /// Cuts off what stands behind the place of the next byte.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    pub fn cut(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |open| open.file.set_len(open.offset))
    }

    /// Writes all of it or nothing.
    ///
    /// # Errors
    /// Those of opening and writing.
    pub fn put(&mut self, text: &[u8], now: Now) -> io::Result<()> {
        let open = self.ensure_open(now)?;
        open.times.note(open.offset, now.unix_ms);
        if let Err(error) = open.file.write_all_at(text, open.offset) {
            let _ = open.file.set_len(open.offset); // a part of it may be there
            return Err(error);
        }
        open.offset += text.len() as u64;
        self.has_begun(now);
        Ok(())
    }

    /// Something stands in it now.
    fn has_begun(&mut self, now: Now) {
        if let Some(open) = self.open.as_mut().filter(|open| open.begun_ms.is_none() && open.offset > 0) {
            open.begun_ms = Some(now.unix_ms);
            open.due_ms = due(&self.policy, open.begun_ms);
        }
    }

    /// Whether it is old enough for the archive.
    pub fn is_due(&mut self, now: Now) -> bool {
        let Some(open) = &mut self.open else { return false };
        if open.begun_ms.is_some_and(|begun| begun > now.unix_ms) {
            // The clock was put back: it counts from now on.
            open.begun_ms = Some(now.unix_ms);
            open.due_ms = due(&self.policy, open.begun_ms);
        }
        open.due_ms.is_some_and(|due| due <= now.unix_ms)
    }

    /// When there is something to do for the passing of time alone, after that moment; milliseconds since 1970.
    pub fn next_due_ms(&self, after: u64) -> Option<u64> {
        let open = self.open.as_ref().and_then(|open| open.due_ms);
        [open, self.expires_ms].into_iter().flatten().filter(|due| *due > after).min()
    }

    /// It is going to be put aside because somebody wants it empty.
    pub fn mark_flushed(&self) {
        if let Some(folder) = &self.folder {
            archive::mark_flushed(folder, &self.stem);
        }
    }

    /// Deletes archives that are too old.
    pub fn expire(&mut self, now: Now) {
        if self.expires_ms.is_some_and(|due| due <= now.unix_ms) {
            self.prune(now);
        }
    }

    fn prune(&mut self, now: Now) {
        self.begin_work();
        let Some(folder) = &self.folder else { return };
        self.expires_ms = archive::prune(folder, &self.stems(), &self.policy.rules(), now.unix_ms);
    }

    /// Deletes the oldest archive of the service, for there is no room. Returns its name and size; none if there is none.
    pub fn give_up_oldest_archive(&mut self) -> Option<(String, u64)> {
        self.begin_work();
        archive::remove_oldest(self.folder.as_ref()?, &self.stems())
    }

    /// Moves it to the archive, if there is anything in it; the next byte begins a new one. Returns where it is now, unless
    /// somebody has taken it away before.
    ///
    /// # Errors
    /// Those of [`archive::put`].
    pub fn rotate(&mut self, now: Now) -> io::Result<Option<PathBuf>> {
        self.begin_work();
        let (Some(folder), Some(open)) = (&self.folder, &self.open) else { return Ok(None) };
        if folder.id_of(&self.name()) != Some(open.id) {
            self.open = None; // somebody has put something else in its place
            return Ok(None);
        }
        if open.offset == 0 {
            return Ok(None);
        }
        fault::point("before a rotation");
        let target = archive::put(folder, &self.policy.dir, &self.stem, now.unix_ms)
            .map_err(|error| io::Error::new(error.kind(), format!("its archive: {error}")))?;
        fault::point("after the rename of a rotation");
        self.open = None;
        self.prune(now);
        fault::point("after the pruning of a rotation");
        Ok(Some(target))
    }

    /// The file to write to. Once a second it is compared with its name, and so is its index: moved away or replaced, they
    /// are opened anew; truncated, writing goes on at its end.
    fn ensure_open(&mut self, now: Now) -> io::Result<&mut Open> {
        self.begin_work();
        let due = self.looked.is_none_or(|looked| now.mono.since(looked) >= LOOK_EVERY);
        if due {
            self.looked = Some(now.mono);
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
            if open.offset == 0 {
                (open.begun_ms, open.due_ms) = (None, None);
            }
            if due && let Some(folder) = self.folder.as_ref().filter(|it| !open.times.holds(it, &self.stem)) {
                open.times = TimeIndex::open(folder, &self.stem, open.id, open.offset);
            }
        }
        if self.open.is_none() {
            let folder = match self.folder.take() {
                Some(folder) => folder,
                None => Folder::open(&self.policy.dir, Missing::Make)?,
            };
            let folder = self.folder.insert(folder);
            self.open = Some(Open::new(folder, &self.stem, &self.policy)?);
        }
        Ok(self.open.as_mut().expect("it was opened above"))
    }
}

impl Open {
    fn new(folder: &Folder, stem: &str, policy: &LogPolicy) -> io::Result<Open> {
        let (file, id) = folder.open_file(&archive_name::log(stem), Missing::Make)?;
        let about = file.metadata()?;
        let begun_ms = (about.len() > 0).then(|| begun_ms(&about)).flatten();
        let times = TimeIndex::open(folder, stem, id, about.len());
        Ok(Open { file, id, offset: about.len(), begun_ms, due_ms: due(policy, begun_ms), times })
    }

    /// Writes what is at the head of the stage, and only then takes it out: a keeper that is killed between the two has
    /// its successor write it again.
    fn copy(&mut self, stage: BorrowedFd<'_>, most: usize, peek: &mut Peek) -> io::Result<usize> {
        let mut bytes = peek.look(stage, most)?;
        let written = self.file.write_at(&bytes, self.offset)?;
        self.offset += written as u64;
        fifo::take(stage, &mut bytes[..written])
    }
}

/// When a file that is not empty was begun: when it was made, or where the file system does not know that, when it was
/// last written to.
fn begun_ms(about: &Metadata) -> Option<u64> {
    let time = about.created().or_else(|_| about.modified()).ok()?;
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

fn due(policy: &LogPolicy, begun_ms: Option<u64>) -> Option<u64> {
    policy.rotate_every.as_ref()?.due(begun_ms?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use std::os::fd::AsFd;

    /// O_APPEND stands for a file system that cannot splice: both answer EINVAL.
    #[test]
    fn a_file_that_refuses_splice_is_written_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stage");
        fifo::make(&path, None).unwrap();
        let (stage, writer) = (fifo::open_pump(&path).unwrap(), fifo::open_pump(&path).unwrap());
        let mut log =
            LogFile::new("web", StreamName::Out, LogPolicy::new(dir.path().to_owned(), 1 << 20, 3, false));
        let mut peek = Peek::new().unwrap();
        let mut take = |log: &mut LogFile, text: &str| {
            nix::unistd::write(&writer, text.as_bytes()).unwrap();
            log.take(stage.as_fd(), 1 << 16, &mut peek, Now::default()).unwrap()
        };
        assert_eq!(take(&mut log, "one\n"), 4);
        let file = &log.open.as_ref().unwrap().file;
        fcntl(file, FcntlArg::F_SETFL(OFlag::O_APPEND)).unwrap();
        nix::unistd::write(&writer, b"x").unwrap();
        let refused = fifo::to_file(stage.as_fd(), file, &mut 4, 1).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
        assert_eq!(take(&mut log, "\n"), 2);
        assert_eq!(take(&mut log, "three\n"), 6);
        assert_eq!(std::fs::read_to_string(log.path()).unwrap(), "one\nx\nthree\n");
        assert_eq!((log.offset(Now::default()).unwrap(), fifo::waiting(stage.as_fd()).unwrap()), (12, 0));
    }
}
