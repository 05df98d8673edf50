//! Tells somebody of what is not as it should be: `[notifications]` names a command, which is run once when a problem has
//! stood for a moment, and once when it is over ([`crate::model::alerts`]).
//!
//! A control plane remembers nothing: the next one tells of what is still so once more.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::link;
use super::plane::Plane;
use super::say::say;
use super::view;
use crate::model::alerts::{Alert, Alerts};
use crate::model::phase::State;
use crate::model::signal::Signal;
use crate::os::launch::{Launch, launch_in};
use crate::os::{clock, process};
use crate::wire::environment::{ALERT, ALERT_STATE, ALERT_TOPIC};
use crate::wire::status::ServiceStatus;

/// Looks follow each other no faster: the roster's bell rings at every change of anything.
const PAUSE: Duration = Duration::from_millis(500);
/// The command has so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many wait for it; of more the oldest are said in dogwatch's own log only.
const QUEUE: usize = 100;

/// Looks and tells, for ever.
pub async fn run(plane: Arc<Plane>) {
    let mut bell = plane.roster.subscribe();
    let mut alerts = Alerts::default();
    let mut queue: VecDeque<Alert> = VecDeque::new();
    loop {
        bell.borrow_and_update();
        for alert in alerts.look(problems(&plane), clock::mono()) {
            say(sentence(&alert));
            queue.push_back(alert);
        }
        match plane.book.notify() {
            None => queue.clear(),
            Some(command) => {
                queue.drain(..queue.len().saturating_sub(QUEUE));
                if let Some(alert) = queue.pop_front() {
                    tell(&plane, &command, &alert).await;
                    continue;
                }
            }
        }
        let due = async {
            match alerts.wakes_at() {
                Some(at) => sleep(at.since(clock::mono()).max(PAUSE)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            changed = bell.changed() => {
                if changed.is_err() {
                    return;
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// All problems that there are now, by topics that stay the same while they stand.
fn problems(plane: &Plane) -> BTreeMap<String, String> {
    let mut problems: BTreeMap<String, String> =
        plane.topics().into_iter().map(|(topic, text)| (topic.to_owned(), text)).collect();
    for name in plane.roster.names() {
        let Some((status, _)) = plane.roster.get(&name).and_then(|entry| entry.said) else { continue };
        problems.extend(view::log_problem(&status).map(|text| (format!("log of {name}"), text)));
        problems.extend(not_up(&status).map(|text| (name.to_string(), text)));
    }
    problems
}

/// It shall run, and does not.
fn not_up(status: &ServiceStatus) -> Option<String> {
    let ailing = matches!(status.state, State::CrashLoop | State::Failed);
    let why = status.reason.as_deref().unwrap_or("no reason is known");
    ailing.then(|| format!("{} is in state {}: {why}", status.name, status.state.word()))
}

fn sentence(alert: &Alert) -> String {
    format!("{}: {}", if alert.over { "over" } else { "alert" }, alert.text)
}

/// How a child that has ended has failed, if it has. The main loop reaps it in a moment.
async fn failure(plane: &Plane, pid: i32) -> Option<String> {
    let reaped = async {
        loop {
            match plane.orphan(pid) {
                Some(ended) => return ended.status,
                None => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let status = timeout(Duration::from_secs(1), reaped).await.unwrap_or_default();
    (status != 0).then(|| format!("it failed ({})", process::exit_of_status(status)))
}

/// Runs the command in the folder of ecosystem.toml, with the sentence as its last argument, until it ends or its time is over.
async fn tell(plane: &Plane, command: &[String], alert: &Alert) {
    let Some((program, args)) = command.split_first() else { return };
    let text = sentence(alert);
    let state = if alert.over { "over" } else { "begins" };
    let env = [(ALERT, alert.text.as_str()), (ALERT_TOPIC, &alert.topic), (ALERT_STATE, state)];
    let log = plane.paths.own_fifo();
    let what = Launch {
        program: PathBuf::from(program),
        args: args.iter().map(Into::into).chain([text.clone().into()]).collect(),
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        inherit: Vec::new(),
        output: &log,
    };
    let folder = plane.book.path().parent().unwrap_or(Path::new("/"));
    let failed = match launch_in(&what, folder) {
        Err(error) => Some(format!("cannot run it in {}: {error}", folder.display())),
        Ok((pid, process)) => match timeout(PATIENCE, link::ended(&process)).await {
            Err(_) => {
                let _ = process.signal(Signal::KILL);
                Some(format!("it was ended after {} s", PATIENCE.as_secs()))
            }
            Ok(()) => failure(plane, pid).await,
        },
    };
    if let Some(failed) = failed {
        say(format_args!("the command of [notifications], {program}: {failed}; not told: {text}"));
    }
}
