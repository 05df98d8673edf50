//! The report as one file of HTML that needs no other: the table, and a picture of every answer.

use std::fmt::Write;

use super::fault::Fault;
use super::sample::Sample;
use super::table::{OWN_WAITS, latency, lines_lost, ratio, recovery, summary, verdict};
use crate::model::calendar::utc_stamps;
use crate::wire::drill::{Report, Verdict};

/// The picture's size, in its own units.
const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 420.0;
/// Room for the names of the faults above, the axis on the left, and seconds below.
const TOP: f64 = 110.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 28.0;
const RIGHT: f64 = 16.0;
/// Where the scale of answers begins, which is logarithmic, and where it can end, milliseconds.
const FASTEST: f64 = 0.1;
const ENDS: [f64; 3] = [100.0, 1000.0, 10_000.0];
/// At most so many marks on the axis of time.
const MARKS: f64 = 12.0;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --soft: #60646c; --line: #d9d9e0;
  --good: #218358; --bad: #ce2c31; --open: #ab6400; --dot: #0d74ce; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --paper: #111113; --soft: #b0b4ba; --line: #363a3f;
  --good: #3dd68c; --bad: #ff9592; --open: #ffca16; --dot: #70b8ff; } }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; } p { margin: .25rem 0; } .soft { color: var(--soft); }
.kept { color: var(--good); } .broken { color: var(--bad); } .not-shown { color: var(--open); }
.result { font-size: 1.1rem; font-weight: 600; margin: 1rem 0; }
figure { margin: 1.5rem 0; } svg { width: 100%; min-width: 48rem; height: auto; display: block; } figcaption { color: var(--soft); }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; } .grid { stroke: var(--line); }
.mark { stroke: var(--open); stroke-dasharray: 4 3; } .dots { stroke: var(--dot); stroke-width: 3;
  stroke-linecap: round; fill: none; opacity: .7; } .misses { stroke: var(--bad); stroke-width: 2; opacity: .6; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child { min-width: 11rem; } th { color: var(--soft); font-weight: 500; } .number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; } td p { margin: 0; font-size: 13px; }
";

/// The whole file.
pub fn render(report: &Report, samples: &[Sample]) -> String {
    let result = match (report.kept, report.rows.iter().any(|row| row.verdict == Verdict::Broken)) {
        (true, _) => "kept",
        (false, true) => "broken",
        (false, false) => "not-shown",
    };
    let (_, stamp) = utc_stamps(report.began_unix_ms);
    let service = report.service.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let place = if report.scratch { "on a scratch copy" } else { "on a live system" };
    let about = format!(
        "{}, dogwatch {}, {place}: {}{service}, asked {} times a second on new connections",
        day(&stamp),
        report.version,
        report.url,
        report.requests_per_second
    );
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>dogwatch drill</title>\n<style>{STYLE}</style>\n<h1>dogwatch drill</h1>\n\
         <p class=\"soft\">{}</p>\n<p class=\"result {result}\">{}</p>\n{}{}</html>\n",
        escape(&about),
        escape(&summary(report)),
        picture(report, samples),
        table(report)
    )
}

/// `20261122T184500.123Z` as a person reads it.
fn day(stamp: &str) -> String {
    let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or_default();
    format!("{}-{}-{} {}:{} UTC", part(0, 4), part(4, 6), part(6, 8), part(9, 11), part(11, 13))
}

fn table(report: &Report) -> String {
    let mut text = String::from(
        "<div class=\"wide\"><table>\n<tr><th>fault<th class=\"number\">requests<th class=\"number\">failed\
         <th class=\"number\">p50<th class=\"number\">p99<th class=\"number\">max<th class=\"number\">ratio\
         <th class=\"number\">lines lost<th class=\"number\">recovery<th>verdict</tr>\n",
    );
    for row in &report.rows {
        let class = match row.verdict {
            Verdict::Kept => "kept",
            Verdict::Broken => "broken",
            Verdict::NotShown => "not-shown",
        };
        let shade = if row.verdict == Verdict::Kept { "" } else { class };
        let sentences: String = row
            .sentences
            .iter()
            .map(|sentence| format!("<p class=\"{shade}\">{}</p>", escape(sentence)))
            .collect();
        let numbers = [
            row.requests.to_string(),
            row.failed.to_string(),
            latency(row.p50_ms),
            latency(row.p99_ms),
            latency(row.max_ms),
            ratio(row),
            lines_lost(row),
            recovery(row),
        ];
        let numbers: String =
            numbers.iter().map(|number| format!("<td class=\"number\">{}", escape(number))).collect();
        let (fault, what) = (escape(&row.fault), escape(&row.what));
        let word = verdict(row.verdict);
        // A String takes whatever is written into it.
        let _ = writeln!(
            text,
            "<tr><td><strong>{fault}</strong><p class=\"soft\">{what}</p>{sentences}{numbers}\
             <td class=\"{class}\">{word}</tr>"
        );
    }
    text + "</table></div>\n"
}

