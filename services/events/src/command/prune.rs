//! `events prune`

use std::process::ExitCode;

use clap::Args;
use events::upkeep::{Retention, count_old, prune};

use super::context::Context;
use super::failure::Outcome;

/// `prune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Deletes 5000 rows at a time with pauses, so that the webhook never waits. The daily counters stay for ever; the \
keys of known messages go after 8 days. Stopped, it has deleted what it has deleted: run it again.
Example: events prune --days 90 --dry-run")]
pub struct Prune {
    /// Keep events and messages this long; 0 keeps them for ever
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(..=36_500))]
    days: u32,
    /// Only count
    #[arg(long)]
    dry_run: bool,
}

impl Prune {
    pub fn run(self, context: &Context) -> Outcome<ExitCode> {
        let retention = match self.dry_run {
            true => {
                count_old(&context.database, self.days).map_err(|error| context.failure("look at", &error))?
            }
            false => context.job("prune", |job| prune(job, self.days))?,
        };
        context.answer(&retention, text)
    }
}

/// What was deleted, in one line.
pub fn text(retention: &Retention) -> String {
    let done = if retention.dry_run { "would delete" } else { "deleted" };
    let counts = &retention.deleted;
    let old = match &retention.before {
        Some(before) => format!(
            "{} events and {} messages from before {before}",
            counts.webhook_events, counts.conversations
        ),
        None => "no events (they are kept for ever)".to_owned(),
    };
    let database = retention.database.display();
    format!("{done} from {database}: {old}, {} keys of known messages\n", counts.dogwatch_seen)
}
