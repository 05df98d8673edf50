//! `pm2 stop`, `restart`, `reload`, `flush` and `reloadLogs`.

use super::args::Restart;
use super::known::Known;
use super::says::{self, Action};
use super::target;
use super::voice::Voice;
use crate::cli::client::block_on;
use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::cli::order::{self, LONGEST_WAIT};
use crate::cli::screen::tell;
use crate::model::name::ServiceName;
use crate::wire::api::{self, Answer, Order, Verb};

/// Stops services and waits until they have stopped.
///
/// # Errors
/// An unknown word; it did not work.
pub fn stop(here: &Here, voice: &Voice, words: &[String]) -> Outcome {
    let known = Known::of_running(here)?;
    let ids = known.resolve(words)?;
    announce(voice, &known, Action::Stop, words)?;
    let orders = ids.iter().map(|id| (name(&known, *id), waiting(None))).collect();
    give(here, voice, &known, Verb::Stop, orders)
}

/// Restarts or reloads services as ecosystem.toml has them now, and waits until they are up.
///
/// # Errors
/// As [`stop`].
pub fn anew(here: &Here, voice: &Voice, verb: Verb, options: &Restart) -> Outcome {
    let known = Known::with_new(here)?;
    if !known.runs {
        return Err(Failure::not_running(&here.paths));
    }
    let ids = known.resolve(&options.targets)?;
    let action = if verb == Verb::Reload { Action::Reload } else { Action::Restart };
    announce(voice, &known, action, &options.targets)?;
    let order = waiting(options.max_memory_restart);
    let orders = ids.iter().map(|id| (name(&known, *id), order)).collect();
    give(here, voice, &known, verb, orders)
}

/// Archives and empties log files; of all services, if none is named.
///
/// # Errors
/// As [`stop`].
pub fn flush(here: &Here, voice: &Voice, words: &[String]) -> Outcome {
    let known = Known::of_running(here)?;
    let all = ["all".to_owned()];
    let ids = known.resolve(if words.is_empty() { &all } else { words })?;
    for service in ids.iter().map(|id| &known.services[*id]) {
        voice.say(&says::flushing(&service.log_out))?;
        voice.say(&says::flushing(&service.log_error))?;
    }
    let orders = ids.iter().map(|id| (name(&known, *id), Order::default())).collect();
    block_on(order::give_each(here, Verb::Flush, orders))??;
    voice.say(says::FLUSHED)
}

/// Opens all log files again.
///
/// # Errors
/// As [`stop`].
pub fn reload_logs(here: &Here, voice: &Voice) -> Outcome {
    let known = Known::of_running(here)?;
    let names = known.services.iter().map(|service| (service.name.clone(), Order::default())).collect();
    block_on(order::give_each(here, Verb::Reopen, names))??;
    voice.say(says::RELOADED_LOGS)
}

/// Gives the orders, says what became of them, shows the table.
fn give(here: &Here, voice: &Voice, known: &Known, verb: Verb, orders: Vec<(ServiceName, Order)>) -> Outcome {
    let answers = block_on(order::give_each(here, verb, orders))??;
    report(here, voice, known, verb, &answers.answers)
}

/// Says what became of orders, shows the table, and ends the command.
///
/// # Errors
/// One did not work.
pub fn report(here: &Here, voice: &Voice, known: &Known, verb: Verb, answers: &[Answer]) -> Outcome {
    use api::Outcome::{Done, Down, Up};
    let mut code = crate::exit_code::OK;
    for answer in answers {
        for note in &answer.notes {
            voice.warn(note);
        }
        let id = known.position(answer.service.name.as_str());
        if let (Up | Down | Done, Some(id)) = (answer.outcome, id) {
            voice.say(&says::done(id, &answer.service))?;
        }
        for trouble in order::trouble(answer, verb) {
            tell(says::error(&trouble));
        }
        code = code.max(order::exit_code_of(answer));
    }
    voice.table_after(here)?;
    order::end(code)
}

/// Says what is about to be done, word by word.
///
/// # Errors
/// Nobody reads stdout.
pub fn announce(voice: &Voice, known: &Known, action: Action, words: &[String]) -> Outcome {
    for word in words {
        voice.say(&says::applying(action, word, &target::meant(word, &known.services)))?;
    }
    Ok(())
}

/// An order that waits for its outcome.
pub fn waiting(memory_limit: Option<u64>) -> Order {
    Order { wait_ms: LONGEST_WAIT.as_millis() as u64, memory_limit }
}

/// The name behind an id.
pub fn name(known: &Known, id: usize) -> ServiceName {
    known.services[id].name.clone()
}
