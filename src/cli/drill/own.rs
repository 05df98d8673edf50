//! dogwatch's own processes: who does which work, and whether a successor does it. Never by name: each is found by
//! the lock it holds, which names its process number, start and boot.

use std::path::PathBuf;
use std::time::Duration;

use super::verdict::Process;
use crate::cli::client::{Client, block_on};
use crate::cli::direct;
use crate::model::name::ServiceName;
use crate::os::lock;
use crate::os::packet::Connection;
use crate::os::process::{self, Identity};
use crate::paths::{Paths, ServicePaths};
use crate::wire::api::Health;
use crate::wire::record::Record;
use crate::wire::warden::{Reply, Request};

/// A process answers within this time, or counts as not there yet.
const ANSWER: Duration = Duration::from_millis(500);

/// A piece of work that one process does at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// The control plane's.
    Control,
    /// The warden's.
    Warden,
    /// The keeper's of this service.
    Keeper(ServiceName),
}

impl Work {
    fn lock(&self, paths: &Paths) -> PathBuf {
        match self {
            Work::Control => paths.control_lock(),
            Work::Warden => paths.warden_lock(),
            Work::Keeper(name) => paths.service(name).lock,
        }
    }

    /// Who does it.
    pub fn holder(&self, paths: &Paths) -> Option<Identity> {
        lock::named(&self.lock(paths))
    }

    /// Whether the process that does it answers: a control plane by its API, a warden by its socket, a keeper by
    /// telling of the very process that the service had.
    pub fn is_done(&self, paths: &Paths) -> bool {
        let Some(holder) = self.holder(paths) else { return false };
        match self {
            Work::Control => {
                let asked = Client::new(paths.control_sock());
                let health =
                    block_on(async { tokio::time::timeout(ANSWER, asked.get::<Health>("/v1/health")).await });
                matches!(health, Ok(Ok(Ok(health))) if health.pid == holder.pid)
            }
            Work::Warden => matches!(
                ask_warden(paths, &Request::Ping),
                Some(Reply::Keepers { warden, .. }) if warden == holder.pid
            ),
            Work::Keeper(name) => {
                let process = service_process(&paths.service(name)).map(|process| process.pid);
                let status = direct::status(paths, name, ANSWER);
                status.is_ok_and(|status| status.keeper_pid == holder.pid && status.pid == process)
            }
        }
    }

    /// Whether another process than `old` does it.
    pub fn is_taken_over(&self, paths: &Paths, old: &Identity) -> bool {
        self.holder(paths).is_some_and(|holder| holder != *old) && self.is_done(paths)
    }
}

/// Asks the warden; none if it does not answer.
pub fn ask_warden(paths: &Paths, request: &Request) -> Option<Reply> {
    let connection = Connection::connect(&paths.warden_sock()).ok()?;
    connection.send(&serde_json::to_vec(request).ok()?, &[]).ok()?;
    if !connection.wait(ANSWER.as_millis() as u16).ok()? {
        return None;
    }
    serde_json::from_slice(&connection.receive().ok()??.bytes).ok()
}

/// The living process of a service, as its record has it: that can be read whatever its keeper does.
pub fn service_process(paths: &ServicePaths) -> Option<Process> {
    let slots = [0, 1].map(|slot| std::fs::read(paths.record(slot)).unwrap_or_default());
    let record = Record::newest([&slots[0], &slots[1]]).ok()??;
    let run = record.instances.iter().find_map(|instance| instance.instance.run())?;
    let identity = Identity { pid: run.pid, ticks: run.ticks, boot_id: record.boot_id.clone() };
    process::is_alive(&identity).then_some(Process { pid: run.pid, run: run.number })
}
