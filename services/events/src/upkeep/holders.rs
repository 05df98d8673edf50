//! Who holds a lock on the database, by the kernel's list of locks.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::file::beside;
use crate::quarantine::PARTS;

/// The processes that hold a lock to write on the database, as `4711 (webhook)`. Empty when the kernel does not tell.
pub(super) fn holders(database: &Path) -> Vec<String> {
    let inodes: Vec<u64> = PARTS
        .iter()
        .filter_map(|part| fs::metadata(beside(database, part)).ok())
        .map(|about| about.ino())
        .collect();
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut pids: Vec<u32> = locks.lines().filter_map(|line| writer_of(line, &inodes)).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.retain(|pid| *pid != std::process::id());
    pids.into_iter().map(show).collect()
}

/// The process in a line like `1: POSIX  ADVISORY  WRITE 4711 fe:00:12345 120 120`, if it writes one of the files.
fn writer_of(line: &str, inodes: &[u64]) -> Option<u32> {
    let mut fields = line.split_whitespace().skip_while(|field| *field != "WRITE").skip(1);
    let pid = fields.next()?.parse().ok()?;
    let inode: u64 = fields.next()?.rsplit(':').next()?.parse().ok()?;
    inodes.contains(&inode).then_some(pid)
}

fn show(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{pid} ({})", name.trim()),
        Err(_) => pid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::writer_of;

    #[test]
    fn only_writers_of_these_files_count() {
        let inodes = [12345];
        assert_eq!(writer_of("1: POSIX  ADVISORY  WRITE 4711 fe:00:12345 120 120", &inodes), Some(4711));
        for other in [
            "1: POSIX  ADVISORY  READ 4711 fe:00:12345 128 128",
            "2: FLOCK  ADVISORY  WRITE 4711 fe:00:12346 0 EOF",
            "3: -> POSIX ADVISORY",
            "",
        ] {
            assert_eq!(writer_of(other, &inodes), None, "{other}");
        }
    }
}
