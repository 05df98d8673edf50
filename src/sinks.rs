//! How the sinks of a service are: told by whoever forwards, read by everybody who shows a service.

use std::time::UNIX_EPOCH;

use crate::model::name::ServiceName;
use crate::model::sink::Target;
use crate::os::lock;
use crate::paths::Paths;
use crate::wire::sinks::{Counts, Plan, SinkState, SinkStatus, Waiting};
use crate::wire::status::ServiceStatus;

/// Every sink that gets lines of this service.
pub fn of(paths: &Paths, service: &ServiceName) -> Vec<SinkStatus> {
    let Ok(bytes) = std::fs::read(paths.forward_plan()) else { return Vec::new() };
    let routes = Plan::decode(&bytes).routes.into_iter();
    let own = routes.filter(|route| route.services.iter().any(|followed| followed.name == *service));
    own.map(|route| {
        let sink = paths.sink(&route.sink.name);
        let state = std::fs::read(&sink.state).ok().and_then(|bytes| SinkState::decode(&bytes));
        let status = state.and_then(|state| state.of(service)).unwrap_or_else(|| SinkStatus {
            name: route.sink.name.clone(),
            kind: route.sink.to.kind().to_owned(),
            waiting: None,
            behind_bytes: 0,
            counts: Counts::default(),
        });
        if lock::named(&sink.lock).is_some() {
            return status;
        }
        let why = match route.sink.to {
            Target::Stdout { .. } => "no `dogwatch up` runs in the foreground",
            Target::Journald { .. } | Target::Syslog { .. } => "nobody forwards lines at this moment",
        };
        let told = std::fs::metadata(&sink.state).and_then(|about| about.modified()).ok();
        let told = told.and_then(|told| told.duration_since(UNIX_EPOCH).ok());
        let since_unix_ms = told.map_or(0, |told| told.as_millis() as u64);
        SinkStatus { waiting: Some(Waiting { why: why.to_owned(), since_unix_ms }), ..status }
    })
    .collect()
}

/// Adds it to what the keeper says of the service.
#[must_use]
pub fn told(paths: &Paths, status: ServiceStatus) -> ServiceStatus {
    ServiceStatus { sinks: of(paths, &status.name), ..status }
}
