//! The thread that moves log bytes: it obeys [`super::pump`], lets each stream have its turn, tells what came of it, and
//! sleeps until there is more.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::EventFd;

use super::channels::Output;
use super::dropping;
use super::pump::{Command, ERROR, MERGED, Notice, OUT, STREAMS, place, wait};
use super::stream::{Channel, Stream, Turn};
use crate::model::moment::{Moment, Now};
use crate::model::spec::LogPolicy;
use crate::os::clock;
use crate::os::switch::Switch;
use crate::os::wall_timer::WallTimer;
use crate::paths::ServicePaths;
use crate::wire::archive_name;
use crate::wire::log_line::StreamName;
use crate::wire::log_state::LogState;

/// A trickle of output is gathered this long before it is moved: half the wake-ups, at the price of a log
/// that is so much late.
const GATHER: u16 = 2;
/// Between two reports of how much was dropped.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Makes streams of a service.
#[derive(Debug)]
pub struct Maker {
    /// Its name.
    pub service: String,
    /// Its files.
    pub paths: ServicePaths,
    /// For each of [`STREAMS`].
    pub switches: [Arc<Switch>; 3],
    /// Likewise.
    pub dropping: [dropping::Shared; 3],
}

impl Maker {
    fn stream(&self, name: StreamName, policy: &LogPolicy) -> io::Result<Stream> {
        let dropping = self.dropping[place(name)].clone();
        let mut stream = Stream::new(&self.service, name, &self.paths, policy.clone(), dropping)?;
        stream.hold(Arc::clone(&self.switches[place(name)]));
        Ok(stream)
    }
}

/// The thread's ends of what it and the main thread say to each other.
#[derive(Debug)]
pub struct Ends {
    /// What the main thread says.
    pub inbox: Receiver<Command>,
    /// What the main thread is told.
    pub outbox: Sender<Notice>,
    /// Readable when something is in `inbox`.
    pub wake: Arc<EventFd>,
    /// To be written to when something is in `outbox`.
    pub noticed: Arc<EventFd>,
}

/// What the thread has.
#[derive(Debug)]
pub struct Worker {
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
    ends: Ends,
}

impl Worker {
    /// One that has yet to be given FIFOs.
    ///
    /// # Errors
    /// EMFILE.
    pub fn new(maker: Maker, policy: LogPolicy, ends: Ends) -> io::Result<Worker> {
        // They may have been merged before.
        let was_merged = || policy.dir.join(archive_name::log(&maker.service)).exists();
        let merged = policy.merge || (archive_name::owns_merged(&maker.service) && was_merged());
        let streams = if merged { &STREAMS[..] } else { &[OUT, ERROR] };
        let streams = streams.iter().map(|name| maker.stream(*name, &policy));
        Ok(Worker {
            streams: streams.collect::<io::Result<Vec<Stream>>>()?,
            maker,
            policy,
            half_finished: Vec::new(),
            timer: WallTimer::new()?,
            state: LogState::default(),
            told: Moment::default(),
            untold: false,
            ends,
        })
    }

    /// Moves what comes, until it is told to end.
    pub fn run(mut self) {
        let mut ending = false;
        loop {
            let _ = self.ends.wake.read();
            while let Ok(command) = self.ends.inbox.try_recv() {
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
            match self.ends.inbox.recv() {
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
        let _ = self.ends.outbox.send(notice); // the main thread is gone only when the process is
        let _ = self.ends.noticed.write(1);
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
        let mut fds = vec![PollFd::new(self.ends.wake.as_fd(), PollFlags::POLLIN)];
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
            wait(&mut [PollFd::new(self.ends.wake.as_fd(), PollFlags::POLLIN)], i32::from(GATHER));
        }
    }
}
