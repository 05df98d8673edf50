//! `up`: the goal of many services is up, and each starts when those that it comes after let it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::api::error::Refused;
use super::folder;
use super::orders::{self, Given};
use super::plane::Plane;
use super::view;
use crate::model::name::ServiceName;
use crate::model::phase::State;
use crate::wire::VERSION;
use crate::wire::api::{Answer, Answers, Order, Outcome, Up, Verb};

/// How long a start that nobody waits for any more is watched.
const WATCHED_MS: u64 = 3_600_000;

/// Brings the services up and waits, as long as the order says, until each is up, has failed, or waits for
/// one that has.
///
/// # Errors
/// A name that there is not; dogwatch is going down.
pub async fn up(plane: &Arc<Plane>, order: Up) -> Result<Answers, Refused> {
    orders::refuse_when_going_down(plane)?;
    let until = Instant::now() + Duration::from_millis(order.wait_ms);
    let mut problems: Vec<String> = orders::look_again(plane).into_iter().collect();
    let names = if !order.names.is_empty() {
        order.names
    } else if plane.book.mistakes().is_some() {
        plane.names().into_iter().collect()
    } else {
        plane.book.names()
    };
    // Each once, in the order in which they were named.
    let mut seen = BTreeSet::new();
    let names: Vec<ServiceName> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
    for name in &names {
        view::known(plane, name)?;
    }
    for name in &names {
        // Who waits for another one is started by the next control plane, too. What fails is said by the start.
        let _ = folder::admit(&plane.paths.service(name));
    }
    let (report, reports) = mpsc::unbounded_channel();
    for name in &names {
        let number = plane.roster.orders(name);
        let (plane, name, report) = (Arc::clone(plane), name.clone(), report.clone());
        tokio::spawn(async move {
            let outcome = bring_up(&plane, &name, number).await;
            // Nobody listens any more once the time is over; the service is up all the same.
            let _ = report.send((name, outcome));
        });
    }
    drop(report);
    let mut finished = gather(plane, &names, reports, until).await;
    let mut answers = Vec::new();
    for name in &names {
        let answer = match finished.remove(name) {
            // It came up a while ago, perhaps: how it is now is what counts.
            Some(Ok(answer)) if answer.outcome == Outcome::Up => match view::one(plane, name).await {
                Some(service) => Ok(Answer { service, ..answer }),
                None => Ok(answer),
            },
            Some(Ok(answer)) => Ok(answer),
            Some(Err(refused)) => {
                problems.push(refused.refusal.error);
                unfinished(plane, name, Outcome::Failed).await
            }
            None if is_blocked(plane, name) => unfinished(plane, name, Outcome::Waiting).await,
            None => unfinished(plane, name, Outcome::NotYet).await,
        };
        answers.extend(answer);
    }
    let services: Vec<_> = answers.iter().map(|answer| answer.service.clone()).collect();
    problems.extend(view::problems(plane, &services));
    problems.dedup();
    Ok(Answers { v: VERSION, answers, problems })
}

type Finished = Result<Answer, Refused>;

/// What `gather` waits for.
enum Step {
    Report(Box<Option<(ServiceName, Finished)>>),
    Change,
}

async fn gather(
    plane: &Plane,
    names: &[ServiceName],
    mut reports: mpsc::UnboundedReceiver<(ServiceName, Finished)>,
    until: Instant,
) -> BTreeMap<ServiceName, Finished> {
    let mut finished = BTreeMap::new();
    let mut bell = plane.roster.subscribe();
    while finished.len() < names.len() && !all_stuck(plane, names, &finished) {
        let step = async {
            tokio::select! {
                report = reports.recv() => Step::Report(Box::new(report)),
                _ = bell.changed() => Step::Change,
            }
        };
        match timeout_at(until, step).await {
            Ok(Step::Report(report)) => match *report {
                Some((name, outcome)) => {
                    finished.insert(name, outcome);
                }
                None => break, // no report is to come any more
            },
            Ok(Step::Change) => {}
            Err(_) => break,
        }
    }
    finished
}

/// Waits for its turn, then starts it. A later order for the same service ends the wait.
async fn bring_up(plane: &Arc<Plane>, name: &ServiceName, number: u64) -> Finished {
    let mut bell = plane.roster.subscribe();
    loop {
        bell.mark_unchanged();
        if !plane.roster.is_latest_order(name, number) || plane.is_going_down() {
            return unfinished(plane, name, Outcome::NotYet).await;
        }
        if !is_blocked(plane, name) {
            break;
        }
        if bell.changed().await.is_err() {
            break;
        }
    }
    let order = Order { wait_ms: WATCHED_MS, memory_limit: None };
    orders::give(plane, name, Given::ByUp, Verb::Start, order, Vec::new()).await
}

/// Whether it does not run and a service that it comes after is in its way.
fn is_blocked(plane: &Plane, name: &ServiceName) -> bool {
    let runs =
        plane.roster.brief(name).is_some_and(|brief| matches!(brief.state, State::Starting | State::Online));
    !runs && blocker(plane, name).is_some()
}

fn blocker(plane: &Plane, name: &ServiceName) -> Option<ServiceName> {
    plane.blocker(&plane.book.entry(name)?)
}

/// Whether every service that is not finished waits, at the end of the chain, for one that is not coming.
fn all_stuck(plane: &Plane, names: &[ServiceName], finished: &BTreeMap<ServiceName, Finished>) -> bool {
    let mut stuck: BTreeSet<&ServiceName> = BTreeSet::new();
    loop {
        let before = stuck.len();
        for name in names.iter().filter(|name| !finished.contains_key(*name)) {
            if !is_blocked(plane, name) {
                continue;
            }
            let Some(by) = blocker(plane, name) else { continue };
            let hopeless = stuck.contains(&by)
                || matches!(finished.get(&by), Some(Ok(answer)) if answer.outcome != Outcome::Up)
                || matches!(finished.get(&by), Some(Err(_)))
                || !names.contains(&by) && is_at_rest(plane, &by);
            if hopeless {
                stuck.insert(name);
            }
        }
        if stuck.len() == before {
            return stuck.len() + finished.len() >= names.len();
        }
    }
}

/// Whether a service is not on its way to be online.
fn is_at_rest(plane: &Plane, name: &ServiceName) -> bool {
    plane.roster.brief(name).is_some_and(|brief| match brief.state {
        State::Starting | State::Stopping | State::Online => false,
        State::Stopped | State::BackingOff | State::CrashLoop | State::Failed => true,
    })
}

async fn unfinished(plane: &Plane, name: &ServiceName, outcome: Outcome) -> Finished {
    let service = match view::one(plane, name).await {
        Some(service) => service,
        None => view::last_known_or_gone(plane, name)?,
    };
    Ok(Answer { v: VERSION, outcome, service, not_persisted: None, notes: Vec::new() })
}
