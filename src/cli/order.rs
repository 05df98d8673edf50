//! `dogwatch start`, `stop`, `restart`, `reload`, `flush`, `reopen`: orders to services, and what became of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::args::{Names, Orders};
use super::ask;
use super::client::{CallError, Client, block_on};
use super::direct;
use super::fail::{Failure, Outcome};
use super::here::Here;
use super::screen::{print, print_json, tell};
use crate::exit_code;
use crate::logs::files::Stream;
use crate::logs::last;
use crate::model::name::ServiceName;
use crate::model::phase::State;
use crate::wire::VERSION;
use crate::wire::api::{self, Answer, Answers, Order, Verb};

/// The keeper decides when a start has failed or a stop must be forced; this is only for one that hangs.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Orders that wait at the control plane at the same time: its door stays open for others.
const AT_ONCE: usize = 16;
/// So many of the latest lines of stderr are shown after a start that failed.
const LAST_WORDS: u64 = 10;

/// Carries out `start`, `stop`, `restart` or `reload`.
///
/// # Errors
/// Nothing runs here; there is no such service; it did not work.
pub fn run(here: &Here, verb: Verb, options: &Orders) -> Outcome {
    let order = Order { wait_ms: LONGEST_WAIT.as_millis() as u64, memory_limit: None };
    let answers = block_on(give(here, verb, &options.names, order))??;
    if options.json {
        print_json(&answers)?;
    }
    let mut code = exit_code::OK;
    for answer in &answers.answers {
        if !options.json {
            report(answer, verb)?;
        }
        code = code.max(exit_code_of(answer));
    }
    end(code)
}

/// Archives logs, or opens them again.
///
/// # Errors
/// As [`run`].
pub fn of_logs(here: &Here, verb: Verb, options: &Names) -> Outcome {
    let answers = block_on(give(here, verb, &options.names, Order::default()))??;
    let done = if verb == Verb::Flush { "log files archived and emptied" } else { "log files opened again" };
    for answer in &answers.answers {
        print(&format!("{}: {done}\n", answer.service.name))?;
    }
    Ok(())
}

/// Gives an order to each service, all at once, and waits for all outcomes.
///
/// # Errors
/// Nothing runs here; there is no such service; somebody says no.
pub async fn give(here: &Here, verb: Verb, words: &[String], order: Order) -> Outcome<Answers> {
    let (names, why) = names(here, words).await?;
    let orders = names.into_iter().map(|name| (name, order)).collect();
    carry_out(here, verb, orders, why).await
}

/// The same for services that there are, each with an order of its own.
///
/// # Errors
/// As [`give`].
pub async fn give_each(here: &Here, verb: Verb, orders: Vec<(ServiceName, Order)>) -> Outcome<Answers> {
    let why = absence(here).await?;
    carry_out(here, verb, orders, why).await
}

/// Gives the orders to the control plane, or to the keepers, for the reason given.
async fn carry_out(
    here: &Here,
    verb: Verb,
    orders: Vec<(ServiceName, Order)>,
    why: Option<String>,
) -> Outcome<Answers> {
    let mut answers = Vec::new();
    if let Some(why) = why {
        ask::say_that_keepers_are_asked(&why);
        for (name, order) in &orders {
            answers.push(by_keeper(here, name, verb, order, &why)?);
        }
    } else {
        for (name, order, result) in by_control(here, orders, verb).await {
            answers.push(match result {
                Ok(answer) => answer,
                Err(error @ CallError::Refused(..)) => return Err(error.into_failure()),
                Err(CallError::Absent | CallError::Silent(_))
                    if matches!(verb, Verb::Restart | Verb::Reload) =>
                {
                    // Whether it had the order already nobody knows, and once is enough.
                    return Err(Failure::failed(format!(
                        "the control plane went away with the order to {} {name}",
                        verb.word()
                    ))
                    .hint(format!("see how it is: dogwatch show {name}")));
                }
                Err(error) => {
                    let why = ask::reason_to_go_on(error)?;
                    tell(format_args!("{why}: asked the keeper of {name} directly"));
                    by_keeper(here, &name, verb, &order, &why)?
                }
            });
        }
    }
    Ok(Answers { v: VERSION, answers, problems: Vec::new() })
}

/// A keeper starts, stops and restarts alone, but takes another entry from the control plane only.
fn by_keeper(here: &Here, name: &ServiceName, verb: Verb, order: &Order, why: &str) -> Outcome<Answer> {
    if order.memory_limit.is_some() {
        return Err(Failure::failed(format!("cannot set the memory limit of {name}: {why}"))
            .hint("try again in a moment, or write it into ecosystem.toml"));
    }
    direct::order(&here.paths, name, verb, Duration::from_millis(order.wait_ms))
}

/// All orders at once, the answers in the order of the orders.
async fn by_control(
    here: &Here,
    orders: Vec<(ServiceName, Order)>,
    verb: Verb,
) -> Vec<(ServiceName, Order, Result<Answer, CallError>)> {
    let mut given = JoinSet::new();
    // Each reload needs room for two runs: one after the other, as with pm2.
    let at_once = if verb == Verb::Reload { 1 } else { AT_ONCE };
    let turns = Arc::new(Semaphore::new(at_once));
    for (position, (name, order)) in orders.into_iter().enumerate() {
        let client = Client::new(here.paths.control_sock());
        let turns = Arc::clone(&turns);
        given.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let path = format!("/v1/services/{name}/{}", verb.word());
            let answer = client.post(&path, &order, Duration::from_millis(order.wait_ms)).await;
            (position, name, order, answer)
        });
    }
    let mut results = given.join_all().await;
    results.sort_by_key(|(position, ..)| *position);
    results.into_iter().map(|(_, name, order, answer)| (name, order, answer)).collect()
}

