//! What happens next: the only place where an instance changes its phase.
//!
//! [`step`] is total: every event has an answer in every phase, also the ones that cannot happen when all
//! goes well, because after a crash they can. It is pure: the clock and the dice are arguments.

use std::time::Duration;

use super::backoff;
use super::end::{End, Exit, Oom, Why};
use super::failure::StartFailure;
use super::memory::{Growth, Over};
use super::moment::{Moment, Now};
use super::phase::{Instance, Phase, Run, Then};
use super::signal::Signal;
use super::spec::{Ready, RestartWhen, ServiceSpec};
use super::takeover;

/// A restart that waits for nothing is granted at most this often.
pub const IMMEDIATE_EVERY: Duration = Duration::from_secs(10);

/// Everything that can happen to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It shall run: the operator's wish, or the goal found at the keeper's start.
    Start,
    /// It shall not run.
    Stop,
    /// It shall run anew.
    Restart,
    /// It shall run anew, and serve until it does; where none serves, as [`Event::Restart`]. To be told only where both
    /// runs can have the service's sockets.
    Reload,
    /// The spawn that was asked for succeeded.
    Spawned(Run),
    /// It failed; no process is left of it.
    SpawnFailed(StartFailure),
    /// The run of this number said that it is ready.
    Ready(u64),
    /// The process of the run of this number and its whole tree are gone.
    Exited(u64, Exit, Option<Oom>),
    /// The same, of a process that was never let go, for the keeper that started it died first: it never was the service.
    NeverWas(u64, Exit),
    /// The tree uses more memory than it may.
    OverMemory {
        /// The number of the run.
        run: u64,
        /// What was seen.
        over: Over,
        /// How it has come to that.
        growth: Growth,
        /// A second run fits beside it, and can have its sockets.
        room: bool,
    },
    /// The deadline of the phase has come, or something else woke the keeper.
    Due,
}

/// What the machine wants done. After `Spawn` it must be told [`Event::Spawned`] or [`Event::SpawnFailed`].
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Start the process of this run.
    Spawn {
        /// Its number.
        number: u64,
    },
    /// Send a signal to the process group of a run.
    Signal {
        /// Its number.
        run: u64,
        /// What to send.
        signal: Signal,
    },
    /// SIGKILL the whole tree of a run.
    Kill {
        /// Its number.
        run: u64,
    },
}

/// Answers `event`: the instance as it is afterwards, and what to do. `roll` is a random number from 0 to 1
/// for the jitter of the back-off.
pub fn step(
    spec: &ServiceSpec,
    mut instance: Instance,
    event: Event,
    now: Now,
    roll: f64,
) -> (Instance, Action) {
    let action = match event {
        Event::Start => start(&mut instance),
        Event::Stop => stop(spec, &mut instance, now.mono),
        Event::Restart => restart(spec, &mut instance, now.mono),
        Event::Reload => reload(spec, &mut instance, now.mono),
        Event::Spawned(run) => spawned(spec, &mut instance, run, now.mono),
        Event::SpawnFailed(failure) => spawn_failed(spec, &mut instance, failure, now, roll),
        Event::Ready(run) => ready(spec, &mut instance, run, now.mono),
        Event::Exited(run, exit, oom) => exited(spec, &mut instance, run, (exit, oom), now, roll),
        Event::NeverWas(run, exit) => never_was(spec, &mut instance, run, exit, now, roll),
        Event::OverMemory { run, over, growth, room } => {
            over_memory(spec, &mut instance, run, (over, growth, room), now.mono)
        }
        Event::Due => due(spec, &mut instance, now.mono),
    };
    (instance, action)
}

fn start(instance: &mut Instance) -> Action {
    match &mut instance.phase {
        Phase::Stopped | Phase::Failed | Phase::BackingOff { .. } => {
            instance.unstable = 0;
            instance.restarts = 0;
            spawn(instance)
        }
        Phase::Spawning { stop } => {
            *stop = false;
            Action::None
        }
        Phase::Stopping { then, .. } => {
            *then = Then::Start;
            Action::None
        }
        Phase::Starting { .. } | Phase::Online { .. } => Action::None,
    }
}

fn stop(spec: &ServiceSpec, instance: &mut Instance, now: Moment) -> Action {
    takeover::call_off(instance, Why::Stopped);
    match &mut instance.phase {
        Phase::Stopped => Action::None,
        Phase::Failed | Phase::BackingOff { .. } => {
            instance.phase = Phase::Stopped;
            Action::None
        }
        Phase::Spawning { stop } => {
            *stop = true;
            Action::None
        }
        Phase::Starting { run, .. } | Phase::Online { run } => {
            let run = *run;
            ask(spec, instance, run, Why::Stopped, Then::Stay, now)
        }
        Phase::Stopping { why, then, .. } => {
            *why = Why::Stopped;
            *then = Then::Stay;
            Action::None
        }
    }
}

