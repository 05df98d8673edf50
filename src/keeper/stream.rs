//! One stream of a service, from its FIFOs into its log file.
//!
//! ```text
//! service --write--> fifo --splice--> stage --splice--> NAME-out.log
//! ```
//! The bytes never pass through the memory of this process, so a SIGKILL cannot lose any: each is in the
//! FIFO, in the stage or in the file. Two stages, because a splice into a file holds the pipe's lock while the
//! disk is slow, and the service's own write would wait for it.
//!
//! Each run has FIFOs of its own. They are emptied one after the other, so that lines of two runs never mix,
//! and a run that ends in mid-line gets its end of line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use super::archive;
use crate::model::moment::{Moment, Now};
use crate::model::spec::LogPolicy;
use crate::os::file::FileId;
use crate::os::folder::{Folder, Missing};
use crate::os::{fault, fifo};

/// How often the name of the log file is compared with the file that is written to: somebody may have moved
/// or truncated it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A pause after the disk refused.
const TROUBLE_PAUSE: Duration = Duration::from_millis(100);
/// Until a rotation that failed is tried again.
const ROTATE_AGAIN: Duration = Duration::from_secs(10);
/// A line without an end is cut by a rotation after this many bytes beyond the limit.
const LONGEST_WAIT: u64 = 1 << 20;
/// Moved in one go from FIFO to stage: the stage's size.
const STAGE: usize = 1 << 16;
/// Gone through in one turn, so that the other stream gets its own.
const TURN: usize = 4 << 20;

/// The FIFOs of one stream of one run.
#[derive(Debug)]
pub struct Channel {
    /// The service writes into this one.
    pub fifo: OwnedFd,
    /// Between it and the file.
    pub stage: OwnedFd,
}

#[derive(Debug)]
struct Source {
    run: u64,
    channel: Channel,
    /// The run is over: when this is empty, it is done.
    finishing: bool,
}

/// One stream.
#[derive(Debug)]
pub struct Stream {
    stem: String,
    policy: LogPolicy,
    folder: Option<Folder>,
    open: Option<Open>,
    looked: Option<Moment>,
    sources: VecDeque<Source>,
    scratch: (OwnedFd, OwnedFd),
    pause_until: Option<Moment>,
    rotate_again: Option<Moment>,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: FileId,
    offset: u64,
}

/// What a turn came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Runs whose last byte is in the file.
    pub finished: Vec<u64>,
    /// Archives to compress.
    pub rotated: Vec<PathBuf>,
    /// What went wrong, with the path; the bytes wait.
    pub trouble: Option<String>,
    /// There is more to do at once.
    pub more: bool,
}

