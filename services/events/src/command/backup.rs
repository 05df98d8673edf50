//! `events backup`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use events::upkeep::{self, FullBackup, Job, back_up, back_up_fully, rehearse};

use super::context::Context;
use super::failure::Outcome;
use super::units::show_size;

/// `backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
The webhook goes on writing meanwhile. A copy is checked before it gets its name; older ones are removed after \
that, and only files named as this command names them.
Example: events backup --keep 14 --verify")]
pub struct Backup {
    /// The folder of the backups [default: backups, beside the folder of the database]
    #[arg(long, env = "EVENTS_BACKUPS", value_name = "DIR", hide_env_values = true)]
    to: Option<PathBuf>,
    /// How many to keep; 0 keeps all
    #[arg(long, value_name = "N", default_value_t = 14)]
    keep: usize,
    /// Prove that it can be restored: do so in a temporary folder
    #[arg(long)]
    verify: bool,
    /// A folder with the database, the files of --with, and their SHA256SUMS; none is removed
    #[arg(long)]
    full: bool,
    /// A file that belongs to a full backup: the configuration, the content; can be given several times
    #[arg(long, value_name = "FILE", requires = "full")]
    with: Vec<PathBuf>,
}

impl Backup {
    pub fn run(self, context: &Context) -> Outcome<ExitCode> {
        let folder = context.backups(self.to);
        let prove = |job: Job<'_>, backup: &PathBuf| {
            if self.verify { rehearse(job, backup).map(|_| ()) } else { Ok(()) }
        };
        if self.full {
            let made = context.job("back up", |job| {
                let made = back_up_fully(job, &folder, &self.with)?;
                prove(job, &made.files[0])?;
                Ok(made)
            })?;
            return context.answer(&made, |made| full_text(made, self.verify));
        }
        let made = context.job("back up", |job| {
            let made = back_up(job, &folder, self.keep)?;
            prove(job, &made.backup)?;
            Ok(made)
        })?;
        context.answer(&made, |made| text(made, self.verify))
    }
}

fn proven(verify: bool) -> &'static str {
    if verify { ", restored for trial" } else { "" }
}

fn text(made: &upkeep::Backup, verify: bool) -> String {
    let mut text = format!(
        "backed up {} to {}: {} events, {}, checked{}\n",
        made.database.display(),
        made.backup.display(),
        made.content.events(),
        show_size(made.bytes),
        proven(verify)
    );
    for path in &made.removed {
        text.push_str(&format!("removed {}\n", path.display()));
    }
    text
}

fn full_text(made: &FullBackup, verify: bool) -> String {
    format!(
        "backed up {} to {}: {} files, {} events, {}, checked{}\n",
        made.database.display(),
        made.backup.display(),
        made.files.len(),
        made.content.events(),
        show_size(made.bytes),
        proven(verify)
    )
}
