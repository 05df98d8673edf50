//! Whether a process that lives still works: when to ask it, and when to end it.
//!
//! ```text
//!            a sign                  an answer
//!   Trusted --------> Suspected --------------------> Trusted
//!                      |  ^  |
//!        no answer yet +--+  | three pings without an answer, and the quota allows a kill
//!                            v
//!                        Condemned ----- its successor is there -----> Trusted
//! ```
//! In peace there are no signs, so nobody is asked and nobody is woken. A sign alone ends nobody: whoever
//! answers a ping is trusted. A missing answer counts only if the one who asks was on time itself: after a
//! pause of the whole machine everybody seems to be late. Ending a process by mistake costs nothing, because
//! its successor takes over all it had; the quota is there to keep a machine that is too busy from being made
//! busier.

use std::fmt;
use std::time::Duration;

use super::moment::Moment;

/// Without news everybody is looked at this often.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Work that was left undone this long is a sign.
const UNDONE: Duration = Duration::from_millis(500);
/// Pings without an answer that end a process.
const PINGS: u8 = 3;
/// How long a ping waits for its answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same for a process that cannot answer unless somebody lets it go on.
const PATIENCE_STOPPED: Duration = Duration::from_millis(500);
/// Who asks and is later than this itself knows nothing.
const LATE: Duration = Duration::from_millis(200);
/// Between two kills of any processes.
const BETWEEN_KILLS: Duration = Duration::from_secs(1);
/// Between two kills of the same one's successors.
const BETWEEN_SAME: Duration = Duration::from_secs(60);
/// The same if it is stopped: no machine is too busy for that to be over by itself.
const BETWEEN_STOPPED: Duration = Duration::from_secs(5);

/// What makes a process suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The kernel says that it is stopped (SIGSTOP, or a tracer).
    Stopped,
    /// It has not taken note of something that it is there for.
    Undone,
    /// It was asked something and did not answer.
    Unanswered,
    /// What it should empty fills up.
    Backlog,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sign::Stopped => "stopped",
            Sign::Undone => "it left work undone",
            Sign::Unanswered => "it did not answer",
            Sign::Backlog => "it let the logs wait",
        })
    }
}

/// What one look at a process has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// It is stopped.
    pub stopped: bool,
    /// Something that it should have taken note of; the same thing has the same number.
    pub undone: Option<u64>,
    /// Somebody asked it since the last look and got no answer.
    pub unanswered: bool,
    /// A FIFO that it empties is more than half full.
    pub backlog: bool,
    /// Its log pump waits for a disk, and output waits for the pump: maybe less than a backlog, as the keeper may drop
    /// lines meanwhile.
    pub disk_wait: bool,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It was looked at.
    Looked(Look),
    /// It answered a ping.
    Answered,
    /// A ping has got no answer in its time.
    Silent {
        /// How much later than that the one who asked has noticed.
        late: Duration,
        /// It could ask, and has read all there was to read.
        sure: bool,
        /// The process is stopped.
        stopped: bool,
    },
    /// Another process has taken its place.
    Replaced,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Nothing.
    Leave,
    /// Look again after this time.
    LookAgain(Duration),
    /// Ask it, and wait so long for the answer.
    Ping(Duration),
    /// End it.
    Kill(Sign),
}

/// One process that is watched; its successors inherit what is remembered of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspect {
    stage: Stage,
    backlog: bool,
    undone: Option<(u64, Moment)>,
    disk_waits: u8,
    killed: Option<Moment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Trusted,
    Suspected {
        sign: Sign,
        since: Moment,
        unanswered: u8,
    },
    Condemned {
        sign: Sign,
        since: Moment,
    },
}

/// The last kill of anybody: they come one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    last: Option<Moment>,
}

impl Suspect {
    /// The sign, since when, and whether the end was already ordered; none for a trusted process.
    pub fn suspicion(&self) -> Option<(Sign, Moment, bool)> {
        match self.stage {
            Stage::Trusted => None,
            Stage::Suspected { sign, since, .. } => Some((sign, since, false)),
            Stage::Condemned { sign, since } => Some((sign, since, true)),
        }
    }

    /// Whether it has left a ping unanswered, or is to be ended.
    pub fn is_silent(&self) -> bool {
        match self.stage {
            Stage::Trusted => false,
            Stage::Suspected { unanswered, .. } => unanswered > 0,
            Stage::Condemned { .. } => true,
        }
    }

