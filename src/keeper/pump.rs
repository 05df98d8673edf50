//! The thread that moves log bytes. It never talks to anybody but the keeper's main thread, and the main
//! thread never waits for it: a disk that hangs stops the logs, and nothing else.

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
use super::stream::{Channel, Stream, Turn};
use crate::model::moment::{Moment, Now};
use crate::model::spec::LogPolicy;
use crate::os::clock;
use crate::os::switch::{self, Switch};
use crate::os::wall_timer::WallTimer;
use crate::paths::ServicePaths;
use crate::wire::archive_name;
use crate::wire::log_line::StreamName;
use crate::wire::log_state::LogState;

const OUT: StreamName = StreamName::Out;
const ERROR: StreamName = StreamName::Error;
const MERGED: StreamName = StreamName::Merged;
/// All that a service can have, in the order of the arrays below.
pub const STREAMS: [StreamName; 3] = [OUT, ERROR, MERGED];
/// Stack of the thread, bytes; only the pages it touches cost memory.
const STACK: usize = 128 * 1024;
/// A trickle of output is gathered this long before it is moved: half the wake-ups, at the price of a log
/// that is so much late.
const GATHER: u16 = 2;
/// Between two reports of how much was dropped.
const TELL_EVERY: Duration = Duration::from_secs(1);

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
        // They may have been merged before.
        let was_merged = || policy.dir.join(archive_name::log(service)).exists();
        let merged = policy.merge || (archive_name::owns_merged(service) && was_merged());
        let streams = if merged { &STREAMS[..] } else { &[OUT, ERROR] };
        let streams = streams.iter().map(|name| maker.stream(*name, policy));
        let worker = Worker {
            streams: streams.collect::<io::Result<Vec<Stream>>>()?,
            maker,
            policy: policy.clone(),
            half_finished: Vec::new(),
            timer: WallTimer::new()?,
            state: LogState::default(),
            told: Moment::default(),
            untold: false,
            inbox,
            outbox,
            wake: wake.clone(),
            noticed: noticed.clone(),
        };
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

/// Makes streams of a service.
struct Maker {
    service: String,
    paths: ServicePaths,
    switches: [Arc<Switch>; 3],
    dropping: [dropping::Shared; 3],
}

/// Where a stream stands in [`STREAMS`].
fn place(stream: StreamName) -> usize {
    match stream {
        OUT => 0,
        ERROR => 1,
        MERGED => 2,
    }
}

impl Maker {
    fn stream(&self, name: StreamName, policy: &LogPolicy) -> io::Result<Stream> {
        let dropping = self.dropping[place(name)].clone();
        let mut stream = Stream::new(&self.service, name, &self.paths, policy.clone(), dropping)?;
        stream.hold(Arc::clone(&self.switches[place(name)]));
        Ok(stream)
    }
}

struct Worker {
    /// Standard output and standard error; and both in one, as soon as there is a run that has it so.
    streams: Vec<Stream>,
    maker: Maker,
    policy: LogPolicy,
    /// Runs of which one stream is finished.
    half_finished: Vec<u64>,
    /// For what is due at a time of day.
    timer: WallTimer,
    /// As the main thread knows it.
    state: LogState,
    /// Since when.
    told: Moment,
    /// It is not quite so any more.
    untold: bool,
    inbox: Receiver<Command>,
    outbox: Sender<Notice>,
    wake: Arc<EventFd>,
    noticed: Arc<EventFd>,
}

impl Worker {
    fn run(mut self) {
        let mut ending = false;
        loop {
            let _ = self.wake.read();
            while let Ok(command) = self.inbox.try_recv() {
                ending |= self.obey(command);
            }
            let now = clock::now();
            let mut more = false;
            for index in 0..self.streams.len() {
                let turn = self.streams[index].turn(now);
                more |= turn.more;
                self.report(index, turn);
            }
            self.report_state(now.mono);
            if ending && !more {
                return;
            }
            if !more {
                self.wait(now);
            }
        }
    }

