//! The main thread's end of the thread that moves log bytes ([`super::worker`]). It never talks to anybody but the
//! keeper's main thread, and the main thread never waits for it: a disk that hangs stops the logs, and nothing else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::channels::Output;
use super::dropping::{self, Dropping};
use super::worker::{Ends, Maker, Worker};
use crate::model::spec::LogPolicy;
use crate::os::clock;
use crate::os::switch::{self, Switch};
use crate::paths::ServicePaths;
use crate::wire::log_line::StreamName;
use crate::wire::log_state::LogState;

pub(super) const OUT: StreamName = StreamName::Out;
pub(super) const ERROR: StreamName = StreamName::Error;
pub(super) const MERGED: StreamName = StreamName::Merged;
/// All that a service can have, in the order of the arrays below.
pub const STREAMS: [StreamName; 3] = [OUT, ERROR, MERGED];
/// Stack of the thread, bytes; only the pages it touches cost memory.
const STACK: usize = 128 * 1024;

/// What the main thread says.
#[derive(Debug)]
pub enum Command {
    /// These runs have these FIFOs, for standard output and standard error. What a predecessor left must come at once:
    /// its last line may be of any of them.
    Attach(Vec<(u64, Output)>),
    /// The run is over.
    Finish {
        /// The run.
        run: u64,
    },
    /// What is left of the run is not wanted any more.
    Drop {
        /// The run.
        run: u64,
    },
    /// Move all files to the archive, and begin new ones.
    Flush,
    /// Open what has the files' names now: somebody else has moved them away.
    Reopen,
    /// Rotation and folder from now on.
    Policy(LogPolicy),
    /// Stand still, say so with this number, and do nothing until [`Command::Resume`].
    Park(u64),
    /// Go on.
    Resume,
    /// End, when what is there has been moved.
    End,
}

/// What the pump says.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    /// The last byte of all streams of this run is in the files: its FIFOs are of no more use.
    Finished {
        /// The run.
        run: u64,
    },
    /// The files are empty, or why not.
    Flushed(Result<(), String>),
    /// The files that have the names now are open, or why not.
    Reopened(Result<(), String>),
    /// This archive is to be compressed.
    Rotated(PathBuf),
    /// Something that the operator should know.
    Said(String),
    /// How the log is now.
    State(LogState),
    /// It stands still, as was asked with this number.
    Parked(u64),
}

/// The main thread's end.
#[derive(Debug)]
pub struct Pump {
    commands: Sender<Command>,
    wake: Arc<EventFd>,
    notices: Receiver<Notice>,
    noticed: Arc<EventFd>,
    /// Each stream's falls while the disk holds it up, if its service never waits.
    switches: [Arc<Switch>; 3],
    dropping: [dropping::Shared; 3],
    thread: Option<thread::JoinHandle<()>>,
}

