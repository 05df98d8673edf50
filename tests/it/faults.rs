//! A keeper that is SIGKILLed exactly between two steps.

use dogwatch::wire::log_index::Header;

use crate::harness::lines::{Tally, tally};
use crate::harness::{Machine, kill, until};

/// Numbered lines on the way, a service that says when it is ready.
const SERVICE: &str = r#"
    [services.web]
    command = ["UNRULY", "whole", "number", "1", "100", "ready", "hang"]
    ready = "notify"
    log = { rotate_size = "64KiB", keep = 1000, compress = false }
    "#;

/// Starts a service whose keeper dies at `moment`, and checks that the service runs, as often as `runs` allows,
/// and that its log is whole.
fn die_at(moment: &str, runs: &[i64]) {
    let mut machine = Machine::new(SERVICE);
    let marker = machine.dir().join("died");
    machine.set("DOGWATCH_FAULT", &format!("{moment}={}", marker.display()));
    machine.up();
    let status = machine.until_state("web", "online");
    until("the keeper's death", || marker.exists(), |died| *died);
    until("a few rotations", || machine.log_files("web", "out").len(), |files| *files > 4);
    let after = machine.until_state("web", "online");
    assert_eq!(after["pid"], status["pid"]);
    assert_eq!(after["restarts"], 0, "{after}");
    assert!(runs.contains(&after["run"].as_i64().unwrap()), "{after}");
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let found = tally(&machine.log_files("web", "out"));
    assert!(found.lines > 1000, "{found:?}");
    assert_eq!(found, Tally { lines: found.lines, ..Tally::default() });
}

#[test]
fn between_the_splices() {
    die_at("between the splices", &[1]);
}

#[test]
fn before_a_rotation() {
    die_at("before a rotation", &[1]);
}

#[test]
fn after_the_pruning_of_a_rotation() {
    die_at("after the pruning of a rotation", &[1]);
}

#[test]
fn after_the_index_of_a_rotation() {
    let mut machine = Machine::new(SERVICE);
    let marker = machine.dir().join("died");
    machine.set("DOGWATCH_FAULT", &format!("after the index of a rotation={}", marker.display()));
    machine.up();
    until("the keeper's death", || marker.exists(), |died| *died);
    until("a few rotations", || machine.log_files("web", "out").len(), |files| *files > 4);
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]);
    let files = machine.log_files("web", "out");
    let found = tally(&files);
    assert_eq!(found, Tally { lines: found.lines, ..Tally::default() });
    // Each has its own index, also the one whose keeper died between the two.
    for file in &files {
        let index = std::fs::read(file.with_extension("idx")).unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
        assert_eq!(Header::decode(&index), Some(Header::new(inode)), "{}", file.display());
    }
}

#[test]
fn after_the_rename_of_a_rotation() {
    die_at("after the rename of a rotation", &[1]);
}

#[test]
fn between_fork_and_record() {
    die_at("between fork and record", &[1, 2]);
}

#[test]
fn between_record_and_go() {
    die_at("between record and go", &[2]);
}

#[test]
fn between_go_and_record() {
    die_at("between go and record", &[1]);
}

#[test]
fn between_fork_and_ready() {
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "pause", "400", "ready", "hang"]
        ready = "notify"
        "#,
    );
    let mut up = machine.command(&["up", "-d"]).spawn().unwrap();
    let starting = machine.until_state("web", "starting");
    let old = machine.keeper("web").unwrap();
    kill(&old);
    assert_eq!(up.wait().unwrap().code(), Some(0));
    let online = machine.until_state("web", "online");
    assert_eq!((&online["pid"], &online["run"]), (&starting["pid"], &1.into()));
    assert!(machine.keeper("web").is_some_and(|new| new != old));
}

#[test]
fn a_report_that_comes_while_there_is_no_keeper_is_not_lost() {
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "pause", "300", "ready", "hang"]
        ready = { notify = true, timeout = "20s" }
        "#,
    );
    // Keeper and warden die together: for half a second and more nobody reads the socket.
    let mut up = machine.command(&["up", "-d"]).spawn().unwrap();
    let starting = machine.until_state("web", "starting");
    kill(&machine.warden().unwrap());
    kill(&machine.keeper("web").unwrap());
    assert_eq!(up.wait().unwrap().code(), Some(0));
    let online = machine.until_state("web", "online");
    assert_eq!((&online["pid"], &online["run"]), (&starting["pid"], &1.into()));
}
