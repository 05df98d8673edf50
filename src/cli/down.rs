//! `dogwatch down`: services, keepers, warden and control plane end; goals stay.

use std::time::Duration;

use super::args::Json;
use super::client::{CallError, Client, block_on};
use super::direct;
use super::engine;
use super::fail::{Failure, Outcome};
use super::here::Here;
use super::order::LONGEST_WAIT;
use super::screen::{print, print_json, tell};
use crate::exit_code;
use crate::os::lock;
use crate::wire::api::Down;

/// Another control plane may come and go while this one tries.
const ATTEMPTS: u32 = 10;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(300);

/// Takes all of dogwatch down.
///
/// # Errors
/// Nothing runs here; something did not end.
pub fn run(here: &Here, options: &Json) -> Outcome {
    let Some(down) = block_on(take_down(here))?? else {
        return Ok(());
    };
    if options.json {
        print_json(&down)?;
    } else {
        report(&down)?;
    }
    match down.problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::quiet(exit_code::FAILED)),
    }
}

/// Says what was stopped.
///
/// # Errors
/// Nobody reads stdout.
pub fn report(down: &Down) -> Outcome {
    for problem in &down.problems {
        tell(problem);
    }
    print(&text(down))
}

/// What was stopped, in one line.
pub fn text(down: &Down) -> String {
    let names: Vec<&str> = down.stopped.iter().map(|name| name.as_str()).collect();
    match names.as_slice() {
        [] => "dogwatch is down\n".to_owned(),
        names => format!("stopped {}; dogwatch is down\n", names.join(", ")),
    }
}

/// Takes all down; none if that was done by a control plane that cannot tell any more.
///
/// # Errors
/// Nothing runs here; something is in the way.
pub async fn take_down(here: &Here) -> Outcome<Option<Down>> {
    for _ in 0..ATTEMPTS {
        let client = Client::new(here.paths.control_sock());
        match client.post("/v1/down", &serde_json::json!({}), LONGEST_WAIT).await {
            Ok(down) => {
                wait_for_end(here).await;
                return Ok(Some(down));
            }
            Err(CallError::Absent) => {}
            Err(error @ CallError::Refused(..)) => return Err(error.into_failure()),
            // Its answer is lost, but its work may be done.
            Err(CallError::Silent(_)) if !engine::anybody(here) => return Ok(None),
            Err(CallError::Silent(why)) => {
                tell(format_args!("the control plane does not answer ({why}); trying again"));
                continue;
            }
        }
        if !engine::anybody(here) {
            direct::anybody(&here.paths)?;
        }
        // Keepers live, but nobody who could stop them in order: a control plane is started for just that.
        let file = here.file_in_force().or_else(|| here.file()).unwrap_or_default();
        match engine::take_down(here, &file).await? {
            exit_code::OK => {
                print("dogwatch is down\n")?;
                return Ok(None);
            }
            // Somebody else has just begun: in a moment it can be asked.
            exit_code::LOCKED => tokio::time::sleep(PAUSE).await,
            code => {
                let log = here.paths.own_log();
                return Err(Failure::new(code, "not everything could be stopped")
                    .hint(format!("see: tail {}", log.display())));
            }
        }
    }
    Err(Failure::failed("something keeps starting dogwatch again")
        .hint("is it a systemd unit? systemctl stop dogwatch, then: dogwatch down"))
}

/// The answer comes a moment before the control plane is gone.
async fn wait_for_end(here: &Here) {
    for _ in 0..400 {
        if lock::named(&here.paths.control_lock()).is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
