//! From `main` to a running service and back to an exit code.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::stat::{Mode, umask};

use crate::args::{self, Wish};
use crate::log;

/// What a service says about itself on its command line.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The name of the service.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What `--help` prints: what it does, and every variable it reads.
    pub help: &'static str,
    /// The flags it takes.
    pub flags: &'static [&'static str],
}

/// Runs a service on this thread until it ends; it is given the flags of the command line.
///
/// Exit code 0: it was asked to end and did. 1: it could not start or had to give up, and one line
/// on stderr says why. 2: the command line holds a word it does not know.
pub fn main<E, F>(about: &About, service: impl FnOnce(Vec<&'static str>) -> F) -> ExitCode
where
    E: Display,
    F: Future<Output = Result<(), E>>,
{
    // What the service creates, its group may read and others may not even see.
    umask(Mode::from_bits_truncate(0o027));
    let name = about.name;
    match args::parse(std::env::args().skip(1), about.flags) {
        Ok(Wish::Serve(flags)) => run(name, service(flags)),
        Ok(Wish::Help) => {
            println!("{}", about.help);
            ExitCode::SUCCESS
        }
        Ok(Wish::Version) => {
            println!("{name} {}", about.version);
            ExitCode::SUCCESS
        }
        Err(unknown) => {
            eprintln!("{name}: {unknown}");
            ExitCode::from(2)
        }
    }
}

fn run<E: Display>(name: &str, service: impl Future<Output = Result<(), E>>) -> ExitCode {
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(service).map_err(|error| error.to_string());
            runtime.shutdown_timeout(Duration::from_millis(500));
            outcome
        }
        Err(error) => Err(format!("cannot start: creating the event loop: {error}")),
    };
    if let Err(error) = &outcome {
        log::error(format_args!("{name}: {error}"));
    }
    log::flush();
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
