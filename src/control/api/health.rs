//! How the control plane and the machine are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::control::host;
use crate::control::plane::Plane;
use crate::control::view;
use crate::os::clock;
use crate::wire::api::{Health, Host};
use crate::wire::{PROGRAM, VERSION};

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// By the unix socket: the owner, or root.
    Owner,
    /// By TCP: any user of the machine, who must not see lines of the file.
    Anybody,
}

/// Now.
pub async fn look(plane: &Arc<Plane>, viewer: Viewer) -> Health {
    let services = view::all(plane).await;
    let mut states = BTreeMap::new();
    for service in &services.services {
        *states.entry(service.state.word().to_owned()).or_insert(0) += 1;
    }
    Health {
        v: VERSION,
        version: PROGRAM.to_owned(),
        pid: std::process::id() as i32,
        managed: plane.managed,
        uptime_ms: clock::mono().since(plane.started).as_millis() as u64,
        config: plane.book.path().to_owned(),
        mistakes: plane.book.mistakes().map(|mistakes| match viewer {
            Viewer::Owner => mistakes.text,
            Viewer::Anybody => format!("{} in the file; see: dogwatch check", mistakes.count),
        }),
        config_changed: services.services.iter().any(|service| service.changed),
        listen: plane.tcp(),
        warden_pid: plane.warden_pid(),
        held: plane.with_holdings(|holdings| holdings.len()),
        states,
        host: machine(),
        problems: services.problems,
    }
}

/// What the machine does not tell stays 0: no reason to withhold the rest.
fn machine() -> Host {
    let memory = host::memory();
    Host {
        load: host::load().unwrap_or_default(),
        memory_total_bytes: memory.map_or(0, |memory| memory.total),
        memory_available_bytes: memory.map_or(0, |memory| memory.available),
    }
}
