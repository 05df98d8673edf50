//! `dogwatch compress FILE`: the helper that turns an archive into a `.gz`, when nobody else wants the
//! processor or the disk.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::os::priority;
use crate::{exit_code, own_log};

/// Compresses `path` to `path.gz` and removes it. Whenever this is killed, either the file or the finished
/// `.gz` is there. Returns the exit code.
pub fn run(path: &Path) -> u8 {
    priority::become_background_helper();
    match compress(path) {
        Ok(()) => exit_code::OK,
        Err(error) => {
            own_log::line("compress", &format!("cannot compress {}: {error}", path.display()));
            exit_code::FAILED
        }
    }
}

fn compress(path: &Path) -> io::Result<()> {
    let target = path.with_extension("log.gz");
    let half = path.with_extension("log.gz.new");
    let source = File::open(path)?;
    let mut encoder = GzEncoder::new(File::create(&half)?, Compression::default());
    io::copy(&mut BufReader::with_capacity(64 * 1024, source), &mut encoder)?;
    // On the disk before the original goes, so that a power cut loses neither.
    encoder.finish()?.sync_all()?;
    fs::rename(&half, &target)?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_content_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web-out.20260101T000000.000Z.log");
        let text = "a line\n".repeat(100_000);
        fs::write(&path, &text).unwrap();
        compress(&path).unwrap();
        let mut unpacked = String::new();
        let packed = File::open(path.with_extension("log.gz")).unwrap();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked == text && !path.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
