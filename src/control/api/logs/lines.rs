//! Lines that were written.

use std::io;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::Wanted;
use super::body::{Gone, of_pieces};
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
        let sources = files.into_iter().map(|(stream, _)| Source::new(stream, filter.clone(), start));
        let sources = match sources.collect::<io::Result<Vec<Source>>>() {
            Ok(sources) => sources,
            Err(error) => {
                let _ = pieces.send_now(trouble(&error)); // who has gone misses nothing
                return;
            }
        };
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
        let mut troubles = Vec::new();
        let told = reading.history(0..streams, true, give, |error| {
            troubles = trouble(&error);
            Gone
        });
        if told.is_ok() || !troubles.is_empty() {
            out.append(&mut troubles);
            let _ = pieces.send_now(out); // as above
        }
    };
    tokio::task::spawn_blocking(work);
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// The head of the answer is on its way: what cannot be read is told as an object of its own.
fn trouble(error: &io::Error) -> Vec<u8> {
    let refusal = Refusal { error: error.to_string(), hint: None };
    let mut bytes = serde_json::to_vec(&refusal).expect("it has only strings");
    bytes.push(b'\n');
    bytes
}
