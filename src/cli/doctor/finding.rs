//! What a check came to, and how it is shown.

use std::fmt::Write;

use serde::Serialize;

use crate::cli::screen::{Colour, Screen};
use crate::exit_code;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Something may go wrong.
    Warning,
    /// Something is wrong.
    Error,
}

/// One line of `dogwatch doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check, for scripts.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was looked at, and what was found.
    pub found: String,
    /// Why it matters; empty if all is well.
    pub why: String,
    /// The command, or the change, that mends it; empty if there is nothing to mend.
    pub fix: String,
}

/// The answer of `doctor --json`, version 1.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this shape.
    pub v: u32,
    /// That of the worst finding.
    pub level: Level,
    /// All findings.
    pub findings: Vec<Finding>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, level: Level::Ok, found: found.into(), why: String::new(), fix: String::new() }
    }

    /// Something may go wrong.
    pub fn warning(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, ..Finding::ok(check, found) }
    }

    /// Something is wrong.
    pub fn error(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { level: Level::Error, ..Finding::ok(check, found) }
    }

    /// Why it matters.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Finding {
        Finding { why: why.into(), ..self }
    }

    /// What mends it.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Finding {
        Finding { fix: fix.into(), ..self }
    }
}

impl Report {
    /// All findings, in the order in which they were made.
    pub fn new(findings: Vec<Finding>) -> Report {
        let level = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        Report { v: 1, level, findings }
    }

    /// 0, 1 or 2, as by the worst finding.
    pub fn code(&self) -> u8 {
        match self.level {
            Level::Ok => exit_code::OK,
            Level::Warning => exit_code::WARNINGS,
            Level::Error => exit_code::ERRORS,
        }
    }

    /// A line for each finding, with why and what to do below those that are not well; the count at the end.
    pub fn text(&self, screen: Screen) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let (word, colour) = match finding.level {
                Level::Ok => ("OK   ", Colour::Green),
                Level::Warning => ("WARN ", Colour::Yellow),
                Level::Error => ("ERROR", Colour::Red),
            };
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{} {}: {}", screen.paint(colour, word), finding.check, finding.found);
            if !finding.why.is_empty() {
                let _ = writeln!(text, "      {}", finding.why);
            }
            if !finding.fix.is_empty() {
                let _ = writeln!(text, "      fix: {}", finding.fix);
            }
        }
        let count = |level| self.findings.iter().filter(|finding| finding.level == level).count();
        let (ok, warnings, errors) = (count(Level::Ok), count(Level::Warning), count(Level::Error));
        let _ = writeln!(text, "{ok} OK, {warnings} WARN, {errors} ERROR");
        text
    }
}

/// `1 file`, `2 files`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts() {
        let ok = Finding::ok("kernel", "Linux 6.1");
        let warning = Finding::warning("clock", "not kept right").because("it drifts").fix("timedatectl");
        let error = Finding::error("services", "web is down");
        let code =
            |findings: &[&Finding]| Report::new(findings.iter().map(|one| (*one).clone()).collect()).code();
        assert_eq!(
            (code(&[]), code(&[&ok]), code(&[&ok, &warning]), code(&[&error, &warning])),
            (0, 0, 1, 2)
        );
        let plain = Screen { width: None, colour: false };
        assert_eq!(
            Report::new(vec![ok, warning]).text(plain),
            "OK    kernel: Linux 6.1\nWARN  clock: not kept right\n      it drifts\n      fix: timedatectl\n\
             1 OK, 1 WARN, 0 ERROR\n"
        );
    }
}
