//! Lines that were written.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::Wanted;
use super::body::of_pieces;
use crate::logs::reading::{Event, Reading};
use crate::logs::source::{Source, Start};
use crate::wire::api::Refusal;

/// Lines of each stream, unless somebody wants another number.
const LINES: u64 = 100;
/// Sent at a time, bytes.
const BATCH: usize = 16 * 1024;

/// The lines, one JSON object each, in the order of time.
pub fn answer(wanted: Wanted) -> Response {
    let all = wanted.filter.since.is_some() || wanted.filter.until.is_some();
    let start = match wanted.query.lines {
        Some(count) => Start::Last(count),
        None if all || wanted.filter.pattern.is_some() => Start::Oldest,
        None => Start::Last(LINES),
    };
    let wanted = wanted.with_former();
    let mut renderer = wanted.renderer();
    let Wanted { files, filter, place, .. } = wanted;
    let (pieces, body) = of_pieces(place);
    let work = move || {
        let source = |(stream, _)| Source::new_or_later(stream, filter.clone(), start);
        let sources: Vec<Source> = files.into_iter().map(source).collect();
        let mut reading = Reading::new(sources);
        let streams = reading.sources().len();
        let mut out = Vec::new();
        let give = |event: Event<'_>| {
            if let Event::Line(source, line) = event {
                renderer.line(source, line, &mut out);
            }
            match out.len() >= BATCH {
                true => pieces.send_now(std::mem::take(&mut out)),
                false if matches!(event, Event::Progress(_)) => pieces.still_wanted(),
                false => Ok(()),
            }
        };
        if reading.history(0..streams, true, give).is_ok() {
            out.extend(reading.troubles().into_iter().flat_map(trouble));
            let _ = pieces.send_now(out); // who has gone misses nothing
        }
    };
    tokio::task::spawn_blocking(work);
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// The head of the answer is on its way: what cannot be read is told as an object of its own.
fn trouble(error: String) -> Vec<u8> {
    let refusal = Refusal { error, hint: None };
    let mut bytes = serde_json::to_vec(&refusal).expect("it has only strings");
    bytes.push(b'\n');
    bytes
}
