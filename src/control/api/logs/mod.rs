//! The logs of a service over HTTP: for the owner and root only, as they may hold what others must not see.
//!
//! ```text
//! GET /v1/services/NAME/logs          lines, one JSON object each: the last ones, those of a time, those that match
//! GET /v1/services/NAME/logs/follow   server-sent events: what comes; Last-Event-ID goes on where another one ended
//! GET /v1/services/NAME/logs/out      the bytes of the present file, or a range of them; `error` alike
//! ```
//! Files are read in threads of their own, so that a disk that hangs stops nobody else. Each request has a place among
//! [`READERS`], a few blocks of memory, and a client that takes nothing for [`PATIENCE`] loses it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::get;
use jiff::tz::TimeZone;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Refused;
use crate::control::folder;
use crate::control::plane::Plane;
use crate::logs::files::Stream;
use crate::logs::former;
use crate::logs::render::{Label, Look, Renderer, Shape};
use crate::logs::source::Filter;
use crate::model::name::ServiceName;
use crate::wire::log_line::StreamName;
use crate::wire::status::ServiceStatus;

mod body;
mod bytes;
mod follow;
mod lines;
mod query;

use query::{Query, bad};

/// Requests for logs that are served at once.
const READERS: usize = 16;
/// A client that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request: what it asks for, and its place among the readers.
struct Wanted {
    files: Vec<(Stream, Label)>,
    /// What the service had before its streams were merged, or apart.
    former: Vec<(Stream, Label)>,
    query: Query,
    filter: Filter,
    place: OwnedSemaphorePermit,
}

/// The routes.
pub fn routes(plane: &Arc<Plane>) -> Router {
    let readers = Arc::new(Semaphore::new(READERS));
    let begin = {
        let plane = Arc::clone(plane);
        move |name: String, uri: &Uri| Wanted::of(&plane, &readers, &name, uri)
    };
    let lines = {
        let begin = begin.clone();
        get(move |Path(name): Path<String>, uri: Uri| async move { begin(name, &uri).map(lines::answer) })
    };
    let follow = {
        let (begin, plane) = (begin.clone(), Arc::clone(plane));
        get(move |Path(name): Path<String>, uri: Uri, headers: HeaderMap| async move {
            follow::answer(&plane, begin(name, &uri)?, &headers)
        })
    };
    let bytes = |stream| {
        let begin = begin.clone();
        get(move |Path(name): Path<String>, uri: Uri, headers: HeaderMap| async move {
            bytes::answer(begin(name, &uri)?, stream, &headers).await
        })
    };
    Router::new()
        .route("/v1/services/{name}/logs", lines)
        .route("/v1/services/{name}/logs/follow", follow)
        .route("/v1/services/{name}/logs/out", bytes(StreamName::Out))
        .route("/v1/services/{name}/logs/error", bytes(StreamName::Error))
}

/// The same paths where nobody may see logs.
pub fn refused() -> Router {
    let refuse = || async {
        Refused::new(StatusCode::FORBIDDEN, "logs are shown on the unix socket only")
            .hint("as the user that dogwatch runs as, or root: dogwatch logs")
    };
    Router::new()
        .route("/v1/services/{name}/logs", get(refuse))
        .route("/v1/services/{name}/logs/{part}", get(refuse))
}

impl Wanted {
    fn of(plane: &Plane, readers: &Arc<Semaphore>, name: &str, uri: &Uri) -> Result<Wanted, Refused> {
        let name = super::named(plane, name)?;
        let query = Query::of(uri)?;
        let filter = query.filter()?;
        let (files, former) = files(plane, &name, query.stream)?;
        let place = Arc::clone(readers).try_acquire_owned().map_err(|_| {
            Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{READERS} requests for logs are being served"),
            )
            .hint("try again when one of them has ended, or read the files: dogwatch logs")
        })?;
        Ok(Wanted { files, former, query, filter, place })
    }

    /// With all that was ever written.
    fn with_former(mut self) -> Wanted {
        self.files.append(&mut self.former);
        self
    }

    /// What turns lines into JSON, one object each.
    fn renderer(&self) -> Renderer {
        let labels = self.files.iter().map(|(_, label)| label.clone()).collect();
        Renderer::new(labels, Look { shape: Shape::Json, ..Look::default() }, TimeZone::UTC)
    }
}

/// A log, and what its lines look like.
type File = (Stream, Label);

/// The log files of a service, standard output first; and those of before its streams were merged, or apart.
fn files(
    plane: &Plane,
    name: &ServiceName,
    only: Option<StreamName>,
) -> Result<(Vec<File>, Vec<File>), Refused> {
    // Where the run writes its log its keeper knows; else it is where the next one will.
    let said = plane.roster.get(name).and_then(|entry| Some(entry.said?.0));
    let spec = || folder::read_spec(&plane.paths.service(name)).map(|file| file.spec);
    let spec = || spec().or_else(|| plane.book.entry(name));
    let status = said.or_else(|| Some(ServiceStatus::of_spec(&spec()?))).ok_or_else(|| {
        Refused::new(StatusCode::NOT_FOUND, format!("service {name} is not there any more"))
    })?;
    // What is merged holds lines of either.
    let is_wanted = |stream| only.is_none_or(|only| only == stream) || stream == StreamName::Merged;
    let file = |stream: StreamName, path: &PathBuf| {
        let (service, dress) = (name.to_string(), status.log_dress.clone());
        let label = || Label { service, stream, dress, prefix: String::new() };
        is_wanted(stream).then(|| Some((Stream::new(path)?, label()))).flatten()
    };
    let present: Vec<_> = status.logs().filter_map(|(stream, path)| file(stream, path)).collect();
    let former = former::of(&status);
    let former = former.iter().filter_map(|(stream, path)| file(*stream, path)).collect();
    match present.is_empty() {
        true => Err(bad("stream: those of this service are not merged").hint("ask for out, or error")),
        false => Ok((present, former)),
    }
}
