//! What the operator wants of a service, on disk: read and written in one way by the keeper and, where there is
//! no keeper, by the control plane under the keeper's lock.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::model::phase::Goal;
use crate::os::file;
use crate::wire::goal::{self, SLOT};

/// The goal in the file at `path`; up, if nobody ever said anything.
pub fn read(path: &Path) -> Goal {
    goal::decode(&fs::read(path).unwrap_or_default()).map_or(Goal::Up, |(_, goal)| goal)
}

/// Writes the goal over the older of the two slots, so that a torn write leaves the last one readable, and
/// flushes it to the disk.
///
/// # Errors
/// Those of pwrite(2), fdatasync(2) and fsync(2).
pub fn write(path: &Path, goal: Goal) -> io::Result<()> {
    let seq = goal::decode(&fs::read(path).unwrap_or_default()).map_or(0, |(seq, _)| seq) + 1;
    let is_new = !path.exists();
    let file = file::open_preallocated(path, 2 * SLOT)?;
    file.write_all_at(&goal::encode(seq, goal), seq % 2 * SLOT as u64)?;
    file.sync_data()?;
    // The name of a new file is in its folder, which is flushed separately (fsync(2)).
    match path.parent().filter(|_| is_new) {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
