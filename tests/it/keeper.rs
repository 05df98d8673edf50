//! What a keeper does with a child that misbehaves.

use crate::harness::{Machine, free_address, kill, kill_pid, until};

fn service(more: &str) -> String {
    format!("[services.web]\n{more}\n")
}

#[test]
fn a_killed_service_is_back_with_its_reason_and_count() {
    let machine = Machine::new(&service(r#"command = ["UNRULY", "hang"]"#));
    machine.up();
    let first = machine.until_state("web", "online");
    kill_pid(&first);
    let second = until(
        "a new process",
        || machine.status("web"),
        |new| new["pid"].is_number() && new["pid"] != first["pid"] && new["state"] == "online",
    );
    assert_eq!(second["restarts"], 1);
    assert_eq!(second["reason"], "killed by SIGKILL");
    assert_eq!(second["run"], 2);
}

#[test]
fn a_stubborn_service_and_what_it_left_behind_are_killed_in_the_end() {
    let machine = Machine::new(&service(
        r#"
        command = ["UNRULY", "stubborn", "escape", "say", "escaped", "hang"]
        stop = { timeout = "200ms" }
        "#,
    ));
    machine.up();
    let status = until("the escape", || machine.status("web"), |status| status["processes"] == 2);
    assert_eq!(machine.log("web", "out"), "escaped\n");
    machine.ok(&["stop", "web"]);
    let stopped = machine.until_state("web", "stopped");
    assert_eq!(stopped["reason"], "stopped on request, killed because it did not stop in time");
    assert_eq!(stopped["processes"], serde_json::Value::Null, "{status}");
}

#[test]
fn a_crash_loop_is_named_and_a_start_that_fails_says_why() {
    let machine = Machine::new(&service(
        r#"
        command = ["UNRULY", "shout", "the disk is on fire", "exit", "7"]
        restart = { delay = "1ms" }
        "#,
    ));
    let outcome = machine.run(&["up", "-d"]);
    assert_eq!(outcome.code, 1, "{outcome:#?}");
    let status = machine.until_state("web", "crash-loop");
    assert_eq!(status["reason"], "exited with code 7");
    let outcome = machine.run(&["restart", "web"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.err.contains("exited with code 7"), "{outcome:#?}");
    assert!(outcome.err.contains("the disk is on fire"), "{outcome:#?}");
}

#[test]
fn the_exit_code_of_an_adopted_service_is_known() {
    let machine = Machine::new(&service(
        r#"
        command = ["/bin/sh", "-c", "trap 'exit 42' USR1; while :; do sleep 0.02; done"]
        restart = { delay = "1ms" }
        "#,
    ));
    machine.up();
    let first = machine.until_state("web", "online");
    let old = machine.keeper("web").unwrap();
    kill(&old);
    until("a new keeper", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != old));
    let pid = first["pid"].as_i64().unwrap() as i32;
    dogwatch::os::process::PidFd::open(pid)
        .unwrap()
        .signal(dogwatch::model::signal::Signal::parse("USR1").unwrap())
        .unwrap();
    let second = until("the end", || machine.status("web"), |new| new["run"] == 2);
    assert_eq!(second["reason"], "exited with code 42");
}

#[test]
fn bytes_that_are_no_text_and_half_lines_reach_the_log() {
    let machine = Machine::new(&service(
        r#"
        command = ["UNRULY", "binary", "half", "no end", "pause", "1200", "exit", "0"]
        restart = { delay = "10s", stable_after = "1h" }
        "#,
    ));
    machine.up();
    until(
        "the end of the line",
        || machine.log_files("web", "out").pop().map(std::fs::read),
        |bytes| {
            bytes.as_ref().is_some_and(|read| {
                read.as_ref()
                    .is_ok_and(|bytes| bytes.ends_with(b"no end\n") && bytes.starts_with(b"a\xff\xfe\0b\n"))
            })
        },
    );
}

#[test]
fn memory_over_the_limit_restarts_and_says_so() {
    let machine = Machine::new(&service(
        r#"
        command = ["UNRULY", "pause", "1200", "grow", "4", "5"]
        memory = { limit = "60MiB" }
        "#,
    ));
    machine.up();
    let status = until("a restart", || machine.status("web"), |status| status["restarts"] == 1);
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.starts_with("memory ") && reason.ends_with(" over the limit of 60 MiB"), "{reason}");
}

#[test]
fn a_taken_port_names_its_holder() {
    let address = free_address();
    let _mine = std::net::TcpListener::bind(address).unwrap();
    let machine =
        Machine::new(&service(&format!("command = [\"UNRULY\", \"hang\"]\nlisten = [\"{address}\"]")));
    let outcome = machine.run(&["up", "-d"]);
    assert_eq!(outcome.code, 1);
    let said = format!("port {} is held by pid {} (", address.port(), std::process::id());
    assert!(outcome.err.contains(&said) || outcome.out.contains(&said), "{outcome:#?}");
}

#[test]
fn a_goal_survives_everybody() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n[services.off]\ncommand = [\"UNRULY\", \"hang\"]\n",
    );
    machine.up();
    machine.until_state("web", "online");
    machine.ok(&["stop", "off"]);
    machine.ok(&["down"]);
    assert!(machine.control().is_none() && machine.warden().is_none());
    // As at a boot: the control plane alone, which starts what was up.
    let mut control = machine.command(&["control", "-f", "ecosystem.toml"]).spawn().unwrap();
    machine.until_state("web", "online");
    assert_eq!(machine.status("off")["state"], "stopped");
    machine.ok(&["down"]);
    control.wait().unwrap();
}

#[test]
fn nothing_comes_back_when_a_warden_takes_down_keepers_that_it_has_not_started() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n[services.api]\ncommand = [\"UNRULY\", \"hang\"]\n",
    );
    machine.up();
    let old = machine.warden().unwrap();
    kill(&old);
    until("a new warden", || machine.warden(), |new| new.as_ref().is_some_and(|new| *new != old));
    machine.ok(&["status"]);
    machine.ok(&["down"]);
    assert_eq!([machine.warden(), machine.keeper("web"), machine.keeper("api")], [None, None, None]);
    let log = std::fs::read_to_string(machine.paths().own_log()).unwrap();
    assert!(!log.contains("has died"), "{log}");
}