/// Why the keepers have to be asked, if they have.
async fn absence(here: &Here) -> Outcome<Option<String>> {
    match Client::new(here.paths.control_sock()).get::<api::Health>("/v1/health").await {
        Ok(_) => Ok(None),
        Err(error) => {
            let why = ask::reason_to_go_on(error)?;
            direct::anybody(&here.paths)?;
            Ok(Some(why))
        }
    }
}

/// The words as services, and why the keepers have to be asked, if they have. A name that nobody has heard of
/// may be new in the file, so the control plane is asked about it all the same.
async fn names(here: &Here, words: &[String]) -> Outcome<(Vec<ServiceName>, Option<String>)> {
    let why = absence(here).await?;
    // Half a command is worse than none: one unknown name, and nothing is done. (A service that only the file
    // has yet is known to the control plane.)
    let services = match why {
        Some(_) => direct::services(&here.paths)?,
        None => ask::services(&here.paths).await?,
    };
    let chosen = ask::select(&services.services, words)?;
    Ok((chosen.into_iter().map(|service| service.name.clone()).collect(), why))
}

/// The exit code that an outcome deserves.
pub fn exit_code_of(answer: &Answer) -> u8 {
    use api::Outcome::{Done, Down, Failed, NotYet, Up, Waiting};
    match answer.outcome {
        Up | Done => exit_code::OK,
        Down if answer.not_persisted.is_some() => exit_code::NOT_PERSISTED,
        Down => exit_code::OK,
        Failed | NotYet | Waiting => exit_code::FAILED,
    }
}

/// The end of a command with this code.
///
/// # Errors
/// Any code but 0.
pub fn end(code: u8) -> Outcome {
    match code {
        exit_code::OK => Ok(()),
        code => Err(Failure::quiet(code)),
    }
}

/// Says what became of an order: the good on stdout, the bad on stderr.
///
/// # Errors
/// Nobody reads stdout.
pub fn report(answer: &Answer, verb: Verb) -> Outcome {
    use api::Outcome::{Done, Down, Failed, NotYet, Up, Waiting};
    let service = &answer.service;
    let name = &service.name;
    for note in &answer.notes {
        tell(note);
    }
    match answer.outcome {
        Up => {
            let pid = service.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            print(&format!("{name}: online{pid}\n"))?;
        }
        Down => print(&format!("{name}: stopped\n"))?,
        Done => print(&format!("{name}: done\n"))?,
        Failed | Waiting | NotYet => {}
    }
    for line in trouble(answer, verb) {
        tell(line);
    }
    Ok(())
}

/// What did not go as it was ordered.
pub fn trouble(answer: &Answer, verb: Verb) -> Vec<String> {
    use api::Outcome::{Done, Down, Failed, NotYet, Up, Waiting};
    let service = &answer.service;
    let name = &service.name;
    let outcome = match answer.outcome {
        Up | Down | Done => None,
        Failed if service.goal == crate::model::phase::Goal::Down && service.state == State::Stopped => {
            Some(format!("cannot {} {name}: it was stopped meanwhile", verb.word()))
        }
        Failed => Some(failure(answer, verb)),
        Waiting => {
            let reason = service.reason.as_deref().unwrap_or("it waits for another service");
            Some(format!("{name} is not started yet: {reason}"))
        }
        NotYet => Some(format!("{name} is still {}; see: dogwatch show {name}", service.state.word())),
    };
    let not_persisted = answer
        .not_persisted
        .as_ref()
        .map(|why| format!("{name}: the goal could not be written, so a reboot forgets it: {why}"));
    outcome.into_iter().chain(not_persisted).collect()
}

/// Reason, advice, last words.
fn failure(answer: &Answer, verb: Verb) -> String {
    let service = &answer.service;
    if let (Verb::Reload, Some(why)) = (verb, &service.reload_failure) {
        let mut text = format!("reload of {} failed: {why}; the old run goes on", service.name);
        if service.refused.as_ref().is_some_and(|end| end.exit.is_some()) {
            text += &last_words(&service.log_error);
        }
        return text;
    }
    let reason = service.reason.as_deref().unwrap_or("it ended, and nobody knows why");
    let mut text = format!("cannot {} {}: {reason}", verb.word(), service.name);
    if let Some(hint) = &service.hint {
        text += &format!("\n  {hint}");
    }
    let ran = service.last_end.as_ref().is_some_and(|end| end.exit.is_some());
    if ran {
        text += &last_words(&service.log_error);
    }
    let name = &service.name;
    text + &match service.state {
        State::BackingOff | State::CrashLoop | State::Starting => {
            format!("\n  dogwatch tries again; to end that: dogwatch stop {name}")
        }
        State::Failed => format!("\n  it is not tried again; when it is mended: dogwatch start {name}"),
        State::Online | State::Stopping | State::Stopped => String::new(),
    }
}

fn last_words(log: &Path) -> String {
    let lines = Stream::new(log).and_then(|stream| last::text(stream, LAST_WORDS).ok()).unwrap_or_default();
    let lines = String::from_utf8_lossy(&lines);
    if lines.trim().is_empty() {
        return format!("\n  it wrote nothing to {}", log.display());
    }
    let mut text = format!("\n  the end of {}:", log.display());
    for line in lines.lines() {
        text += &format!("\n    {line}");
    }
    text
}
