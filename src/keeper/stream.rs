//! One stream of a service, from its FIFOs into its log file.
//!
//! ```text
//! service --write--> fifo --splice--> stage --splice--> NAME-out.log
//! ```
//! The bytes never pass through the memory of this process, so a SIGKILL cannot lose any: each is in the
//! FIFO, in the stage or in the file. Two stages, because a splice into a file holds the pipe's lock while the
//! disk is slow, and the service's own write would wait for it.
//!
//! Each run has FIFOs of its own. Runs that have ended are emptied one after the other. Two that live, while one takes
//! over from the other, take turns, which change where a line has ended ([`super::sources`]). So lines of two runs never
//! mix, and a run that ends in mid-line, or stays in mid-line while another one waits, gets its end of line.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::archive;
use super::relief::{self, Gaps};
pub use super::sources::Channel;
use super::sources::Sources;
use crate::model::moment::{Moment, Now};
use crate::model::spec::LogPolicy;
use crate::os::file::FileId;
use crate::os::folder::{Folder, Missing};
use crate::os::switch::Switch;
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
/// Of one run, while another one waits for its turn.
const SHARE: u64 = 256 << 10;
/// A run that stays in mid-line this long, while another one waits, gets its end of line.
const HALF_LINE: Duration = Duration::from_secs(1);

