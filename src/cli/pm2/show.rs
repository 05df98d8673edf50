//! `pm2 show`.

use super::table::draw;
use super::words::{cpu, memory, status_word, uptime};
use crate::wire::status::ServiceStatus;

/// All about one service. Beside pm2's rows there are `cpu` and `memory`, for pm2's own guide greps for them,
/// and why the last run ended, which pm2 does not know.
pub fn show(id: usize, service: &ServiceStatus) -> String {
    let none = || "N/A".to_owned();
    let mut rows: Vec<(&str, String)> = vec![
        ("status", status_word(service.state).to_owned()),
        ("name", service.name.to_string()),
        ("namespace", service.compartment.clone()),
        ("version", none()),
    ];
    if let Some(limit) = service.memory_limit_bytes {
        rows.push(("max memory restart", memory(Some(limit))));
    }
    let args = service.command.get(1..).unwrap_or_default();
    rows.extend([
        ("restarts", service.restarts.to_string()),
        ("uptime", uptime(service.uptime_ms)),
        ("script path", service.command.first().cloned().unwrap_or_default()),
        ("script args", if args.is_empty() { none() } else { args.join(" ") }),
        ("error log path", service.log_error.display().to_string()),
        ("out log path", service.log_out.display().to_string()),
        ("pid", service.pid.unwrap_or(0).to_string()),
        ("interpreter", "none".to_owned()),
        ("interpreter args", none()),
        ("script id", id.to_string()),
        ("exec cwd", service.cwd.display().to_string()),
        ("exec mode", "fork_mode".to_owned()),
        ("node.js version", none()),
        ("node env", none()),
        ("watch & reload", "✘".to_owned()),
        ("unstable restarts", service.unstable.to_string()),
        ("cpu", cpu(service.cpu_percent)),
        ("memory", memory(service.memory_bytes)),
    ]);
    if let Some(reason) = &service.reason {
        rows.push(("last exit", reason.clone()));
    }
    if let Some(hint) = &service.hint {
        rows.push(("what to do", hint.clone()));
    }
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|(title, value)| vec![title.to_owned(), value]).collect();
    format!(
        " Describing process with id {id} - name {name} \n{table} Use `pm2 logs {name} [--lines 1000]` to display logs\n",
        name = service.name,
        table = draw(&[], &[17, 24], &rows, None)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pm2::fixture::services;

    #[test]
    fn a_service_in_a_crash_loop() {
        let expected = " Describing process with id 1 - name dashboard-api-server \n\
┌────────────────────┬──────────────────────────────────────────┐
│ status             │ waiting restart                          │
│ name               │ dashboard-api-server                     │
│ namespace          │ dashboard                                │
│ version            │ N/A                                      │
│ max memory restart │ 1.0gb                                    │
│ restarts           │ 8                                        │
│ uptime             │ 0                                        │
│ script path        │ node                                     │
│ script args        │ server.js --port 3002                    │
│ error log path     │ /srv/logs/dashboard-api-server-error.log │
│ out log path       │ /srv/logs/dashboard-api-server-out.log   │
│ pid                │ 0                                        │
│ interpreter        │ none                                     │
│ interpreter args   │ N/A                                      │
│ script id          │ 1                                        │
│ exec cwd           │ /srv                                     │
│ exec mode          │ fork_mode                                │
│ node.js version    │ N/A                                      │
│ node env           │ N/A                                      │
│ watch & reload     │ ✘                                        │
│ unstable restarts  │ 6                                        │
│ cpu                │ 0%                                       │
│ memory             │ 0b                                       │
│ last exit          │ killed by SIGSEGV                        │
└────────────────────┴──────────────────────────────────────────┘
 Use `pm2 logs dashboard-api-server [--lines 1000]` to display logs
";
        assert_eq!(show(1, &services()[1]), expected);
    }

    /// `pm2 show NAME | grep -E "(memory|cpu)"` of the maintenance guide.
    #[test]
    fn memory_and_cpu_can_be_grepped() {
        let shown = show(0, &services()[0]);
        let found: Vec<&str> =
            shown.lines().filter(|line| line.contains("memory") || line.contains("cpu")).collect();
        let cell = |line: &str, column: usize| line.split('│').nth(column).unwrap().trim().to_owned();
        let found: Vec<_> = found.iter().map(|line| (cell(line, 1), cell(line, 2))).collect();
        let expected = [("max memory restart", "256.0mb"), ("cpu", "0.3%"), ("memory", "12.0mb")];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
