//! A critical service never waits for its log. While its keeper can take nothing off its FIFOs, because it is
//! stopped or not there or its disk hangs, this thread drops the oldest lines of those that run full.
//!
//! Where the lines are missing the log says so: what was begun is moved on to the stage, so that it ends as it
//! should, and a line of our own behind it. All that is dropped later is missing at that same place: how much, nobody
//! knows yet, and the keeper may go on at any moment. So the count is in the service's incidents.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::poll::{PollTimeout, poll};

use super::say::say;
use crate::incidents;
use crate::model::moment::Moment;
use crate::model::name::ServiceName;
use crate::model::units::show_size;
use crate::os::overflow::{self, Dropped};
use crate::os::peek::Peek;
use crate::os::{clock, fifo, lock, process};
use crate::paths::ServicePaths;
use crate::wire::dropped::uncounted_mark;

/// A FIFO that is three quarters full for this long is relieved, and one that is about to be full at once; from then on
/// as soon as it is three quarters full again.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks: the longest time that a service which floods its log may have to wait.
const EVERY: u8 = 5;
/// Between two notes of what was dropped.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Stack of the thread, bytes.
const STACK: usize = 64 * 1024;
/// The name of a keeper's thread that moves log bytes.
pub const PUMP: &str = "pump";

/// Why nobody takes anything off a service's FIFOs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Helpless {
    /// The keeper with this number is stopped.
    Stopped(i32),
    /// The pump of this keeper waits for a disk.
    DiskWait(i32),
    /// Nobody holds this keeper's lock.
    Absent(PathBuf),
}

impl Helpless {
    /// Whether it is still so. If it is not, two would take from the same FIFO, and a line could be torn between them.
    pub fn holds(&self) -> bool {
        match self {
            Helpless::Stopped(pid) => process::is_stopped(*pid),
            Helpless::DiskWait(pid) => process::thread_waits_for_disk(*pid, PUMP),
            Helpless::Absent(lock) => lock::named(lock).is_none(),
        }
    }

    /// In a few words, for the log of the service.
    fn in_short(&self) -> &'static str {
        match self {
            Helpless::Stopped(_) => "keeper stopped",
            Helpless::DiskWait(_) => "disk hangs",
            Helpless::Absent(_) => "no keeper",
        }
    }
}

/// The thread; dropped, it ends.
#[derive(Debug)]
pub struct Relief {
    why: Helpless,
    over: Arc<AtomicBool>,
}

impl Relief {
    /// Begins to watch these streams.
    ///
    /// # Errors
    /// Those of pipe(2) and of starting a thread.
    pub fn begin(
        name: &ServiceName,
        why: Helpless,
        paths: ServicePaths,
        mut streams: Vec<Stream>,
    ) -> io::Result<Relief> {
        let mut peek = Peek::new()?;
        let over = Arc::new(AtomicBool::new(false));
        let relief = Relief { why: why.clone(), over: Arc::clone(&over) };
        let name = name.clone();
        thread::Builder::new().name("relief".to_owned()).stack_size(STACK).spawn(move || {
            let mut books = Books { paths, noted: clock::mono(), unnoted: Dropped::default() };
            let mut all = Dropped::default();
            while !over.load(Ordering::Relaxed) {
                let now = clock::mono();
                for stream in &mut streams {
                    // A FIFO that cannot be read cannot be relieved either: the service waits, as it would have.
                    let dropped = stream.relieve(&why, now, &mut peek).unwrap_or_default();
                    all.add(dropped);
                    books.unnoted.add(dropped);
                }
                books.note(now, NOTE_EVERY);
                let _ = poll(&mut [], PollTimeout::from(EVERY));
            }
            books.note(clock::mono(), Duration::ZERO);
            if all.bytes > 0 {
                let (size, lines) = (show_size(all.bytes), all.lines);
                say(format_args!(
                    "{name}: its log was stalled, so {size} of its output, {lines} lines, were dropped"
                ));
            }
        })?;
        Ok(relief)
    }

    /// Whether it was begun for this reason.
    pub fn is_because(&self, why: &Helpless) -> bool {
        self.why == *why
    }
}

impl Drop for Relief {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// What was dropped and is not on disk yet.
struct Books {
    paths: ServicePaths,
    noted: Moment,
    unnoted: Dropped,
}

impl Books {
    fn note(&mut self, now: Moment, every: Duration) {
        if self.unnoted.bytes > 0 && now.since(self.noted) >= every {
            let dropped = self.unnoted;
            self.noted = now;
            if incidents::note(&self.paths, |incidents| incidents.add_dropped(dropped.bytes, dropped.lines)) {
                self.unnoted = Dropped::default();
            }
        }
    }
}

/// One stream of a service.
#[derive(Debug)]
pub struct Stream {
    fifo: OwnedFd,
    /// None: it must not be touched.
    stage: Option<OwnedFd>,
    full_since: Option<Moment>,
    begun: bool,
}

impl Stream {
    /// A stream that waits for nobody so far.
    pub fn new(fifo: OwnedFd, stage: Option<OwnedFd>) -> Stream {
        Stream { fifo, stage, full_since: None, begun: false }
    }

    /// Drops lines if it must.
    fn relieve(&mut self, why: &Helpless, now: Moment, peek: &mut Peek) -> io::Result<Dropped> {
        if !fifo::is_fuller_than(self.fifo.as_fd(), 3, 4) {
            self.full_since = None;
            return Ok(Dropped::default());
        }
        if !why.holds() {
            (self.full_since, self.begun) = (None, false);
            return Ok(Dropped::default());
        }
        let since = *self.full_since.get_or_insert(now);
        // A disk that is only slow makes the pump wait now and then.
        let certain = !matches!(why, Helpless::DiskWait(_));
        let brims = certain && fifo::is_fuller_than(self.fifo.as_fd(), 15, 16);
        if !self.begun && !brims && now.since(since) < PATIENCE {
            return Ok(Dropped::default());
        }
        if !std::mem::replace(&mut self.begun, true) {
            self.mark(why, peek)?;
        }
        overflow::drop_half(self.fifo.as_fd(), peek)
    }