    /// Whether its log waited for a disk when it was looked at last.
    pub fn waits_for_disk(&self) -> bool {
        self.disk_waits > 0
    }

    /// Whether its log waits for a disk and not for the process: nobody is ended for that.
    pub fn disk_hangs(&self) -> bool {
        self.disk_waits >= 2
    }
}

/// What comes of an event.
pub fn step(mut suspect: Suspect, mut quota: Quota, event: Event, now: Moment) -> (Suspect, Quota, Step) {
    let step = match (suspect.stage, event) {
        (_, Event::Replaced) => {
            suspect = Suspect { killed: suspect.killed, ..Suspect::default() };
            Step::Leave
        }
        (stage, Event::Looked(look)) => {
            let sign = suspect.note(look, now);
            match (stage, sign) {
                (Stage::Trusted, Some(sign)) => {
                    suspect.stage = Stage::Suspected { sign, since: now, unanswered: 0 };
                    Step::Ping(patience(look.stopped))
                }
                (Stage::Trusted, None) if suspect.undone.is_some() => Step::LookAgain(UNDONE),
                // A ping is under way, or its successor is awaited.
                (Stage::Trusted | Stage::Suspected { .. } | Stage::Condemned { .. }, _) => Step::Leave,
            }
        }
        (Stage::Suspected { .. }, Event::Answered) => {
            suspect.stage = Stage::Trusted;
            suspect.undone = None;
            Step::Leave
        }
        (Stage::Suspected { sign, since, unanswered }, Event::Silent { late, sure, stopped }) => {
            let counts = sure && late < LATE;
            let unanswered = unanswered.saturating_add(u8::from(counts));
            if counts && unanswered >= PINGS && quota.allows(suspect.killed, stopped, now) {
                quota.last = Some(now);
                suspect.killed = Some(now);
                suspect.stage = Stage::Condemned { sign, since };
                Step::Kill(sign)
            } else {
                suspect.stage = Stage::Suspected { sign, since, unanswered };
                Step::Ping(patience(stopped))
            }
        }
        // What comes of a ping that does not matter any more.
        (Stage::Trusted | Stage::Condemned { .. }, Event::Answered | Event::Silent { .. }) => Step::Leave,
    };
    (suspect, quota, step)
}

impl Suspect {
    /// Remembers what a look has shown; the sign, if there is one.
    fn note(&mut self, look: Look, now: Moment) -> Option<Sign> {
        let before = std::mem::replace(&mut self.backlog, look.backlog);
        self.disk_waits = if look.disk_wait { self.disk_waits.saturating_add(1) } else { 0 };
        let known = self.undone.filter(|(work, _)| look.undone == Some(*work));
        self.undone = known.or(look.undone.map(|work| (work, now)));
        let signs = [
            (look.stopped, Sign::Stopped),
            (self.undone.is_some_and(|(_, since)| now.since(since) >= UNDONE), Sign::Undone),
            (look.unanswered, Sign::Unanswered),
            (look.backlog && before, Sign::Backlog),
        ];
        signs.into_iter().find_map(|(shows, sign)| shows.then_some(sign))
    }
}

impl Quota {
    fn allows(self, same: Option<Moment>, stopped: bool, now: Moment) -> bool {
        let between = if stopped { BETWEEN_STOPPED } else { BETWEEN_SAME };
        let past = |last: Option<Moment>, time| last.is_none_or(|last| now.since(last) >= time);
        past(self.last, BETWEEN_KILLS) && past(same, between)
    }
}

