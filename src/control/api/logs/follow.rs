//! Lines that come, as server-sent events. The id of an event says where each stream goes on behind it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, sleep};

use super::body::{Gone, Pieces, of_pieces};
use super::{Refused, Wanted, bad};
use crate::control::plane::Plane;
use crate::logs::cursor::{Cursor, Place};
use crate::logs::files::Stream;
use crate::logs::reading::Reading;
use crate::logs::render::Renderer;
use crate::logs::source::{Filter, Source, Start};
use crate::wire::api::Refusal;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often the files are looked at.
const EVERY: Duration = Duration::from_millis(100);
/// The same while lines wait that may be overtaken by older ones.
const SOON: Duration = Duration::from_millis(20);
/// So often something is sent, for whoever is on the way.
const ALIVE: Duration = Duration::from_secs(15);

/// What comes, after the last lines that were asked for, or after the event that the client saw last.
///
/// # Errors
/// `until`, or an id that is none of ours.
pub fn answer(plane: &Arc<Plane>, wanted: Wanted, headers: &HeaderMap) -> Result<Response, Refused> {
    if wanted.query.until.is_some() {
        return Err(bad("until: what comes has no end").hint("ask for lines: GET /v1/services/NAME/logs"));
    }
    let id = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default());
    let places = id
        .map(|id| {
            parse_id(id, wanted.files.len()).ok_or_else(|| {
                bad(format!("Last-Event-ID: {id:?} is not an id of an event of these streams"))
            })
        })
        .transpose()?;
    let start = match wanted.query.lines {
        Some(count) => Start::Last(count),
        None if wanted.filter.since.is_some() => Start::Oldest,
        None => Start::Last(0),
    };
    let renderer = wanted.renderer();
    let Wanted { files, filter, place, .. } = wanted;
    let (pieces, body) = of_pieces(place);
    let streams: Vec<Stream> = files.into_iter().map(|(stream, _)| stream).collect();
    let mut ending = plane.ending();
    tokio::spawn(async move {
        let following = follow(streams, filter, start, places, renderer, &pieces);
        tokio::select! {
            // The client has gone, or a file cannot be read: it comes back, and asks for what it has not seen.
            _ = following => {}
            () = pieces.gone() => {}
            _ = ending.wait_for(Option::is_some) => {}
        }
    });
    let head = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((head, body).into_response())
}

async fn follow(
    streams: Vec<Stream>,
    filter: Filter,
    start: Start,
    places: Option<Vec<Place>>,
    mut renderer: Renderer,
    pieces: &Pieces,
) -> Result<(), Gone> {
    pieces.send(b"retry: 1000\n\n".to_vec()).await?;
    let mut reading = match in_thread(move || begin(streams, &filter, start, places)).await? {
        Ok(reading) => reading,
        Err(error) => return pieces.send(trouble(error.to_string())).await,
    };
    let mut sent = Instant::now();
    loop {
        let (out, more);
        (reading, renderer, out, more) = in_thread(move || look(reading, renderer)).await?;
        if !out.is_empty() {
            pieces.send(out).await?;
            sent = Instant::now();
        } else if sent.elapsed() >= ALIVE {
            pieces.send(b":\n\n".to_vec()).await?;
            sent = Instant::now();
        }
        if !more {
            sleep(if reading.is_waiting() { SOON } else { EVERY }).await;
        }
    }
}

/// A thread that may wait for the disk.
async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Gone> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Gone)
}

fn begin(
    streams: Vec<Stream>,
    filter: &Filter,
    start: Start,
    places: Option<Vec<Place>>,
) -> io::Result<Reading> {
    let source = |(number, stream): (usize, Stream)| match &places {
        None => Source::new(stream, filter.clone(), start),
        Some(places) => Ok(Source::of(Cursor::at(stream, places[number])?, filter.clone())),
    };
    let sources: io::Result<Vec<Source>> = streams.into_iter().enumerate().map(source).collect();
    let mut reading = Reading::new(sources?);
    reading.go_on();
    Ok(reading)
}

/// One look at the files: events, and whether there is more to be had at once.
fn look(mut reading: Reading, mut renderer: Renderer) -> (Reading, Renderer, Vec<u8>, bool) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut places = reading.given();
    let mut out = Vec::new();
    let more = reading.look(u64::try_from(now).unwrap_or(u64::MAX), |source, line| {
        places[source] = line.end;
        let id: Vec<String> = places.iter().map(Place::to_string).collect();
        out.extend_from_slice(format!("id: {}\ndata: ", id.join("_")).as_bytes());
        renderer.line(source, line, &mut out);
        out.push(b'\n');
        Ok::<_, std::convert::Infallible>(())
    });
    let Ok(more) = more;
    reading.troubles().into_iter().for_each(|why| out.extend(trouble(why)));
    (reading, renderer, out, more)
}

/// What cannot be read is an event of its own, without an id.
fn trouble(error: String) -> Vec<u8> {
    let data = serde_json::to_string(&Refusal { error, hint: None }).expect("it has only strings");
    format!("event: trouble\ndata: {data}\n\n").into_bytes()
}

fn parse_id(id: &str, streams: usize) -> Option<Vec<Place>> {
    let places: Option<Vec<Place>> = id.split('_').map(|place| place.parse().ok()).collect();
    places.filter(|places| places.len() == streams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_an_event() {
        let text = String::from_utf8(trouble("cannot read web-out.log".to_owned())).unwrap();
        assert_eq!(text, "event: trouble\ndata: {\"error\":\"cannot read web-out.log\"}\n\n");
    }

    #[test]
    fn ids() {
        let places = vec![Place { after: 1, inode: 2, offset: 3 }, Place::default()];
        assert_eq!(parse_id("1.2.3_0.0.0", 2), Some(places));
        for wrong in ["", "1.2.3", "1.2.3_", "1.2.3_0.0.0_0.0.0", "x"] {
            assert_eq!(parse_id(wrong, 2), None, "{wrong}");
        }
    }
}
