//! On which rung of the ladder dogwatch stands: what keeps services apart here, and what does not.

use std::path::PathBuf;

use super::finding::Finding;
use crate::config::Ecosystem;
use crate::model::shares::{CRITICAL_WEIGHT, Shares};

const CHECK: &str = "rung";

/// What was found out.
#[derive(Debug, Clone, Default)]
pub struct Containment {
    /// Services run, and this is where they are; otherwise it is where they would be.
    pub running: bool,
    /// The cgroup in which a service is, or would be; none if it has none.
    pub cgroup: Option<PathBuf>,
    /// The controllers that hold in it.
    pub controllers: Vec<String>,
    /// systemd runs the machine.
    pub systemd: bool,
    /// The kernel offers controllers in cgroup v2; if not, they are in v1.
    pub unified: bool,
}

/// The ladder: each rung has what those below it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    /// cgroup v2 with controllers.
    Limits,
    /// cgroup v2 without: a tree can be killed whole.
    Trees,
    /// Process groups.
    Groups,
}

impl Containment {
    fn rung(&self) -> Rung {
        match &self.cgroup {
            None => Rung::Groups,
            Some(_) if self.controllers.iter().any(|name| CONTROLLERS.contains(&name.as_str())) => {
                Rung::Limits
            }
            Some(_) => Rung::Trees,
        }
    }

    fn has(&self, controller: &str) -> bool {
        self.cgroup.is_some() && self.controllers.iter().any(|name| name == controller)
    }

    /// The keys of the file that the kernel does not enforce here, like `` `cpu_weight` of web ``.
    fn unenforced(&self, ecosystem: &Ecosystem) -> Vec<String> {
        let mut all = Vec::new();
        for (name, compartment) in &ecosystem.compartments {
            let together = compartment.together;
            let place = format!("compartments.{name}");
            let memory = together.memory.map(|_| ("memory", "memory"));
            all.extend(
                self.lacking(memory.into_iter().chain(keys(together.shares, compartment.critical)), &place),
            );
        }
        for spec in &ecosystem.services {
            let memory = spec.memory.map(|_| ("memory.max", "memory"));
            let keys = memory.into_iter().chain(keys(spec.shares, spec.critical));
            all.extend(self.lacking(keys, &format!("services.{}", spec.name)));
        }
        all
    }

    fn lacking<'a>(
        &'a self,
        keys: impl Iterator<Item = (&'static str, &'static str)> + 'a,
        place: &'a str,
    ) -> impl Iterator<Item = String> + 'a {
        keys.filter(|(_, controller)| !self.has(controller))
            .map(move |(key, _)| format!("`{key}` of {place}"))
    }
}

/// The controllers that dogwatch uses.
const CONTROLLERS: [&str; 4] = ["cpu", "io", "memory", "pids"];

/// Each written key with its controller. The weights that critical work has unless written are not looked at.
fn keys(shares: Shares, critical: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    let written =
        |weight: &Option<u32>| weight.is_some_and(|weight| !(critical && weight == CRITICAL_WEIGHT));
    let keys = [
        ("cpu_weight", "cpu", written(&shares.cpu_weight)),
        ("io_weight", "io", written(&shares.io_weight)),
        ("pids_max", "pids", shares.pids_max.is_some()),
    ];
    keys.into_iter().filter_map(|(key, controller, written)| written.then_some((key, controller)))
}

