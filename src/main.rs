//! The one binary of dogwatch.

use std::process::ExitCode;

use clap::Parser;
use dogwatch::cli;

fn main() -> ExitCode {
    ExitCode::from(cli::run(cli::args::Args::parse()))
}
