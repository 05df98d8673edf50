//! The one binary of dogwatch: command line, also pm2's, control plane, warden, keeper, helper.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use dogwatch::cli::{self, Done, pm2};
use dogwatch::model::name::ServiceName;
use dogwatch::os::own;
use dogwatch::paths::{Paths, Surroundings};
use dogwatch::{compress, control, exit_code, forward, keeper, warden};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let code = if words.first().is_some_and(|name| pm2::is_meant(&name.to_string_lossy())) {
        pm2_process(&words)
    } else {
        small_process(&words).unwrap_or_else(|| large_process(words))
    };
    ExitCode::from(code)
}

/// Called by the name `pm2`.
#[inline(never)]
fn pm2_process(words: &[OsString]) -> u8 {
    let words: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    pm2::run(&words)
}

/// Not inlined, so that its frame is not on the stack of the small ones.
#[inline(never)]
fn large_process(words: Vec<OsString>) -> u8 {
    match cli::run(cli::args::Args::parse_from(words)) {
        Done::Code(code) => code,
        Done::BecomeControl(start) => control::run(start),
    }
}

/// Warden, keeper and helper never see the command line's parser: what it touches would be their memory for
/// ever. Nobody types these words.
fn small_process(words: &[OsString]) -> Option<u8> {
    let word = |at: usize| words.get(at).and_then(|word| word.to_str());
    match (word(1)?, word(2)) {
        ("warden", None) => own_paths().map(|paths| warden::run(&paths)),
        ("keeper", Some(name)) => {
            own_paths().zip(ServiceName::new(name).ok()).map(|(paths, name)| keeper::run(&paths, &name))
        }
        ("forward", Some(parent)) => {
            own_paths().zip(parent.parse().ok()).map(|(paths, parent)| forward::run(&paths, parent))
        }
        ("compress", Some(file)) => Some(compress::run(Path::new(file))),
        _ => return None,
    }
    .or(Some(exit_code::USAGE))
}

/// The folders that the process which started this one has named in the environment.
fn own_paths() -> Option<Paths> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let around = Surroundings {
        home_flag: folder("DOGWATCH_HOME"),
        euid: own::effective_uid(),
        home: folder("HOME"),
        xdg_runtime: folder("XDG_RUNTIME_DIR"),
        cwd: std::env::current_dir().unwrap_or_default(),
    };
    Paths::resolve(&around).ok()
}
