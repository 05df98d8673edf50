//! How much memory is left: on the machine, and in a cgroup that has a wall.

use std::fs;
use std::path::Path;

/// What programs can still get without swapping (proc_meminfo(5)), bytes; none if the kernel does not say.
pub fn available() -> Option<u64> {
    available_of(&fs::read_to_string(meminfo()).ok()?)
}

/// What the processes in the cgroup `folder` can still get before its wall, bytes; none where there is no wall.
pub fn left_in(folder: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    Some(read("memory.max")?.saturating_sub(read("memory.current")?))
}

/// `/proc/meminfo`; in debug builds the file that DOGWATCH_MEMINFO names, so that tests can have a machine without
/// memory.
fn meminfo() -> std::ffi::OsString {
    #[cfg(debug_assertions)]
    if let Some(file) = std::env::var_os("DOGWATCH_MEMINFO") {
        return file;
    }
    "/proc/meminfo".into()
}

fn available_of(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_left() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
        assert_eq!(available_of("MemTotal: 9 kB\nMemAvailable:      12 kB\n"), Some(12_288));
        assert_eq!(available_of("MemTotal: 9 kB\n"), None);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(left_in(folder.path()), None);
        fs::write(folder.path().join("memory.max"), "100\n").unwrap();
        fs::write(folder.path().join("memory.current"), "30\n").unwrap();
        assert_eq!(left_in(folder.path()), Some(70));
        fs::write(folder.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(left_in(folder.path()), None);
    }
}