fn patience(stopped: bool) -> Duration {
    if stopped { PATIENCE_STOPPED } else { PATIENCE }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment(millis * 1_000_000)
    }

    const CALM: Look =
        Look { stopped: false, undone: None, unanswered: false, backlog: false, disk_wait: false };
    const SILENT: Event = Event::Silent { late: Duration::ZERO, sure: true, stopped: false };

    /// Goes through events, one each 100 ms; returns the last step.
    fn go(suspect: &mut Suspect, quota: &mut Quota, from: u64, events: &[Event]) -> Step {
        let mut last = Step::Leave;
        for (n, event) in events.iter().enumerate() {
            (*suspect, *quota, last) = step(*suspect, *quota, *event, at(from + 100 * n as u64));
        }
        last
    }

    #[test]
    fn nobody_is_asked_in_peace() {
        let (mut suspect, mut quota) = Default::default();
        for n in 0..100 {
            assert_eq!(go(&mut suspect, &mut quota, n, &[Event::Looked(CALM)]), Step::Leave);
        }
    }

    #[test]
    fn a_stopped_one_is_ended_after_three_pings() {
        let (mut suspect, mut quota) = Default::default();
        let looked = Event::Looked(Look { stopped: true, ..CALM });
        let silent = Event::Silent { late: Duration::ZERO, sure: true, stopped: true };
        assert_eq!(go(&mut suspect, &mut quota, 0, &[looked]), Step::Ping(PATIENCE_STOPPED));
        assert_eq!(go(&mut suspect, &mut quota, 500, &[silent]), Step::Ping(PATIENCE_STOPPED));
        assert!(suspect.is_silent());
        assert_eq!(go(&mut suspect, &mut quota, 1000, &[silent, silent]), Step::Kill(Sign::Stopped));
        assert_eq!(suspect.suspicion(), Some((Sign::Stopped, at(0), true)));
        assert_eq!(go(&mut suspect, &mut quota, 1500, &[looked, silent]), Step::Leave);
        assert_eq!(go(&mut suspect, &mut quota, 1600, &[Event::Replaced]), Step::Leave);
        assert_eq!(suspect.suspicion(), None);
    }

    #[test]
    fn a_successor_that_is_stopped_as_well_is_ended_soon() {
        let (mut suspect, mut quota) = Default::default();
        let looked = Event::Looked(Look { stopped: true, ..CALM });
        let silent = Event::Silent { late: Duration::ZERO, sure: true, stopped: true };
        assert_eq!(
            go(&mut suspect, &mut quota, 0, &[looked, silent, silent, silent]),
            Step::Kill(Sign::Stopped)
        );
        let again = [Event::Replaced, looked, silent, silent, silent];
        assert_eq!(go(&mut suspect, &mut quota, 1000, &again), Step::Ping(PATIENCE_STOPPED));
        assert_eq!(go(&mut suspect, &mut quota, 5300, &[silent]), Step::Kill(Sign::Stopped));
        // One that only says nothing may have a machine that is too busy.
        let again = [Event::Replaced, looked, SILENT, SILENT, SILENT];
        assert_eq!(go(&mut suspect, &mut quota, 11_000, &again), Step::Ping(PATIENCE));
    }

    #[test]
    fn an_answer_restores_trust() {
        let (mut suspect, mut quota) = Default::default();
        let looked = Event::Looked(Look { unanswered: true, ..CALM });
        assert_eq!(go(&mut suspect, &mut quota, 0, &[looked, SILENT, SILENT, Event::Answered]), Step::Leave);
        assert_eq!(suspect.suspicion(), None);
        assert_eq!(go(&mut suspect, &mut quota, 5000, &[looked, SILENT, SILENT]), Step::Ping(PATIENCE));
    }

    #[test]
    fn who_was_late_or_unable_to_ask_knows_nothing() {
        let (mut suspect, mut quota) = Default::default();
        let looked = Event::Looked(Look { stopped: true, ..CALM });
        let late = Event::Silent { late: LATE, sure: true, stopped: false };
        let unsure = Event::Silent { late: Duration::ZERO, sure: false, stopped: false };
        let events = [looked, late, unsure, late, unsure, late, SILENT, SILENT];
        assert_eq!(go(&mut suspect, &mut quota, 0, &events), Step::Ping(PATIENCE));
        assert_eq!(go(&mut suspect, &mut quota, 800, &[SILENT]), Step::Kill(Sign::Stopped));
    }

    #[test]
    fn undone_work_is_a_sign_when_it_stays_the_same() {
        let (mut suspect, mut quota) = Default::default();
        let undone = |work| Event::Looked(Look { undone: Some(work), ..CALM });
        assert_eq!(go(&mut suspect, &mut quota, 0, &[undone(7)]), Step::LookAgain(UNDONE));
        assert_eq!(go(&mut suspect, &mut quota, 500, &[undone(8)]), Step::LookAgain(UNDONE));
        assert_eq!(go(&mut suspect, &mut quota, 900, &[undone(8)]), Step::LookAgain(UNDONE));
        assert_eq!(go(&mut suspect, &mut quota, 1000, &[undone(8)]), Step::Ping(PATIENCE));
    }

    #[test]
    fn a_disk_that_hangs_ends_nobody() {
        let (mut suspect, mut quota) = Default::default();
        let full = Event::Looked(Look { backlog: true, disk_wait: true, ..CALM });
        assert_eq!(go(&mut suspect, &mut quota, 0, &[full]), Step::Leave);
        for n in 1..100 {
            assert_eq!(go(&mut suspect, &mut quota, 5000 * n, &[full]), Step::Ping(PATIENCE));
            assert!(suspect.disk_hangs());
            assert_eq!(go(&mut suspect, &mut quota, 5000 * n + 1, &[Event::Answered]), Step::Leave);
        }
        let _ = go(&mut suspect, &mut quota, 500_000, &[Event::Looked(CALM)]);
        assert!(!suspect.disk_hangs());
    }

    #[test]
    fn a_disk_hangs_also_while_the_keeper_drops_lines() {
        let (mut suspect, mut quota) = Default::default();
        // A drop takes half of a FIFO, so it is full at one look and not at the next.
        for n in 0..10 {
            let look = Event::Looked(Look { backlog: n % 2 == 0, disk_wait: true, ..CALM });
            assert_eq!(go(&mut suspect, &mut quota, 5000 * n, &[look]), Step::Leave);
            assert_eq!(suspect.disk_hangs(), n > 0);
        }
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let sign = any::<bool>;
        let look = (sign(), proptest::option::of(0..3u64), sign(), sign(), sign());
        let look = look.prop_map(|(stopped, undone, unanswered, backlog, disk_wait)| Look {
            stopped,
            undone,
            unanswered,
            backlog,
            disk_wait,
        });
        prop_oneof![
            3 => look.prop_map(Event::Looked),
            1 => Just(Event::Answered),
            6 => (0..300u64, any::<bool>(), any::<bool>()).prop_map(|(late, sure, stopped)| {
                Event::Silent { late: Duration::from_millis(late), sure, stopped }
            }),
            1 => Just(Event::Replaced),
        ]
    }

    proptest! {
        /// Whatever happens to a few processes: a kill needs a suspicion and three silences in a row that
        /// count; kills come one a second, and one a minute for each that is not
        /// stopped; who is trusted is not asked without a sign.
        #[test]
        fn kills_are_earned_and_rare(
            events in proptest::collection::vec((0..3usize, 0..800u64, any_event()), 0..400)
        ) {
            let mut suspects = [Suspect::default(); 3];
            let mut quota = Quota::default();
            let mut silences = [0; 3];
            let mut kills: Vec<(usize, Moment)> = Vec::new();
            let mut now = at(0);
            for (who, wait, event) in events {
                now = now.plus(Duration::from_millis(wait));
                let before = suspects[who];
                match event {
                    Event::Answered | Event::Replaced => silences[who] = 0,
                    Event::Silent { late, sure: true, .. }
                        if late < LATE && before.suspicion().is_some() => silences[who] += 1,
                    Event::Looked(_) | Event::Silent { .. } => {}
                }
                let (after, next_quota, what) = step(before, quota, event, now);
                match what {
                    Step::Kill(_) => {
                        prop_assert!(silences[who] >= PINGS, "{silences:?}");
                        prop_assert!(matches!(before.suspicion(), Some((_, _, false))));
                        prop_assert!(kills.iter().all(|(_, then)| now.since(*then) >= BETWEEN_KILLS));
                        let same = kills.iter().filter(|(other, _)| *other == who);
                        let stopped = matches!(event, Event::Silent { stopped: true, .. });
                        let between = if stopped { BETWEEN_STOPPED } else { BETWEEN_SAME };
                        prop_assert!(same.into_iter().all(|(_, then)| now.since(*then) >= between));
                        kills.push((who, now));
                    }
                    Step::Ping(_) => prop_assert!(matches!(after.suspicion(), Some((_, _, false)))),
                    Step::Leave | Step::LookAgain(_) => {}
                }
                if before.suspicion().is_none() && after.suspicion().is_some() {
                    prop_assert!(matches!(what, Step::Ping(_)) && event != Event::Looked(CALM));
                    silences[who] = 0;
                }
                (suspects[who], quota) = (after, next_quota);
            }
        }
    }
}
