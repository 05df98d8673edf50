//! A service with `dogwatch_access = "view"` sees what `dogwatch status` shows, whoever of dogwatch dies meanwhile, and
//! can do no harm with it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dogwatch::os::process::Identity;
use serde_json::Value;

use crate::harness::clients::{Asking, get};
use crate::harness::{Machine, PATIENCE, binary, free_address, kill, kill_pid, pause, until};

/// A machine with a viewer, and what else it is to have.
struct Observed {
    machine: Machine,
    viewer: SocketAddr,
}

impl Observed {
    fn new(more: &str) -> Observed {
        let viewer = free_address();
        let program = beside_unruly("viewer");
        let machine = Machine::new(&format!(
            "[services.viewer]\ncommand = [{program:?}]\nlisten = [\"{viewer}\"]\nready = \"notify\"\n\
             dogwatch_access = \"view\"\nrestart = {{ delay = \"10ms\" }}\n{more}"
        ));
        machine.up();
        machine.until_state("viewer", "online");
        Observed { machine, viewer }
    }

    /// Tells the viewer to do something; the lines that it answers.
    #[track_caller]
    fn tell(&self, line: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(self.viewer).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().map(str::to_owned).collect()
    }

    /// Lets the viewer ask; the last packet that it got.
    #[track_caller]
    fn ask(&self) -> Value {
        let packets = self.tell("ask");
        let last = packets.last().unwrap_or_else(|| panic!("no answer"));
        let page: Value = serde_json::from_str(last).unwrap();
        assert_eq!(
            (&page["v"], &page["page"], &page["pages"]),
            (&1.into(), &1.into(), &1.into()),
            "{page:#}"
        );
        page
    }

    /// The service of that name, as the viewer sees it.
    #[track_caller]
    fn seen(&self, name: &str) -> Value {
        let services = self.ask()["services"].as_array().cloned().unwrap_or_default();
        services.into_iter().find(|service| service["name"] == name).unwrap_or(Value::Null)
    }
}

/// A program of `examples`, which cargo builds beside the tests.
fn beside_unruly(name: &str) -> PathBuf {
    let path = crate::harness::unruly().with_file_name(name);
    assert!(path.exists(), "{} is missing: cargo build --examples", path.display());
    path
}

#[test]
fn a_viewer_sees_what_status_shows() {
    let web = free_address();
    let observed = Observed::new(&format!(
        "[compartments.shop]\n[services.web]\ncompartment = \"shop\"\ncommand = [\"UNRULY\", \"say\", \"hello\", \"hang\"]\n\
         listen = [\"{web}\"]\nmemory = \"200M\"\nenv = {{ TOKEN = \"a-secret\" }}\n\
         [services.once]\ncommand = [\"UNRULY\", \"exit\", \"0\"]\nrestart = {{ policy = \"never\" }}\n"
    ));
    let machine = &observed.machine;
    let shown = machine.until_state("web", "online");
    let seen = until("its log is seen", || observed.seen("web"), |seen| seen["log_bytes"] == 6);
    for field in ["name", "compartment", "pid", "restarts", "memory_limit_bytes", "reason"] {
        assert_eq!(seen[field], shown[field], "{field}");
    }
    assert_eq!((&seen["status"], &seen["port"]), (&shown["state"], &web.port().into()));
    assert!(seen["uptime_ms"].as_u64().unwrap() >= shown["uptime_ms"].as_u64().unwrap());
    assert!(seen["memory_bytes"].as_u64().unwrap() > 100_000);
    until("its share of the processor", || observed.seen("web"), |seen| seen["cpu_percent"].is_number());
    assert!(seen["health"].is_null());

    let once = until("its end", || observed.seen("once"), |seen| seen["status"] == "stopped");
    assert_eq!((&once["reason"], &once["restarts"]), (&"exited with code 0".into(), &0.into()));
    for unknown in ["pid", "uptime_ms", "memory_bytes", "cpu_percent", "port", "memory_limit_bytes"] {
        assert!(once[unknown].is_null(), "{unknown}: {once}");
    }

    let system = observed.ask()["system"].clone();
    assert_eq!(system["load"].as_array().map(Vec::len), Some(3), "{system}");
    for (part, all, rest) in [("memory", "total", "available"), ("disk", "total", "free")] {
        assert!(system[part][all].as_u64().unwrap() >= system[part][rest].as_u64().unwrap(), "{system}");
    }
    assert!((0.0..=100.0).contains(&system["disk"]["percent"].as_f64().unwrap()), "{system}");

    machine.ok(&["stop", "web"]);
    until("that it is stopped", || observed.seen("web"), |seen| seen["status"] == "stopped");
    let all = observed.ask().to_string();
    for hidden in ["a-secret", "TOKEN", "unruly", "hello", machine.dir().to_str().unwrap()] {
        assert!(!all.contains(hidden), "{hidden} in {all}");
    }
}