impl Pump {
    /// Starts the thread.
    ///
    /// # Errors
    /// EMFILE or EAGAIN.
    pub fn start(service: &str, paths: &ServicePaths, policy: &LogPolicy) -> io::Result<Pump> {
        let new_event = || {
            Ok::<_, io::Error>(Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?))
        };
        let (wake, noticed) = (new_event()?, new_event()?);
        let (commands, inbox) = channel();
        let (outbox, notices) = channel();
        let switches = [Arc::new(Switch::new()?), Arc::new(Switch::new()?), Arc::new(Switch::new()?)];
        let dropping = STREAMS.map(|name| dropping::Shared::resume(paths.log_dropped(name.word())));
        let maker = Maker {
            service: service.to_owned(),
            paths: paths.clone(),
            switches: switches.clone(),
            dropping: dropping.clone(),
        };
        let ends = Ends { inbox, outbox, wake: wake.clone(), noticed: noticed.clone() };
        let worker = Worker::new(maker, policy.clone(), ends)?;
        let thread = thread::Builder::new().name("pump".to_owned()).stack_size(STACK).spawn(|| {
            let _fatal = EndWithThread;
            worker.run();
        })?;
        Ok(Pump { commands, wake, notices, noticed, switches, dropping, thread: Some(thread) })
    }

    /// Says something to the thread.
    pub fn tell(&self, command: Command) {
        // The thread ends only after `End`; then there is nothing more to tell it.
        let _ = self.commands.send(command);
        let _ = self.wake.write(1);
    }

    /// Readable when there are notices.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.noticed.as_fd()
    }

    /// Each readable while the disk holds up a stream of a service that never waits.
    pub fn switches(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.switches.iter().map(AsFd::as_fd)
    }

    /// Which streams the disk holds up. None of a service that may wait.
    pub fn held_up(&self) -> impl Iterator<Item = StreamName> {
        let fallen = self.switches.each_ref().map(switch::has_fallen);
        STREAMS.into_iter().zip(fallen).filter_map(|(stream, fallen)| fallen.then_some(stream))
    }

    /// What is dropped from that stream. The pump takes nothing from it meanwhile.
    pub fn dropping(&self, stream: StreamName) -> MutexGuard<'_, Dropping> {
        self.dropping[place(stream)].lock()
    }

    /// Whether a part of a line is in the memory of this process alone, on its way into the log.
    pub fn keeps_any_end(&self) -> bool {
        self.dropping.iter().any(|dropping| dropping.lock().keeps_any_end())
    }

    /// The notices that have come.
    pub fn notices(&self) -> Vec<Notice> {
        let _ = self.noticed.read();
        self.notices.try_iter().collect()
    }

    /// Ends the thread, when everything is moved or `patience` is over (a disk that hangs).
    pub fn end(mut self, patience: Duration) {
        self.tell(Command::End);
        let deadline = clock::mono().plus(patience);
        while let Some(thread) = &self.thread {
            if thread.is_finished() || clock::mono() >= deadline {
                break;
            }
            wait(&mut [PollFd::new(self.noticed.as_fd(), PollFlags::POLLIN)], 5);
            let _ = self.noticed.read();
        }
        if let Some(thread) = self.thread.take().filter(thread::JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

/// A keeper whose pump has panicked would keep a service that nobody reads from. It ends instead: its successor
/// has a new pump.
struct EndWithThread;

impl Drop for EndWithThread {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

/// Where a stream stands in [`STREAMS`].
pub(super) fn place(stream: StreamName) -> usize {
    match stream {
        OUT => 0,
        ERROR => 1,
        MERGED => 2,
    }
}

/// Polls; -1 waits for ever. An interruption counts as a wake-up.
pub(super) fn wait(fds: &mut [PollFd<'_>], millis: i32) {
    let _ = poll(fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::log::stream::Channel;
    use crate::model::name::ServiceName;
    use crate::model::rotation::Every;
    use crate::os::fifo;
    use crate::paths::Paths;
    use std::path::Path;

    fn channels(dir: &Path, run: u64) -> (Output, [std::os::fd::OwnedFd; 2]) {
        let open = |name: &str| {
            let path = dir.join(format!("{run}.{name}"));
            fifo::make(&path, None).unwrap();
            (fifo::open_pump(&path).unwrap(), fifo::open_service(&path).unwrap())
        };
        let ((out, out_end), (out_stage, _)) = (open("out"), open("out-stage"));
        let ((err, err_end), (err_stage, _)) = (open("err"), open("err-stage"));
        (
            Output::Apart([Channel { fifo: out, stage: out_stage }, Channel { fifo: err, stage: err_stage }]),
            [out_end, err_end],
        )
    }

    fn next(pump: &Pump) -> Notice {
        for _ in 0..500 {
            if let Some(notice) = pump.notices().into_iter().next() {
                return notice;
            }
            wait(&mut [PollFd::new(pump.readable(), PollFlags::POLLIN)], 20);
        }
        panic!("no notice within ten seconds");
    }

    #[test]
    fn stands_still_when_it_is_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let policy = LogPolicy::new(dir.path().join("logs"), 1 << 20, 3, false);
        let paths = Paths::below(dir.path()).service(&ServiceName::new("web").unwrap());
        let pump = Pump::start("web", &paths, &policy).unwrap();
        let (mine, ends) = channels(dir.path(), 1);
        pump.tell(Command::Resume); // of an exec that was put off: it means nothing now
        pump.tell(Command::Park(3));
        assert_eq!(next(&pump), Notice::Parked(3));
        pump.tell(Command::Attach(vec![(1, mine)]));
        nix::unistd::write(&ends[0], b"line\n").unwrap();
        pump.tell(Command::Finish { run: 1 });
        wait(&mut [PollFd::new(pump.readable(), PollFlags::POLLIN)], 50);
        assert_eq!(pump.notices(), []);
        pump.tell(Command::Resume);
        assert_eq!(next(&pump), Notice::Finished { run: 1 });
        pump.end(Duration::from_secs(5));
    }

    #[test]
    fn moves_both_streams_and_says_when_a_run_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let policy = LogPolicy::new(dir.path().join("logs"), 1 << 20, 3, false);
        let paths = Paths::below(dir.path()).service(&ServiceName::new("web").unwrap());
        let pump = Pump::start("web", &paths, &policy).unwrap();
        let (mine, ends) = channels(dir.path(), 1);
        pump.tell(Command::Attach(vec![(1, mine)]));
        for n in 0..1000 {
            nix::unistd::write(&ends[n % 2], format!("{n}\n").as_bytes()).unwrap();
        }
        pump.tell(Command::Finish { run: 1 });
        assert_eq!(next(&pump), Notice::Finished { run: 1 });
        let read = |kind: &str| std::fs::read_to_string(policy.dir.join(format!("web-{kind}.log"))).unwrap();
        let expected =
            |odd: usize| (0..1000).filter(|n| n % 2 == odd).map(|n| format!("{n}\n")).collect::<String>();
        assert_eq!((read("out"), read("error")), (expected(0), expected(1)));
        pump.tell(Command::Flush);
        assert_eq!(next(&pump), Notice::Flushed(Ok(())));
        assert_eq!(read("out"), "");
        let archived = crate::archive::list(&policy.dir, "web-out");
        assert_eq!(std::fs::read_to_string(&archived[0]).unwrap(), expected(0));
        assert_eq!(archived.len(), 1);
        pump.end(Duration::from_secs(5));
    }

    /// A run whose streams are apart is replaced by one whose streams are merged.
    #[test]
    fn runs_of_both_kinds_have_their_own_files() {
        let dir = tempfile::tempdir().unwrap();
        let policy = LogPolicy::new(dir.path().join("logs"), 1 << 20, 3, false);
        let paths = Paths::below(dir.path()).service(&ServiceName::new("web").unwrap());
        let pump = Pump::start("web", &paths, &policy).unwrap();
        let (apart, ends) = channels(dir.path(), 1);
        pump.tell(Command::Attach(vec![(1, apart)]));
        pump.tell(Command::Policy(LogPolicy { merge: true, ..policy.clone() }));
        let (Output::Apart([both, _]), merged) = channels(dir.path(), 2) else { panic!("they are apart") };
        pump.tell(Command::Attach(vec![(2, Output::Merged(both))]));
        let say = |end, text: &str| assert_eq!(nix::unistd::write(end, text.as_bytes()), Ok(text.len()));
        say(&merged[0], "new\n");
        say(&ends[0], "out\n");
        say(&ends[1], "error\n");
        for run in [2, 1] {
            pump.tell(Command::Finish { run });
            assert_eq!(next(&pump), Notice::Finished { run }, "once");
        }
        let read = |name: &str| std::fs::read_to_string(policy.dir.join(name)).unwrap();
        let all = ["web-out.log", "web-error.log", "web.log"].map(read);
        assert_eq!(all, ["out\n", "error\n", "new\n"]);
        pump.tell(Command::Flush);
        assert_eq!(next(&pump), Notice::Flushed(Ok(())));
        let archived =
            ["web-out", "web-error", "web"].map(|stem| crate::archive::list(&policy.dir, stem).len());
        assert_eq!(archived, [1, 1, 1]);
        pump.end(Duration::from_secs(5));
    }

    /// Nobody writes anything: the timer alone wakes the thread.
    #[test]
    fn rotates_when_the_time_has_come() {
        let dir = tempfile::tempdir().unwrap();
        let policy = LogPolicy {
            rotate_every: Some(Every::Period(Duration::from_millis(500))),
            ..LogPolicy::new(dir.path().join("logs"), 1 << 20, 3, true)
        };
        let paths = Paths::below(dir.path()).service(&ServiceName::new("web").unwrap());
        let pump = Pump::start("web", &paths, &policy).unwrap();
        let (mine, ends) = channels(dir.path(), 1);
        pump.tell(Command::Attach(vec![(1, mine)]));
        for text in ["one\n", "two\n"] {
            nix::unistd::write(&ends[0], text.as_bytes()).unwrap();
            let Notice::Rotated(path) = next(&pump) else { panic!("something else") };
            assert_eq!(std::fs::read_to_string(path).unwrap(), text);
        }
        pump.end(Duration::from_secs(5));
    }
}
