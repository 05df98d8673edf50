//! One run takes over from another while that one still serves: a reload.
//!
//! A part of [`super::machine`]: what it does with the second process of an instance ([`Beside`]). There are never more
//! than two processes, and the old run is not asked to end before the new one is ready.

use std::time::Duration;

use super::end::{End, Exit, Oom, Why};
use super::failure::StartFailure;
use super::machine::Action;
use super::memory::{Growth, Over};
use super::moment::{Moment, Now};
use super::phase::{Beside, Instance, Phase, Refused, Run};
use super::spec::{Ready, ServiceSpec};

/// After a replacement that did not work, memory over its limit alone waits this long for the next one.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// Starts a run that shall take over, if the present one serves alone. If it does not, nothing.
pub(super) fn begin(instance: &mut Instance, why: Why) -> Action {
    if !matches!(instance.phase, Phase::Online { .. }) || instance.beside.is_some() {
        return Action::None;
    }
    instance.runs += 1;
    instance.beside = Some(Beside::Spawning { why });
    instance.again = false;
    instance.refused = None;
    Action::Spawn { number: instance.runs }
}

/// The run that shall take over has a process.
pub(super) fn spawned(spec: &ServiceSpec, instance: &mut Instance, run: Run) -> Action {
    match instance.beside.take() {
        Some(Beside::Spawning { why }) => {
            let deadline = run.started.plus(spec.ready.patience());
            instance.beside = Some(Beside::Starting { run, deadline, why });
            Action::None
        }
        other => {
            instance.beside = other;
            Action::Kill { run: run.number } // nobody asked for it
        }
    }
}

/// It could not be started at all.
pub(super) fn spawn_failed(instance: &mut Instance, failure: StartFailure, now: Now) -> Action {
    if matches!(instance.beside, Some(Beside::Spawning { .. })) {
        instance.beside = None;
        refuse(instance, End::of_failure(instance.runs, failure, now), now.mono);
    }
    Action::None
}

/// The run says that it is ready: if it is to take over, it does.
pub(super) fn ready(spec: &ServiceSpec, instance: &mut Instance, run: u64, now: Moment) -> Action {
    match &instance.beside {
        Some(Beside::Starting { run: successor, .. }) if successor.number == run => {
            take_over(spec, instance, now)
        }
        _ => Action::None,
    }
}

/// From now on the new run serves, and the old one finishes what it has begun.
fn take_over(spec: &ServiceSpec, instance: &mut Instance, now: Moment) -> Action {
    let Some(Beside::Starting { run, why, .. }) = instance.beside.take() else { return Action::None };
    let asked = matches!(why, Why::Restarted);
    let old = std::mem::replace(&mut instance.phase, Phase::Online { run });
    instance.refused = None;
    instance.unstable = 0;
    instance.restarts = if asked { 0 } else { instance.restarts + 1 };
    match old {
        Phase::Stopping { run, kill_at, forced, why, .. } => {
            instance.beside = Some(Beside::Draining { run, kill_at, forced, why });
            Action::None // it was asked already
        }
        Phase::Starting { run, .. } | Phase::Online { run } => {
            let kill_at = now.plus(spec.stop.timeout);
            instance.beside = Some(Beside::Draining { run, kill_at, forced: false, why });
            Action::Signal { run: run.number, signal: spec.stop.signal }
        }
        Phase::Stopped | Phase::Failed | Phase::Spawning { .. } | Phase::BackingOff { .. } => Action::None,
    }
}

/// The old run has ended before the new one was ready: that one is an ordinary start now. False if there is none.
pub(super) fn inherit(instance: &mut Instance) -> bool {
    match instance.beside.take() {
        Some(Beside::Starting { run, deadline, .. }) => {
            instance.phase = Phase::Starting { run, deadline };
            true
        }
        other => {
            instance.beside = other;
            false
        }
    }
}

/// The old run is to end, or has ended, for another reason than being replaced: a run that should take over is not
/// wanted any more.
pub(super) fn call_off(instance: &mut Instance, why: Why) {
    instance.again = false;
    instance.refused = None;
    instance.beside = match instance.beside.take() {
        Some(Beside::Spawning { .. }) => None,
        Some(Beside::Starting { run, .. }) => Some(Beside::Failing { run, forced: false, why }),
        other => other,
    };
}