impl Stream {
    /// A stream without a source; `kind` is `out` or `error`.
    ///
    /// # Errors
    /// EMFILE.
    pub fn new(service: &str, kind: &str, policy: LogPolicy) -> io::Result<Stream> {
        let scratch = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)?;
        Ok(Stream {
            stem: format!("{service}-{kind}"),
            policy,
            folder: None,
            open: None,
            looked: None,
            sources: VecDeque::new(),
            scratch,
            pause_until: None,
            rotate_again: None,
        })
    }

    /// The log file.
    pub fn path(&self) -> PathBuf {
        self.policy.dir.join(self.name())
    }

    fn name(&self) -> String {
        format!("{}.log", self.stem)
    }

    /// Replaces the policy; another folder holds from the next byte.
    pub fn set_policy(&mut self, policy: LogPolicy) {
        if policy.dir != self.policy.dir {
            (self.folder, self.open) = (None, None);
        }
        self.policy = policy;
    }

    /// Adds the FIFOs of a run behind those that are there.
    pub fn attach(&mut self, run: u64, channel: Channel) {
        self.sources.push_back(Source { run, channel, finishing: false });
    }

    /// The run is over; what it has written is still to come.
    pub fn finish(&mut self, run: u64) {
        for source in self.sources.iter_mut().filter(|source| source.run == run) {
            source.finishing = true;
        }
    }

    /// The run's bytes are not wanted any more.
    pub fn forget(&mut self, run: u64) {
        self.sources.retain(|source| source.run != run);
    }

    /// Archives that wait to be compressed, if they shall be.
    pub fn uncompressed(&self) -> Vec<PathBuf> {
        match self.policy.compress {
            true => archive::uncompressed(&self.policy.dir, &self.stem),
            false => Vec::new(),
        }
    }

    /// The FIFO to wait for; none if there is no source, or the disk gets a pause.
    pub fn waits_for(&self, now: Moment) -> Option<BorrowedFd<'_>> {
        if self.pause_until.is_some_and(|until| until > now) {
            return None;
        }
        self.sources.front().map(|source| source.channel.fifo.as_fd())
    }

    /// When a pause ends.
    pub fn pause_until(&self) -> Option<Moment> {
        self.pause_until
    }

    /// Whether it pays to wait a moment for more bytes: little is there and nobody is in a hurry.
    pub fn is_trickle(&self) -> bool {
        self.sources.front().is_none_or(|source| {
            let fifo = source.channel.fifo.as_fd();
            !source.finishing && fifo::waiting(fifo).is_ok_and(|bytes| bytes < fifo::capacity(fifo) / 8)
        })
    }

    /// Empties the log file.
    ///
    /// # Errors
    /// Those of opening and truncating.
    pub fn flush(&mut self, now: Now) -> io::Result<()> {
        self.looked = None;
        let open = self.ensure_open(now.mono)?;
        open.file.set_len(0)?;
        open.offset = 0;
        Ok(())
    }

    /// Moves what is there.
    pub fn turn(&mut self, now: Now) -> Turn {
        let mut turn = Turn::default();
        if self.sources.is_empty() {
            return turn;
        }
        self.pause_until = None;
        if let Err(error) = self.try_turn(now, &mut turn) {
            self.pause_until = Some(now.mono.plus(TROUBLE_PAUSE));
            self.looked = None;
            turn.trouble = Some(format!("cannot write {}: {error}", self.path().display()));
            turn.more = false;
        }
        turn
    }

    fn try_turn(&mut self, now: Now, turn: &mut Turn) -> io::Result<()> {
        let mut moved = 0;
        while !self.sources.is_empty() {
            moved += self.empty_stage(now, turn)?;
            let source = &self.sources[0];
            let taken = fifo::to_stage(source.channel.fifo.as_fd(), source.channel.stage.as_fd(), STAGE)?;
            if taken > 0 {
                fault::point("between the splices");
                if moved >= TURN {
                    turn.more = true;
                    return Ok(());
                }
                continue;
            }
            if !source.finishing || fifo::waiting(source.channel.stage.as_fd())? > 0 {
                return Ok(());
            }
            let run = source.run;
            self.end_line(now)?;
            self.sources.pop_front();
            turn.finished.push(run);
        }
        Ok(())
    }

    /// Moves everything from the stage into the file, rotating at the ends of lines.
    fn empty_stage(&mut self, now: Now, turn: &mut Turn) -> io::Result<usize> {
        let mut moved = 0;
        loop {
            let waiting = fifo::waiting(self.sources[0].channel.stage.as_fd())?;
            if waiting == 0 {
                return Ok(moved);
            }
            let limit = self.policy.rotate_size;
            let offset = self.ensure_open(now.mono)?.offset;
            let most = if offset < limit {
                usize::try_from(limit - offset).unwrap_or(usize::MAX).min(waiting)
            } else if self.rotate_again.is_some_and(|again| again > now.mono) {
                waiting
            } else if self.at_line_start()? || offset >= limit + LONGEST_WAIT {
                if let Err(error) = self.rotate(now, turn) {
                    // The lines matter more than the size of the file.
                    self.rotate_again = Some(now.mono.plus(ROTATE_AGAIN));
                    let path = self.path();
                    turn.trouble = Some(format!("cannot rotate {}: {error}; it grows on", path.display()));
                }
                continue;
            } else {
                self.up_to_line_end(waiting)?
            };
            let source = self.sources[0].channel.stage.as_fd();
            let open = self.open.as_mut().expect("ensure_open has just opened it");
            let written = fifo::to_file(source, &open.file, &mut open.offset, most)?;
            if written == 0 {
                return Ok(moved);
            }
            moved += written;
        }
    }

    /// How many of the waiting bytes belong to the line that is being written.
    fn up_to_line_end(&mut self, waiting: usize) -> io::Result<usize> {
        let mut scratch = File::from(self.scratch.0.try_clone()?);
        let seen = fifo::peek(self.sources[0].channel.stage.as_fd(), self.scratch.1.as_fd(), waiting)?;
        let mut bytes = vec![0; seen];
        scratch.read_exact(&mut bytes)?;
        Ok(bytes.iter().position(|byte| *byte == b'\n').map_or(waiting, |at| at + 1))
    }

    fn at_line_start(&self) -> io::Result<bool> {
        let Some(open) = &self.open else { return Ok(true) };
        if open.offset == 0 {
            return Ok(true);
        }
        let mut last = [0];
        let read = open.file.read_at(&mut last, open.offset - 1)?;
        Ok(read == 0 || last[0] == b'\n')
    }

    /// A run that ended in mid-line gets its end of line, so that the next one begins a new one.
    fn end_line(&mut self, now: Now) -> io::Result<()> {
        self.ensure_open(now.mono)?;
        if !self.at_line_start()? {
            let open = self.open.as_mut().expect("ensure_open has just opened it");
            open.file.write_all_at(b"\n", open.offset)?;
            open.offset += 1;
        }
        Ok(())
    }

    fn rotate(&mut self, now: Now, turn: &mut Turn) -> io::Result<()> {
        let (Some(folder), Some(open)) = (&self.folder, &self.open) else { return Ok(()) };
        if folder.id_of(&self.name()) != Some(open.id) {
            self.open = None; // somebody has put something else in its place
            return Ok(());
        }
        let target = archive::put(folder, &self.policy.dir, &self.stem, now.unix_ms)
            .map_err(|error| io::Error::new(error.kind(), format!("its archive: {error}")))?;
        fault::point("after the rename of a rotation");
        self.open = None;
        archive::prune(folder, &self.stem, self.policy.keep);
        if self.policy.compress {
            turn.rotated.push(target);
        }
        Ok(())
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
            self.open = Some(Open::new(folder, &format!("{}.log", self.stem))?);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd;

    struct Bench {
        dir: tempfile::TempDir,
        stream: Stream,
        now: Now,
    }

    impl Bench {
        fn new(rotate_size: u64) -> Bench {
            let dir = tempfile::tempdir().unwrap();
            let policy = LogPolicy { dir: dir.path().join("logs"), rotate_size, keep: 100, compress: false };
            Bench { dir, stream: Stream::new("web", "out", policy).unwrap(), now: Now::default() }
        }

        /// Attaches the FIFOs of a run; returns the service's end.
        fn run(&mut self, run: u64) -> OwnedFd {
            let path = |name: &str| self.dir.path().join(format!("{run}.{name}"));
            for name in ["fifo", "stage"] {
                fifo::make(&path(name), None).unwrap();
            }
            let channel = Channel {
                fifo: fifo::open_pump(&path("fifo")).unwrap(),
                stage: fifo::open_pump(&path("stage")).unwrap(),
            };
            self.stream.attach(run, channel);
            fifo::open_service(&path("fifo")).unwrap()
        }

        fn turn(&mut self) -> Turn {
            self.now.mono = self.now.mono.plus(Duration::from_millis(300));
            self.now.unix_ms += 300;
            self.stream.turn(self.now)
        }

        fn log(&self) -> String {
            fs::read_to_string(self.stream.path()).unwrap_or_default()
        }

        fn archives(&self) -> Vec<String> {
            let all = archive::list(&self.stream.policy.dir, "web-out");
            all.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
        }
    }

    fn write(fd: &OwnedFd, text: &str) {
        assert_eq!(nix::unistd::write(fd.as_fd(), text.as_bytes()).unwrap(), text.len());
    }

    #[test]
    fn runs_follow_each_other_and_a_torn_line_is_ended() {
        let mut bench = Bench::new(1 << 20);
        let first = bench.run(1);
        let second = bench.run(2);
        write(&first, "one\nhalf");
        write(&second, "two\n");
        bench.turn();
        assert_eq!(bench.log(), "one\nhalf");
        bench.stream.finish(1);
        assert_eq!(bench.turn().finished, [1]);
        assert_eq!(bench.log(), "one\nhalf\ntwo\n");
    }

    #[test]
    fn rotates_at_the_end_of_a_line_and_loses_nothing() {
        let mut bench = Bench::new(100);
        let fd = bench.run(1);
        let mut written = String::new();
        for n in 0..200 {
            let text = format!("line {n} {}", "x".repeat(n % 37));
            write(&fd, &text);
            bench.turn();
            write(&fd, "\n");
            bench.turn();
            written += &text;
            written.push('\n');
        }
        let archives = bench.archives();
        assert!(archives.len() > 20);
        assert!(archives.iter().all(|text| text.ends_with('\n') && text.len() >= 100 && text.len() < 160));
        assert_eq!(archives.concat() + &bench.log(), written);
    }

    #[test]
    fn a_line_that_never_ends_is_cut_at_last() {
        let mut bench = Bench::new(100);
        let fd = bench.run(1);
        for _ in 0..40 {
            write(&fd, &"x".repeat(60_000));
            bench.turn();
        }
        assert_eq!(bench.archives().len(), 2);
        assert_eq!(bench.archives().concat().len() + bench.log().len(), 40 * 60_000);
    }

    #[test]
    fn follows_a_moved_a_truncated_and_a_replaced_file() {
        let mut bench = Bench::new(1 << 20);
        let fd = bench.run(1);
        write(&fd, "one\n");
        bench.turn();
        let path = bench.stream.path();
        let moved = path.with_extension("moved");
        fs::rename(&path, &moved).unwrap();
        bench.now.mono = bench.now.mono.plus(LOOK_EVERY);
        write(&fd, "two\n");
        bench.turn();
        assert_eq!((fs::read_to_string(moved).unwrap().as_str(), bench.log().as_str()), ("one\n", "two\n"));
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        write(&fd, "three\n");
        bench.turn();
        assert_eq!(bench.log(), "three\n");
        bench.stream.flush(bench.now).unwrap();
        write(&fd, "four\n");
        bench.turn();
        assert_eq!(bench.log(), "four\n");
    }

    #[test]
    fn a_rotation_that_fails_does_not_stop_the_log() {
        let mut bench = Bench::new(100);
        let fd = bench.run(1);
        fs::create_dir_all(bench.stream.policy.dir.clone()).unwrap();
        fs::write(bench.stream.policy.dir.join("archive"), "in the way").unwrap();
        let mut written = String::new();
        for n in 0..20 {
            let line = format!("line {n} {}\n", "x".repeat(50));
            write(&fd, &line);
            bench.turn();
            written += &line;
        }
        assert_eq!(bench.log(), written);
        fs::remove_file(bench.stream.policy.dir.join("archive")).unwrap();
        bench.now.mono = bench.now.mono.plus(ROTATE_AGAIN);
        write(&fd, "last\n");
        bench.turn();
        assert_eq!((bench.archives().concat(), bench.log()), (written, "last\n".to_owned()));
    }

    #[test]
    fn a_symbolic_link_is_refused_in_words_and_the_bytes_wait() {
        let mut bench = Bench::new(1 << 20);
        let fd = bench.run(1);
        let path = bench.stream.path();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let victim = bench.dir.path().join("victim");
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        write(&fd, "one\n");
        assert!(bench.turn().trouble.unwrap().starts_with("cannot write "));
        assert!(!victim.exists());
        fs::remove_file(&path).unwrap();
        assert_eq!(bench.turn().trouble, None);
        assert_eq!(bench.log(), "one\n");
    }
}