    /// True for the last command.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Attach(runs) => {
                for (run, output) in runs {
                    match output {
                        Output::Apart([out, error]) => {
                            self.attach(run, OUT, out);
                            self.attach(run, ERROR, error);
                        }
                        Output::Merged(both) => self.attach(run, MERGED, both),
                    }
                }
                let now = clock::now();
                for index in 0..self.streams.len() {
                    let rotated = self.streams[index].take_over(now);
                    self.report(index, Turn { rotated, ..Turn::default() });
                }
            }
            Command::Finish { run } => self.streams.iter_mut().for_each(|stream| stream.finish(run)),
            Command::Drop { run } => self.streams.iter_mut().for_each(|stream| stream.forget(run)),
            Command::Flush => {
                let now = clock::now();
                let mut result = Ok(());
                for index in
                    (0..self.streams.len()).filter(|index| self.is_wanted(*index)).collect::<Vec<_>>()
                {
                    // What was written before the order goes first, and is archived with the rest.
                    let mut turn = self.streams[index].turn(now);
                    let stream = &mut self.streams[index];
                    let flushed = stream.flush(now, &mut turn);
                    let failed = |error| format!("cannot archive {}: {error}", stream.path().display());
                    result = result.and(flushed.map_err(failed));
                    self.report(index, turn);
                }
                self.say(Notice::Flushed(result));
            }
            Command::Reopen => {
                let now = clock::now();
                let mut result = Ok(());
                for index in
                    (0..self.streams.len()).filter(|index| self.is_wanted(*index)).collect::<Vec<_>>()
                {
                    let stream = &mut self.streams[index];
                    let opened = stream.reopen(now);
                    let failed = |error| format!("cannot open {}: {error}", stream.path().display());
                    result = result.and(opened.map_err(failed));
                }
                self.say(Notice::Reopened(result));
            }
            Command::Policy(policy) => {
                self.streams.iter_mut().for_each(|stream| stream.set_policy(policy.clone()));
                self.policy = policy;
            }
            Command::Park(number) => {
                self.say(Notice::Parked(number));
                return self.stand_still();
            }
            Command::Resume => {} // it was put off before it was read
            Command::End => return true,
        }
        false
    }

    /// Adds the FIFOs of a run to a stream, which is made if it must be.
    fn attach(&mut self, run: u64, name: StreamName, channel: Channel) {
        let found = self.streams.iter().position(|stream| stream.name() == name);
        let made = found.map_or_else(
            || {
                self.streams.push(self.maker.stream(name, &self.policy)?);
                Ok::<_, io::Error>(self.streams.len() - 1)
            },
            Ok,
        );
        match made {
            Ok(index) => self.streams[index].attach(run, channel),
            // Its bytes stay where they are; the next keeper has descriptors of its own.
            Err(error) => self.say(Notice::Said(format!("cannot move the output of run {run}: {error}"))),
        }
    }

    /// Whether a stream is one of those that the service has: it may have had others before.
    fn is_wanted(&self, index: usize) -> bool {
        let stream = &self.streams[index];
        stream.is_used() || (stream.name() == MERGED) == self.policy.merge
    }

    /// Touches nothing until it is told to go on. What else it is told it takes down; true for the last command.
    fn stand_still(&mut self) -> bool {
        let mut last = false;
        loop {
            match self.inbox.recv() {
                Ok(Command::Resume) | Err(_) => return last,
                Ok(command) => last |= self.obey(command),
            }
        }
    }

    fn report(&mut self, index: usize, turn: Turn) {
        turn.rotated.into_iter().for_each(|path| self.say(Notice::Rotated(path)));
        turn.said.into_iter().for_each(|text| self.say(Notice::Said(text)));
        for run in turn.finished {
            if self.streams[index].name() == MERGED {
                self.say(Notice::Finished { run });
                continue;
            }
            match self.half_finished.iter().position(|other| *other == run) {
                Some(at) => {
                    self.half_finished.swap_remove(at);
                    self.say(Notice::Finished { run });
                }
                None => self.half_finished.push(run),
            }
        }
    }

    /// What has begun or ended is said at once, how much has been dropped now and then.
    fn report_state(&mut self, now: Moment) {
        let states = self.streams.iter().map(Stream::state);
        let state = states.reduce(LogState::with).unwrap_or_default();
        let same = state.trouble == self.state.trouble && state.dropping == self.state.dropping;
        self.untold = state != self.state && same && now.since(self.told) < TELL_EVERY;
        if state == self.state || self.untold {
            return;
        }
        (self.state, self.told) = (state.clone(), now);
        self.say(Notice::State(state));
    }

    fn say(&self, notice: Notice) {
        let _ = self.outbox.send(notice); // the main thread is gone only when the process is
        let _ = self.noticed.write(1);
    }

    /// Waits for output, a command, the end of a pause, or a time of day.
    fn wait(&mut self, turned: Now) {
        let now = clock::mono();
        let due = self.streams.iter().filter_map(|stream| stream.next_due_ms(turned)).min();
        // A time that the kernel cannot count is never reached.
        let _ = self.timer.set(due);
        let untold = self.untold.then(|| self.told.plus(TELL_EVERY));
        let until = self.streams.iter().filter_map(|stream| stream.wakes_at(now)).chain(untold).min();
        let timeout = until.map_or(-1, |until| until.since(now).as_nanos().div_ceil(1_000_000) as i32);
        let mut fds = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        fds.extend(due.is_some().then(|| PollFd::new(self.timer.as_fd(), PollFlags::POLLIN)));
        let fifos = self.streams.iter().flat_map(|stream| stream.waits_for(now));
        fds.extend(fifos.map(|fifo| PollFd::new(fifo, PollFlags::POLLIN)));
        wait(&mut fds, timeout);
        let commanded = fds[0].any().unwrap_or(false);
        let rang = due.is_some() && fds[1].any().unwrap_or(false);
        if rang {
            self.timer.clear();
        }
        if !commanded && self.streams.iter().all(Stream::is_trickle) {
            wait(&mut [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)], i32::from(GATHER));
        }
    }
}

/// Polls; -1 waits for ever. An interruption counts as a wake-up.
fn wait(fds: &mut [PollFd<'_>], millis: i32) {
    let _ = poll(fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
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
