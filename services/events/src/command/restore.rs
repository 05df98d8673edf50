//! `events restore`

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use events::upkeep::{self, Content, Restored, rehearse};
use serde::Serialize;

use super::context::Context;
use super::exit_code;
use super::failure::{Failure, Outcome};

/// `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
The backup is checked first: a damaged one changes nothing. The files that were there are set aside, never \
deleted. The services go on: they notice the new file, and what the webhook receives meanwhile is written to it.
Example: events restore backups/webhook_events-20260102T030405Z.db --yes")]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    /// Do not ask; needed where there is no terminal to ask on
    #[arg(long, short)]
    yes: bool,
    /// Only prove that it can be restored: do so in a temporary folder
    #[arg(long, conflicts_with = "yes")]
    test: bool,
}

#[derive(Debug, Serialize)]
struct Rehearsed<'a> {
    backup: &'a Path,
    #[serde(flatten)]
    content: Content,
}

impl Restore {
    pub fn run(self, context: &Context) -> Outcome<ExitCode> {
        let backup = &self.backup;
        if self.test {
            let content = context.job("restore, for trial,", |job| rehearse(job, backup))?;
            return context.answer(&Rehearsed { backup, content }, |rehearsed| {
                let events = rehearsed.content.events();
                format!("{} can be restored: it opens, is whole, and has {events} events\n", backup.display())
            });
        }
        if !self.yes {
            ask(&context.database, backup)?;
        }
        let restored = context.job("restore", |job| upkeep::restore(job, backup))?;
        context.answer(&restored, text)
    }
}

/// Asks a person; there must be one.
fn ask(database: &Path, backup: &Path) -> Outcome {
    let (database, backup) = (database.display(), backup.display());
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let message = format!("not restored {database}: there is no terminal to ask on");
        return Err(Failure::new(exit_code::USAGE, message).hint("say it in advance: --yes"));
    }
    let _ = write!(io::stderr(), "put {backup} in the place of {database}? [y/N] ");
    let mut answer = String::new();
    // What cannot be read is no yes.
    let _ = io::stdin().lock().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(exit_code::FAILED, format!("not restored: {database} is as it was")))
}

fn text(restored: &Restored) -> String {
    let content = &restored.content;
    let mut text = format!(
        "restored {} from {}: {} events, the newest of {}\n",
        restored.database.display(),
        restored.backup.display(),
        content.events(),
        content.newest.as_deref().unwrap_or("-")
    );
    if let Some(aside) = &restored.set_aside {
        text.push_str(&format!("the file that was there is now {}", aside.display()));
        match restored.newer_events_set_aside {
            Some(0) => text.push_str(", with nothing newer in it\n"),
            Some(count) => text.push_str(&format!(", with {count} newer events in it\n")),
            None => text.push_str("; it cannot be read\n"),
        }
    }
    if !restored.ids_known {
        text.push_str("its highest ids cannot be read: new ids begin above those of the backup, and may have been given before\n");
    }
    text
}
