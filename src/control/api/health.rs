//! How the control plane and the machine are.

use std::collections::BTreeMap;
use std::sync::Arc;

use sysinfo::{MemoryRefreshKind, System};

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
        host: host(),
        problems: services.problems,
    }
}

fn host() -> Host {
    let mut host = Host::default();
    // What the machine does not tell stays 0: no reason to withhold the rest.
    if let Ok(load) = System::load_average() {
        host.load = [load.one, load.five, load.fifteen];
    }
    if let Ok(mut system) = System::new() {
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        host.memory_total_bytes = system.total_memory();
        host.memory_available_bytes = system.available_memory();
    }
    host
}
