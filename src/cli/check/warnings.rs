//! What is likely to go wrong although the file is right. Another user, or the same one later, may see the machine
//! differently: that is why none of this is a mistake.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{Ecosystem, cpu_list};
use crate::model::name::ServiceName;
use crate::model::sink::{Address, Route, Target};
use crate::model::spec::ServiceSpec;
use crate::os::{own, users};

const ROOT: u32 = 0;

/// A warning about a service, or about the file itself if `service` is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Warning {
    pub service: Option<ServiceName>,
    pub message: String,
    pub help: String,
}

/// All of them: about the file first, then service by service.
pub(super) fn warnings(ecosystem: &Ecosystem) -> Vec<Warning> {
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
        let found = [program(spec), cwd(spec), user(spec), group(spec), cpus(spec)].into_iter().flatten();
        for (message, help) in found.chain(writable(spec)) {
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
    let Ok(found) = users::find(user) else {
        let message = format!("there is no user {user} on this machine");
        return Some((message, "see: /etc/passwd".to_owned()));
    };
    let own = own::effective_uid();
    (own != ROOT && own != found.ids.uid).then(|| needs_root(&format!("as {user}"), "user"))
}

fn group(spec: &ServiceSpec) -> Option<(String, String)> {
    let group = spec.attributes.group.as_ref()?;
    let Ok(gid) = users::find_group(group) else {
        let message = format!("there is no group {group} on this machine");
        return Some((message, "see: /etc/group".to_owned()));
    };
    let may = own::effective_uid() == ROOT || own::is_in_group(gid);
    (!may).then(|| needs_root(&format!("in group {group}"), "group"))
}

fn needs_root(how: &str, key: &str) -> (String, String) {
    let own = own::effective_uid();
    let who = users::name_of(own).unwrap_or_else(|| format!("uid {own}"));
    (format!("user {who} cannot start anything {how}"), format!("run dogwatch as root, or remove `{key}`"))
}

/// The kernel leaves out processors that there are not, as long as one is left (sched_setaffinity(2)).
fn cpus(spec: &ServiceSpec) -> Option<(String, String)> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let online = cpu_list(text.trim())?;
    let missing: Vec<u32> =
        spec.attributes.cpus.iter().copied().filter(|cpu| !online.contains(cpu)).collect();
    (!missing.is_empty()).then(|| {
        let what = if missing.len() == spec.attributes.cpus.len() { "none" } else { "not all" };
        let message = format!("{what} of its `cpus` are there: {} missing", super::list(&missing));
        (message, format!("this machine has {}", text.trim()))
    })
}

fn writable(spec: &ServiceSpec) -> impl Iterator<Item = (String, String)> {
    let paths = spec.attributes.writable.iter().flatten();
    let is_missing = |path: &&PathBuf| {
        path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    paths.filter(is_missing).map(|path| {
        let path = path.display();
        (format!("{path}, which is to be writable, does not exist"), format!("run: mkdir -p {path}"))
    })
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn writable_by_others(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o002 != 0
}
