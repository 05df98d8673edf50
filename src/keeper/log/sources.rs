//! The runs that feed one log file, and whose turn it is.
//!
//! Mostly there is one. While a run takes over from another there are two that live, and when the disk is slow there are
//! more that have ended. Bytes of another run follow only where a line has ended, so somebody must know whose line the
//! file ends with. The keeper may be killed in the middle of it, so that stands on disk: in a few bytes that are written
//! before the turn changes, and never while there is but one run.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::os::{fault, fifo, file};

/// Digits of a run's number in the file, and the end of the line.
const MARK: usize = 21;

/// The FIFOs of one stream of one run.
#[derive(Debug)]
pub struct Channel {
    /// The service writes into this one.
    pub fifo: OwnedFd,
    /// Between it and the file.
    pub stage: OwnedFd,
}

/// One run.
#[derive(Debug)]
pub struct Source {
    /// Its number.
    pub run: u64,
    /// Its FIFOs.
    pub channel: Channel,
    /// The run is over: when this is empty, it is done.
    pub finishing: bool,
    /// There was a flood.
    widened: bool,
}

/// Size of both FIFOs in a flood, bytes. While one batch goes to the disk the service writes the next one: the larger they
/// are, the less often the two wait for each other's lock on the FIFO. Not larger: an unprivileged user has 64 MiB for all
/// (fs.pipe-user-pages-soft).
pub const WIDE: usize = 1 << 18;

impl Source {
    /// A run that has begun.
    pub fn new(run: u64, channel: Channel) -> Source {
        Source { run, channel, finishing: false, widened: false }
    }

    /// Whether it has anything to be done.
    fn waits(&self) -> bool {
        let has_bytes = |fd: &OwnedFd| fifo::waiting(fd.as_fd()).is_ok_and(|bytes| bytes > 0);
        self.finishing || has_bytes(&self.channel.stage) || has_bytes(&self.channel.fifo)
    }

    /// Much has been written at once: more has room from now on, if the kernel grants it.
    fn widen(&mut self) {
        if !std::mem::replace(&mut self.widened, true) {
            fifo::widen(self.channel.fifo.as_fd(), WIDE);
            fifo::widen(self.channel.stage.as_fd(), WIDE);
        }
    }
}

/// All runs that feed a file.
#[derive(Debug)]
pub struct Sources {
    /// The one whose turn it is, then the others by age.
    all: VecDeque<Source>,
    /// Where the run stands whose turn it is.
    path: PathBuf,
    mark: Option<File>,
    /// What stands there.
    marked: Option<u64>,
}

impl Sources {
    /// None yet; whose turn it is stands in the file at `path`.
    pub fn new(path: PathBuf) -> Sources {
        let marked = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        Sources { all: VecDeque::new(), path, mark: None, marked }
    }

    /// Adds a run. The oldest one has its turn first, unless a predecessor of this keeper was with another one.
    pub fn attach(&mut self, run: u64, channel: Channel) {
        let source = Source::new(run, channel);
        if self.marked == Some(run) {
            self.all.push_front(source);
        } else {
            self.all.push_back(source);
        }
        self.sort_others();
    }

    fn sort_others(&mut self) {
        self.all.make_contiguous()[1..].sort_by_key(|source| source.run);
    }

    /// The one whose turn it is.
    pub fn current(&self) -> Option<&Source> {
        self.all.front()
    }

    /// Of the one whose turn it is, much has been written at once.
    pub fn widen(&mut self) {
        let _ = self.all.front_mut().map(Source::widen);
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &Source> + Clone {
        self.all.iter()
    }

    /// The run is over.
    pub fn finish(&mut self, run: u64) {
        self.all.iter_mut().filter(|source| source.run == run).for_each(|source| source.finishing = true);
    }

    /// The run is not wanted any more.
    pub fn forget(&mut self, run: u64) {
        self.all.retain(|source| source.run != run);
    }

    /// Ends the turn of a run that is done: the oldest of the others has its own.
    pub fn pop(&mut self) -> Option<u64> {
        self.all.pop_front().map(|source| source.run)
    }

    /// Whether another run waits for its turn.
    pub fn another_waits(&self) -> bool {
        self.all.iter().skip(1).any(Source::waits)
    }

    /// Gives the turn to the oldest run that waits for it. To be called at the end of a line only.
    pub fn change(&mut self) {
        let Some(next) = self.all.iter().skip(1).position(Source::waits).map(|at| at + 1) else {
            return;
        };
        // The run folder may be full, of which the disk of the log knows nothing. Then a successor cannot know whose turn it
        // was, should this keeper be killed before the next line ends.
        let _ = self.note(self.all[next].run);
        fault::point("after a change of turns");
        self.all.swap(0, next);
        self.sort_others();
    }

    fn note(&mut self, run: u64) -> io::Result<()> {
        if self.mark.is_none() {
            self.mark = Some(file::open_preallocated(&self.path, MARK)?);
        }
        if let Some(mark) = &self.mark {
            mark.write_all_at(format!("{run:020}\n").as_bytes(), 0)?;
        }
        self.marked = Some(run);
        Ok(())
    }

    /// The FIFOs to wait for: of all, or only of the one whose turn it is.
    pub fn fifos(&self, all: bool) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all.iter().take(if all { usize::MAX } else { 1 }).map(|source| source.channel.fifo.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(dir: &tempfile::TempDir, run: u64) -> (Channel, OwnedFd) {
        let path = |name: &str| dir.path().join(format!("{run}.{name}"));
        for name in ["fifo", "stage"] {
            fifo::make(&path(name), None).unwrap();
        }
        let open = |name: &str| fifo::open_pump(&path(name)).unwrap();
        let end = fifo::open_service(&path("fifo")).unwrap();
        (Channel { fifo: open("fifo"), stage: open("stage") }, end)
    }

    #[test]
    fn a_successor_knows_whose_turn_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.source");
        let runs = |sources: &Sources| sources.iter().map(|source| source.run).collect::<Vec<_>>();
        let ends: Vec<_> = [3, 4, 5].into_iter().map(|run| channel(&dir, run)).collect();
        let attach_all = || {
            let mut sources = Sources::new(path.clone());
            [3, 4, 5].into_iter().for_each(|run| sources.attach(run, channel(&dir, run).0));
            sources
        };
        let mut sources = attach_all();
        assert_eq!(runs(&sources), [3, 4, 5]);
        assert!(!sources.another_waits());
        nix::unistd::write(&ends[2].1, b"x").unwrap();
        assert!(sources.another_waits());
        sources.change();
        assert_eq!(runs(&sources), [5, 3, 4]);
        assert_eq!(runs(&attach_all()), [5, 3, 4]);
        sources.finish(4);
        sources.change();
        assert_eq!((runs(&sources), runs(&attach_all())), (vec![4, 3, 5], vec![4, 3, 5]));
        assert_eq!(sources.pop(), Some(4));
        assert_eq!(runs(&sources), [3, 5]);
    }

    #[test]
    fn turns_change_also_when_that_cannot_be_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let ends: Vec<_> = [3, 4].into_iter().map(|run| channel(&dir, run)).collect();
        let mut sources = Sources::new(dir.path().join("no such folder/out.source"));
        [3, 4].into_iter().for_each(|run| sources.attach(run, channel(&dir, run).0));
        nix::unistd::write(&ends[1].1, b"x").unwrap();
        sources.change();
        assert_eq!(sources.current().map(|source| source.run), Some(4));
    }
}
