//! Who of the others still works: keepers and warden are looked at every few seconds, without waking them, and
//! who seems to be stalled is asked; who does not answer is ended, and its successor takes over.
//!
//! What follows from a look or an answer [`suspicion`] decides. A service that never waits for its log, and whose keeper
//! takes nothing off its FIFOs, is relieved meanwhile ([`super::relief`]).

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::alarm::Whom;
use super::folder;
use super::log_budget::LogBudget;
use super::ping::ping;
use super::plane::Plane;
use super::relief::{Helpless, PUMP, Relief, Stream};
use super::say::say;
use crate::incidents;
use crate::model::lapse;
use crate::model::moment::Moment;
use crate::model::signal::Signal;
use crate::model::spec::OnFull;
use crate::model::suspicion::{self, Event, Look, Quota, Sign, Step, Suspect};
use crate::model::units::show_duration;
use crate::os::process::{self, Identity};
use crate::os::{clock, fifo, lock};
use crate::wire::incidents::Replaced;
use crate::wire::keeper::{Op, Request};
use crate::wire::warden;

/// Whoever is away or is to be replaced is looked for again after this time.
const SOON: Duration = Duration::from_millis(50);
/// A successor that does not do its work by then, counted from the first sign, is watched like any other.
const SUCCESSION: Duration = Duration::from_secs(20);
/// Of a FIFO that a keeper relieves while its disk hangs about a quarter stays filled, so more than this part of it.
const LEFT_BY_A_DROP: (usize, usize) = (1, 8);
/// A service without a keeper for longer than this cannot count on one.
const ABSENT: Duration = Duration::from_millis(500);

/// Watches for ever.
pub async fn run(plane: Arc<Plane>) {
    let mut sentinel = Sentinel::new(Arc::clone(&plane));
    let log_budget = LogBudget::default();
    let mut tick = interval(suspicion::LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let again = sentinel.deadline().map(|at| at.since(clock::mono()));
        tokio::select! {
            _ = tick.tick() => {
                plane.hold_switch(lapse::FALLS_AFTER);
                sentinel.look_at_all();
                log_budget.tick(&plane);
            }
            said = plane.alarm.heard() => {
                said.into_iter().for_each(|(whom, unanswered)| sentinel.look_at(&whom, unanswered));
            }
            Some(pinged) = sentinel.pings.join_next() => {
                if let Ok((whom, pid, event)) = pinged {
                    sentinel.after_ping(&whom, pid, event);
                }
            }
            () = sleep(again.unwrap_or_default()), if again.is_some() => sentinel.look_at_due(),
        }
        sentinel.tell_problems();
    }
}

struct Sentinel {
    plane: Arc<Plane>,
    watched: BTreeMap<Whom, Watched>,
    quota: Quota,
    pings: JoinSet<(Whom, i32, Event)>,
}

#[derive(Default)]
struct Watched {
    /// The process that the suspicion is about.
    process: Option<Identity>,
    suspect: Suspect,
    /// Since when there has been none.
    absent: Option<Moment>,
    /// When to look again, if that is before the next tick.
    again: Option<Moment>,
    relief: Option<Relief>,
}

impl Sentinel {
    fn new(plane: Arc<Plane>) -> Sentinel {
        Sentinel { plane, watched: BTreeMap::new(), quota: Quota::default(), pings: JoinSet::new() }
    }

    fn deadline(&self) -> Option<Moment> {
        self.watched.values().filter_map(|watched| watched.again).min()
    }

    fn look_at_all(&mut self) {
        let keepers: Vec<Whom> = self.plane.followed().into_iter().map(Whom::Keeper).collect();
        self.watched.retain(|whom, _| *whom == Whom::Warden || keepers.contains(whom));
        for whom in std::iter::once(Whom::Warden).chain(keepers) {
            self.look_at(&whom, false);
        }
    }

    fn look_at_due(&mut self) {
        let now = clock::mono();
        let due = self.watched.iter().filter(|(_, watched)| watched.again.is_some_and(|at| at <= now));
        let due: Vec<Whom> = due.map(|(whom, _)| whom.clone()).collect();
        due.iter().for_each(|whom| self.look_at(whom, false));
    }

    fn look_at(&mut self, whom: &Whom, unanswered: bool) {
        let now = clock::mono();
        let watched = self.watched.entry(whom.clone()).or_default();
        watched.again = None;
        let Some(process) = process_of(&self.plane, whom) else {
            self.is_away(whom, now);
            return;
        };
        if watched.process.as_ref() != Some(&process) {
            if let Some((sign, since, true)) = watched.suspect.suspicion() {
                let back = is_back(&self.plane, whom, process.pid);
                if !back && now.since(since) < SUCCESSION {
                    watched.again = Some(now.plus(SOON));
                    return;
                }
                if back {
                    tell_replacement(&self.plane, whom, sign, now.since(since));
                }
            }
            watched.process = Some(process.clone());
            self.happened(whom, Event::Replaced, now);
        }
        if let Some(watched) = self.watched.get_mut(whom) {
            watched.absent = None;
        }
        let look = Look { unanswered, ..self.signs(whom, &process) };
        self.happened(whom, Event::Looked(look), now);
        self.relieve(whom, now);
    }

