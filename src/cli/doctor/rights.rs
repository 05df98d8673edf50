//! Who else may change what dogwatch runs and reads, and who may read its secrets.

use std::path::{Path, PathBuf};

use super::finding::{Finding, count};

/// What stands in an inode about rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Its path.
    pub path: PathBuf,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits, with the sticky bit.
    pub mode: u32,
}

/// A file that matters, and the folders above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it is: `ecosystem.toml`, `an env_file`, `the program of web`.
    pub what: String,
    /// The file first, then the folder that it is in, up to `/`.
    pub chain: Vec<Rights>,
}

/// Who is trusted: root, and the user that dogwatch is.
#[derive(Debug, Clone, Copy)]
pub struct Trusted {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

impl Trusted {
    /// Who else may change it, in words.
    fn who_else(self, rights: &Rights) -> Option<String> {
        if ![0, self.uid].contains(&rights.uid) {
            return Some(format!("user {}", rights.uid));
        }
        // Who may write into a sticky folder may not touch what is not his own there.
        if rights.mode & STICKY != 0 {
            return None;
        }
        if rights.mode & OTHERS_WRITE != 0 {
            return Some("every user".to_owned());
        }
        let group = rights.mode & GROUP_WRITES != 0 && ![0, self.gid].contains(&rights.gid);
        group.then(|| format!("group {}", rights.gid))
    }
}

/// Files that decide what runs as dogwatch's user, and who else may change them.
pub fn changeable(kept: &[Kept], trusted: Trusted) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Kept { what, chain } in kept {
        let Some((rights, who)) = chain.iter().find_map(|rights| Some((rights, trusted.who_else(rights)?)))
        else {
            continue;
        };
        let path = rights.path.display();
        let place = if rights.path == chain[0].path { String::new() } else { format!(" by way of {path}") };
        let found = format!("{} ({what}) can be changed by {who}{place}", chain[0].path.display());
        findings.push(
            Finding::error("changeable", found)
                .because("whoever changes it decides what runs with the rights of dogwatch's user")
                .fix(match [0, trusted.uid].contains(&rights.uid) {
                    true => format!("chmod go-w {path}"),
                    false => format!("chown {} {path} && chmod go-w {path}", trusted.uid),
                }),
        );
    }
    if findings.is_empty() {
        let found =
            format!("{} that decide what runs, and nobody else can change", count(kept.len(), "file"));
        findings.push(Finding::ok("changeable", found));
    }
    findings
}

/// env_files, and who may read them.
pub fn secrets(files: &[Rights], trusted: Trusted) -> Vec<Finding> {
    let readers = |rights: &Rights| match rights.mode {
        mode if mode & 0o004 != 0 => Some("every user".to_owned()),
        mode if mode & 0o040 != 0 && ![0, trusted.gid].contains(&rights.gid) => {
            Some(format!("group {}", rights.gid))
        }
        _ => None,
    };
    let open = files.iter().filter_map(|rights| Some((rights, readers(rights)?)));
    let mut findings: Vec<Finding> = open
        .map(|(rights, who)| {
            let path = rights.path.display();
            Finding::warning("secrets", format!("{path} can be read by {who}"))
                .because("env_files hold tokens and passwords")
                .fix(format!("chmod 600 {path}"))
        })
        .collect();
    if findings.is_empty() && !files.is_empty() {
        findings.push(Finding::ok(
            "secrets",
            format!("{} that nobody else can read", count(files.len(), "env_file")),
        ));
    }
    findings
}

/// The folder of the logs.
pub fn log_folder(rights: &Rights, trusted: Trusted) -> Finding {
    let path = rights.path.display();
    match trusted.who_else(rights) {
        None => Finding::ok("log-folder", format!("nobody else can write into {path}")),
        Some(who) => Finding::warning("log-folder", format!("{who} can write into {path}"))
            .because(
                "what is put in the place of a log is not followed, but keeps that log from being written, of whatever \
                 service it is",
            )
            .fix(format!("chown {} {path} && chmod go-w {path}", trusted.uid)),
    }
}

/// The file itself and everything above it, from what `look` says about each.
pub fn chain(path: &Path, look: impl Fn(&Path) -> Option<Rights>) -> Vec<Rights> {
    path.ancestors().filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    const ROOT: Trusted = Trusted { uid: 0, gid: 0 };

    fn rights(path: &str, uid: u32, gid: u32, mode: u32) -> Rights {
        Rights { path: path.into(), uid, gid, mode }
    }

    fn level(chain: &[Rights], trusted: Trusted) -> Level {
        changeable(&[Kept { what: "a test".to_owned(), chain: chain.to_vec() }], trusted)[0].level
    }

    #[test]
    fn a_file_is_as_safe_as_the_folders_above_it() {
        let (file, root) = (rights("/srv/app", 0, 0, 0o755), rights("/", 0, 0, 0o755));
        let folder = |uid, gid, mode| [file.clone(), rights("/srv", uid, gid, mode), root.clone()];
        assert_eq!(level(&folder(0, 0, 0o755), ROOT), Level::Ok);
        assert_eq!(level(&folder(0, 0, 0o777), ROOT), Level::Error);
        assert_eq!(level(&folder(0, 0, 0o1777), ROOT), Level::Ok, "sticky, like /tmp");
        assert_eq!(
            level(&folder(1000, 1000, 0o755), ROOT),
            Level::Error,
            "its owner can put another file there"
        );
        assert_eq!(level(&folder(0, 33, 0o775), ROOT), Level::Error);
        assert_eq!(level(&folder(1000, 1000, 0o775), Trusted { uid: 1000, gid: 1000 }), Level::Ok);
        assert_eq!(level(&folder(1001, 1000, 0o755), Trusted { uid: 1000, gid: 1000 }), Level::Error);
        let found = changeable(
            &[Kept { what: "ecosystem.toml".to_owned(), chain: folder(33, 0, 0o755).to_vec() }],
            ROOT,
        );
        assert_eq!(found[0].found, "/srv/app (ecosystem.toml) can be changed by user 33 by way of /srv");
        assert_eq!(found[0].fix, "chown 0 /srv && chmod go-w /srv");
    }

    #[test]
    fn secrets_are_for_one() {
        let level = |gid, mode| secrets(&[rights("/srv/.env", 0, gid, mode)], ROOT)[0].level;
        assert_eq!([level(0, 0o600), level(0, 0o640)], [Level::Ok; 2]);
        assert_eq!([level(33, 0o640), level(0, 0o644)], [Level::Warning; 2]);
        assert_eq!(log_folder(&rights("/l", 33, 0, 0o755), ROOT).level, Level::Warning);
        assert_eq!(log_folder(&rights("/l", 0, 0, 0o750), ROOT).level, Level::Ok);
    }
}
