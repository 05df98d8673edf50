//! docs/conformance.md: which test shows which sentence. It is made from the first lines of the tests:
//! `CONFORMANCE_TABLE=write cargo test -p conformance table` writes it anew.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says of what section a sentence is: `/// §2.1: …`.
const MARK: &str = "/// §";

/// A sentence of the contract and the test that shows it.
struct Row {
    section: String,
    sentence: String,
    test: String,
}

/// §kit: every test names the sentences that it shows, and docs/conformance.md lists them all
#[test]
fn every_test_stands_in_the_table_and_every_name_of_the_table_is_a_test() {
    let rows = rows();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md");
    if std::env::var_os("CONFORMANCE_TABLE").is_some_and(|word| word == "write") {
        fs::write(&path, page(&rows)).unwrap();
    }
    let tests = tests();
    let unlisted: Vec<_> = tests.iter().filter(|test| rows.iter().all(|row| row.test != **test)).collect();
    assert!(unlisted.is_empty(), "these tests do not say what they show: {unlisted:#?}");
    let unknown: Vec<_> = rows.iter().map(|row| &row.test).filter(|test| !tests.contains(test)).collect();
    assert!(unknown.is_empty(), "these are no tests: {unknown:#?}");
    let current = fs::read_to_string(&path).unwrap_or_default() == page(&rows);
    assert!(current, "docs/conformance.md is old: CONFORMANCE_TABLE=write cargo test -p conformance table");
}

/// The tests of this program, by its own word.
fn tests() -> Vec<String> {
    let listed = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

fn rows() -> Vec<Row> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut rows = Vec::new();
    for file in files {
        let module = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut open: Vec<(String, String)> = Vec::new();
        for line in fs::read_to_string(&file).unwrap().lines() {
            if let Some(mark) = line.strip_prefix(MARK) {
                let (section, sentence) = mark.split_once(": ").expect("a section, a colon, a sentence");
                open.push((section.to_owned(), sentence.to_owned()));
            } else if let (Some(more), Some((_, sentence))) = (line.strip_prefix("/// "), open.last_mut()) {
                let _ = write!(sentence, " {more}");
            } else if let Some(name) = line.strip_prefix("fn ") {
                let test = format!("{module}::{}", name.split('(').next().unwrap());
                let made = open.drain(..);
                rows.extend(made.map(|(section, sentence)| Row { section, sentence, test: test.clone() }));
            }
        }
    }
    rows.sort_by_key(|row| order(&row.section));
    rows
}

/// Sections by their numbers; what has none stands at the end.
fn order(section: &str) -> Vec<u32> {
    section.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

fn page(rows: &[Row]) -> String {
    let mut page = "\
# Conformance: which test shows which sentence of the services' contract

Made from the tests in `services/conformance/tests/contract`; a test fails when this page is old.
`cargo test -p conformance` runs them against the services as they are, `SERVICES_BIN=FOLDER cargo test -p conformance`
against the programs `webhook`, `dashboard-api` and `websocket` in that folder.

| section | sentence | test |
|---|---|---|
"
    .to_owned();
    for Row { section, sentence, test } in rows {
        let _ = writeln!(page, "| {section} | {} | `{test}` |", sentence.replace('|', "\\|"));
    }
    page
}
