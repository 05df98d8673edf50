//! Is the database well, and if not, what to do? Every finding says what was found, why it matters, and the command
//! that mends it.

mod around;
mod content;
mod file;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Job;

pub use file::set_modes;

/// How bad it is.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Nothing is lost yet.
    Warning,
    /// Events are not written, not read, or not safe.
    Error,
}

/// What one check found.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Finding {
    /// The name of the check.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// Why it matters, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// The command that mends it, or tells more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Where to look.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Where events wait while the database is away.
    pub spool: &'a Path,
    /// Where the backups are.
    pub backups: &'a Path,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), why: None, fix: None }
    }

    fn warning(
        check: &'static str,
        found: impl Into<String>,
        why: &'static str,
        fix: impl Into<String>,
    ) -> Self {
        Self { check, level: Level::Warning, found: found.into(), why: Some(why), fix: Some(fix.into()) }
    }

    fn error(
        check: &'static str,
        found: impl Into<String>,
        why: &'static str,
        fix: impl Into<String>,
    ) -> Self {
        Self { level: Level::Error, ..Self::warning(check, found, why, fix) }
    }
}

/// Checks the database and what is around it; the indexes against their tables as well, if `full`. Changes nothing.
#[must_use]
pub fn check(job: Job<'_>, places: Places<'_>, full: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Of a file that is not there nothing else can be said.
    match file::presence(job.database) {
        Some(missing) => findings.push(missing),
        None => {
            findings.extend(file::check(job.database));
            findings.extend(content::check(job, full));
        }
    }
    findings.extend(around::check(job.database, places));
    findings
}

/// A path as a word of a shell's command.
fn word(path: impl Into<PathBuf>) -> String {
    let path = path.into().display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+,:@".contains(letter);
    if !path.is_empty() && path.chars().all(plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

/// The command itself, for this database.
fn command(database: &Path, rest: &str) -> String {
    format!("events --db {} {rest}", word(database))
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(word("data/webhook_events.db"), "data/webhook_events.db");
        assert_eq!(word("it's here"), "'it'\\''s here'");
    }
}
