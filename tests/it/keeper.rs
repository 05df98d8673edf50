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
    assert!(
        reason.starts_with("memory ") && reason.contains(" over the limit of 60 MiB, after "),
        "{reason}"
    );
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

#[test]
fn a_one_shot_is_not_run_again_when_its_keeper_dies() {
    let machine = Machine::new(&service(
        r#"
        command = ["UNRULY", "say", "migrated", "exit", "0"]
        restart = { policy = "never" }
        "#,
    ));
    let _ = machine.run(&["up", "-d"]);
    machine.until_state("web", "stopped");
    let old = machine.keeper("web").unwrap();
    let runs = machine.status("web")["run"].clone();
    kill(&old);
    until("a new keeper", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != old));
    let status = machine.until_state("web", "stopped");
    assert_eq!((&status["run"], &runs), (&1.into(), &1.into()), "{status}");
    assert_eq!(machine.log("web", "out"), "migrated\n");
}

#[test]
fn a_stop_ends_even_if_the_keeper_dies_before_it_kills() {
    let mut machine = Machine::new(&service(
        r#"
        command = ["UNRULY", "stubborn", "hang"]
        stop = { timeout = "100ms" }
        "#,
    ));
    let marker = machine.dir().join("died");
    machine.set("DOGWATCH_FAULT", &format!("between record and kill={}", marker.display()));
    machine.up();
    machine.until_state("web", "online");
    let _ = machine.run(&["stop", "web"]);
    until("the keeper's death", || marker.exists(), |died| *died);
    machine.until_state("web", "stopped");
}

#[test]
fn a_log_disk_that_is_full_ends_nobody_and_loses_nothing() {
    let machine = Machine::new(&service(
        r#"
        command = ["UNRULY", "number", "1", "10", "hang"]
        "#,
    ));
    // A folder where the log file should be: every write fails, as on a full disk.
    std::fs::create_dir_all(machine.dir().join("logs/web-out.log")).unwrap();
    machine.up();
    let first = machine.until_state("web", "online");
    for _ in 0..3 {
        let old = machine.keeper("web").unwrap();
        kill(&old);
        until("a new keeper", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != old));
    }
    assert_eq!(machine.until_state("web", "online")["pid"], first["pid"]);
    std::fs::remove_dir(machine.dir().join("logs/web-out.log")).unwrap();
    until("the first line", || machine.log("web", "out"), |log| log.starts_with("0000000000 "));
}

#[test]
fn a_crash_loop_beside_a_full_disk_does_not_use_up_descriptors() {
    let machine = Machine::new(&service(
        r#"
        command = ["UNRULY", "say", "before the crash", "exit", "1"]
        restart = { delay = "1ms", max_delay = "2ms" }
        "#,
    ));
    std::fs::create_dir_all(machine.dir().join("logs/web-out.log")).unwrap();
    let _ = machine.run(&["up", "-d"]);
    let waits = |status: &serde_json::Value| {
        status["reason"].as_str().is_some_and(|reason| reason.contains("waits for the disk"))
    };
    until("patience", || machine.status("web"), waits);
    let keeper = machine.keeper("web").unwrap().pid;
    let open = std::fs::read_dir(format!("/proc/{keeper}/fd")).unwrap().count();
    assert!(open < 120, "{open} descriptors");
    std::fs::remove_dir(machine.dir().join("logs/web-out.log")).unwrap();
    until("all lines", || machine.log("web", "out"), |log| log.matches("before the crash").count() > 12);
}

#[test]
fn a_service_has_three_descriptors_and_its_sockets_and_no_more() {
    let address = free_address();
    let machine =
        Machine::new(&service(&format!("command = [\"UNRULY\", \"hang\"]\nlisten = [\"{address}\"]")));
    machine.up();
    let status = machine.until_state("web", "online");
    let mut names: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", status["pid"]))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["0", "1", "2", "3"]);
}

#[test]
fn a_service_of_another_user_says_that_it_is_ready() {
    if nix::unistd::geteuid().as_raw() != 0 {
        eprintln!("only root may start services as another user: nothing to see");
        return;
    }
    let text = service(
        r#"
        command = ["/usr/bin/python3", "-c", """
import os, socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
print(os.getuid(), os.environ["HOME"], os.environ["USER"], flush=True)
open("/dev/stdout", "w").write("by path\\n")
socket.socket().accept() if len(sys.argv) > 9 else __import__("signal").pause()
"""]
        user = "nobody"
        env = { USER = "me" }
        ready = "notify"
        "#,
    );
    let machine = Machine::new(&text);
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(machine.dir(), std::fs::Permissions::from_mode(0o755)).unwrap();
    machine.up();
    machine.until_state("web", "online");
    until("its words", || machine.log("web", "out"), |log| log == "65534 /nonexistent me\nby path\n");
    // Its successor is somebody else, who may not use what was theirs.
    machine.write(&text.replace("\"nobody\"", "\"daemon\""));
    machine.ok(&["restart", "web"]);
    until("its words", || machine.log("web", "out"), |log| log.contains("\n1 "));
}

#[test]
fn a_keeper_brings_warden_and_control_plane_back_when_both_are_gone() {
    let machine = Machine::new(&service(r#"command = ["UNRULY", "hang"]"#));
    machine.up();
    let before = machine.until_state("web", "online");
    let (control, warden) = (machine.control().unwrap(), machine.warden().unwrap());
    kill(&control);
    kill(&warden);
    until("a new warden", || machine.warden(), |new| new.as_ref().is_some_and(|new| *new != warden));
    until("a new control plane", || machine.control(), |new| new.as_ref().is_some_and(|new| *new != control));
    let after = machine.until_state("web", "online");
    assert_eq!((&before["pid"], &before["keeper_pid"]), (&after["pid"], &after["keeper_pid"]));
}
