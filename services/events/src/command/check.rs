//! `events check`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use events::upkeep::{Finding, Level, Places, check, set_modes};
use serde::Serialize;

use super::context::Context;
use super::exit_code;
use super::failure::Outcome;

/// `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all is well, 1 warnings, 2 errors.
Example: events check --full")]
pub struct Check {
    /// Compare the indexes with their tables as well: some seconds for a large file
    #[arg(long)]
    full: bool,
    /// Set the modes first: 0640 for the files, 0750 for their folder
    #[arg(long)]
    fix: bool,
    /// Where events wait while the database is away [default: events.spool beside the database]
    #[arg(long, env = "EVENTS_SPOOL", value_name = "FILE", hide_env_values = true)]
    spool: Option<PathBuf>,
    /// Where the backups are [default: backups, beside the folder of the database]
    #[arg(long, env = "EVENTS_BACKUPS", value_name = "DIR", hide_env_values = true)]
    backups: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Answer {
    database: PathBuf,
    /// The worst of all.
    status: Level,
    /// What was given another mode.
    fixed: Vec<PathBuf>,
    checks: Vec<Finding>,
}

impl Check {
    pub fn run(self, context: &Context) -> Outcome<ExitCode> {
        let database = &context.database;
        let spool = self.spool.filter(|path| !path.as_os_str().is_empty());
        let spool = spool.unwrap_or_else(|| database.with_file_name("events.spool"));
        let backups = context.backups(self.backups);
        let places = Places { spool: &spool, backups: &backups };
        let fixed = match self.fix {
            true => set_modes(database).map_err(|error| context.failure("set the modes of", &error))?,
            false => Vec::new(),
        };
        let checks = context.job("check", |job| {
            let checks = check(job, places, self.full);
            if job.stop.is_asked() { Err(events::Error::Stopped) } else { Ok(checks) }
        })?;
        let status = checks.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        context.answer(&Answer { database: database.clone(), status, fixed, checks }, text)?;
        Ok(ExitCode::from(match status {
            Level::Ok => exit_code::OK,
            Level::Warning => exit_code::FAILED,
            Level::Error => exit_code::USAGE,
        }))
    }
}

fn text(answer: &Answer) -> String {
    let mut text = String::new();
    for path in &answer.fixed {
        text.push_str(&format!("FIXED {}\n", path.display()));
    }
    let width = answer.checks.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    for finding in &answer.checks {
        let level = match finding.level {
            Level::Ok => "OK",
            Level::Warning => "WARN",
            Level::Error => "ERROR",
        };
        text.push_str(&format!("{level:5} {:width$}  {}", finding.check, finding.found));
        if let Some(why) = finding.why {
            text.push_str(&format!(" - {why}"));
        }
        if let Some(fix) = &finding.fix {
            text.push_str(&format!("; do: {fix}"));
        }
        text.push('\n');
    }
    text
}
