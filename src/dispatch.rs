//! Which of dogwatch's processes a command line means: command line, also pm2's, control plane, warden, keeper, helper.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::cli::{self, Done, drill, pm2};
use crate::model::name::ServiceName;
use crate::os::own;
use crate::paths::{Paths, Surroundings};
use crate::{compress, control, exit_code, forward, keeper, warden};

/// Runs that process to its end; `words` begin with the program's name. Returns the exit code.
pub fn run(words: Vec<OsString>) -> u8 {
    if words.first().is_some_and(|name| pm2::is_meant(&name.to_string_lossy())) {
        return pm2_process(&words);
    }
    small_process(&words).unwrap_or_else(|| large_process(words))
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
        (drill::guard::COMMAND, None) => Some(drill::guard::run()),
        (drill::victim::COMMAND, Some(_)) => {
            let words: Vec<&str> = words.iter().skip(2).filter_map(|word| word.to_str()).collect();
            Some(drill::victim::run(&words))
        }
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
