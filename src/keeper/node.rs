//! Node programs that know nothing of inherited sockets: a few lines of JavaScript, loaded before the program, give
//! its `listen(PORT)` the socket that dogwatch holds.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The variable whose options every Node takes (node(1)).
pub const VARIABLE: &str = "NODE_OPTIONS";

const PRELOAD: &str = include_str!("node_listen.cjs");
/// The longest first line that the kernel looks at (execve(2), Linux 5.1).
const LONGEST_FIRST_LINE: u64 = 256;

/// Does Node run this program: is it Node itself, or a script whose first line names it?
pub fn runs(program: &Path) -> bool {
    let is_node = |name: &str| matches!(name, "node" | "nodejs");
    if program.file_name().is_some_and(|name| is_node(&name.to_string_lossy())) {
        return true;
    }
    let mut first = Vec::new();
    let read = File::open(program).and_then(|file| file.take(LONGEST_FIRST_LINE).read_to_end(&mut first));
    let line = first.split(|byte| *byte == b'\n').next().unwrap_or_default();
    read.is_ok()
        && line.starts_with(b"#!")
        && String::from_utf8_lossy(&line[2..])
            .split_ascii_whitespace()
            .any(|word| is_node(word.rsplit('/').next().unwrap_or_default()))
}

/// Writes the preload to `path`, unless it is there, and adds it to the `options` that the service has.
///
/// # Errors
/// When the file cannot be written.
pub fn with_preload(options: Option<&str>, path: &Path) -> io::Result<String> {
    if fs::read(path).ok().as_deref() != Some(PRELOAD.as_bytes()) {
        let new = path.with_extension("new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
        io::Write::write_all(&mut file, PRELOAD.as_bytes())?;
        // Whatever the umask: the service may have another user.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        fs::rename(new, path)?;
    }
    let quoted = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    let preload = format!("--require \"{quoted}\"");
    Ok(options.map_or_else(|| preload.clone(), |options| format!("{options} {preload}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_node_runs() {
        let dir = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        assert!(runs(Path::new("/usr/bin/node")) && runs(Path::new("nodejs")));
        assert!(runs(&script("server.js", "#!/usr/bin/env node\nlisten()")));
        assert!(runs(&script("two.js", "#! /opt/bin/node --enable-source-maps\n")));
        assert!(!runs(&script("three", "#!/bin/sh\nnode server.js")));
        assert!(!runs(&script("four", "node")));
        assert!(!runs(Path::new("/nowhere/at/all")) && !runs(Path::new("/usr/bin/nodemon")));
    }

    #[test]
    fn keeps_the_options_of_the_service() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a \"b\".cjs");
        let options = with_preload(Some("--max-old-space-size=64"), &path).unwrap();
        assert!(options.starts_with("--max-old-space-size=64 --require \"/"), "{options}");
        assert!(options.ends_with("/a \\\"b\\\".cjs\""), "{options}");
        assert_eq!(fs::read_to_string(&path).unwrap(), PRELOAD);
        assert_eq!(with_preload(None, &path).unwrap(), options["--max-old-space-size=64 ".len()..]);
    }
}