/// The second process and its tree are gone. None if it was not the second process that ended.
pub(super) fn exited(
    instance: &mut Instance,
    run: u64,
    (exit, oom): (Exit, Option<Oom>),
    now: Now,
) -> Option<Action> {
    let beside = instance.beside.take_if(|beside| beside.run().is_some_and(|beside| beside.number == run))?;
    let end = |run: Run, why: Why, forced: bool| End {
        run: run.number,
        why,
        exit: Some(exit),
        oom,
        forced,
        replaced: false,
        lived_ms: now.mono.since(run.started).as_millis() as u64,
        at_unix_ms: now.unix_ms,
    };
    match beside {
        Beside::Spawning { .. } => {}
        Beside::Starting { run, .. } => refuse(instance, end(run, Why::ByItself, false), now.mono),
        // It was not asked to end before it was killed: that is not why.
        Beside::Failing { run, why, .. } => refuse(instance, end(run, why, false), now.mono),
        Beside::Draining { run, forced, why, .. } => {
            // The new run may have ended even before it.
            if instance.last_end.as_ref().is_none_or(|last| last.run < run.number) {
                instance.last_end = Some(End { replaced: true, ..end(run, why, forced) });
            }
        }
    }
    Some(if instance.again { begin(instance, Why::Restarted) } else { Action::None })
}

/// The process that should take over was never let go, or not even recorded: another one is started. None if it was not
/// that one, or if it shall not take over any more.
pub(super) fn never_was(instance: &mut Instance, run: u64) -> Option<Action> {
    let number = match &instance.beside {
        Some(Beside::Spawning { .. }) => instance.runs,
        Some(Beside::Starting { run, .. }) => run.number,
        _ => return None,
    };
    let serves = matches!(instance.phase, Phase::Online { .. });
    match instance.beside.take() {
        Some(Beside::Spawning { why } | Beside::Starting { why, .. }) if number == run && serves => {
            let again = instance.again;
            let action = begin(instance, why);
            instance.again = again;
            Some(action)
        }
        other => {
            instance.beside = other;
            None
        }
    }
}

/// What is due of the second process.
pub(super) fn due(spec: &ServiceSpec, instance: &mut Instance, now: Moment) -> Action {
    match &mut instance.beside {
        Some(Beside::Starting { run, deadline, .. }) if *deadline <= now => {
            let run = *run;
            match spec.ready {
                Ready::Alive { .. } => take_over(spec, instance, now),
                Ready::Notify { timeout } => {
                    let why = Why::NotReady { timeout };
                    instance.beside = Some(Beside::Failing { run, forced: true, why });
                    Action::Kill { run: run.number }
                }
            }
        }
        Some(Beside::Failing { run, forced, .. }) if !*forced => {
            *forced = true;
            Action::Kill { run: run.number }
        }
        Some(Beside::Draining { run, kill_at, forced, .. }) if !*forced && *kill_at <= now => {
            *forced = true;
            Action::Kill { run: run.number }
        }
        _ => Action::None,
    }
}

/// The second process is over the memory limit. One that is to take over shall not, then. One that drains and goes on
/// growing is killed.
pub(super) fn over_memory(instance: &mut Instance, over: Over, growth: Growth) -> Action {
    match &mut instance.beside {
        Some(Beside::Starting { run, .. }) => {
            let run = *run;
            instance.beside = Some(Beside::Failing { run, forced: true, why: Why::Memory(over) });
            Action::Kill { run: run.number }
        }
        Some(Beside::Draining { run, forced, why, .. }) if !*forced && growth.is_too_much(why) => {
            *forced = true;
            *why = Why::Memory(Over { grew_on: true, ..over });
            Action::Kill { run: run.number }
        }
        _ => Action::None,
    }
}

/// Remembers why a run has not taken over, as long as the other one goes on.
fn refuse(instance: &mut Instance, end: End, now: Moment) {
    if matches!(instance.phase, Phase::Online { .. }) {
        instance.refused = Some(Refused { end, not_before: now.plus(AFTER_REFUSAL) });
    }
}
