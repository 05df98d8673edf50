//! The helper that forwards lines to sinks (`dogwatch forward`): there while a service has a sink that needs it, started
//! again when it ends. Neither this process nor any service ever waits for it.

use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::link;
use super::plane::Plane;
use super::say::say;
use crate::forward::{LAST_WORDS, stdout_format};
use crate::model::pace::Pace;
use crate::model::signal::Signal;
use crate::os::launch::{Launch, launch, own_program};
use crate::os::process::PidFd;
use crate::os::{clock, file};
use crate::wire::sinks::Plan;

/// One that does not end when it is told to, after its last words, is killed.
const MARGIN: Duration = Duration::from_secs(1);
/// What could not be done is tried again after this time.
const AGAIN: Duration = Duration::from_secs(1);
/// The topic of problems about it.
const TOPIC: &str = "sinks";

/// The helper, while there is one.
#[derive(Debug, Default)]
pub struct Forwarder(Mutex<Option<Arc<PidFd>>>);

impl Forwarder {
    fn set(&self, process: Option<Arc<PidFd>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = process;
    }

    /// Tells it to end: this process becomes another program, which starts another helper. Nobody waits: the next one does, for
    /// the locks of the sinks.
    pub fn dismiss(&self) {
        let process = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = process.map(|process| process.signal(Signal::TERM)); // it may have ended
    }

    /// Lets it bring away what was written by now, and end.
    pub async fn finish(&self) {
        let process = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(process) = process {
            end(&process).await;
        }
    }
}

/// Works for ever.
pub async fn run(plane: Arc<Plane>) {
    let mut plans = plane.book.forwarding();
    let mut pace = Pace::default();
    while !plane.is_going_down() {
        let wanted = plans.borrow_and_update().clone();
        let began = clock::mono();
        match keep(&plane, wanted, &mut plans).await {
            Ok(()) => _ = plane.problem(TOPIC, None),
            Err(error) => {
                let text = format!("no line goes to any sink: {error}; trying again");
                if plane.problem(TOPIC, Some(text.clone())) {
                    say(text);
                }
                sleep(AGAIN).await;
            }
        }
        let (next, pause) = pace.after(clock::mono().since(began));
        pace = next;
        sleep(pause).await;
    }
}

/// Keeps a helper at work on a plan until it ends, or there is another plan. None: what was planned before holds.
async fn keep(
    plane: &Plane,
    wanted: Option<Plan>,
    plans: &mut watch::Receiver<Option<Plan>>,
) -> io::Result<()> {
    let path = plane.paths.forward_plan();
    let before = Plan::decode(&std::fs::read(&path).unwrap_or_default());
    let plan = match wanted {
        Some(wanted) => with_beginnings(wanted, &before),
        None => before.clone(),
    };
    if plan.routes != before.routes {
        file::replace(&path, &plan.encode(), false)?;
    }
    if plan.routes.iter().all(|route| stdout_format(&route.sink.to).is_some()) {
        // The plane outlives this task, and with it the book.
        let _ = plans.changed().await;
        return Ok(());
    }
    let process = Arc::new(start(plane)?);
    plane.forwarder.set(Some(Arc::clone(&process)));
    tokio::select! {
        () = link::ended(&process) => {
            if !plane.is_going_down() {
                say("the helper that forwards lines has ended; starting another");
            }
        }
        _ = plans.changed() => end(&process).await,
    }
    plane.forwarder.set(None);
    Ok(())
}

/// Streams that were not forwarded before are forwarded from now on.
fn with_beginnings(mut wanted: Plan, before: &Plan) -> Plan {
    let now = clock::now().unix_ms;
    for route in &mut wanted.routes {
        let known = before.routes.iter().find(|known| known.sink.name == route.sink.name);
        for followed in &mut route.services {
            let known =
                known.and_then(|known| known.services.iter().find(|service| service.name == followed.name));
            followed.since_unix_ms = known.map_or(now, |known| known.since_unix_ms);
        }
    }
    wanted
}

fn start(plane: &Plane) -> io::Result<PidFd> {
    let mut env = Vec::new();
    if let Some(home) = &plane.home {
        env.push(("DOGWATCH_HOME".to_owned(), home.to_string_lossy().into_owned()));
    }
    let output = plane.paths.own_fifo();
    let own = OsString::from(std::process::id().to_string());
    let args = vec!["forward".into(), own];
    let what = Launch { program: own_program()?, args, env, inherit: Vec::new(), output: &output };
    launch(&what).map(|(_, process)| process)
}

async fn end(process: &PidFd) {
    let _ = process.signal(Signal::TERM); // it may have ended
    if timeout(LAST_WORDS + MARGIN, link::ended(process)).await.is_err() {
        let _ = process.signal(Signal::KILL);
        let _ = timeout(MARGIN, link::ended(process)).await;
    }
}