fn restart(spec: &ServiceSpec, instance: &mut Instance, now: Moment) -> Action {
    takeover::call_off(instance, Why::Restarted);
    match &instance.phase {
        Phase::Starting { run, .. } | Phase::Online { run } => {
            let run = *run;
            instance.unstable = 0;
            ask(spec, instance, run, Why::Restarted, Then::Start, now)
        }
        Phase::Stopped
        | Phase::Failed
        | Phase::BackingOff { .. }
        | Phase::Spawning { .. }
        | Phase::Stopping { .. } => start(instance),
    }
}

fn reload(spec: &ServiceSpec, instance: &mut Instance, now: Moment) -> Action {
    match (&instance.phase, &instance.beside) {
        (Phase::Online { .. }, None) => takeover::begin(instance, Why::Restarted),
        (Phase::Online { .. }, Some(beside)) => {
            // One that has just been spawned is what was asked for; else there would be three.
            instance.again = !beside.is_successor();
            Action::None
        }
        // None serves that could go on meanwhile.
        _ => restart(spec, instance, now),
    }
}

fn spawned(spec: &ServiceSpec, instance: &mut Instance, run: Run, now: Moment) -> Action {
    match instance.phase {
        Phase::Spawning { stop: false } => {
            instance.phase = Phase::Starting { run, deadline: run.started.plus(spec.ready.patience()) };
            Action::None
        }
        Phase::Spawning { stop: true } => ask(spec, instance, run, Why::Stopped, Then::Stay, now),
        Phase::Stopped
        | Phase::Failed
        | Phase::BackingOff { .. }
        | Phase::Starting { .. }
        | Phase::Online { .. }
        | Phase::Stopping { .. } => takeover::spawned(spec, instance, run),
    }
}

fn spawn_failed(
    spec: &ServiceSpec,
    instance: &mut Instance,
    failure: StartFailure,
    now: Now,
    roll: f64,
) -> Action {
    let Phase::Spawning { stop } = instance.phase else {
        return takeover::spawn_failed(instance, failure, now);
    };
    instance.last_end = Some(End::of_failure(instance.runs, failure, now));
    if stop {
        instance.phase = Phase::Stopped;
        return Action::None;
    }
    after_failure(spec, instance, Was::NeverStarted, now.mono, roll)
}

fn ready(spec: &ServiceSpec, instance: &mut Instance, number: u64, now: Moment) -> Action {
    match instance.phase {
        Phase::Starting { run, .. } if run.number == number => {
            instance.phase = Phase::Online { run };
            Action::None
        }
        _ => takeover::ready(spec, instance, number, now),
    }
}

fn exited(
    spec: &ServiceSpec,
    instance: &mut Instance,
    number: u64,
    (exit, oom): (Exit, Option<Oom>),
    now: Now,
    roll: f64,
) -> Action {
    if let Some(action) = takeover::exited(instance, number, (exit, oom), now) {
        return action;
    }
    let (run, why, forced, then, was_up) = match &instance.phase {
        Phase::Starting { run, .. } => (*run, Why::ByItself, false, Then::BackOff, false),
        Phase::Online { run } => (*run, Why::ByItself, false, Then::BackOff, true),
        Phase::Stopping { run, why, forced, then, .. } => {
            (*run, why.clone(), *forced, *then, !matches!(why, Why::NotReady { .. }))
        }
        Phase::Stopped | Phase::Failed | Phase::Spawning { .. } | Phase::BackingOff { .. } => {
            return Action::None;
        }
    };
    if run.number != number {
        return Action::None;
    }
    let lived = now.mono.since(run.started);
    let by_itself = why == Why::ByItself;
    instance.last_end = Some(End {
        run: run.number,
        why,
        exit: Some(exit),
        oom,
        forced,
        replaced: false,
        lived_ms: lived.as_millis() as u64,
        at_unix_ms: now.unix_ms,
    });
    instance.refused = None;
    match then {
        Then::Stay => {
            instance.phase = Phase::Stopped;
            Action::None
        }
        Then::BackOff if takeover::inherit(instance) => Action::None,
        Then::Start => {
            instance.unstable = 0;
            instance.restarts = 0;
            spawn(instance)
        }
        Then::BackOff if by_itself && spec.restart.policy == RestartWhen::Never => final_end(instance, exit),
        Then::BackOff if by_itself && spec.restart.policy == RestartWhen::OnFailure && exit.is_success() => {
            final_end(instance, exit)
        }
        Then::BackOff => {
            let was = match was_up {
                true if lived >= spec.restart.stable_after => Was::Stable,
                true => Was::Up,
                false => Was::NotReady,
            };
            after_failure(spec, instance, was, now.mono, roll)
        }
    }
}

fn never_was(
    spec: &ServiceSpec,
    instance: &mut Instance,
    number: u64,
    exit: Exit,
    now: Now,
    roll: f64,
) -> Action {
    match instance.phase {
        Phase::Starting { run, .. } if run.number == number => spawn(instance),
        _ => match takeover::never_was(instance, number) {
            Some(action) => action,
            None => exited(spec, instance, number, (exit, None), now, roll),
        },
    }
}