/// Every answer as a dot, every failure as a line from top to bottom, every fault where it was done.
fn picture(report: &Report, samples: &[Sample]) -> String {
    let ends = report.rows.iter().map(|row| row.at_ms + row.lasted_ms);
    let last = samples.iter().map(|sample| sample.at.as_secs_f64() * 1000.0).chain(ends).fold(1.0, f64::max);
    let x = |ms: f64| LEFT + (WIDTH - LEFT - RIGHT) * (ms / last).clamp(0.0, 1.0);
    let slowest = slowest(report);
    let y = |ms: f64| {
        let share = (ms.clamp(FASTEST, slowest) / FASTEST).log10() / (slowest / FASTEST).log10();
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share
    };
    let (floor, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let mut text = format!(
        "<figure>\n<div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Time of each answer\">\n"
    );
    let mut add = |piece: String| {
        text += &piece;
        text.push('\n');
    };
    for ms in [0.1, 1.0, 10.0].into_iter().chain(ENDS).filter(|ms| *ms <= slowest) {
        let at = y(ms);
        let label = if ms < 1000.0 { format!("{ms} ms") } else { format!("{} s", ms / 1000.0) };
        add(format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            at + 4.0
        ));
    }
    let step = seconds_between_marks(last / 1000.0);
    let mut mark = 0.0;
    while mark * 1000.0 <= last {
        add(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{mark} s</text>",
            x(mark * 1000.0),
            HEIGHT - 8.0
        ));
        mark += step;
    }
    for row in report.rows.iter().filter(|row| row.fault != Fault::None.name()) {
        let at = x(row.at_ms);
        add(format!(
            "<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{floor}\"/>\
             <text transform=\"translate({:.1} {:.1}) rotate(-40)\">{}</text>",
            at + 2.0,
            TOP - 6.0,
            escape(&row.fault)
        ));
    }
    let (mut dots, mut misses) = (String::new(), String::new());
    for sample in samples {
        let at = x(sample.at.as_secs_f64() * 1000.0);
        let _ = match sample.miss {
            None => write!(dots, "M{at:.1} {:.1}h0", y(sample.took.as_secs_f64() * 1000.0)),
            Some(_) => write!(misses, "M{at:.1} {TOP}V{floor}"),
        };
    }
    add(format!("<path class=\"misses\" d=\"{misses}\"/><path class=\"dots\" d=\"{dots}\"/>"));
    let own_waits = if report.asked_first { "" } else { OWN_WAITS };
    text + "</svg></div>\n<figcaption>Each dot is an answer, by the time of its request; each red line a request that \
            failed. Dashed: a fault is done. "
        + own_waits
        + "</figcaption>\n</figure>\n"
}

/// Where the scale ends: no answer is above it.
fn slowest(report: &Report) -> f64 {
    let max = report.rows.iter().filter_map(|row| row.max_ms).fold(0.0, f64::max);
    ENDS.into_iter().find(|end| max <= *end).unwrap_or(ENDS[ENDS.len() - 1])
}

/// 1, 2 or 5 times a power of ten.
fn seconds_between_marks(seconds: f64) -> f64 {
    let mut step = 1.0;
    for factor in [2.0, 2.5, 2.0].into_iter().cycle() {
        if seconds / step <= MARKS {
            break;
        }
        step *= factor;
    }
    step
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::drill::sample::Miss;
    use crate::cli::drill::table::tests::report;
    use std::time::Duration;

    #[test]
    fn one_file_that_needs_no_other() {
        let sample = |at, took, miss| Sample {
            at: Duration::from_millis(at),
            took: Duration::from_micros(took),
            miss,
        };
        let samples = [sample(0, 400, None), sample(20, 5_000_000, Some(Miss::TimedOut))];
        let html = render(&report(), &samples);
        for reference in ["src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!html.contains(reference), "{reference}");
        }
        assert_eq!(html.matches("http").count(), 1, "the address that was asked, as text");
        assert!(html.contains("needs root &lt;&amp;&gt;") && !html.contains("NaN"), "{html}");
        assert!(html.contains("2026-11-22 19:05 UTC"), "{html}");
    }

    #[test]
    fn marks_are_neither_many_nor_few() {
        for (seconds, step) in [(3.0, 1.0), (14.0, 2.0), (70.0, 10.0), (130.0, 20.0), (600.0, 50.0)] {
            assert_eq!(seconds_between_marks(seconds), step, "{seconds}");
        }
    }
}
