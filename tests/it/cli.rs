//! The command line, as people and scripts use it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use dogwatch::exit_code;
use dogwatch::model::signal::Signal;
use dogwatch::os::process::PidFd;
use serde_json::Value;

use crate::harness::{Machine, free_address, kill, kill_pid, until};

const TWO: &str = r#"
[services.api]
command = ["UNRULY", "say", "api here", "hang"]
after = ["db"]
[services.db]
command = ["UNRULY", "ready", "say", "db here", "hang"]
ready = "notify"
"#;

fn signal(child: &Child, name: &str) {
    PidFd::open(child.id() as i32).unwrap().signal(Signal::parse(name).unwrap()).unwrap();
}

/// One blank where there are several: what stands in a line, not in which column.
fn squeezed(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn up_waits_shows_and_names_the_folders_and_down_ends_all() {
    let machine = Machine::new(TWO);
    let out = squeezed(&machine.ok(&["up", "-d"]));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("name state pid"), "{out}");
    assert!(lines[1].starts_with("db online"), "the order of their start: {out}");
    assert!(lines[2].starts_with("api online"), "{out}");
    assert!(out.contains("home/run") && out.contains("home/state") && out.contains("logs"), "{out}");
    assert!(!out.contains('│') && !out.contains('\x1b'), "plain into a pipe: {out}");
    let again = machine.ok(&["up", "-d"]);
    assert!(squeezed(&again).contains("db online"), "{again}");
    assert_eq!(machine.status("db")["run"], 1, "what runs is left alone");
    assert_eq!(machine.ok(&["down"]), "stopped api, db; dogwatch is down\n");
    let outcome = machine.run(&["status"]);
    assert_eq!(i32::from(exit_code::NOT_RUNNING), outcome.code);
    assert!(outcome.err.starts_with("dogwatch does not run here"), "{outcome:#?}");
    assert_eq!(machine.run(&["down"]).code, i32::from(exit_code::NOT_RUNNING));
}

#[test]
fn after_holds_a_start_back_until_the_other_is_online() {
    let machine = Machine::new(
        r#"
        [services.db]
        command = ["UNRULY", "exit", "1"]
        restart = { delay = "1h", max_delay = "1h" }
        [services.api]
        command = ["UNRULY", "hang"]
        after = ["db"]
        "#,
    );
    let outcome = machine.run(&["up", "-d"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.err.contains("api is not started yet: waits for db, which is not online"),
        "{outcome:#?}"
    );
    assert_eq!(machine.status("api")["run"], 0);
    machine.ok(&["stop", "db"]);
    machine.until_state("api", "online");
}

#[test]
fn up_of_one_leaves_the_others_for_later() {
    let machine = Machine::new(TWO);
    let out = machine.ok(&["up", "-d", "api"]);
    assert!(!out.lines().any(|line| line.starts_with("db")), "{out}");
    assert_eq!(machine.status("db")["state"], "stopped");
    machine.up();
    assert_eq!(machine.status("db")["state"], "online");
    assert_eq!(machine.run(&["up", "-d", "dbb"]).code, i32::from(exit_code::UNKNOWN_SERVICE));
}

#[test]
fn what_is_new_in_the_file_waits_until_it_is_asked_for() {
    let one = "[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n";
    let two = format!("{one}[services.new]\ncommand = [\"UNRULY\", \"hang\"]\n");
    let machine = Machine::new(one);
    machine.up();
    machine.write(&two);
    let told = "new in ecosystem.toml; start it: dogwatch start new\n";
    until("it is told", || machine.ok(&["status"]), |text| text.ends_with(told));
    // Neither an order for another one starts it, nor a successor of anybody.
    machine.ok(&["restart", "web"]);
    let (control, warden) = (machine.control().unwrap(), machine.warden().unwrap());
    kill(&control);
    let is_new = |now: &Option<_>, old: &_| now.as_ref().is_some_and(|now| now != old);
    until("a new control plane", || machine.control(), |now| is_new(now, &control));
    kill(&warden);
    until("a new warden", || machine.warden(), |now| is_new(now, &warden));
    machine.ok(&["restart", "web"]);
    assert_eq!(machine.status("new")["state"], "stopped");
    assert!(!machine.paths().services().join("new").exists());
    assert!(machine.ok(&["status"]).ends_with(told));
    assert_eq!(machine.ok(&["up", "-d"]).matches("online").count(), 2);

    machine.write(one);
    let told = "not in ecosystem.toml any more, but still here; end it: dogwatch stop new\n";
    until("it is told", || machine.ok(&["status"]), |text| text.ends_with(told));
    machine.ok(&["stop", "new"]);
    assert!(!machine.ok(&["status"]).contains("any more"));
    // Once it was stopped it stays so, in the file or not.
    machine.write(&two);
    assert!(machine.ok(&["restart", "web"]).contains("online"));
    assert_eq!(machine.status("new")["state"], "stopped");
}

#[test]
fn orders_wait_for_their_outcome_and_tell_it() {
    let machine = Machine::new(TWO);
    machine.up();
    assert_eq!(machine.ok(&["stop", "api", "db"]), "api: stopped\ndb: stopped\n");
    assert_eq!(machine.status("db")["goal"], "down");
    assert_eq!(machine.ok(&["status"]).lines().count(), 3, "stopped as wanted is well");
    let out = machine.ok(&["start", "all"]);
    assert!(out.starts_with("db: online (pid "), "{out}");
    let before = machine.status("db")["pid"].clone();
    let answers: Value = serde_json::from_str(&machine.ok(&["restart", "db", "--json"])).unwrap();
    assert_eq!(answers["answers"][0]["outcome"], "up");
    assert_ne!(answers["answers"][0]["service"]["pid"], before);
    let outcome = machine.run(&["restart", "bd"]);
    assert_eq!(outcome.code, i32::from(exit_code::UNKNOWN_SERVICE));
    assert_eq!(outcome.err, "there is no service bd\n  did you mean db? services: db, api\n");
}

#[test]
fn a_start_that_fails_says_why_and_shows_the_last_words() {
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "shout", "no such table", "exit", "7"]
        [services.gone]
        command = ["./nothing-here"]
        "#,
    );
    let outcome = machine.run(&["up", "-d"]);
    assert_eq!(outcome.code, 1);
    for text in [
        "cannot start web: exited with code 7",
        "    no such table",
        "cannot start gone: exec ",
        "no such file",
    ] {
        assert!(outcome.err.contains(text), "{text}: {outcome:#?}");
    }
    assert_eq!(machine.run(&["start", "web"]).code, 1);
    assert_eq!(machine.run(&["status"]).code, 1);
}

