//! One service in one sink: what follows its logs, or why nothing can yet. Its neighbours in the sink do not wait for it.

use std::io;
use std::time::{Duration, Instant};

use super::follower::{Follower, Held};
use super::outlet::Outlet;
use crate::model::failure::cause;
use crate::os::clock;
use crate::own_log;
use crate::paths::{Paths, SinkPaths};
use crate::wire::sinks::{Followed, StreamState, Waiting};

/// Logs that cannot be read are tried again after this time.
pub const AGAIN: Duration = Duration::from_secs(1);

/// The service.
#[derive(Debug)]
pub struct Service {
    followed: Followed,
    sink: SinkPaths,
    paths: Paths,
    /// The number of its first stream among all of the sink.
    label: usize,
    follower: Result<Follower, Obstacle>,
}

/// Why there is no follower.
#[derive(Debug)]
struct Obstacle {
    /// None: nobody has tried.
    waiting: Option<Waiting>,
    next: Instant,
}

impl Service {
    /// Nothing is read before [`Service::begin`].
    pub fn new(followed: Followed, sink: &SinkPaths, paths: &Paths, label: usize) -> Service {
        let follower = Err(Obstacle { waiting: None, next: Instant::now() });
        Service { followed, sink: sink.clone(), paths: paths.clone(), label, follower }
    }

    /// Begins to follow, if it is time to try. True if it has begun in this moment: the archives of before are known.
    pub fn begin(&mut self) -> bool {
        let Err(obstacle) = &mut self.follower else { return false };
        if Instant::now() < obstacle.next {
            return false;
        }
        match Follower::new(self.followed.clone(), &self.sink, &self.paths, self.label) {
            Ok(follower) => {
                self.follower = Ok(follower);
                true
            }
            Err(error) => {
                self.meets(&error);
                false
            }
        }
    }

    /// See [`Follower::rotated`].
    pub fn rotated(&mut self, stream: usize, times: u64) {
        if let Ok(follower) = &mut self.follower {
            follower.rotated(stream, times);
        }
    }

    /// See [`Follower::turn`].
    ///
    /// # Errors
    /// Why not all of it could be sent.
    pub fn turn(&mut self, outlet: &mut dyn Outlet, now: u64, all: bool) -> Result<bool, Held> {
        self.follower.as_mut().map_or(Ok(false), |follower| follower.turn(outlet, now, all))
    }

    /// See [`Follower::settle`].
    ///
    /// # Errors
    /// How far it has come cannot be written down.
    pub fn settle(&mut self, confirmed: u64) -> io::Result<()> {
        self.follower.as_mut().map_or(Ok(()), |follower| follower.settle(confirmed))
    }

    /// See [`Follower::go_back`]. What cannot go back begins anew, at what was written down.
    pub fn go_back(&mut self) {
        if let Ok(follower) = &mut self.follower
            && let Err(error) = follower.go_back()
        {
            self.meets(&error);
        }
    }

    /// After which time it is to be looked at again although nothing is written.
    pub fn again(&mut self) -> Option<Duration> {
        match &mut self.follower {
            Ok(follower) => follower.looks_again().then_some(AGAIN),
            Err(obstacle) => Some(obstacle.next.saturating_duration_since(Instant::now())),
        }
    }

    /// Whether lines wait that may be overtaken by older ones, for a moment.
    pub fn is_waiting(&self) -> bool {
        self.follower.as_ref().is_ok_and(Follower::is_waiting)
    }

    /// Whether something is on its way.
    pub fn is_unsettled(&self) -> bool {
        self.follower.as_ref().is_ok_and(Follower::is_unsettled)
    }

    /// How its streams are.
    pub fn states(&mut self) -> [StreamState; 3] {
        match &mut self.follower {
            Ok(follower) => follower.states(),
            Err(obstacle) => StreamState::nothing_of(&self.followed)
                .map(|state| StreamState { waiting: obstacle.waiting.clone(), ..state }),
        }
    }

    /// It cannot be followed now. Said when it is news.
    fn meets(&mut self, error: &io::Error) {
        let why = cause(error);
        let known = self.follower.as_ref().err().and_then(|obstacle| obstacle.waiting.clone());
        let known = known.filter(|known| known.why == why);
        if known.is_none() {
            own_log::line("forward", &format!("{}: {why}", self.followed.name));
        }
        let waiting = known.unwrap_or_else(|| Waiting { why, since_unix_ms: clock::now().unix_ms });
        self.follower = Err(Obstacle { waiting: Some(waiting), next: Instant::now() + AGAIN });
    }
}
