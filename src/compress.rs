//! `dogwatch compress FILE`: the helper that turns an archive into a `.gz`, when nobody else wants the
//! processor or the disk.

use std::fs::TryLockError;
use std::io::{self, BufReader};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::archive;
use crate::model::ladder::HELPERS_OOM_SCORE;
use crate::os::folder::Missing;
use crate::os::{fault, own, priority};
use crate::{exit_code, own_log};

/// Compresses `path` to `path.gz` and removes it. Whenever this is killed, either the file or the finished
/// `.gz` is there. Returns the exit code.
pub fn run(path: &Path) -> u8 {
    priority::become_background_helper();
    own::set_oom_score(HELPERS_OOM_SCORE);
    match compress(path) {
        Ok(()) => exit_code::OK,
        Err(error) => {
            own_log::line("compress", &format!("cannot compress {}: {error}", path.display()));
            exit_code::FAILED
        }
    }
}

fn compress(path: &Path) -> io::Result<()> {
    let (folder, name) = archive::folder_of(path)?;
    let target = format!("{name}.gz");
    let half = archive::half_made(&target);
    let (source, _) = folder.open_file(&name, Missing::Fail)?;
    // The helper of a keeper that has just died may still be at it: two would write into one file, and one of them take it
    // for whole.
    if matches!(source.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(());
    }
    let mut encoder = GzEncoder::new(folder.make_file(&half)?, Compression::default());
    let copied = io::copy(&mut BufReader::with_capacity(64 * 1024, &source), &mut encoder);
    fault::point("a half compressed file");
    // On the disk before the original goes, so that a power cut loses neither.
    if let Err(error) = copied.and_then(|_| encoder.finish()?.sync_all()) {
        let _ = folder.remove(&half); // a full disk has better use for it
        return Err(error);
    }
    fault::point("before the rename of a compressed file");
    folder.rename(&half, &target)?;
    folder.sync()?;
    fault::point("before the original goes");
    folder.remove(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::Read;
    use std::path::PathBuf;

    /// Where an archive may stand, and its folder.
    fn place(dir: &tempfile::TempDir) -> (PathBuf, PathBuf) {
        let folder = dir.path().join("archive/2026-01");
        fs::create_dir_all(&folder).unwrap();
        (folder.join("web-out.20260101T000000.000Z.log"), folder)
    }

    #[test]
    fn the_content_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, folder) = place(&dir);
        let text = "a line\n".repeat(100_000);
        fs::write(&path, &text).unwrap();
        compress(&path).unwrap();
        let mut unpacked = String::new();
        let packed = File::open(path.with_extension("log.gz")).unwrap();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked == text && !path.exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn what_another_helper_is_at_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, folder) = place(&dir);
        fs::write(&path, "a line\n").unwrap();
        let other = File::open(&path).unwrap();
        other.try_lock().unwrap();
        compress(&path).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        drop(other);
        compress(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_link_is_neither_read_nor_written() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = place(&dir);
        let victim = dir.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        compress(&path).unwrap_err();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "lines").unwrap();
        std::os::unix::fs::symlink(&victim, path.with_extension("log.gz.new")).unwrap();
        compress(&path).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert!(path.with_extension("log.gz").symlink_metadata().unwrap().is_file());
    }
}
