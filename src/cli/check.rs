//! `dogwatch check [FILE]`: every mistake in an ecosystem.toml, and what is likely to go wrong although the
//! file is right.

use std::fmt::Write;
use std::fs::Metadata;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{Ecosystem, Mistakes, Surroundings, load};
use crate::exit_code;
use crate::model::name::ServiceName;
use crate::model::sink::{Address, Route, Target};
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

/// A warning about a service, or about the file itself if `service` is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Warning {
    service: Option<ServiceName>,
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

/// What is likely to go wrong. Another user, or the same one later, may see the disk differently: that is why
/// none of this is a mistake.
fn warnings(ecosystem: &Ecosystem) -> Vec<Warning> {
    let mut all = Vec::new();
    let about_file = |message, help: &str| Warning { service: None, message, help: help.to_owned() };
    for path in std::iter::once(&ecosystem.path).chain(&ecosystem.env_files) {
        let Ok(metadata) = path.metadata() else { continue };
        let is_env_file = *path != ecosystem.path;
        if writable_by_others(&metadata) {
            let message = format!("{} can be changed by every user", path.display());
            all.push(about_file(message, &format!("run: chmod o-w {}", path.display())));
        }
        if is_env_file && metadata.permissions().mode() & 0o004 != 0 {
            let message = format!("{} can be read by every user", path.display());
            all.push(about_file(message, &format!("run: chmod 600 {}", path.display())));
        }
    }
    for (message, help) in ecosystem.sinks.iter().flat_map(sink) {
        all.push(about_file(message, &help));
    }
    for spec in &ecosystem.services {
        let found = [program(spec), cwd(spec), user(spec)];
        for (message, help) in found.into_iter().flatten() {
            all.push(Warning { service: Some(spec.name.clone()), message, help });
        }
    }
    all
}

fn sink(route: &Route) -> Vec<(String, String)> {
    let name = &route.sink.name;
    if route.services.is_empty() {
        let help = format!("name it in `log_sinks` or in a service's `log.sinks`, or remove [sinks.{name}]");
        return vec![(format!("sink {name}: no service names it"), help)];
    }
    let mut found = Vec::new();
    let socket = match &route.sink.to {
        Target::Journald { address } => Some(address),
        Target::Syslog { address: Address::Unix(path), .. } => Some(path),
        Target::Syslog { address, .. } => {
            if address.leaves_the_machine() {
                let message = format!("sink {name}: lines leave this machine, unencrypted, to {address}");
                found.push((message, "send them to a relay on 127.0.0.1 that encrypts".to_owned()));
            }
            None
        }
        Target::Stdout { .. } => None,
    };
    let Some(path) = socket else { return found };
    let is_journal = || path.canonicalize().is_ok_and(|real| real.starts_with("/run/systemd/journal"));
    if !path.exists() {
        let message = format!("sink {name}: nobody listens at {}", path.display());
        found.push((message, "lines wait in their files until somebody does".to_owned()));
    } else if matches!(route.sink.to, Target::Syslog { .. }) && is_journal() {
        let message =
            format!("sink {name}: {} is systemd's journal, which does not read RFC 5424", path.display());
        found.push((message, "name \"journald\" instead".to_owned()));
    }
    found
}

fn program(spec: &ServiceSpec) -> Option<(String, String)> {
    let program = spec.command.first()?;
    if !program.contains('/') {
        let path = spec.env.get("PATH").map_or("", String::as_str);
        let found =
            std::env::split_paths(path).any(|folder| is_program(&spec.cwd.join(folder).join(program)));
        return (!found).then(|| {
            let message = format!("{program} is in no folder of its PATH");
            (message, "write its path in `command`, or set PATH in `env`".to_owned())
        });
    }
    let help = "check `command`, or build it first".to_owned();
    match Path::new(program).metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some((format!("{program} does not exist"), help))
        }
        Err(_) => None,
        Ok(metadata) if !metadata.is_file() => Some((format!("{program} is not a file"), help)),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            Some((format!("{program} is not executable"), format!("run: chmod +x {program}")))
        }
        Ok(metadata) if writable_by_others(&metadata) => {
            Some((format!("{program} can be changed by every user"), format!("run: chmod o-w {program}")))
        }
        Ok(_) => None,
    }
}

fn cwd(spec: &ServiceSpec) -> Option<(String, String)> {
    let cwd = spec.cwd.display();
    match spec.cwd.metadata() {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some((format!("{cwd} is not a folder"), "check `cwd`".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some((format!("the folder {cwd} does not exist"), format!("run: mkdir -p {cwd}")))
        }
        Err(_) => None,
    }
}

fn user(spec: &ServiceSpec) -> Option<(String, String)> {
    let user = spec.user.as_ref()?;
    if user.parse::<u32>().is_ok() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let known = users.lines().any(|line| line.split(':').next() == Some(user));
    (!known).then(|| {
        let message = format!("there is no user {user} on this machine");
        (message, "see: /etc/passwd".to_owned())
    })
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn writable_by_others(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o002 != 0
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