    /// Moves the line that may have been begun on to the stage, and says behind it that lines are missing.
    fn mark(&self, why: &Helpless, peek: &mut Peek) -> io::Result<()> {
        let Some(stage) = &self.stage else { return Ok(()) };
        let mut left = overflow::first_line(self.fifo.as_fd(), peek)?;
        while let Some(bytes) = left.filter(|bytes| *bytes > 0) {
            let moved = fifo::to_stage(self.fifo.as_fd(), stage.as_fd(), bytes)?;
            if moved == 0 && !fifo::enlarge(stage.as_fd()) {
                break;
            }
            left = Some(bytes - moved);
        }
        let mark = uncounted_mark(why.in_short(), clock::now().unix_ms);
        let text = if left == Some(0) { mark } else { format!("\n{mark}") };
        let mut writer = File::from(stage.try_clone()?);
        // A stage that is full and cannot grow: the counters tell what the log cannot.
        if writer.write_all(text.as_bytes()).is_err() && fifo::enlarge(stage.as_fd()) {
            let _ = writer.write_all(text.as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A FIFO of 64 KiB with its stage, and the service's end.
    fn stream() -> (tempfile::TempDir, Stream, OwnedFd, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let path = dir.path().join(name);
            fifo::make(&path, None).unwrap();
            (fifo::open_pump(&path).unwrap(), fifo::open_pump(&path).unwrap())
        };
        let ((reading, writing), (stage, seen)) = (open("fifo"), open("stage"));
        (dir, Stream::new(reading, Some(stage)), writing, seen)
    }

    fn nobody() -> Helpless {
        Helpless::Absent("/no/such/lock".into())
    }

    fn line(number: usize) -> String {
        format!("{number:09}\n")
    }

    fn is_mark(text: &str) -> bool {
        let rest = text.strip_prefix("[dogwatch: lines dropped, no keeper, from ");
        rest.is_some_and(|rest| rest.len() == "14:02:11]\n".len() && rest.ends_with("]\n"))
    }

    fn text(fd: &OwnedFd) -> String {
        let mut bytes = Vec::new();
        let _ = File::from(fd.try_clone().unwrap()).read_to_end(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_stream_that_runs_full_loses_whole_lines_and_says_where() {
        let (_dir, mut stream, service, stage) = stream();
        let mut peek = Peek::new().unwrap();
        let at = |millis: u64| Moment(millis * 1_000_000);
        nix::unistd::write(&stage, b"half ").unwrap();
        let mut written = 0;
        let mut fill = |bytes: usize| {
            nix::unistd::write(&service, b"of it\n").unwrap();
            while fifo::waiting(service.as_fd()).unwrap() < bytes {
                nix::unistd::write(&service, line(written).as_bytes()).unwrap();
                written += 1;
            }
        };
        fill(40_000);
        assert_eq!(stream.relieve(&nobody(), at(0), &mut peek).unwrap(), Dropped::default());
        fill(60_000);
        assert_eq!(
            stream.relieve(&nobody(), at(100), &mut peek).unwrap(),
            Dropped::default(),
            "not for long yet"
        );
        let dropped = stream.relieve(&nobody(), at(600), &mut peek).unwrap();
        assert!(dropped.lines > 2000 && dropped.bytes > 20_000, "{dropped:?}");
        fill(60_000);
        assert!(stream.relieve(&nobody(), at(605), &mut peek).unwrap().lines > 0, "at once");
        let begun = text(&stage);
        let mark = begun.strip_prefix("half of it\n").unwrap();
        assert!(is_mark(mark), "{begun:?}");
        let rest = text(&service);
        let first: usize = rest.lines().next().unwrap().parse().unwrap();
        assert!(first > 2000 && rest.ends_with('\n'), "{first}");
    }

    #[test]
    fn a_full_stage_grows_for_the_mark() {
        let (_dir, mut stream, service, stage) = stream();
        let mut peek = Peek::new().unwrap();
        while nix::unistd::write(&stage, &[b'x'; 4096]).is_ok() {}
        while nix::unistd::write(&service, line(1).as_bytes()).is_ok() {}
        stream.relieve(&nobody(), Moment(0), &mut peek).unwrap();
        let staged = text(&stage);
        let mark = staged.trim_start_matches('x').strip_prefix(&line(1)).unwrap();
        assert!(is_mark(mark), "{mark:?}");
    }

    #[test]
    fn a_fifo_that_is_about_to_be_full_is_relieved_at_once() {
        let (_dir, mut stream, service, _stage) = stream();
        while nix::unistd::write(&service, line(1).as_bytes()).is_ok() {}
        assert!(stream.relieve(&nobody(), Moment(0), &mut Peek::new().unwrap()).unwrap().lines > 0);
    }

    #[test]
    fn a_stage_that_must_not_be_touched_is_left_alone() {
        let (_dir, mut stream, service, stage) = stream();
        stream.stage = None;
        let mut peek = Peek::new().unwrap();
        while nix::unistd::write(&service, line(1).as_bytes()).is_ok() {}
        assert!(stream.relieve(&nobody(), Moment(0), &mut peek).unwrap().lines > 0);
        assert_eq!(fifo::waiting(stage.as_fd()).unwrap(), 0);
    }
}
