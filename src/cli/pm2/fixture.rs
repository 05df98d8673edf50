//! Three services to draw.

use crate::model::end::{End, Exit, Why};
use crate::model::name::ServiceName;
use crate::model::phase::{Goal, State};
use crate::model::signal::Signal;
use crate::wire::log_state::LogState;
use crate::wire::status::ServiceStatus;

/// webhook-button-handler, dashboard-api-server and websocket-server, as they might be.
pub(super) fn services() -> Vec<ServiceStatus> {
    let webhook = ServiceStatus {
        v: 1,
        name: ServiceName::new("webhook-button-handler").unwrap(),
        compartment: "production".into(),
        critical: true,
        goal: Goal::Up,
        state: State::Online,
        pid: Some(4711),
        run: 1,
        beside: None,
        reload_failure: None,
        refused: None,
        uptime_ms: Some(7_300_000),
        restarts: 0,
        unstable: 0,
        next_start_ms: None,
        reason: None,
        hint: None,
        last_end: None,
        memory_bytes: Some(12 << 20),
        memory_limit_bytes: Some(256 << 20),
        memory_bytes_per_minute: None,
        memory_limit_in_ms: None,
        cpu_percent: Some(0.3),
        processes: Some(1),
        listen: vec!["127.0.0.1:3000".parse().unwrap()],
        command: vec!["/srv/bin/webhook".into()],
        cwd: "/srv".into(),
        user: Some("www-data".into()),
        log_out: "/srv/logs/webhook-button-handler-out.log".into(),
        log_error: "/srv/logs/webhook-button-handler-error.log".into(),
        log_dress: crate::model::dress::Dress::Plain,
        log: LogState::default(),
        sinks: Vec::new(),
        keeper_pid: 4700,
        keeper_version: None,
        keeper_differs: false,
        fingerprint: 1,
        changed: false,
        limit_overridden: false,
        incidents: None,
    };
    let api = ServiceStatus {
        name: ServiceName::new("dashboard-api-server").unwrap(),
        compartment: "dashboard".into(),
        critical: false,
        state: State::CrashLoop,
        pid: None,
        run: 9,
        uptime_ms: None,
        restarts: 8,
        unstable: 6,
        next_start_ms: Some(2500),
        reason: Some("killed by SIGSEGV".into()),
        last_end: Some(End {
            run: 9,
            why: Why::ByItself,
            exit: Some(Exit::Signal(Signal(11))),
            oom: None,
            forced: false,
            replaced: false,
            lived_ms: 12,
            at_unix_ms: 1_700_000_000_000,
        }),
        memory_bytes: None,
        memory_limit_bytes: Some(1 << 30),
        cpu_percent: None,
        processes: None,
        command: vec!["node".into(), "server.js".into(), "--port".into(), "3002".into()],
        user: None,
        log_out: "/srv/logs/dashboard-api-server-out.log".into(),
        log_error: "/srv/logs/dashboard-api-server-error.log".into(),
        ..webhook.clone()
    };
    let websocket = ServiceStatus {
        name: ServiceName::new("websocket-server").unwrap(),
        goal: Goal::Down,
        state: State::Stopped,
        run: 1,
        restarts: 0,
        unstable: 0,
        next_start_ms: None,
        reason: Some("stopped on request".into()),
        last_end: None,
        memory_limit_bytes: None,
        command: vec!["/srv/bin/websocket".into()],
        log_out: "/srv/logs/websocket-server-out.log".into(),
        log_error: "/srv/logs/websocket-server-error.log".into(),
        ..api.clone()
    };
    vec![webhook, api, websocket]
}
