//! `dogwatch check [FILE]`: every mistake in an ecosystem.toml, and what is likely to go wrong although the
//! file is right.

mod warnings;

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::warnings::{Warning, warnings};
use crate::config::{Ecosystem, Mistakes, Surroundings, load};
use crate::exit_code;
use crate::model::name::ServiceName;
use crate::model::spec::ServiceSpec;
use crate::model::units::show_size;

/// The answer of `check --json`, version 1. It has no command lines and no variables: those hold secrets.
#[derive(Debug, Serialize)]
struct Report {
    /// Version of this shape.
    v: u32,
    /// The file: absolute where it has no mistake, otherwise as it was named.
    path: PathBuf,
    /// Whether it may be started from.
    ok: bool,
    /// The services in the order of their start; none if there are mistakes.
    services: Vec<Service>,
    /// In the order of the file.
    mistakes: Vec<Mistake>,
    /// What is likely to go wrong all the same.
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Service {
    name: ServiceName,
    compartment: String,
    critical: bool,
    listen: Vec<SocketAddr>,
    after: Vec<ServiceName>,
    memory_limit_bytes: Option<u64>,
}

/// Line and column count from 1 and are null when the mistake is about the file as a whole.
#[derive(Debug, Serialize)]
struct Mistake {
    line: Option<usize>,
    column: Option<usize>,
    message: String,
    help: String,
}

/// Checks the file at `path`; answers stdout, stderr and the exit code. Warnings leave the code at 0.
pub fn check(path: &Path, around: &Surroundings, json: bool) -> (String, String, u8) {
    let loaded = load(path, around);
    let code = match &loaded {
        Ok(_) => exit_code::OK,
        Err(_) => exit_code::CONFIG,
    };
    if json {
        let report = serde_json::to_string(&report(path, &loaded));
        let report = report.expect("a report has only string keys and no maps");
        return (report + "\n", String::new(), code);
    }
    match loaded {
        Err(mistakes) => {
            let mut text = format!("{mistakes}\n");
            if mistakes.len() > 1 {
                text += &format!("{}: {}\n", path.display(), count(mistakes.len(), "mistake"));
            }
            (String::new(), text, code)
        }
        Ok(ecosystem) => {
            let warnings = warnings(&ecosystem);
            (summary(path, &ecosystem, warnings.len()), in_words(&warnings), code)
        }
    }
}

fn report(path: &Path, loaded: &Result<Ecosystem, Mistakes>) -> Report {
    match loaded {
        Err(mistakes) => Report {
            v: 1,
            path: path.to_owned(),
            ok: false,
            services: Vec::new(),
            mistakes: mistakes
                .iter()
                .map(|mistake| Mistake {
                    line: mistake.line,
                    column: mistake.column,
                    message: mistake.message,
                    help: mistake.help,
                })
                .collect(),
            warnings: Vec::new(),
        },
        Ok(ecosystem) => Report {
            v: 1,
            path: ecosystem.path.clone(),
            ok: true,
            services: ecosystem.services.iter().map(service).collect(),
            mistakes: Vec::new(),
            warnings: warnings(ecosystem),
        },
    }
}

fn service(spec: &ServiceSpec) -> Service {
    Service {
        name: spec.name.clone(),
        compartment: spec.compartment.clone(),
        critical: spec.critical,
        listen: spec.listen.clone(),
        after: spec.after.clone(),
        memory_limit_bytes: spec.memory.map(|memory| memory.limit),
    }
}

/// `ecosystem.toml: 3 services, no mistakes`, and a line for each of them in the order of their start.
fn summary(path: &Path, ecosystem: &Ecosystem, warnings: usize) -> String {
    let services = count(ecosystem.services.len(), "service");
    let warnings = match warnings {
        0 => String::new(),
        some => format!(", {}", count(some, "warning")),
    };
    let mut text = format!("{}: {services}, no mistakes{warnings}\n", path.display());
    let width = ecosystem.services.iter().map(|service| service.name.as_str().len()).max();
    let width = width.unwrap_or(0);
    for spec in &ecosystem.services {
        let mut facts = vec![match spec.critical {
            true => format!("{}, critical", spec.compartment),
            false => spec.compartment.clone(),
        }];
        if !spec.listen.is_empty() {
            facts.push(format!("on {}", list(&spec.listen)));
        }
        if let Some(memory) = spec.memory {
            facts.push(format!("memory {}", show_size(memory.limit)));
        }
        if !spec.after.is_empty() {
            facts.push(format!("after {}", list(&spec.after)));
        }
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  {:width$}  {}", spec.name, facts.join("; "));
    }
    text
}

fn in_words(warnings: &[Warning]) -> String {
    let mut text = String::new();
    for Warning { service, message, help } in warnings {
        let service = service.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let _ = writeln!(text, "warning: {service}{message}\n  {help}");
    }
    text
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
