//! What runs: dogwatch's own processes, the services, and who has their ports.

use std::net::SocketAddr;

use super::finding::{Finding, count};
use crate::model::phase::{Goal, State};
use crate::wire::status::ServiceStatus;

/// One of dogwatch's own processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// `control plane`, `warden`, `keeper web`.
    pub name: String,
    /// Its number.
    pub pid: i32,
    /// What its program calls itself, `dogwatch 0.1.0`; none if it cannot be asked.
    pub version: Option<String>,
    /// It runs the very program that is asking.
    pub same: bool,
}

/// Who holds what.
pub fn processes(control: Option<&Process>, warden: Option<&Process>, keepers: &[Process]) -> Vec<Finding> {
    let shown = |process: &Process| {
        let version = process.version.as_deref().unwrap_or("of unknown version");
        format!("pid {}, {version}", process.pid)
    };
    if control.is_none() && warden.is_none() && keepers.is_empty() {
        return vec![
            Finding::error("processes", "dogwatch does not run here: no control plane, no warden, no keeper")
                .because("no service of this file is kept running")
                .fix("dogwatch up -d"),
        ];
    }
    let part = |name: &str, found: Option<&Process>, why: &str| match found {
        Some(process) => Finding::ok("processes", format!("{name}: {}", shown(process))),
        None => {
            Finding::warning("processes", format!("{name}: there is none")).because(why).fix("dogwatch up -d")
        }
    };
    let mut findings = vec![
        part(
            "control plane",
            control,
            "services run on, but nothing new can be started, and nobody answers the API",
        ),
        part(
            "warden",
            warden,
            "it comes back within a second; until then a keeper that dies is not replaced",
        ),
    ];
    let all: Vec<&Process> = control.into_iter().chain(warden).chain(keepers).collect();
    let others: Vec<String> = all
        .iter()
        .filter(|process| !process.same)
        .map(|process| format!("{} ({})", process.name, shown(process)))
        .collect();
    findings.push(match others.as_slice() {
        [] => Finding::ok("versions", format!("all {} run this program", all.len())),
        others => {
            Finding::warning("versions", format!("another program than this one runs: {}", others.join(", ")))
                .because("what was installed later, a mended fault for instance, does not hold for them")
                .fix("dogwatch upgrade")
        }
    });
    findings
}

/// Whether every service that shall run is online.
pub fn states(services: &[ServiceStatus], problems: &[String]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = services.iter().filter_map(not_online).collect();
    findings.extend(problems.iter().map(|problem| {
        // Where there is something to be done, the sentence ends with it.
        let command =
            problem.rsplit_once(": ").map(|(_, end)| end).filter(|end| end.starts_with("dogwatch "));
        Finding::warning("services", problem.clone())
            .because("the control plane says so")
            .fix(command.unwrap_or("dogwatch status"))
    }));
    if findings.is_empty() {
        let wanted = services.iter().filter(|service| service.goal == Goal::Up).count();
        findings
            .push(Finding::ok("services", format!("{} shall run, all are well", count(wanted, "service"))));
    }
    findings
}

fn not_online(service: &ServiceStatus) -> Option<Finding> {
    if service.goal == Goal::Down || service.state == State::Online || service.is_done() {
        return None;
    }
    let name = &service.name;
    let reason = service.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let found = format!("{name} is {}{reason}", service.state.word());
    Some(match service.state {
        State::Starting | State::Stopping => Finding::warning("services", found)
            .because("it does no work yet")
            .fix(format!("look again in a moment: dogwatch show {name}")),
        _ => Finding::error("services", found)
            .because("it shall run, and does not")
            .fix(service.hint.clone().unwrap_or_else(|| format!("dogwatch logs {name} --err --nostream"))),
    })
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The service.
    pub service: String,
    /// What its entry says.
    pub address: SocketAddr,
    /// The service is online.
    pub online: bool,
    /// Who listens there.
    pub held: Held,
}

/// Who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Nobody.
    Free,
    /// dogwatch, or a service of its.
    Ours,
    /// Another process: its number, and the process in words.
    Foreign(i32, String),
    /// Somebody whom this user cannot see.
    Hidden,
}

