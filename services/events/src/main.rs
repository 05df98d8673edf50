//! The command `events`: looks at the events database and keeps it in order.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
