//! The machine: its kernel, its clock, its disks, and what it gives dogwatch's user.

use std::path::{Path, PathBuf};

use super::finding::{Finding, count};
use crate::model::units::show_size;

/// The oldest kernel that has all that dogwatch is built on: cgroup.kill, close_range, pidfds to wait for.
const OLDEST: (u32, u32) = (5, 14);
/// How full a disk may be, percent.
const FULL: u64 = 80;
const TOO_FULL: u64 = 90;
/// A log file that is longer is not rotated as it should be, bytes.
const LONG_LOG: u64 = 100 << 20;
/// Descriptors of warden and control plane for each service, with its next run, and for themselves.
const FILES_PER_SERVICE: u64 = 16;
const FILES_OF_ITS_OWN: u64 = 64;

/// Kernel release, like `6.1.0-18-amd64`, and the version of Landlock, if it has any.
pub fn kernel(release: &str, landlock: Option<u32>) -> Vec<Finding> {
    let Some(version) = version(release) else {
        return vec![Finding::warning(
            "kernel",
            format!("cannot tell the version of Linux from {release:?}"),
        )];
    };
    if version < OLDEST {
        return vec![
            Finding::error("kernel", format!("Linux {release}; at least 5.14 is needed"))
                .because("services cannot be killed whole, nor their processes be told apart with certainty")
                .fix("install a newer kernel, and reboot"),
        ];
    }
    let since = |needed: (u32, u32), what: &'static str| (version >= needed).then_some(what).ok_or(what);
    let features = [
        since((6, 15), "the exit code of a service whose keeper and warden have both died"),
        since((6, 16), "descriptors refused on NOTIFY_SOCKET by the kernel"),
        landlock.map(|_| "Landlock").ok_or("Landlock"),
    ];
    let list = |with: bool| {
        let names = features.iter().filter(|feature| feature.is_ok() == with);
        names.map(|feature| feature.unwrap_or_else(|name| name)).collect::<Vec<_>>().join("; ")
    };
    let mut found = format!("Linux {release}");
    if features.iter().any(Result::is_ok) {
        found += &format!(", with {}", list(true));
    }
    if features.iter().any(Result::is_err) {
        found += &format!(", without {} (nothing that dogwatch needs)", list(false));
    }
    vec![Finding::ok("kernel", found)]
}

/// Services whose entry asks for what Landlock does, where the kernel has none.
pub fn landlock(version: Option<u32>, asked_by: &[&str]) -> Option<Finding> {
    (version.is_none() && !asked_by.is_empty()).then(|| {
        Finding::error(
            "landlock",
            format!("this kernel has no Landlock, and {} ask for it", asked_by.join(", ")),
        )
        .because("a service with `writable` is not started where it cannot be kept to it")
        .fix("boot Linux 5.13 or later with lsm=landlock in its command line, or remove `writable`")
    })
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether anything keeps the wall clock right; none if nobody can tell.
pub fn clock(synchronised: Option<bool>) -> Option<Finding> {
    Some(match synchronised? {
        true => Finding::ok("clock", "something keeps it right"),
        false => Finding::warning("clock", "nothing keeps it right, as far as the kernel knows")
            .because("log lines and events get wrong times; restarts and limits do not depend on it")
            .fix("timedatectl set-ntp true"),
    })
}

/// A file system, and what is kept on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// `logs`, `state` …
    pub what: String,
    /// The folder.
    pub folder: PathBuf,
    /// Bytes taken, and bytes that can still be written.
    pub bytes: (u64, u64),
    /// Files that there are, and files that can still be made; none where there is no limit.
    pub files: Option<(u64, u64)>,
}

