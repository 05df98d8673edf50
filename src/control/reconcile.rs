//! Every service that was in the file when dogwatch began, or was asked for since, gets a keeper, in the order that
//! `after` asks for, and those that run already are adopted.
//!
//! The control plane only ever asks the warden to keep a service. The keeper finds its spec and its goal on
//! disk and does the rest alone. A keeper that exists is never held back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::folder;
use super::keeper_link::follow;
use super::plane::Plane;
use super::say::say;
use super::warden_link;
use crate::model::name::ServiceName;
use crate::model::phase::Goal;

/// What could not be done is tried again after this time, or when something changes.
const AGAIN: Duration = Duration::from_secs(1);
/// The topic of problems about it.
const TOPIC: &str = "keep";

/// Works for ever; `adopted` is told when all that can be done at the start has been done. What is `unadmitted`, all that
/// is in the file, is admitted first.
pub async fn run(plane: Arc<Plane>, adopted: Arc<Notify>, mut unadmitted: bool) {
    let mut bell = plane.roster.subscribe();
    loop {
        bell.mark_unchanged();
        if plane.is_going_down() {
            return;
        }
        let mut failed = None;
        if unadmitted {
            failed = admit_all(&plane).err();
            unadmitted = failed.is_some();
        }
        if plane.warden_pid().is_some() {
            for name in wanted(&plane) {
                if let Err(error) = see_to(&plane, &name).await {
                    failed = Some(format!("{name} has no keeper: {error}"));
                }
            }
            adopted.notify_one();
        }
        let retry = failed.is_some();
        if let Some(text) = &failed
            && plane.problem(TOPIC, failed.clone())
        {
            say(text);
        } else if !retry {
            plane.problem(TOPIC, None);
        }
        tokio::select! {
            _ = bell.changed() => {}
            () = sleep(AGAIN), if retry => {}
        }
    }
}

/// Lets everything that is in the file be started.
///
/// # Errors
/// A sentence about the first that cannot be; the others are.
pub fn admit_all(plane: &Plane) -> Result<(), String> {
    let admit = |name: ServiceName| {
        let result = folder::admit(&plane.paths.service(&name));
        result.map_err(|error| format!("{name} has no folder: {error}"))
    };
    plane.book.names().into_iter().map(admit).fold(Ok(()), Result::and)
}

/// The services of the file in the order of their start, then those that only have a folder.
fn wanted(plane: &Plane) -> Vec<ServiceName> {
    let mut names = plane.book.names();
    for name in in_folders(plane) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The services that have a folder with a spec in it.
pub fn in_folders(plane: &Plane) -> Vec<ServiceName> {
    let Ok(entries) = std::fs::read_dir(plane.paths.services()) else {
        return Vec::new();
    };
    let mut names: Vec<ServiceName> = entries
        .filter_map(|entry| ServiceName::new(entry.ok()?.file_name().to_str()?).ok())
        .filter(|name| plane.paths.service(name).spec().exists())
        .collect();
    names.sort();
    names
}

/// Takes away what dead services of before have left, so that a new warden does not take it for work: the
/// whole folder of another boot's, the old entry of one that the file describes anew.
pub fn clear_leftovers(plane: &Plane) {
    for name in in_folders(plane) {
        let paths = plane.paths.service(&name);
        if folder::keeper_lives(&paths) || folder::service_lives(&paths) {
            continue;
        }
        let removed = if !folder::of_this_boot(&paths) {
            std::fs::remove_dir_all(&paths.dir)
        } else if plane.book.mistakes().is_none() && plane.book.entry(&name).is_some() {
            std::fs::remove_file(paths.spec())
        } else {
            Ok(())
        };
        if let Err(error) = removed {
            say(format_args!("cannot clear {}: {error}", paths.dir.display()));
        }
    }
}

/// Whether a service of dogwatch, or a keeper, is alive: after a crash of everything else, for instance.
pub fn anything_lives(plane: &Plane) -> bool {
    in_folders(plane).iter().any(|name| {
        let paths = plane.paths.service(name);
        folder::keeper_lives(&paths) || folder::service_lives(&paths)
    })
}

async fn see_to(plane: &Arc<Plane>, name: &ServiceName) -> Result<(), String> {
    if plane.is_kept(name) {
        return Ok(());
    }
    let paths = plane.paths.service(name);
    let alive = folder::keeper_lives(&paths) || folder::service_lives(&paths);
    match plane.book.entry(name) {
        // What runs keeps the entry it runs with.
        _ if alive => {}
        Some(_) if !folder::is_admitted(&paths) => return Ok(()),
        Some(spec) => {
            let goal = folder::read_goal(&paths);
            if goal == Goal::Up && plane.blocker(&spec).is_some() {
                return Ok(());
            }
            folder::write_spec(&paths, &folder::as_written(spec))?;
        }
        // Not in the file and not alive: it goes on if it ran in this boot, else it is a leftover.
        None if folder::of_this_boot(&paths) => {}
        None => return Ok(()),
    }
    keep(plane, name).await
}

/// Asks the warden to keep a service whose spec is in its folder, and follows it.
///
/// # Errors
/// A sentence.
pub async fn keep(plane: &Arc<Plane>, name: &ServiceName) -> Result<(), String> {
    warden_link::keep(plane, name).await?;
    follow(plane, name);
    Ok(())
}