/// One stream.
#[derive(Debug)]
pub struct Stream {
    stem: String,
    policy: LogPolicy,
    folder: Option<Folder>,
    open: Option<Open>,
    looked: Option<Moment>,
    sources: Sources,
    /// Bytes since the turn last changed.
    share: u64,
    /// Since when another run waits for the end of a line of the one whose turn it is, which says nothing.
    half_line: Option<Moment>,
    scratch: (OwnedFd, OwnedFd),
    pause_until: Option<Moment>,
    rotate_again: Option<Moment>,
    gaps: Arc<Gaps>,
    /// Falls while the disk holds this stream up.
    switch: Option<Arc<Switch>>,
    holds_switch: bool,
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
    /// A stream without a source; `kind` is `out` or `error`, and at `turns` stands whose turn it is.
    ///
    /// # Errors
    /// EMFILE.
    pub fn new(service: &str, kind: &str, turns: PathBuf, policy: LogPolicy) -> io::Result<Stream> {
        let scratch = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)?;
        Ok(Stream {
            stem: format!("{service}-{kind}"),
            policy,
            folder: None,
            open: None,
            looked: None,
            sources: Sources::new(turns),
            share: 0,
            half_line: None,
            scratch,
            pause_until: None,
            rotate_again: None,
            gaps: Arc::default(),
            switch: None,
            holds_switch: false,
        })
    }

    /// From now on this switch is held while there is work to do on the disk, and falls when that does not get on.
    pub fn hold(&mut self, switch: Arc<Switch>) {
        self.switch = Some(switch);
    }

    /// What is missing in its FIFOs.
    pub fn gaps(&self) -> Arc<Gaps> {
        Arc::clone(&self.gaps)
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

    /// Adds the FIFOs of a run.
    pub fn attach(&mut self, run: u64, channel: Channel) {
        self.sources.attach(run, channel);
    }

    /// The run is over; what it has written is still to come.
    pub fn finish(&mut self, run: u64) {
        self.sources.finish(run);
    }

    /// The run's bytes are not wanted any more.
    pub fn forget(&mut self, run: u64) {
        self.sources.forget(run);
        self.gaps.forget(run);
        self.half_line = None;
    }

    /// Archives that wait to be compressed, if they shall be.
    pub fn uncompressed(&self) -> Vec<PathBuf> {
        match self.policy.compress {
            true => archive::uncompressed(&self.policy.dir, &self.stem),
            false => Vec::new(),
        }
    }

    /// The FIFOs to wait for; none if the disk gets a pause. A run whose turn it is not can have written something, and
    /// wait for the end of a line of the one whose turn it is.
    pub fn waits_for(&self, now: Moment) -> impl Iterator<Item = BorrowedFd<'_>> {
        let paused = self.pause_until.is_some_and(|until| until > now);
        let all = self.half_line.is_none();
        self.sources.fifos(all).filter(move |_| !paused)
    }

    /// When a pause ends.
    pub fn pause_until(&self) -> Option<Moment> {
        self.pause_until
    }

    /// When there is something to do, even if nobody writes anything.
    pub fn wakes_at(&self) -> Option<Moment> {
        let half_line = self.half_line.map(|since| since.plus(HALF_LINE));
        self.pause_until.or(half_line)
    }

    /// Whether it pays to wait a moment for more bytes: little is there and nobody is in a hurry.
    pub fn is_trickle(&self) -> bool {
        self.sources.iter().all(|source| {
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
        self.begin_work();
        let open = self.ensure_open(now.mono)?;
        open.file.set_len(0)?;
        open.offset = 0;
        self.end_work();
        Ok(())
    }

    /// Moves what is there.
    pub fn turn(&mut self, now: Now) -> Turn {
        let mut turn = Turn::default();
        if self.sources.current().is_none() {
            self.end_work();
            return turn;
        }
        self.pause_until = None;
        match self.try_turn(now, &mut turn) {
            Ok(()) => self.end_work(),
            Err(error) => {
                self.begin_work(); // it is not done before the disk takes it
                self.pause_until = Some(now.mono.plus(TROUBLE_PAUSE));
                self.looked = None;
                turn.trouble = Some(format!("cannot write {}: {error}", self.path().display()));
                turn.more = false;
            }
        }
        turn
    }

    /// There is something to do on the disk, which may take longer than it should.
    fn begin_work(&mut self) {
        if !std::mem::replace(&mut self.holds_switch, true) {
            self.hold_switch();
        }
    }

    fn hold_switch(&self) {
        // It cannot fail: a switch that is not held only falls too early.
        let _ = self.switch.as_ref().map(|switch| switch.hold(relief::PATIENCE));
    }

    /// All was done.
    fn end_work(&mut self) {
        if std::mem::take(&mut self.holds_switch) {
            let _ = self.switch.as_ref().map(|switch| switch.lay_down());
        }
    }

    fn try_turn(&mut self, now: Now, turn: &mut Turn) -> io::Result<()> {
        let mut moved = 0;
        self.half_line = self.half_line.filter(|_| self.sources.another_waits());
        while let Some(source) = self.sources.current() {
            let finishing = source.finishing;
            let before = moved;
            moved += self.empty_stage(now, turn)?;
            let taken = self.fill_stage(now)?;
            if taken > 0 {
                fault::point("between the splices");
                self.half_line = None;
                self.share += (moved - before) as u64;
                if self.share >= SHARE && self.sources.another_waits() && self.come_to_line_end(now)? {
                    self.change_turns()?;
                }
                if moved >= TURN {
                    turn.more = true;
                    return Ok(());
                }
                continue;
            }
            if self.staged()? > 0 {
                return Ok(());
            }
            if finishing {
                self.end_line(now)?;
                turn.finished.extend(self.sources.pop());
                (self.share, self.half_line) = (0, None);
                continue;
            }
            if !self.sources.another_waits() {
                return Ok(());
            }
            if !self.at_line_start()? {
                let since = *self.half_line.get_or_insert(now.mono);
                if now.mono.since(since) < HALF_LINE {
                    return Ok(());
                }
                self.end_line(now)?;
            }
            self.change_turns()?;
        }
        Ok(())
    }

    /// Bytes in the stage of the run whose turn it is.
    fn staged(&self) -> io::Result<usize> {
        self.sources.current().map_or(Ok(0), |source| fifo::waiting(source.channel.stage.as_fd()))
    }

    /// Moves what the run whose turn it is has written into its stage. Where lines are missing, that is said first, in the
    /// file: what is staged stands before it.
    fn fill_stage(&mut self, now: Now) -> io::Result<usize> {
        while let Some(source) = self.sources.current() {
            if self.staged()? > 0 {
                break;
            }
            let (run, Channel { fifo, stage }) = (source.run, &source.channel);
            match self.gaps.take_or(run, || fifo::to_stage(fifo.as_fd(), stage.as_fd(), STAGE))? {
                Ok(moved) => return Ok(moved),
                Err(gap) => self.write_gap(now, run, gap)?,
            }
        }
        Ok(0)
    }

    fn write_gap(&mut self, now: Now, run: u64, mut gap: Vec<u8>) -> io::Result<()> {
        let gaps = Arc::clone(&self.gaps);
        let mut write = || {
            let open = self.ensure_open(now.mono)?;
            while !gap.is_empty() {
                let written = open.file.write_at(&gap, open.offset)?;
                open.offset += written as u64;
                gap.drain(..written);
            }
            Ok(())
        };
        let result = write();
        if !gap.is_empty() {
            gaps.put_back(run, gap);
        }
        result
    }

    fn change_turns(&mut self) -> io::Result<()> {
        self.sources.change()?;
        (self.share, self.half_line) = (0, None);
        Ok(())
    }

    /// Moves what is staged up to the end of the line that is being written. False if that is not there yet; a line
    /// that is too long is ended.
    fn come_to_line_end(&mut self, now: Now) -> io::Result<bool> {
        self.ensure_open(now.mono)?;
        if self.at_line_start()? {
            return Ok(true);
        }
        let staged = self.staged()?;
        let most = self.up_to_line_end(staged)?;
        let written = self.write(now, most)?;
        if written == most && !self.at_line_start()? && self.share >= LONGEST_WAIT {
            self.end_line(now)?;
        }
        self.at_line_start()
    }

    /// Moves everything from the stage into the file, rotating at the ends of lines.
    fn empty_stage(&mut self, now: Now, turn: &mut Turn) -> io::Result<usize> {
        let mut moved = 0;
        loop {
            let waiting = self.staged()?;
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
            let written = self.write(now, most)?;
            if written == 0 {
                return Ok(moved);
            }
            moved += written;
        }
    }

    /// Moves up to `most` bytes from the stage into the file.
    fn write(&mut self, now: Now, most: usize) -> io::Result<usize> {
        self.ensure_open(now.mono)?;
        let (Some(source), Some(open)) = (self.sources.current(), &mut self.open) else { return Ok(0) };
        let written = fifo::to_file(source.channel.stage.as_fd(), &open.file, &mut open.offset, most)?;
        if written > 0 {
            self.hold_switch(); // it gets on
        }
        Ok(written)
    }

    /// How many of the waiting bytes belong to the line that is being written.
    fn up_to_line_end(&mut self, waiting: usize) -> io::Result<usize> {
        let mut scratch = File::from(self.scratch.0.try_clone()?);
        let Some(source) = self.sources.current() else { return Ok(waiting) };
        let seen = fifo::peek(source.channel.stage.as_fd(), self.scratch.1.as_fd(), waiting)?;
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
        self.begin_work();
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
            let turns = dir.path().join("out.source");
            Bench { dir, stream: Stream::new("web", "out", turns, policy).unwrap(), now: Now::default() }
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
    fn two_living_runs_take_turns_at_the_ends_of_lines() {
        let mut bench = Bench::new(1 << 20);
        let (old, new) = (bench.run(1), bench.run(2));
        write(&old, "old 1\nold ");
        write(&new, "new 1\n");
        bench.turn();
        assert_eq!(bench.log(), "old 1\nold ");
        assert_eq!(
            bench.stream.waits_for(bench.now.mono).count(),
            1,
            "the new one would wake it for nothing"
        );
        write(&old, "2\n");
        write(&new, "new ");
        bench.turn();
        assert_eq!(bench.log(), "old 1\nold 2\nnew 1\nnew ");
        assert_eq!(bench.stream.waits_for(bench.now.mono).count(), 2);
        write(&old, "old 3\n");
        // The new one says no more for a second: then its line is ended for it.
        for _ in 0..4 {
            bench.turn();
            assert_eq!(bench.log(), "old 1\nold 2\nnew 1\nnew ");
        }
        assert!(bench.stream.wakes_at().is_some());
        bench.turn();
        assert_eq!(bench.log(), "old 1\nold 2\nnew 1\nnew \nold 3\n");
        assert_eq!(bench.stream.wakes_at(), None);
        bench.stream.finish(1);
        write(&new, "2\n");
        assert_eq!(bench.turn().finished, [1]);
        assert_eq!(bench.log(), "old 1\nold 2\nnew 1\nnew \nold 3\n2\n");
    }

    #[test]
    fn a_flood_lets_the_other_run_have_its_turn() {
        let mut bench = Bench::new(1 << 30);
        let (flood, other) = (bench.run(1), bench.run(2));
        let lines: String = (0..1300).map(|n| format!("flood {n:042}\n")).collect();
        let mut written = 0;
        write(&other, "other\n");
        while written < 20 && !bench.log().contains("other") {
            write(&flood, &lines);
            bench.turn();
            write(&flood, "flood half"); // never idle, never at the end of a line
            bench.turn();
            write(&flood, "\n");
            written += 1;
        }
        assert!(written < 20, "it never had its turn");
        bench.turn();
        let whole = |line: &str| line == "other" || line == "flood half" || line.len() == 48;
        assert!(bench.log().lines().all(whole), "{:?}", bench.log().lines().find(|line| !whole(line)));
    }

    #[test]
    fn a_keeper_that_dies_in_mid_line_is_followed_by_one_that_goes_on_with_that_line() {
        let mut bench = Bench::new(1 << 20);
        let (old, new) = (bench.run(1), bench.run(2));
        write(&new, "new one\n");
        bench.turn();
        write(&new, "new t");
        bench.turn();
        let turns = bench.dir.path().join("out.source");
        bench.stream = Stream::new("web", "out", turns, bench.stream.policy.clone()).unwrap();
        write(&old, "old one\n");
        write(&new, "wo\n");
        drop((bench.run(1), bench.run(2)));
        bench.turn();
        assert_eq!(bench.log(), "new one\nnew two\nold one\n");
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
