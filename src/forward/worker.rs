//! One sink: waits until there is something for it, delivers, and tries again when it does not take it.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::follower::{Held, STREAMS};
use super::outlet::{self, Outlet};
use super::service::Service;
use super::state::Teller;
use super::stop::Stop;
use super::watch::LogWatch;
use crate::logs::render::Label;
use crate::model::failure::cause;
use crate::model::sink::Target;
use crate::os::lock::{self, Attempt};
use crate::os::{clock, own};
use crate::own_log;
use crate::paths::Paths;
use crate::wire::VERSION;
use crate::wire::archive_name;
use crate::wire::sinks::{Followed, PlannedSink, SinkState, StreamState, Waiting};

/// Before the second attempt to reach a sink; twice as long before each further one.
const AGAIN: Duration = Duration::from_millis(100);
/// The longest pause.
const AGAIN_AT_MOST: Duration = Duration::from_secs(5);
/// After news, others are waited for: many lines at a time cost less than each by itself.
const GATHER: Duration = Duration::from_millis(10);
/// When lines that may be overtaken by older ones are looked at again.
const SOON: Duration = Duration::from_millis(20);
/// A sink that takes nothing for so long is said to wait.
const STUCK: Duration = Duration::from_secs(1);
/// A sink that cannot be waited on is tried again after this time.
const BLIND: Duration = Duration::from_millis(5);
/// How soon, and at last how seldom, it is asked what has reached the other side.
const CONFIRM: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

/// Forwards to one sink until all are to end. While its folder or its lock cannot be had, it waits.
pub fn run(paths: &Paths, planned: &PlannedSink, stop: &Stop) {
    let mut since_unix_ms = None;
    while let Err(error) = forward(paths, planned, stop) {
        let why = format!("its folder: {}", cause(&error));
        own_log::line("forward", &format!("sink {} waits: {why}", planned.sink.name));
        let since_unix_ms = *since_unix_ms.get_or_insert_with(|| clock::now().unix_ms);
        let streams = planned.services.iter().flat_map(StreamState::nothing_of).collect();
        let state = SinkState {
            v: VERSION,
            name: planned.sink.name.clone(),
            kind: planned.sink.to.kind().to_owned(),
            waiting: Some(Waiting { why, since_unix_ms }),
            streams,
        };
        Teller::new(paths.sink(&planned.sink.name).state).tell(state, Instant::now());
        let _ = pause(Some(AGAIN_AT_MOST), &mut [PollFd::new(stop.bell().as_fd(), PollFlags::POLLIN)]);
        if stop.deadline().is_some() {
            return;
        }
    }
}

fn forward(paths: &Paths, planned: &PlannedSink, stop: &Stop) -> io::Result<()> {
    let sink = paths.sink(&planned.sink.name);
    own::make_folder(&paths.sinks())?;
    own::make_folder(&sink.positions)?;
    if let Some(locks) = sink.lock.parent() {
        own::make_folder(locks)?; // this may be the first process of all
    }
    let Some(_lock) = take_lock(&sink.lock, stop)? else { return Ok(()) };
    let mut worker = Worker::new(paths, planned);
    while worker.work(stop) {
        worker.wait(stop)?;
    }
    Ok(())
}

/// Two of them would send everything twice. None if all are to end.
fn take_lock(path: &std::path::Path, stop: &Stop) -> io::Result<Option<lock::Lock>> {
    loop {
        if let Attempt::Held(lock) = lock::try_lock(path)? {
            return Ok(Some(lock));
        }
        if stop.deadline().is_some() {
            return Ok(None);
        }
        pause(Some(AGAIN), &mut [PollFd::new(stop.bell().as_fd(), PollFlags::POLLIN)])?;
    }
}

struct Worker<'a> {
    planned: &'a PlannedSink,
    services: Vec<Service>,
    /// Which of them may have something.
    due: Vec<bool>,
    watch: LogWatch,
    outlet: Box<dyn Outlet>,
    teller: Teller,
    /// Why nothing goes out.
    trouble: Option<Trouble>,
    /// It takes nothing.
    full: Option<Full>,
    /// Lines wait that may be overtaken by older ones.
    unsettled: bool,
    /// When it is asked what has reached the other side, and the pause after that.
    confirm: Option<(Instant, Duration)>,
}

/// Since when, by both clocks.
struct Full {
    since: Instant,
    unix_ms: u64,
    /// What the outlet had taken then.
    taken: u64,
}

struct Trouble {
    waiting: Waiting,
    attempts: u32,
    next: Instant,
}

