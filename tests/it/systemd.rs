//! dogwatch under systemd: the unit files, and the product in a machine that boots (`tests/vm`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{binary, unruly};

/// Set to 1, this leaves the boots out.
const SKIP: &str = "DOGWATCH_SKIP_SYSTEMD";
/// A machine that shuts down must not wait for dogwatch.
const LONGEST_SHUTDOWN_MS: u64 = 10_000;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn packaged() -> Vec<PathBuf> {
    let names = ["dogwatch.service", "dogwatch-stop.service", "dogwatch.tmpfiles"];
    names.map(|name| repository("packaging/systemd").join(name)).to_vec()
}

#[test]
fn systemd_finds_nothing_to_say_about_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for unit in packaged().iter().filter(|path| path.extension().is_some_and(|kind| kind == "service")) {
        let text = fs::read_to_string(unit).unwrap();
        assert!(text.contains("/usr/bin/dogwatch"), "{}", unit.display());
        let copy = folder.path().join(unit.file_name().unwrap());
        fs::write(&copy, text.replace("/usr/bin/dogwatch", binary().to_str().unwrap())).unwrap();
        verify.arg(copy);
    }
    // What it does not like but can live with it only prints.
    let output = verify.output().expect("systemd-analyze is there: tests/install-needs installs it");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}\n{said}", output.status);
}

/// What a boot in namespaces needs and is not here, in words.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if dogwatch::os::own::effective_uid() != 0 {
        missing.push("this is not run by root".to_owned());
    }
    for (program, package) in [("unshare", "util-linux"), ("findmnt", "util-linux"), ("jq", "jq")] {
        let path = std::env::var("PATH").unwrap_or_default();
        if !path.split(':').any(|folder| Path::new(folder).join(program).exists()) {
            missing.push(format!("{program} is not installed (package {package})"));
        }
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        missing.push("systemd is not installed: there is no /lib/systemd/systemd".to_owned());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounted = mounts.lines().rfind(|line| line.contains(" - cgroup2 "));
    match mounted.and_then(|line| line.split(' ').nth(4)) {
        None => missing.push("no cgroup2 is mounted".to_owned()),
        Some(place) if nix::unistd::access(place, nix::unistd::AccessFlags::W_OK).is_err() => {
            missing.push(format!("cgroups cannot be made in {place}"));
        }
        Some(_) => {}
    }
    missing
}

#[test]
fn boots_and_reboots_with_systemd() {
    if std::env::var(SKIP).is_ok_and(|value| value == "1") {
        eprintln!("left out, because {SKIP}=1 is set");
        return;
    }
    let missing = missing();
    assert!(
        missing.is_empty(),
        "a systemd cannot be booted here: {}\n  to leave this test out: {SKIP}=1",
        missing.join("; ")
    );
    let results = tempfile::tempdir().unwrap();
    let files = [repository("tests/vm/run.sh"), repository("tests/vm/lib.sh"), binary(), unruly()];
    let output = Command::new(repository("tests/vm/ns-boot"))
        .arg(results.path())
        .args(files)
        .args(packaged())
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    println!("{said}");
    for boot in 1..=4 {
        let file = results.path().join(format!("{boot}/shutdown-ms"));
        let text = fs::read_to_string(&file).unwrap_or_default();
        let took: u64 =
            text.trim().parse().unwrap_or_else(|_| panic!("{}: {text:?}\n{said}", file.display()));
        assert!(took < LONGEST_SHUTDOWN_MS, "shutdown {boot} took {took} ms\n{said}");
    }
}
