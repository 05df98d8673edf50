//! `GET /api/database`: how large the events database is, and how much it grew.

use std::fs;
use std::path::{Path, PathBuf};

use axum::response::Response;
use events::queries::{self, Extent};
use serde_json::json;
use service_common::clock;

use super::{bytes, cached};
use crate::answer::Refusal;
use crate::cache::Key;
use crate::service::Service;

pub(crate) async fn answer(service: &Service) -> Result<Response, Refusal> {
    let path = service.config.database.clone();
    let make = async {
        let found = service
            .pool
            .ask(move |db| Ok((queries::extent(db)?, size(&path), size(&beside(&path, "-wal")))))
            .await;
        let (extent, file, wal) =
            found.map_err(|trouble| Refusal::Failed("Failed to measure the events database", trouble))?;
        Ok(bytes(&body(&extent, file, wal)))
    };
    service.cache.get(Key::Database, make).await.map(cached)
}

fn body(extent: &Extent, file: Option<u64>, wal: Option<u64>) -> serde_json::Value {
    json!({
        "success": true,
        "data": {
            "file_bytes": file,
            "wal_bytes": wal,
            "events": extent.events,
            "events_last_7_days": extent.last_week,
            "oldest_event": extent.oldest,
            "newest_event": extent.newest,
        },
        "timestamp": clock::now_iso(),
    })
}

/// None: not there, or not to be looked at.
fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.len())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
