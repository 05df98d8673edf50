//! What the operator orders of one service: start, stop, restart, reload, flush.
//!
//! Each order has a connection of its own to the keeper. The keeper answers in turn, so what it says on that
//! connection after the order is about the time after the order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::{Instant, sleep, timeout_at};

use super::alarm::Whom;
use super::api::error::Refused;
use super::book::Look;
use super::folder;
use super::link::{Link, PATIENCE};
use super::logs;
use super::plane::Plane;
use super::reconcile;
use super::say::say;
use super::view;
use crate::model::name::ServiceName;
use crate::model::phase::{Goal, State};
use crate::model::spec::{MemoryLimit, ServiceSpec};
use crate::model::units::{parse_size, show_size};
use crate::paths::ServicePaths;
use crate::wire::VERSION;
use crate::wire::api::{Answer, Order, Outcome, Verb};
use crate::wire::keeper::{Op, Reply, Request};
use crate::wire::spec::SpecFile;
use crate::wire::status::{ServiceStatus, Settled};

/// A log disk that hangs is not waited for.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Carries out an order and waits for the outcome as long as it says. Earlier orders that still wait for their
/// turn are void.
///
/// # Errors
/// The refusal to send.
pub async fn carry_out(
    plane: &Arc<Plane>,
    name: &ServiceName,
    verb: Verb,
    order: Order,
) -> Result<Answer, Refused> {
    refuse_when_going_down(plane)?;
    let mut notes = Vec::new();
    if matches!(verb, Verb::Start | Verb::Restart | Verb::Reload) {
        notes.extend(look_again(plane));
    }
    view::known(plane, name)?;
    // A stop or a restart ends the waiting of an earlier start; another start changes nothing for it.
    if matches!(verb, Verb::Stop | Verb::Restart | Verb::Reload) {
        plane.roster.new_order(name);
    }
    give(plane, name, Given::Alone, verb, order, notes).await
}

/// Once it is going down, dogwatch starts and stops nothing else.
///
/// # Errors
/// That it is.
pub fn refuse_when_going_down(plane: &Plane) -> Result<(), Refused> {
    match plane.is_going_down() {
        true => Err(Refused::new(StatusCode::CONFLICT, "dogwatch is going down")),
        false => Ok(()),
    }
}

/// Where an order comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// The operator has named this service.
    Alone,
    /// It is one of those that `up` starts: what has done its work in this boot, or is being tried again and
    /// again, is left as it is.
    ByUp,
}