fn over_memory(
    spec: &ServiceSpec,
    instance: &mut Instance,
    number: u64,
    (over, growth, room): (Over, Growth, bool),
    now: Moment,
) -> Action {
    if instance.run().is_none_or(|run| run.number != number) {
        return takeover::over_memory(instance, over, growth);
    }
    match &mut instance.phase {
        Phase::Starting { run, .. } => {
            let run = *run;
            ask(spec, instance, run, Why::Memory(over), Then::BackOff, now)
        }
        Phase::Online { run } => {
            let run = *run;
            let stable = now.since(run.started) >= spec.restart.stable_after;
            match &instance.beside {
                Some(beside) if beside.is_successor() && growth.over_max => {
                    // Killed with its successor on the way, which inherits what is left of the time.
                    let why = Why::Memory(Over { grew_on: true, ..over });
                    instance.phase =
                        Phase::Stopping { run, kill_at: now, forced: true, why, then: Then::BackOff };
                    Action::Kill { run: run.number }
                }
                // It is looked at again soon, and by then there may be but one.
                Some(_) if !growth.over_max => Action::None,
                None if instance.refused.as_ref().is_some_and(|refused| refused.not_before > now)
                    && !growth.over_max =>
                {
                    Action::None
                }
                None if room && stable && !growth.over_max => takeover::begin(instance, Why::Memory(over)),
                Some(_) | None => ask(spec, instance, run, Why::Memory(over), Then::BackOff, now),
            }
        }
        Phase::Stopping { run, forced, why, .. } if !*forced && growth.is_too_much(why) => {
            *forced = true;
            *why = Why::Memory(Over { grew_on: true, ..over });
            Action::Kill { run: run.number }
        }
        Phase::Stopped
        | Phase::Failed
        | Phase::Spawning { .. }
        | Phase::BackingOff { .. }
        | Phase::Stopping { .. } => Action::None,
    }
}

fn due(spec: &ServiceSpec, instance: &mut Instance, now: Moment) -> Action {
    if instance.phase.deadline().is_none_or(|deadline| deadline > now) {
        return takeover::due(spec, instance, now);
    }
    match &mut instance.phase {
        Phase::Starting { run, .. } => {
            let run = *run;
            match spec.ready {
                Ready::Alive { .. } => {
                    instance.phase = Phase::Online { run };
                    Action::None
                }
                Ready::Notify { timeout } => {
                    ask(spec, instance, run, Why::NotReady { timeout }, Then::BackOff, now)
                }
            }
        }
        Phase::Stopping { run, forced, .. } => {
            *forced = true;
            Action::Kill { run: run.number }
        }
        Phase::BackingOff { .. } => {
            instance.restarts += 1;
            spawn(instance)
        }
        Phase::Stopped | Phase::Failed | Phase::Spawning { .. } | Phase::Online { .. } => Action::None,
    }
}

/// Asks the service to end; SIGKILL follows when the stop's timeout is over.
fn ask(spec: &ServiceSpec, instance: &mut Instance, run: Run, why: Why, then: Then, now: Moment) -> Action {
    instance.refused = None;
    instance.phase = Phase::Stopping { run, kill_at: now.plus(spec.stop.timeout), forced: false, why, then };
    Action::Signal { run: run.number, signal: spec.stop.signal }
}

fn spawn(instance: &mut Instance) -> Action {
    instance.again = false;
    instance.runs += 1;
    instance.phase = Phase::Spawning { stop: false };
    Action::Spawn { number: instance.runs }
}

/// The policy says that this ending is final.
fn final_end(instance: &mut Instance, exit: Exit) -> Action {
    instance.phase = if exit.is_success() { Phase::Stopped } else { Phase::Failed };
    Action::None
}

/// How far a run came before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Was {
    /// There was no process.
    NeverStarted,
    /// It ended before it was ready.
    NotReady,
    /// It was ready, but not for long.
    Up,
    /// It was up for `stable_after`.
    Stable,
}

/// A program that cannot be started at all is not tried more often than this, even with `delay = "0s"`.
const START_FAILURE_DELAY: Duration = Duration::from_millis(100);

/// The restart rule (design §1.3).
fn after_failure(spec: &ServiceSpec, instance: &mut Instance, was: Was, now: Moment, roll: f64) -> Action {
    let rule = &spec.restart;
    if was == Was::Stable {
        instance.unstable = 0;
        let granted = instance.last_immediate.is_none_or(|last| now.since(last) >= IMMEDIATE_EVERY);
        if granted {
            instance.last_immediate = Some(now);
            instance.restarts += 1;
            return spawn(instance);
        }
    } else {
        instance.unstable = instance.unstable.saturating_add(1);
    }
    let never_again = rule.policy == RestartWhen::Never && matches!(was, Was::NeverStarted | Was::NotReady);
    let given_up = rule.give_up.is_some_and(|most| instance.unstable >= most) && !spec.critical;
    if never_again || given_up {
        instance.phase = Phase::Failed;
        return Action::None;
    }
    let delay = backoff::delay(rule, instance.unstable.max(1), roll);
    let delay = if was == Was::NeverStarted { delay.max(START_FAILURE_DELAY) } else { delay };
    if delay.is_zero() {
        instance.restarts += 1;
        return spawn(instance);
    }
    instance.phase = Phase::BackingOff { until: now.plus(delay) };
    Action::None
}
