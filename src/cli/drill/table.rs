//! The report as text: a line for each fault, and below it what happened.

use std::time::Duration;

use super::fault::Fault;
use crate::cli::screen::{Colour, Screen};
use crate::model::units::show_duration;
use crate::wire::drill::{Report, Row, Verdict};

/// A column: its head, what it shows, and whether numbers stand in it.
struct Column {
    head: &'static str,
    show: fn(&Row) -> String,
    numbers: bool,
}

/// In the order of the table; the last is painted.
const COLUMNS: [Column; 10] = [
    Column { head: "fault", show: |row| row.fault.clone(), numbers: false },
    Column { head: "requests", show: |row| row.requests.to_string(), numbers: true },
    Column { head: "failed", show: |row| row.failed.to_string(), numbers: true },
    Column { head: "p50", show: |row| latency(row.p50_ms), numbers: true },
    Column { head: "p99", show: |row| latency(row.p99_ms), numbers: true },
    Column { head: "max", show: |row| latency(row.max_ms), numbers: true },
    Column { head: "ratio", show: ratio, numbers: true },
    Column { head: "lines lost", show: lines_lost, numbers: true },
    Column { head: "recovery", show: recovery, numbers: true },
    Column { head: "verdict", show: |row| verdict(row.verdict).to_owned(), numbers: false },
];
/// Left out where there is no room, in this order.
const LEAVE: [usize; 5] = [6, 5, 3, 4, 1];
/// What is to be known of times that were measured without root's rights.
pub const OWN_WAITS: &str =
    "Times include waits of drill itself for a processor: it goes first only as root.";
/// Between two columns.
const GAP: &str = "  ";

/// The table, and the sentence that it comes to.
pub fn render(report: &Report, screen: Screen) -> String {
    let cells: Vec<Vec<String>> =
        report.rows.iter().map(|row| COLUMNS.iter().map(|column| (column.show)(row)).collect()).collect();
    let widths: Vec<usize> = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, column)| {
            cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0).max(column.head.len())
        })
        .collect();
    let shown = fit(&widths, screen.width);
    let heads: Vec<String> = COLUMNS.iter().map(|column| column.head.to_owned()).collect();
    let mut text = screen.paint(Colour::Grey, &line(&heads, &widths, &shown)) + "\n";
    for (row, cells) in report.rows.iter().zip(&cells) {
        let line = line(cells, &widths, &shown);
        let word = verdict(row.verdict);
        let before = line.strip_suffix(word).unwrap_or(&line);
        text += before;
        text += &screen.paint(colour(row.verdict), word);
        text.push('\n');
        for sentence in &row.sentences {
            let shade = if row.verdict == Verdict::Broken { Colour::Red } else { Colour::Grey };
            text += &format!("  {}\n", screen.paint(shade, sentence));
        }
    }
    if !report.asked_first {
        text += &format!("{}\n", screen.paint(Colour::Grey, OWN_WAITS));
    }
    text + &summary(report) + "\n"
}

/// One sentence: kept or broken, and by what.
pub fn summary(report: &Report) -> String {
    let requests: u64 = report.rows.iter().map(|row| row.requests).sum();
    let of = |verdict: Verdict| {
        let rows = report.rows.iter().filter(|row| row.verdict == verdict);
        rows.map(|row| row.fault.as_str()).collect::<Vec<_>>()
    };
    let (broken, not_shown) = (of(Verdict::Broken), of(Verdict::NotShown));
    let mut text = match broken.as_slice() {
        [] if report.kept => format!("The promise was kept: all of {requests} requests were answered."),
        [] => "Nothing was shown.".to_owned(),
        [first, ..] if *first == Fault::None.name() => {
            "The service was not well before any fault: none was done.".to_owned()
        }
        broken => format!("The promise was broken: {}.", broken.join(", ")),
    };
    if !not_shown.is_empty() {
        text += &format!(" Not shown: {}.", not_shown.join(", "));
    }
    text
}

fn line(cells: &[String], widths: &[usize], shown: &[usize]) -> String {
    let padded: Vec<String> = shown
        .iter()
        .map(|at| match (COLUMNS[*at].numbers, widths[*at]) {
            (true, width) => format!("{:>width$}", cells[*at]),
            (false, width) => format!("{:<width$}", cells[*at]),
        })
        .collect();
    padded.join(GAP).trim_end().to_owned()
}

/// The columns that there is room for.
fn fit(widths: &[usize], room: Option<usize>) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..COLUMNS.len()).collect();
    let wide = |shown: &[usize]| {
        shown.iter().map(|at| widths[*at]).sum::<usize>() + GAP.len() * shown.len().saturating_sub(1)
    };
    for leave in LEAVE {
        if room.is_none_or(|room| wide(&shown) <= room) {
            break;
        }
        shown.retain(|at| *at != leave);
    }
    shown
}