#[test]
fn a_restart_takes_the_present_entry_and_a_broken_file_changes_nothing() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"say\", \"one\", \"hang\"]\n");
    machine.up();
    machine.write("[services.web]\ncommand = [\"UNRULY\", \"say\", \"two\", \"hang\"]\n");
    let seen = until("the change", || machine.status("web"), |status| status["changed"] == true);
    assert_eq!(seen["run"], 1, "a changed file alone does nothing");
    assert!(machine.ok(&["status"]).contains("take it over: dogwatch restart web"));
    machine.ok(&["restart", "web"]);
    assert_eq!(machine.log("web", "out"), "one\ntwo\n");
    assert_eq!(machine.status("web")["changed"], false);
    machine.write("[services.web]\ncomand = [\"./x\"]\n");
    until("the report", || machine.ok(&["status"]), |out| out.contains("has 1 mistake:"));
    let outcome = machine.run(&["restart", "web"]);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.err.contains("the entry from before holds"), "{outcome:#?}");
    assert_eq!(machine.log("web", "out"), "one\ntwo\ntwo\n");
    assert_eq!(machine.run(&["up", "-d"]).code, i32::from(exit_code::CONFIG));
}

#[test]
fn without_a_control_plane_the_keepers_are_asked() {
    let machine = Machine::new(TWO);
    machine.up();
    let control = machine.control().unwrap();
    let pidfd = dogwatch::os::process::open(&control).unwrap();
    pidfd.signal(Signal::parse("STOP").unwrap()).unwrap();
    let outcome = machine.run(&["stop", "api"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (0, "api: stopped\n"), "{outcome:#?}");
    assert!(outcome.err.contains("asked the keepers directly"), "{outcome:#?}");
    let outcome = machine.run(&["status"]);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert!(squeezed(&outcome.out).contains("db online"), "{outcome:#?}");
    pidfd.signal(Signal::parse("CONT").unwrap()).unwrap();
    until("its own answer", || machine.run(&["status"]).err, String::is_empty);
}

#[test]
fn in_the_foreground_ctrl_c_is_down() {
    let machine = Machine::new(TWO);
    let mut up = machine.command(&["up"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    while !seen.iter().any(|line: &String| line.contains("Ctrl-C")) {
        seen.push(lines.next().unwrap().unwrap());
    }
    assert!(seen.iter().any(|line| line == "db  | db here"), "{seen:#?}");
    signal(&up, "INT");
    let rest: Vec<String> = lines.map(|line| line.unwrap()).collect();
    assert_eq!(rest.last().map(String::as_str), Some("stopped api, db; dogwatch is down"));
    assert!(up.wait().unwrap().success());
    assert!(machine.control().is_none() && machine.warden().is_none());
}

#[test]
fn what_a_killed_foreground_leaves_is_adopted() {
    let machine = Machine::new(TWO);
    let mut up = machine.command(&["up"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let before = machine.until_state("db", "online");
    up.kill().unwrap();
    up.wait().unwrap();
    machine.up();
    assert_eq!(machine.status("db")["pid"], before["pid"]);
}

#[test]
fn down_works_when_everybody_but_the_keepers_has_just_died() {
    let machine = Machine::new(TWO);
    machine.up();
    kill(&machine.control().unwrap());
    kill(&machine.warden().unwrap());
    let pid = machine.status("db")["pid"].as_i64().unwrap() as i32;
    machine.ok(&["down"]);
    assert!(machine.control().is_none() && machine.warden().is_none() && machine.keeper("db").is_none());
    assert!(PidFd::open(pid).is_err() || PidFd::open(pid).unwrap().has_ended());
}

#[test]
fn logs_show_the_end_and_follow() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"say\", \"1\", \"say\", \"2\", \"shout\", \"bad\", \"hang\"]\n",
    );
    machine.up();
    let last = |args: &[&str]| machine.ok(&[&["logs", "web", "--nostream"], args].concat());
    until("the lines", || last(&[]), |text| text == "1\n2\nbad\n");
    assert_eq!(last(&["--lines", "1"]), "2\nbad\n");
    assert_eq!(last(&["--err"]), "bad\n");
    assert_eq!(last(&["--out", "--lines", "1"]), "2\n");
    let mut follow =
        machine.command(&["logs", "web", "--lines", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "web | 2");
    assert_eq!(lines.next().unwrap().unwrap(), "web | bad");
    kill_pid(&machine.status("web"));
    assert_eq!(lines.next().unwrap().unwrap(), "web | 1");
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert_eq!(machine.ok(&["flush", "web"]), "web: log files archived and emptied\n");
    assert_eq!(last(&[]), "");
    machine.ok(&["down"]);
    assert_eq!(last(&[]), "", "the files are found without anybody");
}

#[test]
fn show_has_every_fact_and_no_secret() {
    let machine =
        Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\nenv = { TOKEN = \"s3cret\" }\n");
    machine.up();
    kill_pid(&machine.status("web"));
    until(
        "the restart",
        || machine.status("web"),
        |status| status["run"] == 2 && status["state"] == "online",
    );
    let text = squeezed(&machine.ok(&["show", "web"]));
    for fact in ["state online", "run 2", "killed by SIGKILL", "TOKEN", "web-error.log (0 B)"] {
        assert!(text.contains(fact), "{fact}: {text}");
    }
    let json = machine.ok(&["show", "web", "--json"]);
    assert!(!text.contains("s3cret") && !json.contains("s3cret"));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["restarts"], 1);
}

#[test]
fn over_tcp_one_may_only_look_and_only_at_this_host() {
    let address = free_address();
    let machine = Machine::new(&format!("[dogwatch]\nlisten = \"{address}\"\n{TWO}"));
    machine.up();
    let ask = |method: &str, path: &str, host: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask("GET", "/v1/services", "localhost");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""name":"db""#), "{answer}");
    assert!(ask("POST", "/v1/down", "localhost").starts_with("HTTP/1.1 405"));
    assert!(ask("POST", "/v1/services/db/stop", "localhost").starts_with("HTTP/1.1 405"));
    assert!(ask("GET", "/v1/health", "evil.example").starts_with("HTTP/1.1 421"));
    assert!(ask("GET", "/v1/services/nope", "127.0.0.1").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_second_control_plane_says_who_is_the_first() {
    let machine = Machine::new(TWO);
    machine.up();
    let outcome = machine.run(&["control", "-f", "ecosystem.toml"]);
    assert_eq!(outcome.code, i32::from(exit_code::LOCKED));
    assert!(outcome.err.contains(&format!("pid {}", machine.control().unwrap().pid)), "{outcome:#?}");
}

#[test]
fn a_memory_limit_for_now_holds_at_once_and_until_the_restart() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    machine.up();
    let order = |verb: &str, body: &str| post(&machine, &format!("/v1/services/web/{verb}"), body);
    let answer = order("start", r#"{"wait_ms":5000,"memory_limit":1073741824}"#);
    assert!(answer.contains(r#""outcome":"up""#) && answer.contains("without a restart"), "{answer}");
    let status = machine.status("web");
    assert_eq!((&status["memory_limit_bytes"], &status["run"]), (&(1_u64 << 30).into(), &1.into()));
    assert_eq!((&status["limit_overridden"], &status["changed"]), (&true.into(), &false.into()));
    machine.ok(&["restart", "web"]);
    let status = machine.status("web");
    assert_eq!((&status["memory_limit_bytes"], &status["limit_overridden"]), (&Value::Null, &false.into()));
    assert!(order("start", "{\"wait\":1}").starts_with("HTTP/1.1 400"), "unknown fields are refused");
}

fn post(machine: &Machine, path: &str, body: &str) -> String {
    let mut stream = UnixStream::connect(machine.paths().control_sock()).unwrap();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn dogwatch_itself_may_open_many_files_and_services_get_what_was_there_before() {
    let machine =
        Machine::new("[services.web]\ncommand = [\"/bin/sh\", \"-c\", \"ulimit -Sn; exec sleep 1000\"]\n");
    let home = machine.dir().join("home");
    let program = env!("CARGO_BIN_EXE_dogwatch");
    let script = format!("ulimit -Sn 512 && exec {program} --home {} up -d", home.display());
    let status =
        std::process::Command::new("/bin/sh").args(["-c", &script]).current_dir(machine.dir()).status();
    assert!(status.unwrap().success());
    until("its limit", || machine.log("web", "out"), |text| text == "512\n");
    let soft = |pid: i32| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
        line.split_whitespace().nth(3).unwrap().to_owned()
    };
    assert_ne!(soft(machine.control().unwrap().pid), "512");
    assert_ne!(soft(machine.warden().unwrap().pid), "512");
    assert_eq!(soft(machine.keeper("web").unwrap().pid), "512");
}

#[test]
fn half_a_command_is_not_carried_out_and_a_name_twice_counts_once() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n\
         [services.worker]\ncommand = [\"UNRULY\", \"hang\"]\n",
    );
    machine.ok(&["up", "-d", "web", "web"]);
    let before = machine.until_state("web", "online");
    for command in ["restart", "stop", "flush", "reopen", "logs"] {
        for others in ["web", "all"] {
            let outcome = machine.run(&[command, others, "nosuch"]);
            assert_eq!(
                outcome.code,
                i32::from(exit_code::UNKNOWN_SERVICE),
                "{command} {others} {outcome:#?}"
            );
            assert!(
                outcome.out.is_empty() && outcome.err.starts_with("there is no service nosuch"),
                "{outcome:#?}"
            );
        }
    }
    let after = machine.status("web");
    assert_eq!((&after["pid"], &after["state"]), (&before["pid"], &"online".into()));
    assert_eq!(machine.status("worker")["state"], "stopped");
    machine.ok(&["up", "-d", "web", "all"]);
    machine.until_state("worker", "online");
}

#[test]
fn flush_and_reopen_without_a_name_mean_all_services() {
    let machine = Machine::new(
        "[services.web]\ncommand = [\"UNRULY\", \"say\", \"one\", \"hang\"]\n\
         [services.worker]\ncommand = [\"UNRULY\", \"say\", \"two\", \"hang\"]\n",
    );
    machine.up();
    for (name, line) in [("web", "one\n"), ("worker", "two\n")] {
        until("its line", || machine.log(name, "out"), |text| text == line);
    }
    let of_both = |done: &str| format!("web: {done}\nworker: {done}\n");
    assert_eq!(machine.ok(&["flush"]), of_both("log files archived and emptied"));
    assert_eq!((machine.log("web", "out"), machine.log("worker", "out")), (String::new(), String::new()));
    assert_eq!(machine.ok(&["reopen"]), of_both("log files opened again"));
    kill(&machine.control().unwrap());
    assert_eq!(machine.ok(&["flush"]), of_both("log files archived and emptied"));
}

#[test]
fn down_works_with_a_warden_that_hangs() {
    use dogwatch::model::signal::Signal;
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    machine.up();
    machine.until_state("web", "online");
    let warden = dogwatch::os::process::open(&machine.warden().unwrap()).unwrap();
    warden.signal(Signal::parse("STOP").unwrap()).unwrap();
    crate::harness::kill(&machine.control().unwrap());
    machine.ok(&["down"]);
    assert!(machine.warden().is_none() && machine.keeper("web").is_none());
}

#[test]
fn an_emptied_log_starts_nobody() {
    let machine = Machine::new(
        "[services.first]\ncommand = [\"UNRULY\", \"exit\", \"1\"]\n\
         [services.second]\ncommand = [\"UNRULY\", \"hang\"]\nafter = [\"first\"]\n",
    );
    let _ = machine.run(&["up", "-d"]);
    machine.ok(&["flush", "second"]);
    assert_eq!(machine.status("second")["run"], 0);
}