impl<'a> Worker<'a> {
    fn new(paths: &Paths, planned: &'a PlannedSink) -> Worker<'a> {
        let sink = paths.sink(&planned.sink.name);
        let mut labels = Vec::new();
        let width = planned.services.iter().map(|followed| followed.name.as_str().len()).max().unwrap_or(0);
        for followed in &planned.services {
            for stream in STREAMS {
                let prefix = format!("{:width$} | ", followed.name);
                let (service, dress) = (followed.name.to_string(), followed.dress.clone());
                labels.push(Label { service, stream, dress, prefix });
            }
        }
        let logs = |followed: &Followed| {
            STREAMS.map(|stream| {
                let stem = archive_name::stem(followed.name.as_str(), stream);
                followed.dir.join(archive_name::log(&stem))
            })
        };
        // Watched first, so that nothing happens unseen.
        let watch = LogWatch::new(planned.services.iter().flat_map(logs).collect());
        let services: Vec<Service> = (0..)
            .step_by(STREAMS.len())
            .zip(&planned.services)
            .map(|(label, followed)| Service::new(followed.clone(), &sink, paths, label))
            .collect();
        Worker {
            planned,
            due: vec![true; services.len()],
            services,
            watch,
            outlet: outlet::to(&planned.sink.to, labels),
            teller: Teller::new(sink.state),
            trouble: None,
            full: None,
            unsettled: false,
            confirm: None,
        }
    }

    /// Begins with the services that could not be followed before, if it is time to try.
    fn begin(&mut self) {
        let begun: Vec<bool> = self.services.iter_mut().map(Service::begin).collect();
        if begun.contains(&true) {
            self.take_news(&begun);
        }
    }

    /// What has happened to the logs. Those who have `begun` in this moment know the archives there are.
    fn take_news(&mut self, begun: &[bool]) {
        let news = self.watch.news();
        news.written.iter().for_each(|log| self.due[log / STREAMS.len()] = true);
        for (log, times) in news.rotated {
            let (service, stream) = (log / STREAMS.len(), log % STREAMS.len());
            let known = begun.get(service) == Some(&true);
            self.services[service].rotated(stream, if known { 0 } else { times });
        }
        for (due, begun) in self.due.iter_mut().zip(begun) {
            *due |= begun;
        }
    }

    /// Delivers what there is. False if all are to end, and nothing more can be done.
    fn work(&mut self, stop: &Stop) -> bool {
        self.begin();
        let ending = stop.deadline();
        if ending.is_some() {
            self.due.fill(true);
        }
        let tried = self.trouble.as_ref().is_none_or(|trouble| Instant::now() >= trouble.next);
        let held = if tried { self.deliver(stop).err() } else { None };
        match held {
            Some(Held::Broken(error)) => self.lost(&error),
            Some(Held::Full) => {
                let (taken, now) = (self.outlet.taken(), Instant::now());
                // One that takes a little each time is not stuck.
                self.full = self.full.take().filter(|full| full.taken == taken);
                self.full.get_or_insert_with(|| Full { since: now, unix_ms: clock::now().unix_ms, taken });
            }
            None if tried => self.is_well(),
            None => {}
        }
        let done = self.trouble.is_some() || (!self.due.contains(&true) && self.confirm.is_none());
        let end = ending.is_some_and(|deadline| done || Instant::now() >= deadline);
        self.tell(end);
        !end
    }

    /// Sends what all of them have, each in its turn, until nobody has any more.
    fn deliver(&mut self, stop: &Stop) -> Result<(), Held> {
        self.outlet.connect().map_err(Held::Broken)?;
        // What has arrived has arrived, even if the other side has gone away since.
        self.settle()?;
        self.outlet.check().map_err(Held::Broken)?;
        if self.due.contains(&true) {
            self.confirm = None; // for what comes now it is asked soon again
        }
        let ending = stop.deadline().is_some();
        self.unsettled = false;
        let begun = Instant::now();
        while self.due.contains(&true) {
            for number in 0..self.services.len() {
                if !self.due[number] {
                    continue;
                }
                let service = &mut self.services[number];
                self.due[number] = service.turn(self.outlet.as_mut(), unix_ns(), ending)?;
                self.unsettled |= service.is_waiting();
                self.full = None;
            }
            self.settle()?;
            // The watch, the wish to end and the eyes of others have their turn, too.
            if begun.elapsed() >= STUCK / 4 {
                break;
            }
        }
        self.outlet.flush()?;
        self.settle()
    }

    /// Writes down what has reached the other side.
    fn settle(&mut self) -> Result<(), Held> {
        let confirmed = self.outlet.confirmed().map_err(Held::Broken)?;
        let mut unsettled = false;
        for service in &mut self.services {
            service.settle(confirmed).map_err(Held::Broken)?;
            unsettled |= service.is_unsettled();
        }
        let pause = self.confirm.map_or(CONFIRM.0, |(_, pause)| (2 * pause).min(CONFIRM.1));
        self.confirm = unsettled.then(|| (Instant::now() + pause, pause));
        Ok(())
    }

    /// The connection is no good any more.
    fn lost(&mut self, error: &io::Error) {
        self.outlet.close();
        self.services.iter_mut().for_each(Service::go_back);
        self.due.fill(true);
        (self.full, self.confirm, self.unsettled) = (None, None, false);
        let attempts = self.trouble.as_ref().map_or(0, |trouble| trouble.attempts) + 1;
        let pause = AGAIN.saturating_mul(1 << (attempts - 1).min(16)).min(AGAIN_AT_MOST);
        let why = format!("{}: {}", self.planned.sink.to, in_words(error));
        if self.trouble.is_none() {
            self.say(&format!("waits: {why}"));
        }
        let since_unix_ms = self.trouble.as_ref().map(|trouble| trouble.waiting.since_unix_ms);
        let since_unix_ms = since_unix_ms.unwrap_or_else(|| clock::now().unix_ms);
        let waiting = Waiting { why, since_unix_ms };
        self.trouble = Some(Trouble { waiting, attempts, next: Instant::now() + pause });
    }

    fn is_well(&mut self) {
        self.full = None;
        if self.trouble.take().is_some() {
            self.say("takes lines again");
        }
    }

    fn say(&self, what: &str) {
        own_log::line("forward", &format!("sink {} {what}", self.planned.sink.name));
    }

    /// Why nothing goes out at this moment, if that is so.
    fn waiting(&self) -> Option<Waiting> {
        if let Some(trouble) = &self.trouble {
            return Some(trouble.waiting.clone());
        }
        let full = self.full.as_ref().filter(|full| full.since.elapsed() >= STUCK)?;
        let why = format!("{}: it takes nothing at this moment", self.planned.sink.to);
        Some(Waiting { why, since_unix_ms: full.unix_ms })
    }

    /// Tells everybody how it is, if it is time.
    fn tell(&mut self, at_once: bool) {
        let now = Instant::now();
        if !self.teller.is_time(now) && !at_once {
            return;
        }
        let state = SinkState {
            v: VERSION,
            name: self.planned.sink.name.clone(),
            kind: self.planned.sink.to.kind().to_owned(),
            waiting: self.waiting(),
            streams: self.services.iter_mut().flat_map(Service::states).collect(),
        };
        self.teller.tell(state, now);
    }

    /// Waits until there is something to be done.
    fn wait(&mut self, stop: &Stop) -> io::Result<()> {
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let may_send = self.trouble.is_none() && self.full.is_none();
        let timeouts = [
            self.watch.pause(),
            self.trouble.as_ref().map(|trouble| until(trouble.next)),
            (may_send && self.due.contains(&true)).then_some(Duration::ZERO),
            (may_send && self.unsettled).then_some(SOON),
            self.services.iter_mut().filter_map(Service::again).min().filter(|_| may_send),
            self.full.as_ref().and_then(|_| self.outlet.fd().is_none().then_some(BLIND)),
            self.full.as_ref().and_then(|full| STUCK.checked_sub(full.since.elapsed())),
            self.confirm.filter(|_| may_send).map(|(at, _)| until(at)),
            stop.deadline().map(until),
            self.teller.due(now),
        ];
        let timeout = timeouts.into_iter().flatten().min();
        let mut fds = Vec::with_capacity(3);
        let closing = PollFlags::POLLIN | PollFlags::POLLHUP;
        if stop.deadline().is_none() {
            fds.push(PollFd::new(stop.bell().as_fd(), PollFlags::POLLIN));
        }
        let watched = self.watch.fd().map(|fd| fds.push(PollFd::new(fd, PollFlags::POLLIN)));
        let watched = watched.map(|()| fds.len() - 1);
        if self.trouble.is_none()
            && let Some(fd) = self.outlet.fd()
        {
            let flags = match (self.full.is_some(), self.hears_closing()) {
                (true, true) => closing | PollFlags::POLLOUT,
                (true, false) => PollFlags::POLLOUT,
                (false, true) => closing,
                (false, false) => PollFlags::empty(),
            };
            if !flags.is_empty() {
                fds.push(PollFd::new(fd, flags));
            }
        }
        pause(timeout, &mut fds)?;
        let has_news =
            watched.is_some_and(|at| fds[at].any().unwrap_or(true)) || self.watch.pause().is_some();
        drop(fds);
        if has_news {
            pause(Some(GATHER), &mut [PollFd::new(stop.bell().as_fd(), PollFlags::POLLIN)])?;
            self.take_news(&[]);
        }
        if self.unsettled {
            self.due.fill(true);
        }
        for (due, service) in self.due.iter_mut().zip(&mut self.services) {
            *due |= service.again().is_some();
        }
        Ok(())
    }

    /// Whether the other side's end of the connection can say that it is gone.
    fn hears_closing(&self) -> bool {
        matches!(self.planned.sink.to, Target::Syslog { .. })
    }
}

/// Waits for any of these, or for so long; without a time, for ever.
fn pause(time: Option<Duration>, fds: &mut [PollFd<'_>]) -> io::Result<()> {
    // Up to the next millisecond: one too short would be one more turn for nothing.
    let millis = time.map(|time| time.as_micros().div_ceil(1000));
    let timeout = match millis {
        Some(millis) => PollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX)),
        None => PollTimeout::NONE,
    };
    match poll(fds, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The cause of what a sink does.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => "it has gone away".to_owned(),
        io::ErrorKind::WouldBlock => "too many others wait for it".to_owned(),
        _ => cause(error).to_lowercase(),
    }
}

/// The wall clock, nanoseconds since 1970.
fn unix_ns() -> u64 {
    clock::now().unix_ms.saturating_mul(1_000_000)
}