#[test]
fn without_access_there_is_no_variable_no_descriptor_and_nothing_held() {
    let observed = Observed::new(
        "[services.shell]\nshell = true\n\
         command = '''echo \"fd=$DOGWATCH_STATUS_FD\"; ls /proc/$$/fd | tr '\\n' ' '; exec UNRULY hang'''\n",
    );
    let said = until(
        "its words",
        || observed.machine.log("shell", "out"),
        |log| log.contains("fd=") && log.ends_with(' '),
    );
    assert!(said.starts_with("fd=\n0 1 2 "), "{said}");
    assert_eq!(observed.tell("inherited")[0], "4");
    let mut descriptors: Vec<u32> =
        observed.tell("inherited")[1].split(' ').map(|number| number.parse().unwrap()).collect();
    descriptors.sort_unstable();
    // Its socket, its view, the connection that asks, and the folder that is being read.
    assert_eq!(descriptors, [0, 1, 2, 3, 4, 5, 6]);
    let sockets = |name: &str| sockets(&observed.machine.keeper(name).unwrap());
    // Beside what every keeper has: the listening one, the notify socket, the view.
    until("three more", || (sockets("viewer"), sockets("shell")), |(viewer, shell)| *viewer == shell + 3);
}

/// How many sockets a process has.
fn sockets(process: &Identity) -> usize {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", process.pid)).unwrap();
    let links = entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn a_view_survives_the_death_of_any_two_of_control_plane_warden_and_keeper() {
    let observed = Observed::new("");
    let machine = &observed.machine;
    let before = machine.until_state("viewer", "online");
    let holders = || [machine.control(), machine.warden(), machine.keeper("viewer")];
    for victims in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0]] {
        let old = until("all three", holders, |all| all.iter().all(Option::is_some));
        // Each holds what there is to hold before the next dies.
        until("all is held", || held(machine), |held| *held == Some(7));
        victims.iter().for_each(|victim| kill(old[*victim].as_ref().unwrap()));
        let seen = observed.seen("viewer");
        assert_eq!(seen["pid"], before["pid"], "after the death of {victims:?}");
        until("successors", holders, |all| {
            all.iter().all(Option::is_some) && victims.iter().all(|victim| all[*victim] != old[*victim])
        });
        assert_eq!(observed.seen("viewer")["pid"], before["pid"], "after the death of {victims:?}");
    }
}

/// How many descriptors the control plane holds: four FIFOs a service, and their sockets.
fn held(machine: &Machine) -> Option<u64> {
    let socket = machine.paths().control_sock();
    let mut stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str::<Value>(body).ok()?["held"].as_u64()
}

#[test]
fn a_new_run_is_not_answered_what_an_old_one_asked() {
    let observed = Observed::new("");
    for _ in 0..3 {
        let before = observed.machine.until_state("viewer", "online");
        // At ten questions a second most of them are still unread when the run dies.
        assert_eq!(observed.tell("flood 50"), ["50"]);
        kill_pid(&before);
        until(
            "a new run",
            || observed.machine.status("viewer"),
            |new| new["state"] == "online" && new["pid"] != before["pid"],
        );
        let packets = observed.tell("ask");
        assert_eq!(packets.len(), 1, "{packets:?}");
        let pid = observed.machine.status("viewer")["pid"].as_u64().unwrap();
        let page: Value = serde_json::from_str(&packets[0]).unwrap();
        assert_eq!(page["id"].as_u64().unwrap() >> 16, pid);
    }
    observed.machine.ok(&["restart", "viewer"]);
    assert_eq!(observed.seen("viewer")["status"], "online");
}

