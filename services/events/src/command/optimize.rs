//! `events optimize`

use std::process::ExitCode;

use clap::Args;
use events::upkeep::{Optimized, Sizes, Vacuum, optimize};

use super::context::Context;
use super::exit_code;
use super::failure::Outcome;
use super::units::show_size;
use super::{output, prune};

/// `optimize`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prunes, checks every page, writes the file anew (VACUUM; needs twice its size free), measures the indexes \
(ANALYZE), brings the -wal into the file. While the file is written anew the webhook's events wait in its queue. \
Exit code 6: there was no room to write the file anew, all else was done.
Example: events optimize --days 90")]
pub struct Optimize {
    /// Keep events and messages this long; 0 keeps them for ever
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(..=36_500))]
    days: u32,
}

impl Optimize {
    pub fn run(self, context: &Context) -> Outcome<ExitCode> {
        let optimized = context.job("optimize", |job| optimize(job, self.days))?;
        let code = context.answer(&optimized, text)?;
        Ok(match optimized.vacuum {
            Vacuum::Done => code,
            Vacuum::Skipped { needed_bytes, free_bytes } => {
                output::tell(format!(
                    "{} was not written anew: that needs {} free, there are {}\n  make room, then run it again: df -h",
                    context.database.display(),
                    show_size(needed_bytes),
                    show_size(free_bytes)
                ));
                ExitCode::from(exit_code::NO_ROOM)
            }
        })
    }
}

fn text(optimized: &Optimized) -> String {
    let size = |sizes: Sizes| format!("{} + {} -wal", show_size(sizes.bytes), show_size(sizes.wal_bytes));
    let mut text = prune::text(&optimized.retention);
    let database = optimized.database.display();
    text.push_str(&format!(
        "optimized {database}: {} -> {}\n",
        size(optimized.before),
        size(optimized.after)
    ));
    if !optimized.checkpointed {
        text.push_str(
            "a reader keeps the -wal from being brought into the file; it is done when that ends\n",
        );
    }
    text
}
