//! Which build of dogwatch each process runs. After an upgrade all run the same; until then, or when one was put off,
//! the operator is told.

use super::plane::Plane;
use crate::os::lock;
use crate::wire::status::ServiceStatus;

/// What there is to say about it, one sentence each.
pub fn problems(plane: &Plane, services: &[ServiceStatus]) -> Vec<String> {
    let mut problems = Vec::new();
    if lock::named(&plane.paths.upgrade_lock()).is_some() {
        return vec!["an upgrade is under way".to_owned()];
    }
    if plane.paths.upgrade_journal().exists() {
        problems.push("an upgrade was interrupted; finish it: dogwatch upgrade".to_owned());
    }
    let mut others: Vec<String> = Vec::new();
    if plane.warden_pid().is_some_and(|pid| plane.builds.differs(pid)) {
        others.push("the warden".to_owned());
    }
    let keepers = services.iter().filter(|service| service.keeper_differs);
    others.extend(keepers.map(|service| format!("the keeper of {}", service.name)));
    if !others.is_empty() {
        let verb = if others.len() == 1 { "runs" } else { "run" };
        let who = others.join(", ");
        problems.push(format!("{who} {verb} another build than the control plane: dogwatch upgrade"));
    }
    if let Some(path) = plane.builds.installed() {
        let path = path.display();
        problems.push(format!("{path} is another build than the one that runs: dogwatch upgrade"));
    }
    problems
}