/// Whether each service has its ports.
pub fn ports(ports: &[Port]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = ports.iter().filter_map(not_its_own).collect();
    if findings.is_empty() && !ports.is_empty() {
        let held = ports.iter().filter(|port| port.held == Held::Ours).count();
        findings.push(Finding::ok(
            "ports",
            format!("{held} of {} are held for their services, none by others", ports.len()),
        ));
    }
    findings
}

fn not_its_own(port: &Port) -> Option<Finding> {
    let (number, service) = (port.address.port(), &port.service);
    let why = format!("{service} cannot be started, or does not get what is sent there");
    match &port.held {
        Held::Ours => None,
        Held::Free if port.online => Some(
            Finding::error("ports", format!("nobody listens on {} for {service}", port.address))
                .because("its clients are refused")
                .fix(format!("dogwatch restart {service}")),
        ),
        Held::Free => None,
        Held::Foreign(pid, words) => Some(
            Finding::error(
                "ports",
                format!("port {number} of {service} is held by {words}, which dogwatch does not manage"),
            )
            .because(why)
            .fix(format!("if it is of no use: kill {pid}; otherwise choose another port")),
        ),
        Held::Hidden if port.online => None,
        Held::Hidden => Some(
            Finding::error(
                "ports",
                format!("port {number} of {service} is held by a process of another user"),
            )
            .because(why)
            .fix(format!("see who it is: sudo ss -tlnp 'sport = :{number}'")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::wire::status::tests::status;

    fn process(name: &str, same: bool) -> Process {
        Process { name: name.to_owned(), pid: 7, version: Some("dogwatch 0.1.0".to_owned()), same }
    }

    fn levels(findings: &[Finding]) -> Vec<Level> {
        findings.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn who_is_there() {
        let (control, warden, keeper) =
            (process("control plane", true), process("warden", true), process("keeper web", true));
        assert_eq!(levels(&processes(None, None, &[])), [Level::Error]);
        assert_eq!(levels(&processes(Some(&control), Some(&warden), &[keeper])), [Level::Ok; 3]);
        let old = [Process { version: None, ..process("keeper web", false) }];
        let found = processes(None, Some(&warden), &old);
        assert_eq!(levels(&found), [Level::Warning, Level::Ok, Level::Warning]);
        assert!(found[2].found.ends_with("keeper web (pid 7, of unknown version)"), "{found:?}");
    }

    #[test]
    fn who_shall_run_and_does_not() {
        let of = |state, goal| levels(&states(&[ServiceStatus { goal, ..status(state, 3, None) }], &[]));
        assert_eq!(of(State::Online, Goal::Up), [Level::Ok]);
        assert_eq!(of(State::Stopped, Goal::Down), [Level::Ok]);
        assert_eq!(of(State::Starting, Goal::Up), [Level::Warning]);
        assert_eq!(of(State::CrashLoop, Goal::Up), [Level::Error]);
        assert_eq!(levels(&states(&[], &["something".to_owned()])), [Level::Warning]);
        let fix = |problem: &str| states(&[], &[problem.to_owned()]).remove(0).fix;
        assert_eq!(fix("the disk of web hangs: its output waits"), "dogwatch status");
        assert_eq!(fix("still here; end it: dogwatch stop web"), "dogwatch stop web");
    }

    #[test]
    fn whose_port_it_is() {
        let of = |held, online| {
            let port =
                Port { service: "web".to_owned(), address: "127.0.0.1:3000".parse().unwrap(), online, held };
            ports(&[port])
        };
        assert_eq!(levels(&of(Held::Ours, true)), [Level::Ok]);
        assert_eq!(levels(&of(Held::Free, false)), [Level::Ok]);
        assert_eq!(levels(&of(Held::Free, true)), [Level::Error]);
        assert_eq!(levels(&of(Held::Hidden, true)), [Level::Ok]);
        assert_eq!(levels(&of(Held::Hidden, false)), [Level::Error]);
        let foreign = of(Held::Foreign(4711, "pid 4711 (node server.js)".to_owned()), false);
        assert!(foreign[0].level == Level::Error && foreign[0].fix.contains("kill 4711"), "{foreign:?}");
        assert!(ports(&[]).is_empty());
    }
}
