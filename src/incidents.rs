//! What has befallen the keeper of a service, on disk: written by the control plane and by the keeper, read by everybody
//! who shows a service.

use std::sync::{Mutex, PoisonError};

use crate::os::{file, lock};
use crate::paths::ServicePaths;
use crate::wire::VERSION;
use crate::wire::incidents::Incidents;
use crate::wire::status::ServiceStatus;

/// What the service's folder says; none if nothing has happened.
pub fn read(paths: &ServicePaths) -> Option<Incidents> {
    Incidents::decode(&std::fs::read(paths.incidents()).ok()?)
}

/// Adds to what the service's folder says; false if another process is just doing that, and is not waited for: it may be
/// stalled. What cannot be written down is only not shown.
pub fn note(paths: &ServicePaths, change: impl FnOnce(&mut Incidents)) -> bool {
    // Among the threads of this process, which are never stalled alone.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(_turn) = lock::turn(&paths.dir) else { return false };
    let mut incidents = Incidents { v: VERSION, ..read(paths).unwrap_or_default() };
    change(&mut incidents);
    let _ = file::replace(&paths.incidents(), &incidents.encode(), false);
    true
}

/// Adds it to what the keeper says of the service.
#[must_use]
pub fn told(paths: &ServicePaths, status: ServiceStatus) -> ServiceStatus {
    ServiceStatus { incidents: read(paths), ..status }
}
