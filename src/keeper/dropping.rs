//! Lines that cannot be written, or are too many, are dropped from the head of a run's FIFO: whole ones, counted, and the
//! log says so in their place.
//!
//! What is in the stage stays and is written first. So a drop begins and ends where a line does, and no line is torn. All
//! that is known of it stands in a file of the run folder: a successor of a keeper that was killed goes on with it, and
//! says "at least".

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::sources::Channel;
use crate::os::peek::Peek;
use crate::os::{fault, fifo, file};
use crate::wire::VERSION;
use crate::wire::dropped::{Dropped, Episode, SIZE};

/// Looked through at a time for the end of a line.
const SIGHT: usize = 1 << 16;

/// What is dropped from one stream.
#[derive(Debug)]
pub struct Dropping {
    path: PathBuf,
    file: Option<File>,
    known: Dropped,
    /// A predecessor was about to write the mark, or has done so.
    mark_is_old: bool,
}

/// What the log shall say where lines are missing.
#[derive(Debug)]
pub struct Mark {
    /// The line, with its end.
    pub text: String,
    /// The log may end with it already.
    pub may_be_there: bool,
}

impl Dropping {
    /// Goes on with what a predecessor has written into the file at `path`. What it has done after that nobody knows.
    pub fn resume(path: PathBuf) -> Dropping {
        let mut known = std::fs::read(&path).map(|bytes| Dropped::decode(&bytes)).unwrap_or_default();
        let mark_is_old = known.now.as_ref().is_some_and(|now| now.mark.is_some());
        if let Some(now) = known.now.as_mut().filter(|_| !mark_is_old) {
            now.at_least = true;
            known.at_least = true;
        }
        Dropping { path, file: None, known: Dropped { v: VERSION, ..known }, mark_is_old }
    }

    /// All that was dropped in this boot.
    pub fn known(&self) -> &Dropped {
        &self.known
    }

    /// Whether lines are missing of which the log does not say so yet.
    pub fn is_on(&self) -> bool {
        self.known.now.is_some()
    }

    /// From now on lines are dropped, for this reason, if they are not already. Of the run `of`, a line may stand in the
    /// stage, or the file, without its end: it gets that first.
    ///
    /// # Errors
    /// Those of tee(2) and splice(2); it cannot be written down.
    pub fn begin(
        &mut self,
        why: &str,
        of: Option<&Channel>,
        peek: &mut Peek,
        unix_ms: u64,
    ) -> io::Result<()> {
        if let Some(now) = &mut self.known.now {
            why.clone_into(&mut now.why);
            return Ok(());
        }
        let whole = of.map_or(Ok(true), |channel| finish_line(channel, peek))?;
        let why = why.to_owned();
        let (since_ms, until_ms, mid_line) = (unix_ms, unix_ms, !whole);
        self.known.now = Some(Episode { why, since_ms, until_ms, mid_line, ..Episode::default() });
        self.save()?;
        fault::point("a drop has begun");
        Ok(())
    }

    /// Drops whole lines until at most `rest` bytes are left. Returns how many bytes went.
    ///
    /// # Errors
    /// Those of looking and reading; it cannot be written down.
    pub fn drop_lines(
        &mut self,
        fifo: BorrowedFd<'_>,
        rest: usize,
        peek: &mut Peek,
        unix_ms: u64,
    ) -> io::Result<u64> {
        let mut gone = 0;
        while fifo::waiting(fifo)? > rest {
            match self.drop_some(fifo, peek, unix_ms)? {
                0 => break,
                bytes => gone += bytes,
            }
        }
        Ok(gone)
    }

    /// Drops the rest of a line whose beginning was dropped. True when there is none, or none is to come: its run is
    /// `over`, or not there any more.
    ///
    /// # Errors
    /// As [`Dropping::drop_lines`].
    pub fn drop_rest_of_line(
        &mut self,
        of: Option<(&Channel, bool)>,
        peek: &mut Peek,
        unix_ms: u64,
    ) -> io::Result<bool> {
        let is_in_line = |known: &Dropped| known.now.as_ref().is_some_and(|now| now.mid_line);
        if let Some((channel, _)) = of {
            while is_in_line(&self.known) && self.drop_some(channel.fifo.as_fd(), peek, unix_ms)? > 0 {}
        }
        let never = of.is_none_or(|(_, over)| over);
        if let Some(now) = self.known.now.as_mut().filter(|now| now.mid_line && never) {
            now.mid_line = false;
            self.save()?;
        }
        Ok(!is_in_line(&self.known))
    }