/// Gives the order to the keeper of a service that there is.
///
/// # Errors
/// The refusal to send.
pub async fn give(
    plane: &Arc<Plane>,
    name: &ServiceName,
    given: Given,
    verb: Verb,
    order: Order,
    mut notes: Vec<String>,
) -> Result<Answer, Refused> {
    let until = Instant::now() + Duration::from_millis(order.wait_ms);
    let paths = plane.paths.service(name);
    if verb == Verb::Stop && !plane.roster.is_present(name) && !folder::keeper_lives(&paths) {
        // Nobody to ask, and starting a keeper would start the service first.
        let written = folder::write_goal(&paths, Goal::Down)
            .map_err(|error| Refused::failed(format!("cannot write the goal of {name}: {error}")))?;
        if written {
            plane.roster.ring();
            return answer(plane, name, Outcome::Down, None, notes);
        }
    }
    if matches!(verb, Verb::Flush | Verb::Reopen)
        && !plane.roster.is_present(name)
        && !folder::keeper_lives(&paths)
    {
        // Nobody writes into the files, and a keeper would start the service first.
        if verb == Verb::Flush {
            logs::archive_logs(plane, name)?;
        }
        return answer(plane, name, Outcome::Done, None, notes);
    }
    let soon = Instant::now() + PATIENCE;
    let mut link = connect(plane, name).await?;
    let before = loop {
        match link.ask(Op::Status, soon).await {
            Err(error) if is_replaced(&error) => link = connect(plane, name).await?,
            answer => {
                note_silence(plane, name, &answer);
                break as_status(name, answer)?;
            }
        }
    };
    let tried = before.is_done() || matches!(before.state, State::BackingOff | State::CrashLoop);
    if given == Given::ByUp && before.goal == Goal::Up && tried {
        let outcome = if before.is_done() { Outcome::Up } else { Outcome::Failed };
        return answer(plane, name, outcome, Some((before, None)), notes);
    }
    let op = match verb {
        Verb::Start => {
            let entry = plane.book.entry(name);
            if let Some(blocker) = entry.and_then(|entry| plane.blocker(&entry))
                && before.pid.is_none()
            {
                notes.push(format!("{blocker}, which {name} comes after, is not online"));
            }
            prepare_start(plane, name, &before, order, &link, &mut notes).await?;
            if given == Given::ByUp { Op::Up } else { Op::Start }
        }
        Verb::Restart => {
            prepare_restart(plane, name, order, folder::write_spec, &mut notes)?;
            Op::Restart
        }
        Verb::Reload => {
            prepare_restart(plane, name, order, folder::write_next_spec, &mut notes)?;
            Op::Reload
        }
        Verb::Stop => Op::Stop,
        Verb::Flush => Op::Flush,
        Verb::Reopen => Op::Reopen,
    };
    let taken = loop {
        match link.ask(op.clone(), soon).await {
            Err(error) if is_replaced(&error) => {
                link = connect(plane, name).await?;
                // The keeper died with the order in its hands. All but a restart may be given twice.
                if matches!(op, Op::Restart | Op::Reload) && restarted_since(&link, &before, soon).await {
                    break Taken { run: before.run, ..Taken::default() };
                }
                if op == Op::Reload {
                    // It may have died with the new entry, too.
                    prepare_restart(plane, name, order, folder::write_next_spec, &mut Vec::new())?;
                }
            }
            answer => {
                note_silence(plane, name, &answer);
                break as_done(name, answer)?;
            }
        }
    };
    let Taken { run, not_persisted, note } = taken;
    notes.extend(note);
    if matches!(verb, Verb::Flush | Verb::Reopen) {
        return answer(plane, name, Outcome::Done, None, notes);
    }
    let mark = match verb {
        // An earlier start may have been under way, or done: then it is the outcome.
        Verb::Start if matches!(before.state, State::Starting | State::Online) => {
            before.run.saturating_sub(1)
        }
        Verb::Start => before.run,
        _ => run,
    };
    let over = |status: &ServiceStatus| match verb {
        Verb::Stop => (status.state == State::Stopped).then_some(Outcome::Down),
        _ => match status.settled(mark) {
            Settled::Up => Some(Outcome::Up),
            Settled::Failed => Some(Outcome::Failed),
            Settled::NotYet => None,
        },
    };
    let (outcome, last) = wait(plane, link, name, until, over).await?;
    if outcome == Outcome::Failed
        && let Some(last) = &last
    {
        last_words(plane, name, last).await;
    }
    answer(plane, name, outcome, last.map(|last| (last, not_persisted)), notes)
}

/// Reads the file again; a sentence if it has mistakes.
pub fn look_again(plane: &Plane) -> Option<String> {
    match plane.book.look() {
        Look::Same => {}
        Look::Changed(difference) => {
            say(format_args!("{}: {difference}", plane.book.path().display()));
            plane.roster.ring();
        }
        Look::Wrong(mistakes) => say(format_args!("not taken over:\n{}", mistakes.text)),
    }
    let mistakes = plane.book.mistakes()?;
    let count = mistakes.count;
    let file = plane.book.path().display();
    let noun = if count == 1 { "mistake" } else { "mistakes" };
    Some(format!("{file} has {count} {noun}, so the entry from before holds; see: dogwatch check"))
}

/// A stopped service takes its present entry; a running one only the limit that was asked for.
async fn prepare_start(
    plane: &Plane,
    name: &ServiceName,
    before: &ServiceStatus,
    order: Order,
    link: &Link,
    notes: &mut Vec<String>,
) -> Result<(), Refused> {
    let paths = plane.paths.service(name);
    let runs = before.pid.is_some();
    let entry = plane.book.entry(name).filter(|_| plane.book.mistakes().is_none());
    let present = folder::read_spec(&paths);
    let file = match (order.memory_limit, runs, entry) {
        (None, true, _) => return Ok(()),
        (None, false, Some(entry)) => folder::as_written(entry),
        (None, false, None) => return Ok(()),
        (Some(limit), true, entry) => {
            let Some(spec) = present.map(|file| file.spec).or(entry) else {
                return Err(Refused::failed(format!("{name} has no readable spec.json")));
            };
            limited(spec, limit)
        }
        (Some(limit), false, entry) => {
            let Some(spec) = entry.or(present.map(|file| file.spec)) else {
                return Err(Refused::failed(format!("{name} has no entry that holds")));
            };
            limited(spec, limit)
        }
    };
    let fresh = before.fingerprint != file.spec.fingerprint();
    folder::write_spec(&paths, &file).map_err(Refused::failed)?;
    if fresh {
        done(link, name, Op::Reread, Instant::now() + PATIENCE).await?;
    }
    if let Some(limit) = order.memory_limit {
        let at_once = if runs { " at once, without a restart," } else { "" };
        notes.push(limit_note(name, limit, at_once));
    }
    Ok(())
}

