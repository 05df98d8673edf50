//! The one binary of dogwatch.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(dogwatch::dispatch::run(std::env::args_os().collect()))
}
