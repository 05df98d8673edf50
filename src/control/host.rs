//! The machine: load, memory, and the disk of the logs. Read when somebody asks, never otherwise.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sysinfo::MemoryRefreshKind;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::os::file;
use crate::wire::view::{Disk, Memory};

/// A disk that does not answer within this time is not waited for.
const PATIENCE: Duration = Duration::from_millis(300);
/// The thread that asks the disk needs little.
const STACK: usize = 128 * 1024;

/// Load averages over 1, 5 and 15 minutes.
pub fn load() -> Option<[f64; 3]> {
    let load = sysinfo::System::load_average().ok()?;
    Some([load.one, load.five, load.fifteen])
}

/// All memory, and what programs can still get of it.
pub fn memory() -> Option<Memory> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let memory = Memory { total: system.total_memory(), available: system.available_memory() };
    (memory.total > 0).then_some(memory)
}

/// What the disk of the logs says.
#[derive(Debug, Default)]
pub struct Logs {
    /// Its file system.
    pub disk: Option<Disk>,
    /// The size of both log files of each service, in the order in which they were asked for.
    pub sizes: Vec<Option<u64>>,
}

/// Asks the disk, which may hang: in a thread of its own, of which there is never a second one.
#[derive(Debug, Default)]
pub struct LogDisk {
    asking: Arc<AtomicBool>,
}

impl LogDisk {
    /// The file system of `folder`, and the sizes of pairs of files; all unknown if the disk does not answer in time.
    pub async fn look(&self, folder: PathBuf, files: Vec<Vec<PathBuf>>) -> Logs {
        let unknown = Logs { disk: None, sizes: vec![None; files.len()] };
        if self.asking.swap(true, Ordering::AcqRel) {
            return unknown; // the one who asked last still waits
        }
        let (tell, told) = oneshot::channel();
        let asking = Arc::clone(&self.asking);
        let ask = move || {
            let logs = Logs { disk: disk(&folder), sizes: files.iter().map(|files| size(files)).collect() };
            asking.store(false, Ordering::Release);
            drop(tell.send(logs)); // nobody waits any more, perhaps
        };
        if std::thread::Builder::new().stack_size(STACK).spawn(ask).is_err() {
            self.asking.store(false, Ordering::Release);
            return unknown;
        }
        match timeout(PATIENCE, told).await {
            Ok(Ok(logs)) => logs,
            Ok(Err(_)) | Err(_) => unknown,
        }
    }
}

/// The file system of a folder, or of the nearest one above it that there is.
fn disk(folder: &Path) -> Option<Disk> {
    let space = folder.ancestors().find_map(|folder| file::space(folder).ok())?;
    // As df: what only root may write is neither used nor free.
    let writable = space.used.saturating_add(space.free).max(1);
    let percent = (space.used as f64 / writable as f64 * 1000.0).round() / 10.0;
    Some(Disk { total: space.total, free: space.free, percent })
}

/// Both together. A file that is not there has nothing in it.
fn size(files: &[PathBuf]) -> Option<u64> {
    let one = |path: &PathBuf| match std::fs::metadata(path) {
        Ok(about) => Some(about.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
        Err(_) => None,
    };
    files.iter().map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sizes_and_space() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "12345").unwrap();
        let asked = LogDisk::default();
        let files = vec![vec![path("a"), path("none")], vec![path("a"), path("a").join("below a file")]];
        let logs = asked.look(path("logs/not/made/yet"), files).await;
        assert_eq!(logs.sizes, [Some(5), None]);
        let disk = logs.disk.unwrap();
        assert!(disk.total >= disk.free && (0.0..=100.0).contains(&disk.percent), "{disk:?}");
        assert!(load().is_some() && memory().is_some_and(|memory| memory.total > memory.available));
        asked.asking.store(true, Ordering::Release);
        assert_eq!(
            asked.look(path("logs"), vec![vec![path("a"), path("a")]]).await.sizes,
            [None],
            "a disk that hangs"
        );
    }
}
