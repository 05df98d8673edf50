//! The environment of a service: a few variables of dogwatch's own, then its env_files, then `env`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::Surroundings;
use super::dotenv;
use super::expand::{ExpandError, expand};
use super::file::Entry;
use super::mistake::{At, Kind};
use super::read_limited;
use super::table::Found;

/// What every service is given of dogwatch's own environment, where it is set.
const INHERITED: [&str; 5] = ["PATH", "HOME", "USER", "LANG", "TZ"];

/// Every env_file that was named, each read once.
#[derive(Debug, Default)]
pub(super) struct EnvFiles(BTreeMap<PathBuf, Result<Vec<(String, String)>, Broken>>);

/// Why a file is no env_file, and what to do; without a word of what it contains.
#[derive(Debug, Clone)]
struct Broken {
    why: String,
    help: String,
}

impl EnvFiles {
    fn get(&mut self, path: &Path) -> &Result<Vec<(String, String)>, Broken> {
        self.0.entry(path.to_owned()).or_insert_with(|| read(path))
    }

    /// All paths.
    pub fn paths(self) -> Vec<PathBuf> {
        self.0.into_keys().collect()
    }
}

fn read(path: &Path) -> Result<Vec<(String, String)>, Broken> {
    let broken = |why: &str, help: &str| Broken { why: why.to_owned(), help: help.to_owned() };
    let bytes = match read_limited(path) {
        Ok(bytes) => bytes,
        Err(Kind::NoFile { .. }) => {
            return Err(broken("does not exist", "create it, or remove it from here"));
        }
        Err(Kind::Unreadable(cause)) => {
            return Err(broken(&format!("cannot be read: {cause}"), "dogwatch must be able to read it"));
        }
        Err(Kind::TooLarge) => return Err(broken("has more than 1 MiB", "is it the right file?")),
        Err(_) => return Err(broken("is not a regular file", "name a file")),
    };
    let text = String::from_utf8(bytes).map_err(|_| broken("is not UTF-8 text", "save it as UTF-8"))?;
    dotenv::parse(&text).map_err(|error| Broken {
        why: format!("has a mistake: line {} {}", error.line, error.why),
        help: "a line is NAME=value, NAME=\"value\" or # a comment".to_owned(),
    })
}

/// The variables of one service.
#[derive(Debug)]
pub(super) struct Environment<'a> {
    /// What the service gets.
    pub env: BTreeMap<String, String>,
    around: &'a Surroundings,
    /// An env_file could not be read: what seems not to be set may stand in there.
    incomplete: bool,
}

/// Puts together the environment of `entry`.
pub(super) fn build<'a>(
    entry: &Entry,
    folder: &Path,
    around: &'a Surroundings,
    files: &mut EnvFiles,
    found: &mut Found,
) -> Environment<'a> {
    let inherited = INHERITED.iter().filter_map(|name| {
        let value = around.env.get(*name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    let mut environment = Environment { env: inherited.collect(), around, incomplete: false };
    for path in &entry.env_files {
        match files.get(&super::below(folder, path.get_ref())) {
            Ok(pairs) => environment.env.extend(pairs.iter().cloned()),
            Err(broken) => {
                environment.incomplete = true;
                let kind = Kind::EnvFile {
                    path: path.get_ref().escape_debug().to_string(),
                    why: broken.why.clone(),
                    help: broken.help.clone(),
                };
                found.note(path.span(), kind);
            }
        }
    }
    for (index, (name, value)) in entry.env.iter().enumerate() {
        let at = At { key: name.get_ref().clone(), place: entry.place.inner("env") };
        let below = &entry.env[index + 1..];
        if let Some(text) = environment.expand(value, &at, below, found) {
            environment.env.insert(name.get_ref().clone(), text);
        }
    }
    environment
}

/// The variables of dogwatch itself.
pub(super) fn of_dogwatch(around: &Surroundings) -> Environment<'_> {
    Environment { env: BTreeMap::new(), around, incomplete: false }
}

impl Environment<'_> {
    /// Expands the variables in `text`, which stands at `at`. `below` are the entries of `env` that are not
    /// in force yet.
    pub fn expand(
        &self,
        text: &Spanned<String>,
        at: &At,
        below: &[(Spanned<String>, Spanned<String>)],
        found: &mut Found,
    ) -> Option<String> {
        let lookup = |name: &str| self.env.get(name).or_else(|| self.around.env.get(name)).cloned();
        match expand(text.get_ref(), &lookup) {
            Ok(text) => Some(text),
            Err(ExpandError::Unset(_)) if self.incomplete => None,
            Err(ExpandError::Unset(name)) => {
                let kind = Kind::Unset {
                    at: at.clone(),
                    later: below.iter().any(|(other, _)| *other.get_ref() == name),
                    name: name.clone(),
                };
                found.note_part(text.span(), format!("${{{name}}}"), kind);
                None
            }
            Err(ExpandError::Malformed { part, why, help }) => {
                let at = at.clone();
                found.note_part(text.span(), part, Kind::Expansion { at, why, help });
                None
            }
        }
    }
}