    /// There is no such process at this moment.
    fn is_away(&mut self, whom: &Whom, now: Moment) {
        let Some(watched) = self.watched.get_mut(whom) else { return };
        let retired = match whom {
            Whom::Warden => self.plane.is_going_down(),
            Whom::Keeper(name) => !self.plane.paths.service(name).spec().exists(),
        };
        if retired {
            *watched = Watched::default();
            return;
        }
        let since = *watched.absent.get_or_insert(now);
        let matters = watched.suspect.suspicion().is_some() || never_waits(&self.plane, whom);
        watched.again = Some(now.plus(if matters { SOON } else { ABSENT }));
        self.relieve(whom, now);
        if *whom != Whom::Warden && now.since(since) >= ABSENT {
            self.look_at(&Whom::Warden, false); // the warden should have brought another one by now
        }
    }

    /// What is to be seen from outside, without waking anybody.
    fn signs(&self, whom: &Whom, process: &Identity) -> Look {
        let plane = &self.plane;
        let stopped = process::is_stopped(process.pid);
        match whom {
            Whom::Warden => {
                // A keeper that is away is its work.
                let undone = self.watched.values().any(|watched| watched.absent.is_some()).then_some(1);
                Look { stopped, undone, ..Look::default() }
            }
            Whom::Keeper(name) => {
                let (backlog, waits) = plane.with_holdings(|holdings| {
                    let outputs = holdings.outputs(name);
                    let is_any = |(part, whole)| {
                        outputs.iter().any(|output| fifo::is_fuller_than(output.fifo, part, whole))
                    };
                    (is_any((1, 2)), is_any(LEFT_BY_A_DROP))
                });
                let disk_wait = waits && process::thread_waits_for_disk(process.pid, PUMP);
                let said = plane.roster.get(name).and_then(|entry| entry.said);
                let main = said.and_then(|(status, _)| status.pid);
                let undone = main.filter(|pid| process::seems_ended(*pid));
                let undone = undone.and_then(|_| folder::unnoted_end(&plane.paths.service(name)));
                Look { stopped, undone, backlog, disk_wait, unanswered: false }
            }
        }
    }

    fn after_ping(&mut self, whom: &Whom, pid: i32, event: Event) {
        let now = clock::mono();
        let asked = self.watched.get(whom).and_then(|watched| watched.process.as_ref());
        if asked.is_none_or(|process| process.pid != pid) {
            return;
        }
        if process_of(&self.plane, whom).is_none_or(|process| process.pid != pid) {
            self.look_at(whom, false); // it died over the question
            return;
        }
        self.happened(whom, event, now);
        self.relieve(whom, now);
    }

    fn happened(&mut self, whom: &Whom, event: Event, now: Moment) {
        let Some(watched) = self.watched.get_mut(whom) else { return };
        let what;
        (watched.suspect, self.quota, what) = suspicion::step(watched.suspect, self.quota, event, now);
        let Some(process) = &watched.process else { return };
        match what {
            Step::Leave => {}
            Step::LookAgain(after) => watched.again = Some(now.plus(after)),
            Step::Ping(patience) => {
                let (whom, pid, plane) = (whom.clone(), process.pid, Arc::clone(&self.plane));
                self.pings.spawn(async move {
                    let event = ask(&plane, &whom, pid, patience).await;
                    (whom, pid, event)
                });
            }
            Step::Kill(_) => {
                watched.again = Some(now.plus(SOON));
                // It may have ended by itself a moment ago.
                if let Some(Err(error)) = process::open(process).map(|open| open.signal(Signal::KILL)) {
                    say(format_args!("cannot end {} (pid {}): {error}", name_of(whom), process.pid));
                }
            }
        }
    }

