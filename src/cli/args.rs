//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Arguments, Parser, Subcommand};

use crate::model::units::parse_duration;

/// Keeps a machine's services running.
#[derive(Debug, Parser)]
#[command(name = "dogwatch", version, arg_required_else_help = true, max_term_width = 100)]
pub struct Args {
    /// Keep run, state and log folders below this folder [default: ./.dogwatch if there is one, else the
    /// system's folders, or the user's]
    #[arg(long, global = true, env = "DOGWATCH_HOME", value_name = "DIR", hide_env_values = true)]
    pub home: Option<PathBuf>,
    /// The ecosystem file [default: ./ecosystem.toml, else the one in force]
    #[arg(short = 'f', long = "file", global = true, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented ecosystem.toml into this folder
    Init,
    /// Look for mistakes in the ecosystem file
    Check(Check),
    /// Bring services up; in the foreground Ctrl-C takes all down
    Up(Up),
    /// Stop all services and dogwatch itself
    Down(Json),
    /// Start services and wait until they are up
    Start(Orders),
    /// Stop services and wait until they have stopped
    Stop(Orders),
    /// Restart services as the file has them now, and wait until they are up
    Restart(Orders),
    /// Restart services that have `listen` without a gap: the new process takes over before the old one ends
    Reload(Orders),
    /// Show all services
    #[command(visible_aliases = ["list", "ls"])]
    Status(Json),
    /// Show everything about one service
    Show(Show),
    /// Print the latest log lines, then follow
    Logs(Logs),
    /// Move the log files of services to the archive and begin new ones
    Flush(Names),
    /// Open log files again that another tool has moved away
    Reopen(Names),
    /// Run a newer dogwatch in place of this one; no service notices
    Upgrade(Upgrade),
    /// Look for what is wrong, or may go wrong, with this dogwatch and its machine; changes nothing
    Doctor(Json),
    /// Hurt dogwatch while a service is asked again and again, and say what the service noticed
    Drill(Drill),
    /// Run the control plane
    #[command(hide = true)]
    Control(Control),
    /// Bring all processes to run another program
    #[command(hide = true)]
    Rollout(Rollout),
    /// Read all that there is, and say whether this program could take over
    #[command(hide = true)]
    Selfcheck,
}

/// `check`.
#[derive(Debug, Arguments)]
pub struct Check {
    /// The file to check
    #[arg(value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `up`.
#[derive(Debug, Arguments)]
pub struct Up {
    /// Leave it running in the background
    #[arg(short, long)]
    pub detach: bool,
    /// Which services [default: all of the file]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// Commands that take nothing else.
#[derive(Debug, Arguments)]
pub struct Json {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `start`, `stop`, `restart` and `reload`.
#[derive(Debug, Arguments)]
pub struct Orders {
    /// Which services, or `all`
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `show`.
#[derive(Debug, Arguments)]
pub struct Show {
    /// Which service
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `logs`.
#[derive(Debug, Arguments)]
#[command(after_help = LOGS_HELP)]
pub struct Logs {
    /// Which services, or `all` [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// How many of the latest lines of each file [default: 15; with --since, --until or --grep: all]
    #[arg(long, short = 'n')]
    pub lines: Option<u64>,
    /// Only lines from this moment on: 10m (ago), 09:30, "2026-11-23 09:30"
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only lines up to this moment; does not follow
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only lines that match this regular expression
    #[arg(long, short = 'g', value_name = "REGEX")]
    pub grep: Option<String>,
    /// --grep: upper and lower case are the same
    #[arg(long, short = 'i', requires = "grep")]
    pub ignore_case: bool,
    /// --grep: so many lines after each match, too
    #[arg(long, short = 'A', value_name = "N", requires = "grep")]
    pub after: Option<usize>,
    /// --grep: so many lines before each match, too
    #[arg(long, short = 'B', value_name = "N", requires = "grep")]
    pub before: Option<usize>,
    /// --grep: so many lines before and after each match, too
    #[arg(long, short = 'C', value_name = "N", requires = "grep")]
    pub context: Option<usize>,
    /// Do not follow
    #[arg(long)]
    pub nostream: bool,
    /// Only standard error
    #[arg(long, conflicts_with = "out")]
    pub err: bool,
    /// Only standard output
    #[arg(long)]
    pub out: bool,
    /// The lines as they are, without names, times and colours
    #[arg(long, conflicts_with_all = ["json", "format", "timestamp", "highlight"])]
    pub raw: bool,
    /// One JSON object a line
    #[arg(long, conflicts_with_all = ["format", "timestamp"])]
    pub json: bool,
    /// timestamp=… app=… type=… message=…
    #[arg(long, conflicts_with = "timestamp")]
    pub format: bool,
    /// The time before each line; FORMAT is that of strftime [default: %Y-%m-%d %H:%M:%S%.3f]
    #[arg(long, short = 't', value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = crate::logs::render::TIME)]
    pub timestamp: Option<String>,
    /// Mark this text, on a terminal
    #[arg(long, value_name = "TEXT")]
    pub highlight: Option<String>,
}

const LOGS_HELP: &str = "\
Archives are read, too, compressed or not. Nothing of dogwatch has to run.

  dogwatch logs                          all services: the last lines, then what comes
  dogwatch logs web --since 10m -g ERR -C 2
  dogwatch logs web --since 09:30 --until 10:00 --nostream
  dogwatch logs all --json --nostream | jq .line";

/// `flush` and `reopen`.
#[derive(Debug, Arguments)]
pub struct Names {
    /// Which services [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// `upgrade`.
#[derive(Debug, Arguments)]
pub struct Upgrade {
    /// The new program; it takes the place of the one that runs [default: the file that stands there already]
    #[arg(value_name = "BINARY")]
    pub binary: Option<PathBuf>,
    /// How long all processes are watched before the upgrade counts as done
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub watch: Duration,
    /// How long a service that is just being reloaded is waited for [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub wait: Option<Duration>,
    /// Only look whether it could take over
    #[arg(long)]
    pub check: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `rollout`.
#[derive(Debug, Arguments)]
pub struct Rollout {
    /// The new program, absolute
    #[arg(value_name = "BINARY")]
    pub binary: Option<PathBuf>,
    /// How long all processes are watched in the end
    #[arg(long, value_parser = parse_duration)]
    pub watch: Duration,
    /// As that of `upgrade`
    #[arg(long, value_parser = parse_duration)]
    pub wait: Option<Duration>,
}

/// `drill`.
#[derive(Debug, Arguments)]
pub struct Drill {
    /// The service that must not notice [default: the first critical one that listens]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// On a dogwatch of its own in a temporary folder, with services of its own
    #[arg(long, conflicts_with_all = ["name", "url", "neighbours", "yes"])]
    pub scratch: bool,
    /// What to ask for, on this machine [default: /health of the service, else /]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Requests a second, each on a new connection
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,
    /// How long each fault is watched at least, seconds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: u32,
    /// Only these faults
    #[arg(long, value_name = "FAULT", value_delimiter = ',')]
    pub only: Vec<String>,
    /// On a live system: throw-away services that misbehave, too
    #[arg(long)]
    pub neighbours: bool,
    /// On a live system: do not ask before
    #[arg(short, long)]
    pub yes: bool,
    /// Show the faults, and do none
    #[arg(long)]
    pub list: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Write a report with a picture of all answers
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `control`.
#[derive(Debug, Arguments)]
pub struct Control {
    /// Of services that nobody has wanted or unwanted yet, want only these
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Take over what runs, stop it all, and end
    #[arg(long)]
    pub only_down: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }
}