/// How full a file system is.
pub fn disk(filled: &Filled) -> Vec<Finding> {
    let Filled { what, folder, bytes, files } = filled;
    let folder = folder.display();
    let left = format!("{} left", show_size(bytes.1));
    let space = full("disk-space", what, *bytes, &format!("{folder}: {left}"))
        .fix_if_bad(format!("see what takes it: du -xh {folder} | sort -h | tail; then delete or archive"));
    let inodes = files.map(|files| {
        full("inodes", what, files, &format!("{folder}: {} more files", files.1))
            .fix_if_bad(format!("see what takes them: du -x --inodes {folder} | sort -n | tail"))
    });
    std::iter::once(space).chain(inodes).collect()
}

fn full(check: &'static str, what: &str, (used, free): (u64, u64), detail: &str) -> Finding {
    let percent = u128::from(used) * 100 / (u128::from(used) + u128::from(free)).max(1);
    let percent = u64::try_from(percent).unwrap_or(u64::MAX);
    let found = format!("{what} {percent} % full ({detail})");
    let why = "when nothing can be written any more, logs wait and services that write wait for them";
    match percent {
        TOO_FULL.. => Finding::error(check, found).because(why),
        FULL.. => Finding::warning(check, found).because(why),
        _ => Finding::ok(check, found),
    }
}

impl Finding {
    fn fix_if_bad(self, fix: String) -> Finding {
        if self.why.is_empty() { self } else { self.fix(fix) }
    }
}

/// Log files and their sizes, bytes; the name is the service's, or none for dogwatch's own.
pub fn logs(files: &[(Option<String>, PathBuf, u64)]) -> Vec<Finding> {
    let long = files.iter().filter(|(_, _, size)| *size > LONG_LOG);
    let mut findings: Vec<Finding> = long
        .map(|(name, path, size)| {
            let found = format!("{} has {}", path.display(), show_size(*size));
            let fix = match name {
                Some(name) => format!("dogwatch flush {name}; or set log.rotate_size"),
                None => format!("truncate -s 0 {}", path.display()),
            };
            Finding::warning("log-size", found)
                .because("a log of this size is slow to read and fills the disk")
                .fix(fix)
        })
        .collect();
    if findings.is_empty() {
        let largest = files.iter().map(|(_, _, size)| *size).max().unwrap_or(0);
        findings.push(Finding::ok(
            "log-size",
            format!("{}, the largest {}", count(files.len(), "log file"), show_size(largest)),
        ));
    }
    findings
}

/// The run folder; `named` if it is where somebody wanted it.
pub fn run_folder(path: &Path, in_memory: bool, named: bool) -> Finding {
    let shown = path.display();
    match (in_memory, named) {
        (true, _) => Finding::ok("run-folder", format!("{shown} is in memory")),
        (false, true) => Finding::ok("run-folder", format!("{shown} is on a disk, where --home has put it")),
        (false, false) => Finding::warning("run-folder", format!("{shown} is on a disk"))
            .because("a disk that hangs or is full keeps services from being started")
            .fix("systemd-tmpfiles --create, or mount a tmpfs on /run"),
    }
}

/// Whether what user `name` runs lives on when nobody is logged in as that user.
pub fn linger(name: &str, lingers: bool) -> Finding {
    match lingers {
        true => Finding::ok("linger", format!("what {name} runs goes on after the last logout")),
        false => Finding::warning("linger", format!("{name} does not linger"))
            .because("systemd ends what a user runs, and removes the run folder, at the last logout")
            .fix(format!("loginctl enable-linger {name}")),
    }
}

/// The pages that the pipes of one user may have, against what these services need; `critical` of them have larger ones.
pub fn pipes(root: bool, soft_limit: u64, services: u64, critical: u64) -> Finding {
    const PAGES: u64 = 16; // 64 KiB
    const WIDE: u64 = 64; // 256 KiB: in a flood
    const LARGE: u64 = 256; // 1 MiB
    // Two FIFOs and two stages, for the run and for the next one.
    let needed = services * 4 * (WIDE + PAGES) + critical * 2 * (LARGE - WIDE + LARGE - PAGES);
    if root || soft_limit == 0 {
        return Finding::ok("pipe-budget", "no limit for this user");
    }
    let found = format!("the services need {needed} pages, of {soft_limit} that one user may have");
    match needed {
        needed if needed > soft_limit => Finding::warning("pipe-budget", found)
            .because("beyond it the kernel makes pipes so small that logging slows services down")
            .fix(format!("sysctl -w fs.pipe-user-pages-soft={}", needed.next_power_of_two())),
        _ => Finding::ok("pipe-budget", found),
    }
}

