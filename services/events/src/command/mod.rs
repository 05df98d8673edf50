//! What can be typed, one file a subcommand. A new one is a file here, a variant of [`Command`], and a line in [`run`].

mod backup;
mod check;
mod context;
mod exit_code;
mod failure;
mod growth;
mod info;
mod optimize;
mod output;
mod progress;
mod prune;
mod repair;
mod restore;
mod signals;
mod tail;
mod units;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use context::Context;
use failure::Outcome;

/// Looks at the events database and keeps it in order, while the services run
#[derive(Debug, Parser)]
#[command(name = "events", version, arg_required_else_help = true, max_term_width = 100, after_help = AFTER_HELP)]
struct Args {
    /// The database [default: data/webhook_events.db]
    #[arg(long, global = true, env = "EVENTS_DB", value_name = "FILE", hide_env_values = true)]
    db: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
    /// How long to wait for others who hold the database
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3_600))]
    wait: u64,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 it did not work, 2 usage, 3 there is no database or backup, 4 another process holds it: try \
again later, 5 it is damaged, 6 the disk has too little room, 128 + n stopped by signal n. Of `check`: 0 all is \
well, 1 warnings, 2 errors.
Example: events check --json | jq '.checks[] | select(.level != \"ok\")'";

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is in the database, and how fast it grows
    Info(info::Info),
    /// Look for everything that is wrong, each with the command that mends it
    Check(check::Check),
    /// Copy the database, as it is at this moment, to a file of its own
    Backup(backup::Backup),
    /// Put a backup in the place of the database
    Restore(restore::Restore),
    /// Replace a damaged database, and copy back what can be read
    Repair(repair::Repair),
    /// Delete what is too old
    Prune(prune::Prune),
    /// Delete what is too old, give its room back, measure the indexes anew
    Optimize(optimize::Optimize),
    /// Show how the database grew, and when the disk will be full
    Growth(growth::Growth),
    /// Print the newest events, and what comes
    Tail(tail::Tail),
}

fn run(command: Command, context: &Context) -> Outcome<ExitCode> {
    match command {
        Command::Info(info) => info.run(context),
        Command::Check(check) => check.run(context),
        Command::Backup(backup) => backup.run(context),
        Command::Restore(restore) => restore.run(context),
        Command::Repair(repair) => repair.run(context),
        Command::Prune(prune) => prune.run(context),
        Command::Optimize(optimize) => optimize.run(context),
        Command::Growth(growth) => growth.run(context),
        Command::Tail(tail) => tail.run(context),
    }
}

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let context = Context::new(args.db, args.json, Duration::from_secs(args.wait));
    run(args.command, &context).unwrap_or_else(|failure| failure.tell())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound_and_every_command_has_an_example() {
        let mut command = Args::command();
        command.clone().debug_assert();
        for subcommand in command.get_subcommands_mut() {
            let help = subcommand.render_help().to_string();
            assert!(help.contains("Example: events "), "{help}");
        }
    }
}
