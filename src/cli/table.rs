//! The table of services. On a terminal it fits the width: first the reason is shortened, then columns are
//! left out, the least needed first. Into a pipe it is plain and whole.

use std::net::SocketAddr;
use std::time::Duration;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use super::screen::Screen;
use crate::model::phase::State;
use crate::model::units::{show_duration, show_size};
use crate::wire::status::ServiceStatus;

/// A column: its head, what it shows, and whether numbers stand in it.
struct Column {
    head: &'static str,
    show: fn(&ServiceStatus) -> String,
    numbers: bool,
}

/// In the order of the table.
const COLUMNS: [Column; 9] = [
    Column::new("name", |service| service.name.to_string(), false),
    Column::new("state", |service| service.state.word().to_owned(), false),
    Column::new("pid", |service| or_dash(service.pid), true),
    Column::new("uptime", |service| or_dash(uptime(service)), true),
    Column::new("restarts", |service| service.restarts.to_string(), true),
    Column::new("memory", |service| or_dash(service.memory_bytes.map(show_size)), true),
    Column::new("cpu", |service| or_dash(service.cpu_percent.map(|cpu| format!("{cpu:.1}%"))), true),
    Column::new("listen", |service| listen(&service.listen), false),
    Column::new("reason", reason, false),
];
/// Which columns go first when there is no room; name and state stay.
const LEAVE: [usize; 7] = [6, 3, 7, 5, 4, 8, 2];
const NAME: usize = 0;
const STATE: usize = 1;
const REASON: usize = 8;
/// A reason shorter than this says nothing.
const SHORTEST: usize = 28;

impl Column {
    const fn new(head: &'static str, show: fn(&ServiceStatus) -> String, numbers: bool) -> Column {
        Column { head, show, numbers }
    }
}

/// The table, with a line feed at its end.
pub fn render(services: &[ServiceStatus], screen: Screen) -> String {
    let mut texts: Vec<Vec<String>> = services
        .iter()
        .map(|service| COLUMNS.iter().map(|column| (column.show)(service)).collect())
        .collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|index| {
            let cells = texts.iter().map(|row| row[index].chars().count());
            cells.chain([COLUMNS[index].head.len()]).max().unwrap_or(0)
        })
        .collect();
    // Nobody looks for a column of dashes.
    let is_empty = |index: usize| texts.iter().all(|row| row[index] == "-");
    let wanted: Vec<usize> =
        (0..COLUMNS.len()).filter(|index| *index <= STATE || !is_empty(*index)).collect();
    let (shown, reason_width) = fit(&widths, &wanted, screen.width);
    let name_width = screen.width.map_or(usize::MAX, |width| width.saturating_sub(19).max(8));
    for row in &mut texts {
        row[REASON] = shorten(&row[REASON], reason_width);
        row[NAME] = shorten(&row[NAME], name_width);
    }
    draw(services, &texts, &shown, screen)
}