    /// What the log shall say, if anything is missing; it is written down before it is said.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn mark(&mut self) -> io::Result<Option<Mark>> {
        let Some(now) = self.known.now.as_mut().filter(|now| now.bytes > 0) else { return Ok(None) };
        let text = match &now.mark {
            Some(text) => text.clone(),
            None => {
                let text = now.mark();
                now.mark = Some(text.clone());
                self.save()?;
                fault::point("before the mark of a drop");
                text
            }
        };
        Ok(Some(Mark { text, may_be_there: self.mark_is_old }))
    }

    /// The log says so.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn end(&mut self) -> io::Result<()> {
        fault::point("after the mark of a drop");
        (self.known.now, self.mark_is_old) = (None, false);
        self.save()
    }

    /// Drops the whole lines that are in sight at the head of a FIFO. Returns how many bytes went.
    fn drop_some(&mut self, fifo: BorrowedFd<'_>, peek: &mut Peek, unix_ms: u64) -> io::Result<u64> {
        let mut seen = peek.look(fifo, SIGHT)?;
        let more = fifo::waiting(fifo)? > seen.len() || seen.len() >= SIGHT;
        let Some(now) = &mut self.known.now else { return Ok(0) };
        let newline = |byte: &u8| *byte == b'\n';
        let end = match now.mid_line {
            true => seen.iter().position(newline),
            false => seen.iter().rposition(newline),
        };
        let cut = match end {
            Some(end) => end + 1,
            // A line that is longer than can be seen at once: its rest goes, too, when it comes.
            None if now.mid_line || more => seen.len(),
            None => 0,
        };
        if cut == 0 {
            return Ok(0);
        }
        now.mark = None;
        let starts_long_line = end.is_none() && !now.mid_line;
        now.mid_line = end.is_none();
        if starts_long_line {
            self.save()?;
        }
        let taken = fifo::take(fifo, &mut seen[..cut])?;
        fault::point("between drop and record");
        let lines = seen[..taken].iter().filter(|byte| newline(byte)).count() as u64;
        self.known.bytes += taken as u64;
        self.known.lines += lines;
        if let Some(now) = &mut self.known.now {
            now.bytes += taken as u64;
            now.lines += lines;
            now.until_ms = unix_ms;
        }
        self.mark_is_old = false;
        self.save()?;
        Ok(taken as u64)
    }

    fn save(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => file::open_preallocated(&self.path, SIZE)?,
        };
        self.file.insert(file).write_all_at(&self.known.encode(), 0)
    }
}

