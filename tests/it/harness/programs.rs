//! Programs to upgrade to.

use std::path::Path;
use std::process::Command;

/// Copies a program, without what only a debugger needs, and adds a line at its end: another build.
///
/// Another process does that. A file that this one has open for writing could not be run as long as a child that some
/// other test is just starting has inherited it (ETXTBSY).
pub fn copy(program: &Path, target: &Path, line: &str) {
    let script = r#"strip --strip-debug -o "$2" "$1" 2>/dev/null || cp "$1" "$2"
        chmod 755 "$2" && if [ -n "$3" ]; then printf '\n%s\n' "$3" >> "$2"; fi"#;
    let mut shell = Command::new("/bin/sh");
    let status = shell.args(["-c", script, "sh"]).arg(program).arg(target).arg(line).status().unwrap();
    assert!(status.success(), "{status}: a copy of {}", program.display());
}
