//! `dogwatch init`: a first ecosystem.toml that runs as it stands.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use crate::config::FILE_NAME;
use crate::exit_code;

/// The file that is written.
const TEXT: &str = r#"# What runs on this machine.
#
#   dogwatch check    finds the mistakes in this file
#   dogwatch up       starts what stands here
#   dogwatch status   shows how it is doing
#
# Relative paths begin at this file's folder. Every key is explained in docs/config.md.

[services.hello]
# A line for the shell. Better, where no shell is needed: command = ["./program", "argument"]
command = "while :; do echo hello; sleep 5; done"
shell = true

# env = { PORT = "3000" }                  # besides PATH, HOME, USER, LANG and TZ, which every service gets
# env_file = ".env"                        # secrets
# listen = ["127.0.0.1:3000"]              # dogwatch holds the socket: no refused connection during a restart
# ready = "notify"                         # the service says when it may get work
# memory = "300M"                          # restarted when it uses more
"#;

/// Writes an ecosystem.toml into `dir`, never over one that is there; answers stdout, stderr and the exit code.
pub fn init(dir: &Path) -> (String, String, u8) {
    let path = dir.join(FILE_NAME);
    let shown = path.display();
    match create(&path) {
        Ok(()) => {
            let said = format!("wrote {shown}\n  edit it, then run: dogwatch check && dogwatch up\n");
            (said, String::new(), exit_code::OK)
        }
        Err(error) => {
            let cause = match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    "there is one already\n  it stays as it is; run: dogwatch check".to_owned()
                }
                io::ErrorKind::NotFound => {
                    format!("there is no such folder\n  run: mkdir -p {}", dir.display())
                }
                _ => error.to_string(),
            };
            let said = format!("cannot write {shown}: {cause}\n");
            (String::new(), said, exit_code::FAILED)
        }
    }
}

fn create(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(TEXT.as_bytes()).inspect_err(|_| {
        // Half a file would keep the next attempt from writing a whole one. It is ours: we created it.
        let _ = std::fs::remove_file(path);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::check;
    use crate::config::Surroundings;

    #[test]
    fn what_it_writes_is_accepted_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let (out, err, code) = init(dir.path());
        assert_eq!((err.as_str(), code), ("", exit_code::OK));
        assert!(out.starts_with("wrote "), "{out}");
        let (out, err, code) = check(&path, &Surroundings::default(), false);
        assert!(out.contains(": 1 service, no mistakes\n"), "{out}");
        assert_eq!((err.as_str(), code), ("", exit_code::OK));

        std::fs::write(&path, "mine").unwrap();
        let (out, err, code) = init(dir.path());
        let expected = format!(
            "cannot write {}: there is one already\n  it stays as it is; run: dogwatch check\n",
            path.display()
        );
        assert_eq!((out.as_str(), err, code), ("", expected, exit_code::FAILED));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn no_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (_, err, code) = init(&dir.path().join("nowhere"));
        assert!(err.contains("there is no such folder\n  run: mkdir -p "), "{err}");
        assert_eq!(code, exit_code::FAILED);
    }

    /// The lines that are commented out are right, too.
    #[test]
    fn the_examples_in_it_are_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let open = |line: &str| match line.strip_prefix("# ").filter(|line| line.contains(" = ")) {
            Some(example) if !example.starts_with("A line") => example.to_owned(),
            _ => line.to_owned(),
        };
        let text: Vec<String> = TEXT.lines().map(open).collect();
        std::fs::write(&path, text.join("\n")).unwrap();
        std::fs::write(dir.path().join(".env"), "").unwrap();
        let (_, err, code) = check(&path, &Surroundings::default(), true);
        assert_eq!((err.as_str(), code), ("", exit_code::OK));
    }
}
