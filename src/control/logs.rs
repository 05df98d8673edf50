//! Log files of services: what is asked of all keepers at once, and what nobody else does for one without a keeper.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::api::error::Refused;
use super::link::Link;
use super::plane::Plane;
use super::say::say;
use crate::archive;
use crate::model::name::ServiceName;
use crate::os::clock;
use crate::os::folder::{Folder, Missing};
use crate::wire::archive_name;
use crate::wire::keeper::{Op, Reply};

/// A keeper that has not opened its log files again within this time is named.
const PATIENCE: Duration = Duration::from_secs(5);

/// Has all keepers open their log files again: whatever tool sent SIGUSR2 has moved them away.
pub async fn reopen_all(plane: Arc<Plane>) {
    let mut asked = JoinSet::new();
    for name in plane.names().into_iter().filter(|name| plane.roster.is_present(name)) {
        let path = plane.paths.service(&name).keeper_sock();
        asked.spawn(async move {
            let why = match Link::connect(&path) {
                Ok(link) => match link.ask(Op::Reopen, Instant::now() + PATIENCE).await {
                    Ok(Reply::Error { message }) => Some(message),
                    Ok(_) => None,
                    Err(error) => Some(error.to_string()),
                },
                Err(error) => Some(error.to_string()),
            };
            why.map(|why| format!("{name}: its log files were not opened again: {why}"))
        });
    }
    let failed: Vec<String> = asked.join_all().await.into_iter().flatten().collect();
    failed.iter().for_each(say);
    say("log files opened again, as asked by SIGUSR2");
}

/// Archives the log files of a service that has no keeper: nobody writes into them.
///
/// # Errors
/// Why it cannot be done.
pub fn archive_logs(plane: &Plane, name: &ServiceName) -> Result<(), Refused> {
    let Some(entry) = plane.book.entry(name) else { return Ok(()) };
    let dir = &entry.log.dir;
    let now = clock::now().unix_ms;
    for stem in ["out", "error"].map(|kind| format!("{name}-{kind}")) {
        let archived = Folder::open(dir, Missing::Fail).and_then(|logs| {
            if logs.size_of(&archive_name::log(&stem)).unwrap_or(0) == 0 {
                return Ok(()); // there is nothing in it
            }
            archive::mark_flushed(&logs, &stem);
            archive::put(&logs, dir, &stem, now).map(drop)
        });
        match archived {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = dir.join(archive_name::log(&stem));
                return Err(Refused::failed(format!("cannot archive {}: {error}", path.display())));
            }
            _ => {}
        }
    }
    Ok(())
}
