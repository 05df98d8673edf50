//! The one binary of dogwatch: command line, control plane, warden and keeper.

use std::process::ExitCode;

use dogwatch::model::name::ServiceName;
use dogwatch::paths::{Paths, Surroundings};
use dogwatch::{exit_code, keeper, warden};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let around = Surroundings {
        home_flag: std::env::var_os("DOGWATCH_HOME").map(Into::into),
        euid: nix::unistd::geteuid().as_raw(),
        home: std::env::var_os("HOME").map(Into::into),
        xdg_runtime: std::env::var_os("XDG_RUNTIME_DIR").map(Into::into),
        cwd: std::env::current_dir().unwrap_or_default(),
    };
    let Ok(paths) = Paths::resolve(&around) else {
        return ExitCode::from(exit_code::USAGE);
    };
    let code = match (args.next().as_deref(), args.next()) {
        (Some("warden"), _) => warden::run(&paths),
        (Some("keeper"), Some(name)) => match ServiceName::new(&name) {
            Ok(name) => keeper::run(&paths, &name),
            Err(_) => exit_code::USAGE,
        },
        _ => exit_code::USAGE,
    };
    ExitCode::from(code)
}