    /// Begins or ends to keep the FIFOs of a service that never waits from running full.
    fn relieve(&mut self, whom: &Whom, now: Moment) {
        let (Whom::Keeper(name), Some(watched)) = (whom, self.watched.get_mut(whom)) else { return };
        let paths = self.plane.paths.service(name);
        let pid = watched.process.as_ref().map_or(0, |process| process.pid);
        let away = watched.absent.filter(|since| now.since(*since) >= ABSENT);
        let suspected = watched.suspect.suspicion().is_some();
        let reasons = [
            (away.is_some(), Helpless::Absent(paths.lock.clone())),
            (watched.absent.is_none() && suspected, Helpless::Stopped(pid)),
            // A keeper that still answers sees to it itself.
            (
                watched.absent.is_none() && watched.suspect.is_silent() && watched.suspect.waits_for_disk(),
                Helpless::DiskWait(pid),
            ),
        ];
        let why = reasons.into_iter().find_map(|(may, why)| (may && why.holds()).then_some(why));
        let Some(why) = why.filter(|_| never_waits(&self.plane, whom)) else {
            watched.relief = None;
            return;
        };
        if watched.relief.as_ref().is_some_and(|relief| relief.is_because(&why)) {
            return;
        }
        // A pump that waits for a disk holds the lock of its stage: who touches it waits too.
        let through_stage = watched.absent.is_some() || !Helpless::DiskWait(pid).holds();
        let streams = self.plane.with_holdings(|holdings| {
            let outputs = holdings.outputs(name).into_iter();
            let streams = outputs.map(|output| {
                let stage = through_stage.then(|| output.stage.as_fd().try_clone_to_owned()).transpose()?;
                Ok(Stream::new(output.fifo.as_fd().try_clone_to_owned()?, stage))
            });
            streams.collect::<std::io::Result<Vec<Stream>>>()
        });
        let begun = streams.and_then(|streams| Relief::begin(name, why, paths, streams));
        match begun {
            Ok(relief) => watched.relief = Some(relief),
            Err(error) => say(format_args!("{name} may have to wait for its log: {error}")),
        }
    }

    /// What is not as it should be, for whoever looks at the services.
    fn tell_problems(&self) {
        let list = |sentences: Vec<String>| (!sentences.is_empty()).then(|| sentences.join("; "));
        let stalled = self.watched.iter().filter_map(|(whom, watched)| {
            let (sign, _, _) = watched.suspect.suspicion().filter(|_| watched.suspect.is_silent())?;
            Some(format!("{} is stalled ({sign}) and is being replaced", name_of(whom)))
        });
        self.plane.problem("stalled", list(stalled.collect()));
        let hanging = self.watched.iter().filter(|(_, watched)| watched.suspect.disk_hangs());
        let hanging = hanging.filter_map(|(whom, _)| match whom {
            Whom::Keeper(name) => {
                let never_waits = never_waits(&self.plane, whom);
                let cost =
                    if never_waits { "lines are dropped when its FIFO is full" } else { "its output waits" };
                Some(format!("the log disk of {name} hangs: {cost}"))
            }
            Whom::Warden => None,
        });
        let hanging = list(hanging.collect());
        if self.plane.problem("disk", hanging.clone())
            && let Some(text) = hanging
        {
            say(text);
        }
    }
}

fn process_of(plane: &Plane, whom: &Whom) -> Option<Identity> {
    let own = std::process::id() as i32;
    let path = match whom {
        Whom::Warden => plane.paths.warden_lock(),
        Whom::Keeper(name) => plane.paths.service(name).lock,
    };
    lock::named(&path).filter(|process| process.pid != own)
}

fn name_of(whom: &Whom) -> String {
    match whom {
        Whom::Warden => "the warden".to_owned(),
        Whom::Keeper(name) => format!("the keeper of {name}"),
    }
}

/// Whether lines of its log are dropped rather than it waits: the default of a critical service.
fn never_waits(plane: &Plane, whom: &Whom) -> bool {
    let Whom::Keeper(name) = whom else { return false };
    // Not what its keeper has said: that may have been stalled before this process began.
    let spec = folder::read_spec(&plane.paths.service(name)).map(|file| file.spec);
    spec.is_some_and(|spec| spec.log_policy().on_full == Some(OnFull::Drop))
}

/// Whether a new process does its predecessor's work.
fn is_back(plane: &Plane, whom: &Whom, pid: i32) -> bool {
    match whom {
        Whom::Warden => plane.warden_pid() == Some(pid),
        Whom::Keeper(name) => plane.roster.get(name).is_some_and(|entry| {
            entry.present && entry.said.is_some_and(|(status, _)| status.keeper_pid == pid)
        }),
    }
}

fn tell_replacement(plane: &Plane, whom: &Whom, sign: Sign, after: Duration) {
    say(format_args!("{} was stalled ({sign}): replaced after {}", name_of(whom), show_duration(after)));
    let Whom::Keeper(name) = whom else { return };
    let last = Replaced {
        why: sign.to_string(),
        after_ms: after.as_millis() as u64,
        at_unix_ms: clock::now().unix_ms,
    };
    let _ = incidents::note(&plane.paths.service(name), |incidents| {
        incidents.replaced += 1;
        incidents.last = Some(last);
    });
}

async fn ask(plane: &Plane, whom: &Whom, pid: i32, patience: Duration) -> Event {
    let socket: PathBuf = match whom {
        Whom::Warden => plane.paths.warden_sock(),
        Whom::Keeper(name) => plane.paths.service(name).keeper_sock(),
    };
    match whom {
        Whom::Warden => ping(pid, &socket, &warden::Request::Ping, patience).await,
        Whom::Keeper(_) => ping(pid, &socket, &Request::new(Op::Ping), patience).await,
    }
}
