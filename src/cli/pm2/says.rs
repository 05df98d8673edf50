//! The lines around pm2's tables.

use std::path::Path;

use crate::wire::status::ServiceStatus;

/// What is done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `start`.
    Start,
    /// `stop`.
    Stop,
    /// `restart`.
    Restart,
    /// `reload`.
    Reload,
}

/// Said before acting: `[PM2] Applying action stopProcessId on app [web](ids: [ 0 ])`.
pub fn applying(action: Action, word: &str, ids: &[usize]) -> String {
    // pm2 starts what it knows by restarting it, and says so. What runs is left alone here.
    let action = match action {
        Action::Start => "startProcessId",
        Action::Restart => "restartProcessId",
        Action::Reload => "reloadProcessId",
        Action::Stop => "stopProcessId",
    };
    format!("[PM2] Applying action {action} on app [{}](ids: {})", word.escape_debug(), ids_of(ids))
}

/// Said when it worked: `[PM2] [web](0) ✓`.
pub fn done(id: usize, service: &ServiceStatus) -> String {
    format!("[PM2] [{}]({id}) ✓", service.name)
}

/// Said when it did not: `[PM2][ERROR] …`.
pub fn error(text: &str) -> String {
    format!("[PM2][ERROR] {text}")
}

/// Said of what is not as one might think: `[PM2][WARN] …`.
pub fn warning(text: &str) -> String {
    format!("[PM2][WARN] {text}")
}

/// Said after all else: what is being done, or was.
pub fn note(text: &str) -> String {
    format!("[PM2] {text}")
}

/// The answer to `pm2 id NAME`: `[ 0, 1 ]`, or `[]`.
pub fn ids_of(ids: &[usize]) -> String {
    if ids.is_empty() {
        return "[]".to_owned();
    }
    let ids: Vec<String> = ids.iter().map(usize::to_string).collect();
    format!("[ {} ]", ids.join(", "))
}

/// The answer to `pm2 pid`: a line for each service, 0 for one that does not run.
pub fn pids_of<'a>(services: impl Iterator<Item = &'a ServiceStatus>) -> String {
    services.map(|service| format!("{}\n", service.pid.unwrap_or(0))).collect()
}

/// The answer to `pm2 ping`.
pub const PONG: &str = "{ msg: 'pong' }";

/// Said of a log file that `flush` empties.
pub fn flushing(path: &Path) -> String {
    format!("[PM2] Flushing {}", path.display())
}

/// Said when `flush` is through.
pub const FLUSHED: &str = "[PM2] Logs flushed";

/// Said when `reloadLogs` is through.
pub const RELOADED_LOGS: &str = "[PM2] All logs reloaded";

/// Said before `logs` shows anything.
pub fn tailing(what: &str, lines: usize) -> String {
    format!(
        "[TAILING] Tailing last {lines} lines for [{}] process (change the value with --lines option)",
        what.escape_debug()
    )
}

/// Said above the last lines of one file.
pub fn tail_of(path: &Path, lines: usize) -> String {
    format!("{} last {lines} lines:", path.display())
}

/// What stands before each line of a log: `0|web      | `; `width` is the longest name's length.
pub fn log_prefix(id: usize, name: &str, width: usize) -> String {
    format!("{id}|{name:width$} | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pm2::fixture::services;

    #[test]
    fn lines() {
        let services = services();
        let path = Path::new("/srv/logs/web-out.log");
        let table = [
            (
                applying(Action::Stop, "web", &[0]),
                "[PM2] Applying action stopProcessId on app [web](ids: [ 0 ])",
            ),
            (
                applying(Action::Start, "all", &[0, 1]),
                "[PM2] Applying action startProcessId on app [all](ids: [ 0, 1 ])",
            ),
            (done(2, &services[2]), "[PM2] [websocket-server](2) ✓"),
            (error("no"), "[PM2][ERROR] no"),
            (ids_of(&[]), "[]"),
            (pids_of(services.iter()), "4711\n0\n0\n"),
            (flushing(path), "[PM2] Flushing /srv/logs/web-out.log"),
            (
                tailing("web", 50),
                "[TAILING] Tailing last 50 lines for [web] process (change the value with --lines option)",
            ),
            (tail_of(path, 50), "/srv/logs/web-out.log last 50 lines:"),
            (log_prefix(0, "web", 5), "0|web   | "),
        ];
        for (said, expected) in table {
            assert_eq!(said, expected);
        }
    }
}
