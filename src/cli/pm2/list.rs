//! `pm2 list`.

use super::table::draw_painted;
use super::words::{cpu, memory, status_word, uptime};
use crate::cli::screen::{Colour, Screen};
use crate::wire::status::ServiceStatus;

/// Below this many columns pm2 leaves out half of its table.
const NARROW: usize = 134;

/// The table of all services, sorted by name as pm2 sorts it. `services` stand in the order of ecosystem.toml,
/// which numbers them; `columns` is the width of the terminal, if it is one; `me` is dogwatch's user. The
/// status has a colour where `screen` welcomes it.
pub fn list(services: &[ServiceStatus], columns: Option<usize>, me: &str, screen: Screen) -> String {
    let mut sorted: Vec<(usize, &ServiceStatus)> = services.iter().enumerate().collect();
    sorted.sort_by_key(|(_, service)| service.name.as_str());
    let narrow = columns.is_some_and(|columns| columns < NARROW);
    if narrow {
        let rows: Vec<Vec<String>> = sorted.into_iter().map(|(id, service)| condensed(id, service)).collect();
        let header = ["id", "name", "mode", "↺", "status", "cpu", "memory"];
        let paint = |column, cell| if column == 4 { painted(screen, cell) } else { cell };
        return draw_painted(&header, &[2, 18, 8, 4, 9, 8, 8], &rows, columns, paint);
    }
    let rows: Vec<Vec<String>> = sorted.into_iter().map(|(id, service)| full(id, service, me)).collect();
    let header = [
        "id",
        "name",
        "namespace",
        "version",
        "mode",
        "pid",
        "uptime",
        "↺",
        "status",
        "cpu",
        "mem",
        "user",
        "watching",
    ];
    let paint = |column, cell| if column == 8 { painted(screen, cell) } else { cell };
    draw_painted(&header, &[2, 18, 11, 7, 7, 8, 6, 4, 9, 8, 8, 8, 8], &rows, columns, paint)
}

/// A status in its colour.
fn painted(screen: Screen, cell: String) -> String {
    let colour = match cell.trim() {
        "online" => Colour::Green,
        "stopped" | "errored" => Colour::Red,
        _ => Colour::Yellow,
    };
    screen.paint(colour, &cell)
}

fn condensed(id: usize, service: &ServiceStatus) -> Vec<String> {
    vec![
        id.to_string(),
        service.name.to_string(),
        "fork".to_owned(),
        service.restarts.to_string(),
        status_word(service.state).to_owned(),
        cpu(service.cpu_percent),
        memory(service.memory_bytes),
    ]
}

fn full(id: usize, service: &ServiceStatus, me: &str) -> Vec<String> {
    vec![
        id.to_string(),
        service.name.to_string(),
        service.compartment.clone(),
        "N/A".to_owned(),
        "fork".to_owned(),
        service.pid.unwrap_or(0).to_string(),
        uptime(service.uptime_ms),
        service.restarts.to_string(),
        status_word(service.state).to_owned(),
        cpu(service.cpu_percent),
        memory(service.memory_bytes),
        service.user.clone().unwrap_or_else(|| me.to_owned()),
        "disabled".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pm2::fixture::services;

    const PLAIN: Screen = Screen { width: None, colour: false };

    #[test]
    fn wide_and_into_a_pipe() {
        let expected = "\
┌────┬────────────────────────┬─────────────┬─────────┬─────────┬──────────┬────────┬──────┬─────────────────┬──────────┬──────────┬──────────┬──────────┐
│ id │ name                   │ namespace   │ version │ mode    │ pid      │ uptime │ ↺    │ status          │ cpu      │ mem      │ user     │ watching │
├────┼────────────────────────┼─────────────┼─────────┼─────────┼──────────┼────────┼──────┼─────────────────┼──────────┼──────────┼──────────┼──────────┤
│ 1  │ dashboard-api-server   │ dashboard   │ N/A     │ fork    │ 0        │ 0      │ 8    │ waiting restart │ 0%       │ 0b       │ deploy   │ disabled │
│ 0  │ webhook-button-handler │ production  │ N/A     │ fork    │ 4711     │ 2h     │ 0    │ online          │ 0.3%     │ 12.0mb   │ www-data │ disabled │
│ 2  │ websocket-server       │ dashboard   │ N/A     │ fork    │ 0        │ 0      │ 0    │ stopped         │ 0%       │ 0b       │ deploy   │ disabled │
└────┴────────────────────────┴─────────────┴─────────┴─────────┴──────────┴────────┴──────┴─────────────────┴──────────┴──────────┴──────────┴──────────┘
";
        assert_eq!(list(&services(), None, "deploy", PLAIN), expected);
        assert_eq!(list(&services(), Some(200), "deploy", PLAIN), expected);
    }

    #[test]
    fn condensed_on_a_narrow_terminal() {
        let expected = "\
┌────┬────────────────────────┬──────────┬──────┬─────────────────┬──────────┬──────────┐
│ id │ name                   │ mode     │ ↺    │ status          │ cpu      │ memory   │
├────┼────────────────────────┼──────────┼──────┼─────────────────┼──────────┼──────────┤
│ 1  │ dashboard-api-server   │ fork     │ 8    │ waiting restart │ 0%       │ 0b       │
│ 0  │ webhook-button-handler │ fork     │ 0    │ online          │ 0.3%     │ 12.0mb   │
│ 2  │ websocket-server       │ fork     │ 0    │ stopped         │ 0%       │ 0b       │
└────┴────────────────────────┴──────────┴──────┴─────────────────┴──────────┴──────────┘
";
        assert_eq!(list(&services(), Some(133), "deploy", PLAIN), expected);
        let on_80 = list(&services(), Some(80), "deploy", PLAIN);
        assert!(on_80.lines().all(|line| line.chars().count() <= 80), "{on_80}");
    }

    #[test]
    fn colours_on_a_terminal_that_welcomes_them() {
        let coloured = list(&services(), Some(200), "deploy", Screen { width: Some(200), colour: true });
        assert!(coloured.contains("│\u{1b}[32m online          \u{1b}[0m│"), "{coloured}");
        assert!(coloured.contains("│\u{1b}[31m stopped         \u{1b}[0m│"), "{coloured}");
    }

    #[test]
    fn nothing_to_list() {
        let expected = "\
┌────┬────────────────────┬──────────┬──────┬───────────┬──────────┬──────────┐
│ id │ name               │ mode     │ ↺    │ status    │ cpu      │ memory   │
├────┼────────────────────┼──────────┼──────┼───────────┼──────────┼──────────┤
└────┴────────────────────┴──────────┴──────┴───────────┴──────────┴──────────┘
";
        assert_eq!(list(&[], Some(80), "deploy", PLAIN), expected);
    }
}
