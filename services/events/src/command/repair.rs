//! `events repair`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use events::upkeep::Job;
use events::{Error, Pace, Progress, RepairOptions, RepairReport, SalvageReport, repair};
use serde::Serialize;

use super::context::Context;
use super::failure::Outcome;

/// `repair`.
#[derive(Debug, Args)]
#[command(after_help = "\
Looks through every page. A damaged database is moved to the folder quarantine, unchanged; a new one goes on in its \
place, above the highest id that was given, and all rows that can still be read are copied back. The services may go \
on meanwhile. A database that is whole stays as it is. When it was stopped, the next one goes on.
Example: events repair --json | jq '.salvaged[].tables'")]
pub struct Repair {
    /// Set the damaged file aside, and copy nothing back
    #[arg(long)]
    no_salvage: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    database: PathBuf,
    /// What was wrong; null: nothing.
    damage: Option<String>,
    set_aside: Option<PathBuf>,
    salvaged: Vec<Salvaged>,
}

#[derive(Debug, Serialize)]
struct Salvaged {
    from: PathBuf,
    tables: Vec<Table>,
    newest: Option<String>,
    newer_backup: Option<PathBuf>,
    /// The same in words.
    #[serde(skip)]
    words: String,
}

#[derive(Debug, Serialize)]
struct Table {
    name: &'static str,
    kept: u64,
    /// At most so many are lost; null: nobody can tell.
    lost: Option<u64>,
}

impl Repair {
    pub fn run(self, context: &Context) -> Outcome<ExitCode> {
        let report = context.job("repair", |job| run(job, RepairOptions { salvage: !self.no_salvage }))?;
        context.answer(&Answer::of(&context.database, report), text)
    }
}

fn run(job: Job<'_>, options: RepairOptions) -> Result<RepairReport, Error> {
    let mut copied_from = None;
    repair(job.database, options, &mut |progress| {
        match progress {
            Progress::Checking => job.progress.stage("looking through the file"),
            // How many rows there are nobody knows: the line has no end to count to.
            Progress::Copying { table, .. } if copied_from.replace(table) != Some(table) => {
                job.progress.stage(&format!("copying {table} back"));
            }
            Progress::Copying { .. } => {}
        }
        if job.stop.is_asked() { Pace::Stop } else { Pace::GoOn }
    })
}

impl Answer {
    fn of(database: &Path, report: RepairReport) -> Self {
        Self {
            database: database.to_owned(),
            damage: report.damage.map(|damage| damage.to_string()),
            set_aside: report.set_aside,
            salvaged: report.salvaged.into_iter().map(Salvaged::from).collect(),
        }
    }
}

impl From<SalvageReport> for Salvaged {
    fn from(report: SalvageReport) -> Self {
        let words = report.to_string();
        let table =
            |table: events::TableReport| Table { name: table.name, kept: table.kept, lost: table.lost };
        Self {
            from: report.from,
            tables: report.tables.into_iter().map(table).collect(),
            newest: report.newest,
            newer_backup: report.newer_backup,
            words,
        }
    }
}

fn text(answer: &Answer) -> String {
    let database = answer.database.display();
    let mut text = match (&answer.damage, &answer.set_aside) {
        (Some(damage), Some(aside)) => {
            format!("{database} was damaged: {damage}\nset aside, unchanged: {}\n", aside.display())
        }
        (Some(damage), None) => format!("{database} was damaged: {damage}\n"),
        (None, _) if answer.salvaged.is_empty() => format!("{database} is whole; nothing was changed\n"),
        (None, _) => format!("{database} is whole; an earlier repair was finished\n"),
    };
    for salvaged in &answer.salvaged {
        text.push_str(&salvaged.words);
        text.push('\n');
    }
    text
}