/// Says which rung, what holds on it, and which keys of the file are not enforced.
pub fn judge(facts: &Containment, ecosystem: Option<&Ecosystem>) -> Finding {
    let unenforced = ecosystem.map_or_else(Vec::new, |ecosystem| facts.unenforced(ecosystem));
    let who = if facts.running { "services run" } else { "started from here, services would run" };
    let place = facts.cgroup.as_ref().map_or_else(String::new, |path| format!(" ({})", path.display()));
    let rest = "Beyond that a service that is not critical and not root's gets 512 processes more than its user has \
                (RLIMIT_NPROC), the out-of-memory killer takes critical services last, and they have a nice of -10 if \
                dogwatch is root's; services of one user are \
                not kept from each other, and root's fork without a limit.";
    let (found, meaning) = match facts.rung() {
        Rung::Limits => {
            let missing: Vec<&str> = CONTROLLERS.into_iter().filter(|name| !facts.has(name)).collect();
            let but = match missing.as_slice() {
                [] => String::new(),
                missing => format!(", but without {}", missing.join(", ")),
            };
            let found = format!("1 of 3: {who} in cgroups with controllers{but}{place}");
            (found, "a service's processes are killed whole, and the kernel enforces its limits".to_owned())
        }
        Rung::Trees => (
            format!("2 of 3: {who} in cgroups without controllers{place}"),
            format!(
                "a service's processes are killed whole and `memory.limit` is watched by its keeper, but the kernel \
                 enforces no limit. {rest}"
            ),
        ),
        Rung::Groups => (
            format!("3 of 3: {who} in process groups, without cgroups"),
            format!(
                "a service's process group is killed, and what has come to its keeper as an orphan; a grandchild in a \
                 session of its own escapes until its parent ends. `memory.limit` is watched by the keeper. {rest}"
            ),
        ),
    };
    let meaning = match unenforced.as_slice() {
        [] => meaning,
        keys => format!("not enforced: {}; {meaning}", keys.join(", ")),
    };
    let finding = match (facts.rung(), unenforced.is_empty()) {
        (Rung::Limits | Rung::Trees, true) => return Finding::ok(CHECK, found).because(meaning),
        _ => Finding::warning(CHECK, found).because(meaning),
    };
    finding.fix(match facts {
        Containment { unified: false, .. } => {
            "boot with cgroup v2 alone: add systemd.unified_cgroup_hierarchy=1 to the kernel's command line"
        }
        Containment { systemd: true, .. } => {
            "run dogwatch as its systemd unit: make install, then systemctl enable --now dogwatch"
        }
        _ => "run dogwatch under systemd, or in a container in a cgroup of its own that it may write",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::config::{Surroundings, load};

    fn ecosystem() -> Ecosystem {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ecosystem.toml");
        let text = "[compartments.shop]\ncritical = true\n[compartments.rest]\nmemory = \"1G\"\ncpu_weight = 20\n\
                    [services.web]\ncompartment = \"shop\"\ncommand = [\"./web\"]\nmemory = \"1G\"\n\
                    [services.report]\ncompartment = \"rest\"\ncommand = [\"./report\"]\npids_max = 9\nio_weight = 5\n";
        std::fs::write(&path, text).unwrap();
        load(&path, &Surroundings::default()).unwrap()
    }

    fn facts(cgroup: bool, controllers: &[&str]) -> Containment {
        let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
        Containment {
            cgroup: cgroup.then(|| "/cg".into()),
            controllers,
            systemd: true,
            unified: true,
            running: true,
        }
    }

    #[test]
    fn each_rung_says_what_holds() {
        let all = ["cpuset", "cpu", "io", "memory", "pids"];
        let first = judge(&facts(true, &all), Some(&ecosystem()));
        assert_eq!((first.level, &first.found[..10]), (Level::Ok, "1 of 3: se"));
        let second = judge(&facts(true, &[]), Some(&ecosystem()));
        assert_eq!(second.level, Level::Warning);
        let keys = "not enforced: `memory` of compartments.rest, `cpu_weight` of compartments.rest, \
                    `memory.max` of services.web, `io_weight` of services.report, `pids_max` of services.report; ";
        assert!(second.why.starts_with(keys), "{second:?}");
        assert!(second.fix.contains("systemctl"), "{second:?}");
        assert_eq!(judge(&facts(true, &[]), None).level, Level::Ok, "nothing is asked of the kernel");
        let third = judge(&facts(false, &all), None);
        assert!(third.level == Level::Warning && third.found.starts_with("3 of 3"), "{third:?}");
        let old = judge(&Containment { unified: false, ..facts(false, &[]) }, None);
        assert!(old.fix.contains("unified_cgroup_hierarchy"), "{old:?}");
    }

    #[test]
    fn a_controller_that_is_missing_is_named() {
        let finding = judge(&facts(true, &["memory", "pids", "cpu"]), Some(&ecosystem()));
        assert!(finding.found.contains("but without io"), "{finding:?}");
        assert!(finding.why.starts_with("not enforced: `io_weight` of services.report; "), "{finding:?}");
    }
}