/// The keeper reads the spec when it restarts or reloads the service; `write` leaves it where it looks for it then.
fn prepare_restart(
    plane: &Plane,
    name: &ServiceName,
    order: Order,
    write: fn(&ServicePaths, &SpecFile) -> Result<(), String>,
    notes: &mut Vec<String>,
) -> Result<(), Refused> {
    let paths = plane.paths.service(name);
    let entry = plane.book.entry(name).filter(|_| plane.book.mistakes().is_none());
    if entry.is_none() && plane.book.mistakes().is_none() {
        notes.push(format!("{name} is not in ecosystem.toml any more: it runs with the entry it had"));
    }
    let file = match (order.memory_limit, entry) {
        (None, Some(entry)) => folder::as_written(entry),
        (None, None) => return Ok(()),
        (Some(limit), entry) => {
            let Some(spec) = entry.or(folder::read_spec(&paths).map(|file| file.spec)) else {
                return Err(Refused::failed(format!("{name} has no entry that holds")));
            };
            notes.push(limit_note(name, limit, ""));
            limited(spec, limit)
        }
    };
    write(&paths, &file).map_err(Refused::failed)
}

/// How long a limit from the command line holds, and how to keep it.
fn limit_note(name: &ServiceName, limit: u64, at_once: &str) -> String {
    let size = size_in_file(limit);
    format!(
        "{name}: the memory limit is {size}{at_once} until the next restart takes the entry in ecosystem.toml again; \
         to keep it, write memory = \"{size}\" there, under [services.{name}]"
    )
}

/// A size as one writes it in ecosystem.toml, exactly.
fn size_in_file(bytes: u64) -> String {
    let short = show_size(bytes).replace(' ', "");
    match parse_size(&short) {
        Ok(same) if same == bytes => short,
        _ => format!("{bytes}B"),
    }
}

/// The wall stands a quarter above the limit, as in a file that names only the limit.
fn limited(mut spec: ServiceSpec, limit: u64) -> SpecFile {
    let max = limit.saturating_add(limit / 4);
    spec.memory = Some(MemoryLimit { limit, max });
    SpecFile { limit_overridden: true, ..folder::as_written(spec) }
}

/// Connects to the keeper; if there is none, one is asked for.
async fn connect(plane: &Arc<Plane>, name: &ServiceName) -> Result<Link, Refused> {
    let paths = plane.paths.service(name);
    let deadline = Instant::now() + PATIENCE;
    let mut bell = plane.roster.subscribe();
    loop {
        refuse_when_going_down(plane)?;
        if let Ok(link) = Link::connect(&paths.keeper_sock()) {
            return Ok(link);
        }
        if !plane.is_kept(name) {
            if let Some(entry) = plane.book.entry(name)
                && !folder::keeper_lives(&paths)
                && !folder::service_lives(&paths)
            {
                folder::write_spec(&paths, &folder::as_written(entry)).map_err(Refused::failed)?;
            }
            // Without a warden this fails, and is tried again when the next one rings the bell.
            let _ = reconcile::keep(plane, name).await;
        }
        if timeout_at(deadline, bell.changed()).await.is_err() {
            let code = StatusCode::SERVICE_UNAVAILABLE;
            let log = plane.paths.own_log();
            return Err(Refused::new(code, format!("the keeper of {name} does not answer"))
                .hint(format!("see: tail {}", log.display())));
        }
    }
}

/// What a keeper says of an order that it has taken.
#[derive(Debug, Default)]
pub struct Taken {
    /// The latest run from before it.
    run: u64,
    /// Why the goal could not be written.
    not_persisted: Option<String>,
    /// How it was taken, if not as it was given.
    note: Option<String>,
}

