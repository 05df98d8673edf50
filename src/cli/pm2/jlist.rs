//! `pm2 jlist`: what scripts and dashboards read.

use serde::Serialize;

use super::words::status_word;
use crate::model::end::Exit;
use crate::wire::status::ServiceStatus;

#[derive(Debug, Serialize)]
struct Process<'a> {
    pid: i32,
    name: &'a str,
    pm2_env: Pm2Env<'a>,
    pm_id: usize,
    monit: Monit,
}

#[derive(Debug, Serialize)]
struct Monit {
    memory: u64,
    cpu: f64,
}

/// What of pm2's `pm2_env` is true here. The service's environment is left out: pm2 shows every secret in it.
#[derive(Debug, Serialize)]
struct Pm2Env<'a> {
    name: &'a str,
    namespace: &'a str,
    version: &'static str,
    status: &'static str,
    pm_id: usize,
    /// When the process was started, milliseconds since 1970.
    pm_uptime: Option<u64>,
    restart_time: u64,
    unstable_restarts: u32,
    exit_code: Option<i32>,
    exec_mode: &'static str,
    exec_interpreter: &'static str,
    node_args: [&'static str; 0],
    args: &'a [String],
    instances: u32,
    pm_exec_path: &'a str,
    pm_cwd: String,
    pm_out_log_path: String,
    pm_err_log_path: String,
    watch: bool,
    max_memory_restart: Option<u64>,
    username: &'a str,
}

/// One line of JSON. `services` stand in the order of ecosystem.toml; `now_unix_ms` is the time of the wall
/// clock; `me` is dogwatch's user.
pub fn jlist(services: &[ServiceStatus], now_unix_ms: u64, me: &str) -> String {
    let processes: Vec<Process<'_>> =
        services.iter().enumerate().map(|(id, service)| process(id, service, now_unix_ms, me)).collect();
    let json = serde_json::to_string(&processes);
    json.expect("a process has only string keys, and its figures are finite or become null") + "\n"
}

fn process<'a>(id: usize, service: &'a ServiceStatus, now_unix_ms: u64, me: &'a str) -> Process<'a> {
    let exit = service.last_end.as_ref().and_then(|end| end.exit);
    Process {
        pid: service.pid.unwrap_or(0),
        name: service.name.as_str(),
        pm_id: id,
        monit: Monit { memory: service.memory_bytes.unwrap_or(0), cpu: service.cpu_percent.unwrap_or(0.0) },
        pm2_env: Pm2Env {
            name: service.name.as_str(),
            namespace: &service.compartment,
            version: "N/A",
            status: status_word(service.state),
            pm_id: id,
            pm_uptime: service.uptime_ms.map(|uptime| now_unix_ms.saturating_sub(uptime)),
            restart_time: service.restarts,
            unstable_restarts: service.unstable,
            exit_code: exit.and_then(exit_code),
            exec_mode: "fork_mode",
            exec_interpreter: "none",
            node_args: [],
            args: service.command.get(1..).unwrap_or_default(),
            instances: 1,
            pm_exec_path: service.command.first().map_or("", String::as_str),
            pm_cwd: service.cwd.display().to_string(),
            pm_out_log_path: service.log_out.display().to_string(),
            pm_err_log_path: service.log_error.display().to_string(),
            watch: false,
            max_memory_restart: service.memory_limit_bytes,
            username: service.user.as_deref().unwrap_or(me),
        },
    }
}

/// As a shell has it: a death by signal is 128 and its number. (pm2 reports it as 0, a success.)
fn exit_code(exit: Exit) -> Option<i32> {
    match exit {
        Exit::Code(code) => Some(code),
        Exit::Signal(signal) => Some(128 + signal.0),
        Exit::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pm2::fixture::services;

    #[test]
    fn what_scripts_read() {
        let text = jlist(&services(), 1_700_000_000_000, "deploy");
        assert_eq!(text.lines().count(), 1);
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let webhook = &list[0];
        assert_eq!(webhook["pid"], 4711);
        assert_eq!(webhook["name"], "webhook-button-handler");
        assert_eq!(webhook["pm_id"], 0);
        assert_eq!(webhook["monit"]["memory"], 12 << 20);
        assert_eq!(webhook["monit"]["cpu"], 0.3);
        assert_eq!(webhook["pm2_env"]["status"], "online");
        assert_eq!(webhook["pm2_env"]["pm_uptime"], 1_699_992_700_000_u64);
        assert_eq!(webhook["pm2_env"]["username"], "www-data");
        let api = &list[1];
        assert_eq!(api["pid"], 0);
        assert_eq!(api["pm2_env"]["status"], "waiting restart");
        assert_eq!(api["pm2_env"]["restart_time"], 8);
        assert_eq!(api["pm2_env"]["exit_code"], 139);
        assert_eq!(api["pm2_env"]["args"], serde_json::json!(["server.js", "--port", "3002"]));
        assert_eq!(api["pm2_env"]["username"], "deploy");
        assert_eq!(list.as_array().unwrap().len(), 3);
        assert_eq!(jlist(&[], 0, "x"), "[]\n");
    }
}
