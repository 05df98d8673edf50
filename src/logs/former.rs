//! The logs that a service had before its streams were merged, or while they were: what was written then is still there.

use std::path::PathBuf;

use super::files::Stream;
use crate::wire::archive_name;
use crate::wire::log_line::StreamName;
use crate::wire::status::ServiceStatus;

/// Those of them with anything in them, or in their archives.
pub fn of(service: &ServiceStatus) -> Vec<(StreamName, PathBuf)> {
    let Some(folder) = service.log_out.parent() else { return Vec::new() };
    let name = service.name.as_str();
    let merged = archive_name::owns_merged(name).then_some(StreamName::Merged);
    let all = [StreamName::Out, StreamName::Error].into_iter().chain(merged);
    let paths = all.map(|stream| (stream, folder.join(archive_name::log(&archive_name::stem(name, stream)))));
    let is_present = |path: &PathBuf| service.logs().any(|(_, present)| present == path);
    paths.filter(|(_, path)| !is_present(path) && has_anything(path)).collect()
}

fn has_anything(log: &std::path::Path) -> bool {
    let is_written = std::fs::symlink_metadata(log).is_ok_and(|about| about.len() > 0);
    is_written || Stream::new(log).is_some_and(|stream| stream.newest() > 0)
}
