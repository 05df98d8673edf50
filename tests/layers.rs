//! Who may use whom. The arrows of `src/lib.rs`, held.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Layer, and the layers it may use.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("archive", &["wire", "os", "model"]),
    ("model", &[]),
    ("os", &["model"]),
    ("wire", &["model"]),
    ("config", &["model"]),
    ("logs", &["wire", "os", "model"]),
    ("forward", &["logs", "wire", "os", "model", "paths", "exit_code", "own_log"]),
    (
        "keeper",
        &["archive", "goals", "incidents", "records", "wire", "os", "model", "paths", "exit_code", "own_log"],
    ),
    ("warden", &["wire", "os", "model", "paths", "exit_code", "own_log", "holder"]),
    (
        "control",
        &[
            "archive",
            "config",
            "forward",
            "goals",
            "records",
            "incidents",
            "logs",
            "wire",
            "os",
            "model",
            "paths",
            "exit_code",
            "own_log",
            "holder",
            "sinks",
            "start",
        ],
    ),
    (
        "cli",
        &[
            "archive",
            "config",
            "forward",
            "incidents",
            "logs",
            "sinks",
            "wire",
            "os",
            "model",
            "paths",
            "exit_code",
            "own_log",
            "start",
        ],
    ),
    ("paths", &["model"]),
];

#[test]
fn no_module_uses_one_that_it_may_not() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (layer, allowed) in ALLOWED {
        for file in files(&src, layer) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                for used in line.split("crate::").skip(1) {
                    let fine = used.starts_with(layer)
                        || allowed.iter().any(|allowed| used.starts_with(allowed))
                        || used.starts_with('{');
                    if !fine && line.trim_start().starts_with("use ") {
                        wrong.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "against the layers:\n{}", wrong.join("\n"));
}

/// `src/layer.rs`, or all of `src/layer/`.
fn files(src: &Path, layer: &str) -> Vec<PathBuf> {
    let single = src.join(format!("{layer}.rs"));
    if single.exists() {
        return vec![single];
    }
    let mut found = Vec::new();
    let mut folders = vec![src.join(layer)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no files in {layer}");
    found
}