/// Gives an order.
///
/// # Errors
/// What the keeper says against it.
pub async fn done(link: &Link, name: &ServiceName, op: Op, deadline: Instant) -> Result<Taken, Refused> {
    as_done(name, link.ask(op, deadline).await)
}

fn as_done(name: &ServiceName, answer: io::Result<Reply>) -> Result<Taken, Refused> {
    match answer {
        Ok(Reply::Done { run, not_persisted, note }) => Ok(Taken { run, not_persisted, note }),
        Ok(Reply::Error { message }) => Err(Refused::failed(format!("{name}: {message}"))),
        Ok(_) => Err(Refused::failed(format!("the keeper of {name} answered something else"))),
        Err(error) => Err(Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("asking the keeper of {name}: {error}"),
        )),
    }
}

/// A keeper that does not answer an order may be stalled.
fn note_silence(plane: &Plane, name: &ServiceName, answer: &io::Result<Reply>) {
    if answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        plane.alarm.unanswered(Whom::Keeper(name.clone()));
    }
}

/// Whether the keeper at the other end is gone; its successor answers in a few milliseconds.
fn is_replaced(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Whether a restart or a reload that was ordered after `before` is under way or done.
async fn restarted_since(link: &Link, before: &ServiceStatus, deadline: Instant) -> bool {
    match link.ask(Op::Status, deadline).await {
        Ok(Reply::Status(now)) => {
            let successor = now.beside.is_some_and(|beside| beside.run > before.run);
            let refused = now.refused.is_some() && now.refused != before.refused;
            now.run > before.run || now.state == State::Stopping || successor || refused
        }
        _ => false,
    }
}

fn as_status(name: &ServiceName, answer: io::Result<Reply>) -> Result<ServiceStatus, Refused> {
    match answer {
        Ok(Reply::Status(status)) => Ok(*status),
        Ok(_) => Err(Refused::failed(format!("the keeper of {name} answered something else"))),
        Err(error) => Err(Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("asking the keeper of {name}: {error}"),
        )),
    }
}

/// Watches until `over` knows the outcome, or until the time is over.
async fn wait(
    plane: &Arc<Plane>,
    mut link: Link,
    name: &ServiceName,
    until: Instant,
    over: impl Fn(&ServiceStatus) -> Option<Outcome>,
) -> Result<(Outcome, Option<ServiceStatus>), Refused> {
    let op = Op::Watch;
    let mut last = None;
    // However short the wait: what the keeper knows now is told.
    let until = until.max(Instant::now() + Duration::from_millis(200));
    let watch = Request::new(op);
    let _ = link.send(&watch).await; // if that fails, so does the first read
    loop {
        match timeout_at(until, link.read()).await {
            Ok(Ok(Reply::Status(status))) => {
                if let Some(outcome) = over(&status) {
                    return Ok((outcome, Some(*status)));
                }
                last = Some(*status);
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) if is_replaced(&error) => {
                link = connect(plane, name).await?;
                let _ = link.send(&watch).await;
            }
            Ok(Err(error)) => {
                return Err(Refused::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("the keeper of {name} went away while the order was being carried out: {error}"),
                )
                .hint(format!("see how it is: dogwatch show {name}")));
            }
            Err(_) => return Ok((Outcome::NotYet, last)),
        }
    }
}

/// Who is told of a failure reads the log next: waits a moment until all that the run wrote is in it, and its FIFOs are
/// gone.
async fn last_words(plane: &Plane, name: &ServiceName, failed: &ServiceStatus) {
    let Some(end) = failed.refused.as_ref().or(failed.last_end.as_ref()) else { return };
    let fifos = plane.paths.service(name).run_dir(end.run);
    let deadline = Instant::now() + LAST_WORDS;
    while fifos.exists() && Instant::now() < deadline {
        sleep(Duration::from_millis(2)).await;
    }
}

fn answer(
    plane: &Plane,
    name: &ServiceName,
    outcome: Outcome,
    last: Option<(ServiceStatus, Option<String>)>,
    notes: Vec<String>,
) -> Result<Answer, Refused> {
    let (service, not_persisted) = match last {
        Some((status, not_persisted)) => (view::completed(plane, status), not_persisted),
        None => (view::last_known_or_gone(plane, name)?, None),
    };
    Ok(Answer { v: VERSION, outcome, service, not_persisted, notes })
}
