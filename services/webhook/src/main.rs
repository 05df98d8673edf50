//! The program `webhook`: the service webhook-button-handler.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_common::main(&webhook::ABOUT, webhook::serve)
}