/// Moves the rest of the line that may have begun on to the stage, which grows for it. False if its end is out of sight,
/// or there is no room.
fn finish_line(channel: &Channel, peek: &mut Peek) -> io::Result<bool> {
    let (fifo, stage) = (channel.fifo.as_fd(), channel.stage.as_fd());
    let seen = peek.look(fifo, SIGHT)?;
    let Some(end) = seen.iter().position(|byte| *byte == b'\n') else { return Ok(false) };
    let mut left = end + 1;
    while left > 0 {
        let moved = fifo::to_stage(fifo, stage, left)?;
        if moved == 0 && !fifo::enlarge(stage) {
            return Ok(false);
        }
        left -= moved;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;

    struct Bench {
        dir: tempfile::TempDir,
        channel: Channel,
        service: OwnedFd,
        dropping: Dropping,
        peek: Peek,
    }

    impl Bench {
        fn new() -> Bench {
            let dir = tempfile::tempdir().unwrap();
            let open = |name: &str| {
                let path = dir.path().join(name);
                fifo::make(&path, None).unwrap();
                (fifo::open_pump(&path).unwrap(), fifo::open_pump(&path).unwrap())
            };
            let ((fifo, service), (stage, _)) = (open("fifo"), open("stage"));
            let dropping = Dropping::resume(dir.path().join("out.dropped"));
            Bench { dir, channel: Channel { fifo, stage }, service, dropping, peek: Peek::new().unwrap() }
        }

        fn begin(&mut self) {
            self.dropping.begin("disk full", Some(&self.channel), &mut self.peek, 1000).unwrap();
        }

        fn drop_all(&mut self) -> u64 {
            self.dropping.drop_lines(self.channel.fifo.as_fd(), 0, &mut self.peek, 2000).unwrap()
        }

        fn write(&self, text: &[u8]) {
            assert_eq!(nix::unistd::write(&self.service, text).unwrap(), text.len());
        }

        fn text(fd: &OwnedFd) -> String {
            let mut bytes = vec![0; fifo::waiting(fd.as_fd()).unwrap()];
            fifo::take(fd.as_fd(), &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        }

        fn successor(&self) -> Dropping {
            Dropping::resume(self.dir.path().join("out.dropped"))
        }
    }

    #[test]
    fn a_begun_line_gets_its_end_and_whole_lines_go() {
        let mut bench = Bench::new();
        bench.write(b"of it\none\ntwo\nthr");
        bench.begin();
        assert_eq!(bench.drop_all(), 8);
        bench.write(b"ee\n");
        assert_eq!(bench.drop_all(), 6);
        assert_eq!(Bench::text(&bench.channel.stage), "of it\n");
        let mark = bench.dropping.mark().unwrap().unwrap();
        assert_eq!(mark.text, "[dogwatch: 3 lines / 14 B dropped, disk full, 00:00:01–00:00:02]\n");
        bench.dropping.end().unwrap();
        assert!(!bench.dropping.is_on());
        assert_eq!((bench.successor().known().lines, bench.successor().known().at_least), (3, false));
    }

    #[test]
    fn a_line_out_of_sight_goes_to_its_end() {
        let mut bench = Bench::new();
        bench.begin();
        fifo::resize(bench.channel.fifo.as_fd(), 1 << 20).unwrap();
        for _ in 0..3 {
            bench.write(&[b'x'; 60_000]);
            bench.drop_all();
        }
        bench.write(b"end\nnext\nhal");
        let rest = |bench: &mut Bench, over| {
            bench.dropping.drop_rest_of_line(Some((&bench.channel, over)), &mut bench.peek, 3000).unwrap()
        };
        assert!(rest(&mut bench, false));
        assert_eq!(Bench::text(&bench.channel.fifo), "next\nhal");
        assert_eq!((bench.dropping.known().lines, bench.dropping.known().bytes), (1, 180_004));
    }

    #[test]
    fn a_rest_that_never_comes_is_not_waited_for() {
        let mut bench = Bench::new();
        bench.begin(); // nothing to be seen: the line may have begun
        let rest = |bench: &mut Bench, of: bool| {
            let of = of.then_some((&bench.channel, false));
            bench.dropping.drop_rest_of_line(of, &mut bench.peek, 3000).unwrap()
        };
        assert!(!rest(&mut bench, true));
        assert!(rest(&mut bench, false));
    }

    #[test]
    fn a_successor_goes_on_and_says_at_least() {
        let mut bench = Bench::new();
        bench.write(b"kept\none\ntwo\n");
        bench.begin();
        bench.drop_all();
        bench.dropping = bench.successor();
        bench.write(b"three\n");
        bench.drop_all();
        let mark = bench.dropping.mark().unwrap().unwrap();
        assert!(mark.text.starts_with("[dogwatch: at least 3 lines / 14 B dropped"), "{}", mark.text);
        assert!(!mark.may_be_there);
        // This one dies with the mark on its way: nothing was dropped that is not in it.
        let mut third = bench.successor();
        let again = third.mark().unwrap().unwrap();
        assert!(again.may_be_there);
        assert_eq!(again.text, mark.text);
        third.end().unwrap();
        assert!(!bench.successor().is_on() && bench.successor().known().at_least);
    }

    #[test]
    fn a_full_stage_grows_for_the_end_of_a_line() {
        let mut bench = Bench::new();
        while nix::unistd::write(&bench.channel.stage, &[b'x'; 4096]).is_ok() {}
        bench.write(b"the end\nmore\n");
        bench.begin();
        bench.drop_all();
        assert!(Bench::text(&bench.channel.stage).ends_with("xxxthe end\n"));
        assert_eq!(bench.dropping.known().lines, 1);
    }
}
