//! From `main` to a running service and back to an exit code.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use crate::log;

/// Runs `service` on this thread until it ends. Exit code 0: it was asked to end and did;
/// 1: it could not start or had to give up, and one line on stderr says why.
pub fn run<E: Display>(name: &str, service: impl Future<Output = Result<(), E>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log::error(format_args!(
                "{name}: cannot start: creating the event loop: {error}"
            ));
            log::flush();
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(service);
    runtime.shutdown_timeout(Duration::from_millis(500));
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(format_args!("{name}: {error}"));
            ExitCode::FAILURE
        }
    };
    log::flush();
    code
}
