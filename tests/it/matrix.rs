//! docs/fault-matrix.md: every fault that dogwatch must bear is in it, with tests that are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MATRIX: &str = include_str!("../../docs/fault-matrix.md");
const VM_RESULT: &str = include_str!("../../docs/vm-result.md");

/// One row: of what section, and its four cells.
struct Row<'a> {
    section: &'a str,
    fault: &'a str,
    seen: &'a str,
    tests: Vec<&'a str>,
    places: Vec<&'a str>,
}

fn rows() -> Vec<Row<'static>> {
    let mut section = "";
    let mut rows = Vec::new();
    for line in MATRIX.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else { continue };
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        let [fault, seen, tests, places] = cells[..] else { panic!("not four cells: {line}") };
        if fault != "what happens" && !fault.starts_with("---") {
            let tests = tests.split('`').skip(1).step_by(2).collect();
            rows.push(Row { section, fault, seen, tests, places: places.split(", ").collect() });
        }
    }
    rows
}

/// Every test of the repository, as `FILE::NAME`: the file without its ending, or the folder of a `mod.rs`.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = ["src", "tests", "services"].map(|folder| root.join(folder)).into();
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let module = if path.ends_with("mod.rs") { path.parent().unwrap() } else { &path };
                let module = module.file_stem().unwrap().to_str().unwrap();
                let text = fs::read_to_string(&path).unwrap();
                let after = text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1));
                let names = after.filter_map(|rest| rest.split_once("fn ")?.1.split('(').next());
                found.extend(names.map(|name| format!("{module}::{name}")));
            }
        }
    }
    found
}

#[test]
fn every_row_names_tests_that_are_there() {
    let tests = tests();
    assert!(tests.contains("matrix::every_row_names_tests_that_are_there"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for Row { section, fault, seen, tests: named, places } in rows() {
        let row = format!("{section}: {fault}");
        assert!(!seen.is_empty() && !named.is_empty(), "{row}: no test, or nothing to see");
        for name in &named {
            if name.ends_with(".sh") {
                assert!(root.join(name).exists() && VM_RESULT.contains(name), "{row}: {name} has no result");
            } else {
                assert!(tests.contains(*name), "{row}: there is no test {name}");
            }
        }
        assert_eq!(named.iter().any(|name| name.ends_with(".sh")), places.contains(&"VM"), "{row}: where?");
        let known = |place: &&str| ["here", "model", "VM", "soak"].contains(place);
        assert!(places.iter().all(known), "{row}: {places:?}");
    }
}

#[test]
fn every_part_bears_every_fault() {
    let rows = rows();
    let has = |section: &str, fault: &str| {
        let there = rows.iter().any(|row| row.section.starts_with(section) && row.fault.contains(fault));
        assert!(there, "{section}: {fault}");
    };
    for part in ["The control plane", "The keeper", "A service", "A helper", "The warden"] {
        for fault in ["SIGKILL", "SIGSTOP", "out of memory", "upgrade", "disk full", "clock jump"] {
            has(part, fault);
        }
    }
    let others = [
        (
            "Two at a time",
            ["any two of", "warden and control plane killed", "a keeper and its service killed"].as_slice(),
        ),
        ("A neighbour", &["fork bomb", "flood", "memory leak"]),
        ("Nothing left", &["ENOSPC", "EMFILE", "ENOMEM", "EAGAIN"]),
        ("Odd input", &["no UTF-8", "1 GiB", "100,000 crashes", "the clock jumps by a day", "power cut"]),
    ];
    for (section, faults) in others {
        faults.iter().for_each(|fault| has(section, fault));
    }
}