/// A time as it stands in a table: `0.4 ms`, `12 ms`, `1.5 s`.
pub fn latency(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 9.95 => format!("{ms:.1} ms"),
        Some(ms) if ms < 999.5 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1000.0),
    }
}

/// What stands in the column of ratios: how many times the p99 before any fault.
pub fn ratio(row: &Row) -> String {
    row.p99_ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1}x"))
}

/// What stands in the column of lines.
pub fn lines_lost(row: &Row) -> String {
    match row.lines {
        None => "-".to_owned(),
        Some(lines) if lines.is_clean() => "0".to_owned(),
        Some(lines) => {
            let others = [(lines.doubled, "doubled"), (lines.torn, "torn")];
            let others = others.iter().filter(|(count, _)| *count > 0);
            let others: String = others.map(|(count, word)| format!(", {count} {word}")).collect();
            format!("{}{others}", lines.lost)
        }
    }
}

/// What stands in the column of recovery.
pub fn recovery(row: &Row) -> String {
    match (row.recovery_ms, row.let_go_after_ms) {
        (Some(ms), _) => latency(Some(ms)),
        (None, Some(ms)) => format!("not within {}", show_duration(Duration::from_millis(ms as u64))),
        (None, None) => "-".to_owned(),
    }
}

/// The word for a verdict.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Kept => "kept",
        Verdict::Broken => "BROKEN",
        Verdict::NotShown => "not shown",
    }
}

fn colour(verdict: Verdict) -> Colour {
    match verdict {
        Verdict::Kept => Colour::Green,
        Verdict::Broken => Colour::Red,
        Verdict::NotShown => Colour::Yellow,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::name::ServiceName;
    use crate::wire::drill::Lines;

    /// A report with one row of each kind.
    pub fn report() -> Report {
        let row = |fault: &str, verdict| Row {
            fault: fault.to_owned(),
            what: format!("what {fault} is"),
            at_ms: 1000.0,
            lasted_ms: 5000.0,
            requests: 250,
            failed: 0,
            p50_ms: Some(0.42),
            p99_ms: Some(3.12),
            p99_ratio: Some(1.25),
            max_ms: Some(12.3),
            lines: Some(Lines { found: 1000, ..Lines::default() }),
            recovery_ms: None,
            let_go_after_ms: None,
            verdict,
            sentences: Vec::new(),
        };
        let stopped = Row {
            let_go_after_ms: Some(75_000.0),
            sentences: vec!["nobody took its place".to_owned()],
            ..row("stop-warden", Verdict::Broken)
        };
        let broken = Row {
            failed: 3,
            lines: Some(Lines { found: 990, lost: 7, doubled: 0, torn: 1 }),
            sentences: vec!["3 of 250 requests failed: 3 refused".to_owned()],
            ..row("flood", Verdict::Broken)
        };
        let not_shown = Row {
            lines: None,
            sentences: vec!["not shown: a small file system needs root <&>".to_owned()],
            ..row("full-logs", Verdict::NotShown)
        };
        Report {
            v: 1,
            version: "0.1.0".to_owned(),
            began_unix_ms: 1_795_374_300_123,
            scratch: true,
            service: Some(ServiceName::new("web").unwrap()),
            url: "http://127.0.0.1:3000/health".to_owned(),
            requests_per_second: 50,
            timeout_ms: 5000,
            asked_first: true,
            kept: false,
            rows: vec![
                Row { recovery_ms: Some(14.2), ..row("kill-warden", Verdict::Kept) },
                stopped,
                broken,
                not_shown,
            ],
        }
    }

    #[test]
    fn a_table_with_sentences() {
        let text = render(&report(), Screen { width: None, colour: false });
        assert_eq!(
            text,
            "fault        requests  failed     p50     p99    max  ratio  lines lost           recovery  verdict
kill-warden       250       0  0.4 ms  3.1 ms  12 ms   1.2x           0              14 ms  kept
stop-warden       250       0  0.4 ms  3.1 ms  12 ms   1.2x           0  not within 1m 15s  BROKEN
  nobody took its place
flood             250       3  0.4 ms  3.1 ms  12 ms   1.2x   7, 1 torn                  -  BROKEN
  3 of 250 requests failed: 3 refused
full-logs         250       0  0.4 ms  3.1 ms  12 ms   1.2x           -                  -  not shown
  not shown: a small file system needs root <&>
The promise was broken: stop-warden, flood. Not shown: full-logs.
"
        );
    }

    #[test]
    fn fits_a_narrow_terminal_and_keeps_what_counts() {
        for width in [80, 100, 120] {
            let text = render(&report(), Screen { width: Some(width), colour: false });
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            assert!(text.contains("failed") && text.contains("verdict"), "{text}");
        }
    }
}