/// A process that holds what services need: its name, open files, and how many it may open.
pub fn files_of(name: &str, open: u64, most: u64) -> Finding {
    let found = format!("{name} has {open} files open, of {most}");
    match open.saturating_mul(100) / most.max(1) {
        FULL.. => Finding::warning("fd-limit", found)
            .because("without a free descriptor it cannot hold what services need, nor answer")
            .fix("raise LimitNOFILE= of the unit, or ulimit -Hn, and start dogwatch anew"),
        _ => Finding::ok("fd-limit", found),
    }
}

/// The same while nothing runs.
pub fn files_needed(services: u64, most: u64) -> Finding {
    files_of(
        &format!("with {services} in the file, the warden"),
        FILES_OF_ITS_OWN + services * FILES_PER_SERVICE,
        most,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn kernels() {
        let level = |release| kernel(release, None)[0].level;
        assert_eq!(level("5.13.0-1-amd64"), Level::Error);
        assert_eq!(level("5.14"), Level::Ok);
        assert_eq!(level("6.1.0-18-amd64"), Level::Ok);
        assert_eq!(level("strange"), Level::Warning);
        assert!(landlock(None, &[]).is_none() && landlock(Some(1), &["web"]).is_none());
        assert_eq!(landlock(None, &["web"]).unwrap().level, Level::Error);
        assert!(!kernel("7.0", Some(6))[0].found.contains("without"));
        assert!(kernel("6.1", Some(2))[0].found.ends_with("(nothing that dogwatch needs)"));
    }

    #[test]
    fn disks_fill_up() {
        let levels = |bytes, files| {
            let filled = Filled { what: "logs".to_owned(), folder: "/l".into(), bytes, files };
            disk(&filled).into_iter().map(|finding| finding.level).collect::<Vec<_>>()
        };
        assert_eq!(levels((79, 21), None), [Level::Ok]);
        assert_eq!(levels((80, 20), Some((89, 11))), [Level::Warning, Level::Warning]);
        assert_eq!(levels((90, 10), Some((1, 99))), [Level::Error, Level::Ok]);
        assert_eq!(levels((u64::MAX, 0), Some((0, 0))), [Level::Error, Level::Ok]);
    }

    #[test]
    fn long_logs_are_named() {
        let log = |name: Option<&str>, size| (name.map(str::to_owned), PathBuf::from("/l/x.log"), size);
        assert_eq!(logs(&[log(None, LONG_LOG)])[0].level, Level::Ok);
        let found = logs(&[log(Some("web"), LONG_LOG + 1), log(None, LONG_LOG + 1), log(None, 1)]);
        assert_eq!(found.len(), 2);
        assert!(found[0].fix.starts_with("dogwatch flush web") && found[1].fix == "truncate -s 0 /l/x.log");
    }

    #[test]
    fn budgets() {
        assert_eq!(pipes(true, 1, 900, 0).level, Level::Ok);
        assert_eq!(pipes(false, 16384, 40, 2).level, Level::Ok);
        let tight = pipes(false, 16384, 80, 0);
        assert_eq!(
            (tight.level, tight.fix.as_str()),
            (Level::Warning, "sysctl -w fs.pipe-user-pages-soft=32768")
        );
        assert_eq!(files_of("warden 7", 79, 100).level, Level::Ok);
        assert_eq!(files_of("warden 7", 80, 100).level, Level::Warning);
        assert_eq!(files_needed(10, 1024).level, Level::Ok);
        assert_eq!(files_needed(60, 1024).level, Level::Warning);
    }
}
