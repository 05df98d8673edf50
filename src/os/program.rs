//! The file that a process runs, and files that a process could run.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::file::FileId;

/// What the kernel appends to the name of a file that has been replaced or removed.
const DELETED: &str = " (deleted)";
/// As much of an ELF file's head as tells for which machines it is (elf(5): e_ident to e_machine).
const HEAD: usize = 20;

/// Read at a time, bytes: the control plane keeps what it has once used.
const BLOCK: usize = 1 << 15;

/// The program of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where its file is or was.
    pub path: PathBuf,
    /// Another file, or none, has that name now.
    pub replaced: bool,
    /// Which file it is.
    pub id: FileId,
}

/// What the process with this number runs.
///
/// # Errors
/// It has ended; it is another user's.
pub fn of(pid: i32) -> io::Result<Program> {
    let link = link(pid);
    let text = fs::read_link(&link)?;
    let about = fs::metadata(&link)?;
    let name = text.to_string_lossy();
    let path = name.strip_suffix(DELETED).map_or(text.clone(), PathBuf::from);
    let id = (about.dev(), about.ino());
    let replaced = super::file::id_at(&path) != Some(id);
    Ok(Program { path, replaced, id })
}

/// A path by which the program of a process can be opened and run, even when its file has been removed.
pub fn link(pid: i32) -> PathBuf {
    format!("/proc/{pid}/exe").into()
}

/// Tells one build from another: twelve hexadecimal digits from the file's whole content.
///
/// # Errors
/// Those of reading it.
pub fn build(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut block = vec![0; BLOCK];
    // FNV-1a, over words in place of bytes; the rotation brings the upper bits down, too.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    loop {
        let filled = fill(&mut file, &mut block)?;
        block[filled..].fill(0);
        for word in block[..filled.next_multiple_of(8)].as_chunks().0 {
            hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
        }
        if filled < block.len() {
            // Zeros at the end are no content.
            hash = (hash ^ filled as u64).wrapping_mul(0x0100_0000_01b3);
            return Ok(format!("{:012x}", (hash ^ (hash >> 48)) & 0xffff_ffff_ffff));
        }
    }
}

/// Reads until the block is full or the file ends; returns how much.
fn fill(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Looks whether the file at `path` can be run on this machine at all.
///
/// # Errors
/// A lowercase fragment: why not.
pub fn examine(path: &Path) -> Result<(), String> {
    let about = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    })?;
    if !about.is_file() {
        return Err("it is not a file".to_owned());
    }
    if about.mode() & 0o111 == 0 || access(path, AccessFlags::X_OK).is_err() {
        return Err(format!("it is not executable\n  run: chmod +x {}", path.display()));
    }
    let head = |path: &Path| -> io::Result<[u8; HEAD]> {
        let mut head = [0; HEAD];
        File::open(path)?.read_exact_at(&mut head, 0)?;
        Ok(head)
    };
    let theirs = head(path).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is not a program: it is too short for one".to_owned(),
        _ => error.to_string(),
    })?;
    if theirs[..4] != *b"\x7fELF" {
        return Err("it is not a program: it does not begin like one".to_owned());
    }
    let ours = head(Path::new("/proc/self/exe")).map_err(|error| format!("/proc/self/exe: {error}"))?;
    // Word size and byte order, then the machine.
    if theirs[4..6] != ours[4..6] || theirs[18..20] != ours[18..20] {
        return Err("it is built for another kind of machine".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn knows_its_own_program_and_builds_apart() {
        let own = of(std::process::id() as i32).unwrap();
        assert_eq!((own.path, own.replaced), (std::env::current_exe().unwrap(), false));
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            build(&path).unwrap()
        };
        let long = vec![7; 1 << 17];
        let one = write("one", &long);
        assert_eq!((one.len(), &one), (12, &write("same", &long)));
        assert_ne!(one, write("longer", &[&long[..], &[0]].concat()));
        assert_ne!(write("a", b"abcdefgh"), write("b", b"abcdefghi"));
    }

    #[test]
    fn says_why_a_file_cannot_be_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let why = |path: &Path| examine(path).unwrap_err();
        assert_eq!(why(&path), "there is no such file");
        assert_eq!(why(dir.path()), "it is not a file");
        let mut own = fs::read("/proc/self/exe").unwrap();
        fs::write(&path, &own[..64]).unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(why(&path).starts_with("it is not executable\n  run: chmod +x /"));
        mode(0o755);
        assert_eq!(examine(&path), Ok(()));
        own[18] ^= 0x55;
        fs::write(&path, &own[..64]).unwrap();
        assert_eq!(why(&path), "it is built for another kind of machine");
        fs::write(&path, "#!/bin/sh\nexec sleep 1000\n").unwrap();
        assert_eq!(why(&path), "it is not a program: it does not begin like one");
        fs::write(&path, "").unwrap();
        assert_eq!(why(&path), "it is not a program: it is too short for one");
    }
}
