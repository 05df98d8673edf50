//! What Prometheus reads: the status of the services as numbers (text format 0.0.4). What is not known has no line.

use std::fmt::Write;

use crate::model::phase::State;
use crate::wire::PROGRAM;
use crate::wire::api::Services;
use crate::wire::sinks::SinkStatus;
use crate::wire::status::ServiceStatus;

/// The `Content-Type` of it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One number of each service; none where it is not known.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    of: fn(&ServiceStatus) -> Option<f64>,
}

const fn gauge(name: &'static str, help: &'static str, of: fn(&ServiceStatus) -> Option<f64>) -> Metric {
    Metric { name, kind: "gauge", help, of }
}

const fn counter(name: &'static str, help: &'static str, of: fn(&ServiceStatus) -> Option<f64>) -> Metric {
    Metric { name, kind: "counter", help, of }
}

const METRICS: [Metric; 13] = [
    counter("restarts_total", "Starts that nobody asked for, since the last one on request.", |service| {
        Some(service.restarts as f64)
    }),
    gauge("uptime_seconds", "Since the main process was started.", |service| {
        service.uptime_ms.map(|ms| ms as f64 / 1000.0)
    }),
    gauge("memory_bytes", "Resident memory of the process tree.", |service| {
        service.memory_bytes.map(|bytes| bytes as f64)
    }),
    gauge("memory_limit_bytes", "The limit in force.", |service| {
        service.memory_limit_bytes.map(|bytes| bytes as f64)
    }),
    gauge(
        "cpu_percent",
        "Processor time of the process tree since the last look; 100 is one core.",
        |service| service.cpu_percent,
    ),
    gauge("processes", "Processes in the tree.", |service| service.processes.map(f64::from)),
    gauge("log_trouble", "1 while the log cannot be written or rotated.", |service| {
        Some(f64::from(u8::from(service.log.trouble.is_some())))
    }),
    gauge("log_dropping", "1 while lines of the log are dropped.", |service| {
        Some(f64::from(u8::from(service.log.dropping)))
    }),
    counter("log_dropped_lines_total", "Lines that the keeper has dropped in this boot.", |service| {
        Some(service.log.dropped_lines as f64)
    }),
    counter("log_dropped_bytes_total", "The same in bytes.", |service| {
        Some(service.log.dropped_bytes as f64)
    }),
    counter(
        "log_relieved_lines_total",
        "Lines dropped for a keeper that stood still, in this boot.",
        |service| Some(service.incidents.as_ref().map_or(0.0, |incidents| incidents.dropped_lines as f64)),
    ),
    counter("log_relieved_bytes_total", "The same in bytes.", |service| {
        Some(service.incidents.as_ref().map_or(0.0, |incidents| incidents.dropped_bytes as f64))
    }),
    counter(
        "keeper_replacements_total",
        "Keepers that stood still and were replaced, in this boot.",
        |service| Some(service.incidents.as_ref().map_or(0.0, |incidents| incidents.replaced as f64)),
    ),
];

/// One number of each sink of each service.
struct SinkMetric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    of: fn(&SinkStatus) -> f64,
}

const SINK_METRICS: [SinkMetric; 8] = [
    SinkMetric {
        name: "waiting",
        kind: "gauge",
        help: "1 while it takes nothing, or the log cannot be read.",
        of: |sink| f64::from(u8::from(sink.waiting.is_some())),
    },
    SinkMetric {
        name: "behind_bytes",
        kind: "gauge",
        help: "What was written and it has not got yet.",
        of: |sink| sink.behind_bytes as f64,
    },
    SinkMetric {
        name: "forwarded_lines_total",
        kind: "counter",
        help: "Lines that it has got.",
        of: |sink| sink.counts.forwarded_lines as f64,
    },
    SinkMetric {
        name: "forwarded_bytes_total",
        kind: "counter",
        help: "The same in bytes.",
        of: |sink| sink.counts.forwarded_bytes as f64,
    },
    SinkMetric {
        name: "lost_lines_total",
        kind: "counter",
        help: "Lines that were deleted from the archives before it had them.",
        of: |sink| sink.counts.lost_lines as f64,
    },
    SinkMetric {
        name: "lost_bytes_total",
        kind: "counter",
        help: "The same in bytes.",
        of: |sink| sink.counts.lost_bytes as f64,
    },
    SinkMetric {
        name: "lost_at_least",
        kind: "gauge",
        help: "1 if it may be more that was lost.",
        of: |sink| f64::from(u8::from(sink.counts.lost_at_least)),
    },
    SinkMetric {
        name: "cut_lines_total",
        kind: "counter",
        help: "Lines that were longer than it takes, and were cut.",
        of: |sink| sink.counts.cut_lines as f64,
    },
];