fn draw(services: &[ServiceStatus], texts: &[Vec<String>], shown: &[usize], screen: Screen) -> String {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Disabled);
    if screen.width.is_some() {
        table.load_style(presets::UTF8_FULL_CONDENSED);
    } else {
        table.load_style(presets::NOTHING);
    }
    if screen.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
        .set_header(shown.iter().map(|index| Cell::new(COLUMNS[*index].head).add_attribute(Attribute::Bold)));
    for (service, row) in services.iter().zip(texts) {
        table.add_row(shown.iter().map(|index| {
            let cell = Cell::new(&row[*index]);
            match *index {
                STATE => cell.fg(colour(service.state)),
                _ => cell,
            }
        }));
    }
    for (position, index) in shown.iter().enumerate() {
        if let Some(column) = table.column_mut(position) {
            if COLUMNS[*index].numbers {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if screen.width.is_none() {
                column.set_padding((0, 2));
            }
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Which columns there is room for, and how wide the reason may be.
fn fit(widths: &[usize], wanted: &[usize], room: Option<usize>) -> (Vec<usize>, usize) {
    let mut shown = wanted.to_vec();
    let Some(room) = room else {
        return (shown, usize::MAX);
    };
    let mut leave = LEAVE.iter();
    loop {
        // Each column has a blank on both sides and a line on its left; the last one has one on its right.
        let frame = 3 * shown.len() + 1;
        let others: usize = shown.iter().filter(|index| **index != REASON).map(|index| widths[*index]).sum();
        let left = room.saturating_sub(frame + others);
        let has_reason = shown.contains(&REASON);
        if has_reason && left >= widths[REASON].min(SHORTEST) {
            return (shown, left);
        }
        if !has_reason && room >= frame + others {
            return (shown, 0);
        }
        let Some(index) = leave.next() else {
            return (shown, 0);
        };
        shown.retain(|other| other != index);
    }
}

/// At most `width` characters.
fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn colour(state: State) -> Color {
    match state {
        State::Online => Color::Green,
        State::Starting | State::Stopping | State::BackingOff => Color::Yellow,
        State::CrashLoop | State::Failed => Color::Red,
        State::Stopped => Color::DarkGrey,
    }
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

fn uptime(service: &ServiceStatus) -> Option<String> {
    Some(show_duration(Duration::from_millis(service.uptime_ms?)))
}

/// Loopback is where everything listens, so only the port is worth its place.
fn listen(addresses: &[SocketAddr]) -> String {
    if addresses.is_empty() {
        return "-".to_owned();
    }
    let show = |address: &SocketAddr| match address.ip().is_loopback() {
        true => format!(":{}", address.port()),
        false => address.to_string(),
    };
    addresses.iter().map(show).collect::<Vec<_>>().join(" ")
}

/// Why it is not online, or why it was restarted.
fn reason(service: &ServiceStatus) -> String {
    // The past of one that is well belongs into `show`, unless it came back unasked.
    let past = service.state == State::Online && service.restarts == 0;
    let text = service.reason.clone().filter(|_| !past).unwrap_or_else(|| "-".to_owned());
    match service.next_start_ms {
        Some(ms) => format!("{text}; next start in {}", show_duration(Duration::from_millis(ms))),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::ServiceName;
    use crate::wire::status::tests::status;

    fn services() -> Vec<ServiceStatus> {
        let online = ServiceStatus {
            name: ServiceName::new("webhook-button-handler").unwrap(),
            pid: Some(4711),
            uptime_ms: Some(200_000),
            memory_bytes: Some(12 << 20),
            listen: vec!["127.0.0.1:3000".parse().unwrap()],
            ..status(State::Online, 1, None)
        };
        let looping = ServiceStatus {
            reason: Some("exited with code 1".to_owned()),
            restarts: 7,
            next_start_ms: Some(12_000),
            ..status(State::CrashLoop, 8, Some(8))
        };
        vec![online, looping]
    }

    #[test]
    fn into_a_pipe_it_is_plain_and_whole() {
        let screen = Screen { width: None, colour: false };
        let text = render(&services(), screen);
        assert_eq!(
            text,
            "name                    state        pid  uptime  restarts  memory  listen  reason\n\
             webhook-button-handler  online      4711  3m 20s         0  12 MiB  :3000   -\n\
             web                     crash-loop     -       -         7       -  -       exited with code 1; \
             next start in 12 s\n"
        );
    }

    #[test]
    fn on_a_terminal_no_line_is_too_long_and_the_essential_stays() {
        for width in [40, 60, 80, 100, 132, 200] {
            let screen = Screen { width: Some(width), colour: false };
            let text = render(&services(), screen);
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            assert!(text.contains("crash-loop"), "{text}");
        }
    }

    #[test]
    fn colours_only_where_they_are_welcome() {
        let screen = |colour| Screen { width: Some(100), colour };
        assert!(render(&services(), screen(true)).contains("\x1b["));
        assert!(!render(&services(), screen(false)).contains("\x1b["));
    }
}
