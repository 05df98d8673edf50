//! The configuration: from ecosystem.toml to services that can be run, or to every mistake in it at once.
//!
//! ```text
//! ecosystem.toml ─► toml ─► file (as written) ─► resolve (paths, variables, names, order) ─► Ecosystem
//!                    │         │                    │
//!                    └─────────┴────────────────────┴─► Mistakes: place, words, suggestion
//! ```
//! Nothing is started from a file that has a mistake. Every stage therefore notes what is wrong and goes on
//! with the rest, so that one look shows everything. Unknown keys are mistakes, and so are keys whose work is
//! not done in this version: no key ever lies.
//!
//! What each key means stands in `docs/config.md`; which keys there are, in `keys.rs`; the wording of
//! every mistake, in `mistake.rs`.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::model::dress::Dress;
use crate::model::failure;
use crate::model::name::ServiceName;
use crate::model::shares::Together;
use crate::model::sink::Route;
use crate::model::spec::ServiceSpec;

mod access;
mod address;
mod attributes;
mod command;
mod dotenv;
mod environment;
mod expand;
mod file;
mod keys;
mod log;
mod memory;
mod mistake;
mod notifications;
mod order;
pub mod pm2_file;
mod ready;
mod render;
mod resolve;
mod restart;
mod shares;
mod sinks;
mod stop;
mod suggest;
mod table;
#[cfg(test)]
mod tests;

pub use attributes::cpu_list;
use mistake::Kind;
pub use render::{Located, Mistakes};
use table::Found;

/// The file that is looked for.
pub const FILE_NAME: &str = "ecosystem.toml";

/// Longest ecosystem.toml and env_file, bytes.
const LONGEST: u64 = 1 << 20;

/// What of dogwatch's own process the configuration depends on.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// dogwatch's environment: what services inherit of it, and what `${NAME}` may refer to.
    pub env: BTreeMap<String, String>,
}

impl Surroundings {
    /// Those of this process. Variables that are not UTF-8 are left out.
    pub fn of_this_process() -> Surroundings {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Surroundings { env: std::env::vars_os().filter_map(text).collect() }
    }
}

/// All that an ecosystem.toml says, checked and complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ecosystem {
    /// The file, absolute.
    pub path: PathBuf,
    /// Where the API is to be served over TCP: a loopback address.
    pub listen: Option<SocketAddr>,
    /// Absolute folder of all services' logs.
    pub log_dir: PathBuf,
    /// What all logs may take together, bytes.
    pub log_budget: Option<u64>,
    /// What stays free on their disk, bytes, as long as there are archives.
    pub log_reserve: Option<u64>,
    /// What to run when something is not as it should be: a program, and arguments to which the sentence is added.
    pub notify: Option<Vec<String>>,
    /// Where lines go beside their files: the sinks that the file describes or names, with the services of each.
    pub sinks: Vec<Route>,
    /// Group that may view and steer services; no key sets it in this version.
    pub group: Option<String>,
    /// The compartments that the file describes.
    pub compartments: BTreeMap<String, Compartment>,
    /// The services in the order of their start: after those they wait for, otherwise as in the file. A service's
    /// place here is its number for pm2's users.
    pub services: Vec<ServiceSpec>,
    /// The services' names in the order of the file.
    pub names: Vec<ServiceName>,
    /// Every env_file that was read: when one changes, the services change.
    pub env_files: Vec<PathBuf>,
}

/// A group of services that share a fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compartment {
    /// Its services are critical unless they say otherwise.
    pub critical: bool,
    /// What they have together.
    pub together: Together,
    /// What their logs may take together, bytes.
    pub log_budget: Option<u64>,
}

impl Ecosystem {
    /// What the lines of a service look like in its log.
    pub fn dress_of(&self, name: &ServiceName) -> Dress {
        self.service(name.as_str()).map(|spec| spec.log.dress.clone()).unwrap_or_default()
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&ServiceSpec> {
        self.services.iter().find(|service| service.name.as_str() == name)
    }
}

/// Reads and checks the ecosystem.toml at `path`, and the env_files that it names.
///
/// # Errors
/// Every mistake in it, with its place.
pub fn load(path: &Path, around: &Surroundings) -> Result<Ecosystem, Mistakes> {
    let shown = path.display().to_string();
    let whole = |kind| {
        let mut found = Found::default();
        found.note_file(kind);
        Mistakes::new(shown.clone(), String::new(), found.0)
    };
    let absolute = std::path::absolute(path).map_err(|error| whole(Kind::Unreadable(cause(&error))))?;
    if absolute.to_str().is_none() {
        return Err(whole(Kind::PathNotUtf8)); // specs and states are JSON
    }
    let bytes = read_limited(&absolute).map_err(whole)?;
    let source = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let mut found = Found::default();
        found.note(good..good + 1, Kind::NotUtf8);
        let lossy = String::from_utf8_lossy(error.as_bytes()).into_owned();
        Mistakes::new(shown.clone(), lossy, found.0)
    })?;
    read(&source, absolute, around).map_err(|found| Mistakes::new(shown.clone(), source, found.0))
}

fn read(source: &str, path: PathBuf, around: &Surroundings) -> Result<Ecosystem, Found> {
    let mut found = Found::default();
    let (document, errors) = DeTable::parse_recoverable(source);
    for error in errors {
        let end = source.len()..source.len();
        found.note(error.span().unwrap_or(end), Kind::Syntax(error.message().to_owned()));
    }
    let file = file::read(&document, &mut found);
    let ecosystem = resolve::resolve(file, clean(&path), around, &mut found);
    match found.0.is_empty() {
        true => Ok(ecosystem),
        false => Err(found),
    }
}

/// Reads a regular file of at most [`LONGEST`] bytes.
fn read_limited(path: &Path) -> Result<Vec<u8>, Kind> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Kind::NoFile {
            name: path.file_name().unwrap_or_default().display().to_string(),
            folder: path.parent().unwrap_or(path).display().to_string(),
        },
        _ => Kind::Unreadable(cause(&error)),
    };
    // Without O_NONBLOCK, a FIFO of that name would hold the caller for ever.
    let file =
        std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Kind::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > LONGEST {
        true => Err(Kind::TooLarge),
        false => Ok(bytes),
    }
}

/// The cause in lower case.
fn cause(error: &io::Error) -> String {
    failure::cause(error).to_lowercase()
}

/// `path` as seen from `folder`, without `.` in it. `..` stays: after a symbolic link it is not the folder above.
fn below(folder: &Path, path: &str) -> PathBuf {
    clean(&folder.join(path))
}

fn clean(path: &Path) -> PathBuf {
    path.components().collect()
}
