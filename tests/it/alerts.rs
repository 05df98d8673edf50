//! Who wants to know is told: a command that is run, and numbers for Prometheus.

use crate::harness::clients::get;
use crate::harness::{Machine, free_address, until};

/// A service that crashes, and a command that writes down what it is told.
fn crashing(machine: &Machine, command: &str) -> String {
    format!(
        "[dogwatch]\nlisten = \"{}\"\n[notifications]\ncommand = {command}\n\
         [services.web]\ncommand = [\"UNRULY\", \"exit\", \"3\"]\nrestart = {{ delay = \"1ms\", max_delay = \"1s\" }}\n\
         [services.calm]\ncommand = [\"UNRULY\", \"hang\"]\n",
        free_address()
    )
    .replace("TOLD", machine.dir().join("told").to_str().unwrap())
}

#[test]
fn a_crash_loop_is_told_once_by_each_control_plane() {
    let machine = Machine::new("");
    let command =
        r#"["/bin/sh", "-c", "echo \"$$DOGWATCH_ALERT_STATE $$DOGWATCH_ALERT_TOPIC: $$1\" >> TOLD", "tell"]"#;
    machine.write(&crashing(&machine, command));
    machine.run(&["up", "-d"]);
    let told = || std::fs::read_to_string(machine.dir().join("told")).unwrap_or_default();
    let first = until("somebody is told", told, |told| told.ends_with('\n'));
    assert!(
        first.starts_with("begins web: alert: web is in state crash-loop: exited with code 3"),
        "{first}"
    );
    // Another control plane remembers nothing, and so does not keep quiet.
    let old = machine.control().unwrap();
    crate::harness::kill(&old);
    let twice = until("the next one tells it again", told, |told| told.lines().count() > 1);
    assert_eq!(twice.lines().count(), 2, "{twice}");
}

#[test]
fn a_command_that_fails_is_said_with_what_it_should_have_told() {
    let machine = Machine::new("");
    machine.write(&crashing(&machine, "[\"false\"]"));
    machine.run(&["up", "-d"]);
    let wanted =
        "the command of [notifications], false: it failed (exited with code 1); not told: alert: web is";
    until("the failure is said", || machine.own_log(), |log| log.contains(wanted));
}

#[test]
fn the_command_runs_in_the_folder_of_the_file() {
    let machine = Machine::new("");
    machine.write(&crashing(&machine, r#"["/bin/sh", "-c", "pwd -P > told_in && mv told_in TOLD"]"#));
    machine.run(&["up", "-d"]);
    let told = || std::fs::read_to_string(machine.dir().join("told")).unwrap_or_default();
    let folder = until("somebody is told", told, |told| told.ends_with('\n'));
    assert_eq!(std::path::Path::new(folder.trim_end()), machine.dir().canonicalize().unwrap());
}

#[test]
fn prometheus_reads_numbers() {
    let machine = Machine::new("");
    let file = crashing(&machine, "[\"true\"]");
    let address = file.lines().nth(1).unwrap().split('"').nth(1).unwrap().parse().unwrap();
    machine.write(&file);
    machine.run(&["up", "-d"]);
    machine.until_state("calm", "online");
    let memory = "dogwatch_service_memory_bytes{service=\"calm\"} ";
    let seen =
        until("numbers", || get(address, "/metrics").unwrap_or_default(), |text| text.contains(memory));
    for wanted in [
        "HTTP/1.1 200",
        "text/plain; version=0.0.4",
        "dogwatch_service_state{service=\"calm\",state=\"online\"} 1",
        "dogwatch_service_log_trouble{service=\"calm\"} 0",
        "dogwatch_service_restarts_total{service=\"calm\"} 0",
    ] {
        assert!(seen.contains(wanted), "{wanted} is not in:\n{seen}");
    }
}
