//! Where the programs are: in the folder `SERVICES_BIN` (the release build, say, or somebody else's), else
//! built beside the tests, with the same profile.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PACKAGES: [&str; 3] = ["webhook", "dashboard-api", "websocket"];

/// The path of a program.
///
/// # Panics
/// When it is not there and cannot be built.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os("SERVICES_BIN") {
        Some(folder) => {
            PathBuf::from(folder).canonicalize().expect("SERVICES_BIN names the folder of the programs")
        }
        None => build(),
    });
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// Builds the programs into the folder that this test was built into, `target/PROFILE/deps`.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its path");
    let folder = test.parent().and_then(Path::parent).expect("it is in target/PROFILE/deps").to_owned();
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--bins", "--profile", profile]);
    cargo.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    // What cargo says of this package would make some build scripts run again.
    let own = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| name.starts_with(start))
    });
    own.for_each(|name| {
        cargo.env_remove(name);
    });
    let built = cargo.status().expect("cargo starts");
    assert!(built.success(), "the services do not build");
    folder
}