/// All of it.
pub fn render(services: &Services) -> String {
    let mut text = String::new();
    header(&mut text, "info", "gauge", "The version of dogwatch.");
    line(&mut text, "info", &[("version", PROGRAM)], 1.0);
    header(&mut text, "problems", "gauge", "What is not as it should be, as `dogwatch status` says it.");
    line(&mut text, "problems", &[], services.problems.len() as f64);
    header(&mut text, "service_state", "gauge", "1 for the state that the service is in.");
    for service in &services.services {
        for state in State::ALL {
            let labels = [("service", service.name.as_str()), ("state", state.word())];
            line(&mut text, "service_state", &labels, f64::from(u8::from(service.state == state)));
        }
    }
    for metric in &METRICS {
        let name = format!("service_{}", metric.name);
        header(&mut text, &name, metric.kind, metric.help);
        for service in &services.services {
            if let Some(value) = (metric.of)(service) {
                line(&mut text, &name, &[("service", service.name.as_str())], value);
            }
        }
    }
    // A series without any line is not announced: most have no sink.
    if services.services.iter().all(|service| service.sinks.is_empty()) {
        return text;
    }
    for metric in &SINK_METRICS {
        let name = format!("sink_{}", metric.name);
        header(&mut text, &name, metric.kind, metric.help);
        for service in &services.services {
            for sink in &service.sinks {
                let labels = [("sink", sink.name.as_str()), ("service", service.name.as_str())];
                line(&mut text, &name, &labels, (metric.of)(sink));
            }
        }
    }
    text
}

fn header(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP dogwatch_{name} {help}\n# TYPE dogwatch_{name} {kind}");
}

/// Names of services, sinks and states need no escapes: [`crate::model::name`].
fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(text, "dogwatch_{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::log_state::LogState;
    use crate::wire::sinks::{Counts, Waiting};
    use crate::wire::status::tests::status;

    #[test]
    fn what_is_known_is_a_number_and_what_is_not_has_no_line() {
        let mut web = status(State::Online, 3, None);
        (web.memory_bytes, web.memory_limit_bytes, web.restarts) = (Some(5 << 20), None, 2);
        web.log = LogState {
            trouble: Some("it is full".to_owned()),
            dropping: true,
            dropped_lines: 12_345,
            ..LogState::default()
        };
        let counts = Counts { forwarded_lines: 7, lost_lines: 3, lost_at_least: true, ..Counts::default() };
        web.sinks = vec![SinkStatus {
            name: "far".to_owned(),
            kind: "syslog".to_owned(),
            waiting: Some(Waiting::default()),
            behind_bytes: 4096,
            counts,
        }];
        let text = render(&Services { v: 1, services: vec![web], problems: vec!["one".to_owned()] });
        for wanted in [
            "# TYPE dogwatch_service_restarts_total counter\ndogwatch_service_restarts_total{service=\"web\"} 2\n",
            "dogwatch_service_memory_bytes{service=\"web\"} 5242880\n",
            "dogwatch_service_state{service=\"web\",state=\"online\"} 1\n",
            "dogwatch_service_state{service=\"web\",state=\"crash-loop\"} 0\n",
            "dogwatch_service_log_trouble{service=\"web\"} 1\n",
            "dogwatch_service_log_dropping{service=\"web\"} 1\n",
            "dogwatch_service_log_dropped_lines_total{service=\"web\"} 12345\n",
            "dogwatch_problems 1\n",
            "dogwatch_sink_waiting{sink=\"far\",service=\"web\"} 1\n",
            "dogwatch_sink_behind_bytes{sink=\"far\",service=\"web\"} 4096\n",
            "# TYPE dogwatch_sink_forwarded_lines_total counter\n",
            "dogwatch_sink_forwarded_lines_total{sink=\"far\",service=\"web\"} 7\n",
            "dogwatch_sink_lost_lines_total{sink=\"far\",service=\"web\"} 3\n",
            "dogwatch_sink_lost_at_least{sink=\"far\",service=\"web\"} 1\n",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
        }
        assert!(!text.contains("memory_limit_bytes{"), "{text}");
        let mut seen = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series.starts_with("dogwatch_") && seen.insert(series.to_owned()), "{line}");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        }
    }
}