#[test]
fn nothing_but_the_question_is_answered() {
    let observed = Observed::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    let before = observed.machine.until_state("web", "online");
    let control = observed.machine.control().unwrap();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", control.pid)).unwrap().count();
    observed.ask();
    let had = descriptors();
    for (line, words) in [
        (r#"send {"v":1,"op":"stop"}"#, "not a question"),
        (r#"send {"v":1,"id":4,"get":"services","op":"retire"}"#, "\"services\""),
        (r#"send {"v":1,"id":5,"get":"env"}"#, "nothing else to see"),
        (r#"send {"v":9,"id":6,"get":"services"}"#, "version 1, not 9"),
        ("send POST /v1/services/web/stop HTTP/1.1", "not a question"),
        ("send {", "not a question"),
        ("huge 1025", "at most 1024 bytes"),
        ("huge 60000", "at most 1024 bytes"),
    ] {
        let said = observed.tell(line);
        assert!(said.len() == 1 && said[0].contains(words), "{line}: {said:?}");
    }
    for _ in 0..5 {
        // The kernel refuses it, or the question is answered as if nothing had come with it.
        let said = observed.tell("gift 200");
        assert!(said[0].contains("not permitted") || said[0].contains("\"services\""), "{said:?}");
    }
    // Others come and go; a thousand gifts would show.
    until("no gift is kept", descriptors, |count| *count < had + 100);
    let after = observed.seen("web");
    assert_eq!((&after["pid"], &after["status"]), (&before["pid"], &"online".into()));
    assert_eq!(observed.machine.control().unwrap(), control);
}

#[test]
fn a_flood_of_questions_costs_neither_the_control_plane_nor_the_webhook() {
    let webhook = free_address();
    let program = binary().with_file_name("webhook");
    assert!(program.exists(), "{} is missing: cargo build --workspace", program.display());
    let observed = Observed::new(&format!(
        "[services.webhook]\ncritical = true\ncommand = [{program:?}]\nlisten = [\"{webhook}\"]\nready = \"notify\"\n\
         env = {{ WHATSAPP_VERIFY_TOKEN = \"a-test\", WHATSAPP_APP_SECRET = \"a-test\", \
         WHATSAPP_ACCESS_TOKEN = \"a-test\", WHATSAPP_PHONE_NUMBER_ID = \"1\" }}\n"
    ));
    let machine = &observed.machine;
    let before = machine.until_state("webhook", "online");
    let control = machine.control().unwrap();
    let asking = Asking::begin(webhook);
    let (used, begin) = (processor_time(&control), Instant::now());
    let mut slowest = Duration::ZERO;
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| observed.tell("flood 100000"));
        // The answers to what was taken go on for a while after the flood.
        while !flood.is_finished() || begin.elapsed() < Duration::from_secs(2) {
            let asked = Instant::now();
            machine.ok(&["status"]);
            slowest = slowest.max(asked.elapsed());
            pause();
        }
        let taken: u64 = flood.join().unwrap()[0].parse().unwrap();
        assert!(taken < 5000, "{taken} of 100000 questions found room");
    });
    let share = (processor_time(&control) - used).as_secs_f64() / begin.elapsed().as_secs_f64();
    let (asked, failures) = asking.finish();
    eprintln!(
        "status {slowest:.1?} at most, control plane {:.0} % of a core, webhook {asked} requests",
        share * 100.0
    );
    assert!(failures.is_empty(), "{failures:?}");
    assert!(slowest < Duration::from_secs(1), "status took {slowest:?}");
    assert_eq!(machine.status("webhook")["pid"], before["pid"]);
    assert_eq!(machine.control().unwrap(), control);
}

/// User and system time of a process (proc_pid_stat(5), fields 14 and 15, in hundredths of a second).
fn processor_time(process: &Identity) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
    let (_, after) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn the_dashboard_api_tells_what_a_viewer_sees() {
    let api = free_address();
    let program = binary().with_file_name("dashboard-api");
    assert!(program.exists(), "{} is missing: cargo build --workspace", program.display());
    let machine = Machine::new(&format!(
        "[services.api]\ncommand = [{program:?}]\nlisten = [\"{api}\"]\nready = \"notify\"\ndogwatch_access = \"view\"\n\
         [services.web]\ncommand = [\"UNRULY\", \"hang\"]\nmemory = \"100M\"\n"
    ));
    machine.up();
    let web = machine.until_state("web", "online");
    let ask = || {
        let answer = get(api, "/api/services").unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap()
    };
    let body = ask();
    assert!(body["system"]["disk"]["total"].as_u64().unwrap() > 0, "{body}");
    let seen = &body["data"][1];
    assert_eq!(
        (&seen["name"], &seen["status"], &seen["pid"]),
        (&"web".into(), &"online".into(), &web["pid"])
    );
    assert_eq!(seen["memory_limit_bytes"], 100 << 20);
    kill(&machine.control().unwrap());
    kill_pid(&web);
    let is_next = |seen: &Value| seen["pid"].is_number() && seen["pid"] != web["pid"];
    let seen = until("the next run is seen", || ask()["data"][1].clone(), is_next);
    assert_eq!(seen["reason"], "killed by SIGKILL");
}

#[test]
fn the_example_of_the_manual_works() {
    const MANUAL: &str = include_str!("../../docs/api.md");
    let (example, _) = MANUAL.split_once("```python\n").unwrap().1.split_once("```").unwrap();
    let machine = Machine::new(
        "[services.example]\ncommand = [\"python3\", \"-u\", \"example.py\"]\ndogwatch_access = \"view\"\n\
         [services.web]\ncommand = [\"UNRULY\", \"hang\"]\n",
    );
    let more = "while True:\n    print(sorted((seen['name'], seen['status']) for seen in services()))\n    time.sleep(0.02)\n";
    std::fs::write(machine.dir().join("example.py"), format!("{example}\n{more}")).unwrap();
    machine.up();
    let expected = "[('example', 'online'), ('web', 'online')]\n";
    until("its words", || machine.log("example", "out"), |log| log.ends_with(expected));
    assert_eq!(machine.log("example", "error"), "");
    kill(&machine.control().unwrap());
    let said = machine.log("example", "out").lines().count();
    until("more words", || machine.log("example", "out").lines().count(), |lines| *lines > said + 10);
    assert_eq!(machine.status("example")["run"], 1);
}
