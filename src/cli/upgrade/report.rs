//! An upgrade in words.

use std::time::Duration;

use crate::exit_code;
use crate::model::units::show_duration;
use crate::wire::upgrade::{Change, Ending, Progress, Step, Summary};

/// One line about what has just happened.
pub fn line(progress: &Progress) -> String {
    match progress {
        Progress::Checked { check, build } => {
            let (speaks, count) = (check.speaks, check.services);
            let noun = if count == 1 { "service" } else { "services" };
            format!("self-check: {build}, version {speaks} of the formats, reads the state of {count} {noun}")
        }
        Progress::Installed { program, previous } => {
            format!("installed as {}; the one from before: {}", program.display(), previous.display())
        }
        Progress::Waiting { who, why } => format!("{who} waits: {why}"),
        Progress::Step(step) => of_step(step),
        Progress::Watching { ms } => {
            format!("watching all processes for {}", show_duration(Duration::from_millis(*ms)))
        }
        Progress::TurningBack { why } => {
            format!("it does not work: {why}; putting back the program from before")
        }
        Progress::End(summary) => end(summary),
    }
}

fn of_step(step: &Step) -> String {
    let Step { who, was, pid, from, to, ms, .. } = step;
    let note = step.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
    match step.change {
        Change::Became => format!("{who}: pid {pid} {from} -> {to}, {ms} ms{note}"),
        Change::Replaced => format!("{who}: pid {was} {from} -> pid {pid} {to}, {ms} ms{note}"),
        Change::PutOff => format!("{who}: pid {was} put off, still {from}{note}"),
        Change::Back => format!("{who}: pid {pid} runs {to} again, {ms} ms{note}"),
    }
}

/// How it ended, with what to do.
pub fn end(summary: &Summary) -> String {
    let (from, to) = (&summary.from, &summary.to);
    let reason = summary.reason.as_deref().unwrap_or_default();
    let mut text = match summary.ending {
        Ending::Done => format!("upgraded in {} ms: every process runs {to}", summary.ms),
        Ending::Nothing | Ending::Refused | Ending::Locked => reason.to_owned(),
        Ending::Partly => format!("upgraded to {to}, but {reason}"),
        Ending::RolledBack => {
            format!("not upgraded to {to}: {reason}\nevery process runs {from} again")
        }
        Ending::Stuck => format!("not upgraded to {to}: {reason}"),
    };
    if let Some(hint) = &summary.hint {
        text += &format!("\n  {hint}");
    }
    if summary.previous.is_some() {
        let count = summary.untouched.len();
        let kept = match count {
            1 => "1 service has kept its process".to_owned(),
            _ => format!("{count} services have kept their processes"),
        };
        text += &format!("\n{kept}");
        summary.changed.iter().for_each(|line| text += &format!("\n{line}"));
    }
    text
}

/// The exit code that an ending deserves.
pub fn exit_code_of(ending: Ending) -> u8 {
    match ending {
        Ending::Done | Ending::Nothing => exit_code::OK,
        Ending::Partly | Ending::Refused | Ending::RolledBack | Ending::Stuck => exit_code::FAILED,
        Ending::Locked => exit_code::LOCKED,
    }
}
