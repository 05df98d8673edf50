//! A service that writes as fast as it can and is gone: every line once, in order, through rotation and
//! compression.
//!
//! `DOGWATCH_BURST_LINES` makes it longer (the figures of the README are of 2,000,000 lines).

use crate::harness::lines::{Tally, tally};
use crate::harness::{Machine, until};

fn burst(lines: u64, rotate: &str, keep: u32, compress: bool) {
    let machine = Machine::new(&format!(
        r#"
        [services.web]
        command = ["UNRULY", "burst", "{lines}", "100", "exit", "0"]
        restart = {{ policy = "never" }}
        log = {{ rotate_size = "{rotate}", keep = {keep}, compress = {compress} }}
        "#
    ));
    // It is gone before it counts as up, and that is no failure to speak of here.
    let _ = machine.run(&["up", "-d"]);
    let bytes = || {
        machine
            .log_files("web", "out")
            .iter()
            .filter_map(|path| path.metadata().ok())
            .map(|about| about.len())
            .sum()
    };
    if !compress {
        until("all bytes", bytes, |bytes: &u64| *bytes == lines * 100);
    }
    let status = machine.until_state("web", "stopped");
    let wall = status["last_end"]["lived_ms"].as_f64().unwrap() / 1e3;
    let keeper = machine.keeper("web").unwrap().pid;
    let usage = dogwatch::os::tree::usage(&[keeper]);
    if compress {
        until(
            "compression",
            || machine.log_files("web", "out"),
            |files| files.iter().rev().skip(1).all(|path| path.extension().is_some_and(|end| end == "gz")),
        );
    }
    let files = machine.log_files("web", "out");
    let found = tally(&files);
    let size = lines as f64 * 100.0;
    eprintln!(
        "{lines} lines in {} files: {:.0} MB/s, {:.2} CPU seconds per GB in the keeper",
        files.len(),
        size / 1e6 / wall,
        usage.cpu_ns as f64 / size
    );
    assert_eq!(found, Tally { lines, ..Tally::default() });
}

#[test]
fn nothing_is_lost_through_rotation() {
    let lines =
        std::env::var("DOGWATCH_BURST_LINES").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    burst(lines, if lines > 1_000_000 { "10MiB" } else { "1MiB" }, 40, false);
}

#[test]
fn nothing_is_lost_through_compression() {
    burst(100_000, "1MiB", 40, true);
}

#[test]
fn only_so_many_archives_are_kept() {
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "burst", "100000", "100", "exit", "0"]
        restart = { policy = "never" }
        log = { rotate_size = "1MiB", keep = 3, compress = false }
        "#,
    );
    let _ = machine.run(&["up", "-d"]);
    machine.until_state("web", "stopped");
    let files = until(
        "the last line",
        || machine.log_files("web", "out"),
        |_| machine.log("web", "out").contains("0000099999 "),
    );
    assert_eq!(files.len(), 4);
}
