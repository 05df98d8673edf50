//! The maintenance guide that operators of the three services work by: every line of it that begins with `pm2`
//! does, verbatim, what the guide says, and the webhook never notices.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::clients::{Asking, InFlight, get, is_refused};
use crate::harness::shell::{Shell, was_interrupted};
use crate::harness::{Machine, Outcome, binary, free_address, until};

const WEBHOOK: &str = "webhook-button-handler";
const API: &str = "dashboard-api-server";
const WEBSOCKET: &str = "websocket-server";

/// The lines, in their order, with their numbers in the guide.
const LINES: [(u32, &str); 24] = [
    (27, "pm2 status"),
    (56, r#"pm2 show dashboard-api-server | grep -E "(memory|cpu)""#),
    (57, r#"pm2 show websocket-server | grep -E "(memory|cpu)""#),
    (104, "pm2 flush dashboard-api-server"),
    (105, "pm2 flush websocket-server"),
    (126, "pm2 restart dashboard-api-server --update-env"),
    (127, "pm2 restart websocket-server --update-env"),
    (142, "pm2 list | grep dashboard-api-server"),
    (145, "pm2 logs dashboard-api-server --lines 50"),
    (155, "pm2 restart dashboard-api-server"),
    (171, "pm2 show websocket-server"),
    (183, "pm2 restart websocket-server"),
    (224, "pm2 logs webhook-button-handler --lines 100"),
    (233, "pm2 restart webhook-button-handler"),
    (254, "pm2 restart dashboard-api-server"),
    (255, "pm2 restart websocket-server"),
    (284, "pm2 start dashboard-api-server --max-memory-restart 1G"),
    (285, "pm2 start websocket-server --max-memory-restart 512M"),
    (361, "pm2 stop dashboard-api-server websocket-server"),
    (367, "pm2 logs dashboard-api-server --lines 200"),
    (368, "pm2 logs websocket-server --lines 200"),
    (371, "pm2 start ecosystem.dashboard-integration.config.js"),
    (377, "pm2 stop dashboard-api-server websocket-server"),
    (387, "pm2 start dashboard-api-server websocket-server"),
];

#[test]
fn every_pm2_line_of_the_guide_works_and_the_webhook_never_notices() {
    let ports = [(); 4].map(|()| free_address());
    let machine = three_services(ports);
    machine.up();
    let guide = Guide { machine: &machine, shell: Shell::new(&machine), ports };
    for name in [WEBHOOK, API, WEBSOCKET] {
        machine.until_state(name, "online");
    }
    let asking = Asking::begin(ports[0]);
    let webhook_before = machine.status(WEBHOOK);
    for (number, line) in LINES {
        eprintln!("line {number}: {line}");
        guide.follow(line, &asking);
    }
    let webhook = machine.status(WEBHOOK);
    assert_eq!(webhook["run"].as_u64(), webhook_before["run"].as_u64().map(|run| run + 1), "restarted once");
    assert_eq!(webhook["restarts"], 0, "and never by itself");
    let (asked, failures) = asking.finish();
    assert!(failures.is_empty(), "{} of {asked} requests failed: {failures:#?}", failures.len());
    assert!(asked > 100, "only {asked} requests were made");
}

/// The shipped files, with ports that are free here, and the real programs.
fn three_services(ports: [SocketAddr; 4]) -> Machine {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut ecosystem = fs::read_to_string(root.join("ecosystem.toml")).unwrap();
    for (shipped, free) in ["3000", "3001", "3002", "9615"].into_iter().zip(ports) {
        let shipped = format!("\"127.0.0.1:{shipped}\"");
        assert_eq!(ecosystem.matches(&shipped).count(), 1, "{shipped} in ecosystem.toml");
        ecosystem = ecosystem.replace(&shipped, &format!("\"{free}\""));
    }
    let machine = Machine::new(&ecosystem);
    let pm2_file = "ecosystem.dashboard-integration.config.js";
    fs::copy(root.join(pm2_file), machine.dir().join(pm2_file)).unwrap();
    let env = Command::new(root.join("tests/make-dev-env")).output().unwrap().stdout;
    let here =
        format!("WEBHOOK_HEALTH_URL=http://{}/health\nWS_HEALTH_URL=http://{}/health\n", ports[0], ports[1]);
    fs::write(machine.dir().join(".env"), [env, here.into_bytes()].concat()).unwrap();
    fs::create_dir(machine.dir().join("bin")).unwrap();
    for program in ["webhook", "dashboard-api", "websocket"] {
        let built = binary().with_file_name(program);
        let path = built.display();
        assert!(built.exists(), "{path} is missing; build all programs first: cargo build --workspace");
        symlink(&built, machine.dir().join("bin").join(program)).unwrap();
    }
    machine
}

struct Guide<'a> {
    machine: &'a Machine,
    shell: Shell<'a>,
    /// Webhook, WebSocket, API, dogwatch.
    ports: [SocketAddr; 4],
}

impl Guide<'_> {
    /// Types a line and looks whether it did what the guide says.
    fn follow(&self, line: &str, asking: &Asking) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["pm2", "status"] => self.status(line),
            ["pm2", "show", _, "|", ..] => self.memory_and_cpu(line),
            ["pm2", "show", name] => self.show(line, name),
            ["pm2", "flush", name] => self.flush(line, name),
            ["pm2", "restart", name, "--update-env"] => self.restart_with_new_environment(line, name),
            ["pm2", "restart", WEBHOOK] => {
                asking.set_lenient(true);
                self.restart_webhook(line);
                asking.set_lenient(false);
            }
            ["pm2", "restart", name] => {
                self.restart(line, name);
            }
            ["pm2", "list", "|", "grep", name] => {
                let outcome = self.ok(line);
                assert!(outcome.out.contains(name) && outcome.out.contains(" online "), "{outcome:#?}");
                assert_eq!(outcome.out.lines().count(), 1, "{outcome:#?}");
            }
            ["pm2", "logs", name, "--lines", count] => self.logs(line, name, count.parse().unwrap()),
            ["pm2", "start", name, "--max-memory-restart", limit] => self.limit(line, name, limit),
            ["pm2", "stop", API, WEBSOCKET] => self.stop_both(line),
            ["pm2", "start", "ecosystem.dashboard-integration.config.js"] => self.start_file(line),
            ["pm2", "start", API, WEBSOCKET] => self.start_both(line),
            other => panic!("nobody knows what to expect of {other:?}"),
        }
    }

    fn status(&self, line: &str) {
        let outcome = self.ok(line);
        for name in [WEBHOOK, API, WEBSOCKET] {
            let row = outcome.out.lines().find(|row| row.contains(name));
            assert!(row.is_some_and(|row| row.contains("│ online ")), "{name}: {outcome:#?}");
        }
    }

    fn memory_and_cpu(&self, line: &str) {
        let outcome = self.ok(line);
        let cells = |row: &str| row.split('│').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = outcome.out.lines().map(cells).collect();
        let value = |title: &str| rows.iter().find(|cells| cells[1] == title).map(|cells| cells[2].clone());
        assert!(value("memory").is_some_and(|memory| memory.ends_with("mb")), "{outcome:#?}");
        assert!(value("cpu").is_some_and(|cpu| cpu.ends_with('%')), "{outcome:#?}");
        assert!(value("max memory restart").is_some(), "{outcome:#?}");
    }

    fn show(&self, line: &str, name: &str) {
        let outcome = self.ok(line);
        let pid = self.machine.status(name)["pid"].to_string();
        assert!(outcome.out.contains(name) && outcome.out.contains(&pid), "{outcome:#?}");
        assert!(outcome.out.contains("│ online "), "{outcome:#?}");
    }

    fn flush(&self, line: &str, name: &str) {
        assert_ne!(self.machine.log(name, "out"), "", "there is something to flush");
        let outcome = self.ok(line);
        assert!(outcome.out.ends_with("[PM2] Logs flushed\n"), "{outcome:#?}");
        assert_eq!(self.machine.log(name, "out"), "");
    }

    fn restart(&self, line: &str, name: &str) -> Value {
        let before = [WEBHOOK, API, WEBSOCKET].map(|name| self.machine.status(name));
        let outcome = self.ok(line);
        assert!(outcome.out.contains(&format!("[PM2] [{name}](")), "{outcome:#?}");
        for old in before {
            let now = self.machine.status(old["name"].as_str().unwrap());
            assert_eq!(now["state"], "online");
            assert_eq!(now["pid"] == old["pid"], now["name"] != name, "{now:#}, before: {old:#}");
        }
        self.machine.status(name)
    }

    /// `.env` says something else: the restarted process knows.
    fn restart_with_new_environment(&self, line: &str, name: &str) {
        let file = self.machine.dir().join(".env");
        let old = fs::read_to_string(&file).unwrap();
        let stamp = format!("HEARTBEAT_MS={}", 20_000 + name.len());
        assert!(!old.contains(&stamp));
        let webhook = format!("WEBHOOK_HEALTH_URL=http://{}/health\n", self.ports[0]);
        let new = old.replace(&webhook, &webhook.replace("/health", "/webhook/health")) + &stamp + "\n";
        fs::write(&file, new).unwrap();
        let service = self.restart(line, name);
        let environment = fs::read(format!("/proc/{}/environ", service["pid"])).unwrap();
        assert!(String::from_utf8_lossy(&environment).contains(&stamp), "{name} has the old .env");
        if name == API {
            let health = get(self.ports[2], "/api/webhook/health").unwrap();
            assert!(health.contains(&format!("http://{}/webhook/health", self.ports[0])), "{health}");
        }
    }

    /// A request that is under way is answered by the process that took it, all others by the next one.
    fn restart_webhook(&self, line: &str) {
        let request = InFlight::begin(self.ports[0], "/webhook");
        std::thread::scope(|scope| {
            let restart = scope.spawn(|| self.restart(line, WEBHOOK));
            self.machine.until_state(WEBHOOK, "stopping");
            assert!(!is_refused(self.ports[0]), "nobody accepts now, but nobody is refused");
            // Unsigned, so not welcome, but answered.
            assert_eq!(request.finish(), Some(401));
            restart.join().unwrap();
        });
    }

    /// Prints what there is, then follows; the end is Ctrl-C.
    fn logs(&self, line: &str, name: &str, count: usize) {
        let log = self.machine.dir().join(format!("logs/{name}-out.log"));
        let old = fs::read_to_string(&log).unwrap();
        let last = old.lines().last().expect("it has said something").to_owned();
        let running = self.shell.start(line);
        let first =
            running.until("the last line of before", |line| line.ends_with(&format!("{name} | {last}")));
        assert!(
            first[0].starts_with(&format!("[TAILING] Tailing last {count} lines for [{name}]")),
            "{first:?}"
        );
        assert_eq!(first[1], format!("{} last {count} lines:", log.display()));
        let following = running.until("the other file", |line| line.contains("-error.log last"));
        fs::write(&log, old + "a line of later\n").unwrap();
        let later = running.until("a line of later", |line| line.ends_with("| a line of later"));
        assert!(first.len() + following.len() + later.len() <= 2 * count + 4);
        let status = running.interrupt();
        assert!(was_interrupted(status), "{status}");
    }

    /// The limit that the file has is no news; another one holds at once.
    fn limit(&self, line: &str, name: &str, limit: &str) {
        let before = self.machine.status(name);
        let outcome = self.ok(line);
        assert!(outcome.out.contains(&format!("{name}: its memory limit is ")), "{outcome:#?}");
        let outcome = self.ok(&line.replace(limit, "300M"));
        assert_eq!(self.machine.status(name)["memory_limit_bytes"], 300 << 20);
        let advice = format!("write memory = \"300MiB\" there, under [services.{name}]");
        assert!(outcome.err.contains("without a restart") && outcome.err.contains(&advice), "{outcome:#?}");
        self.ok(line);
        let after = self.machine.status(name);
        assert_eq!(after["memory_limit_bytes"], before["memory_limit_bytes"]);
        assert_eq!(after["pid"], before["pid"], "not restarted");
    }

    fn stop_both(&self, line: &str) {
        self.ok(line);
        for name in [API, WEBSOCKET] {
            let status = self.machine.status(name);
            assert_eq!((&status["state"], &status["pid"]), (&"stopped".into(), &Value::Null));
        }
        assert_eq!(self.machine.status(WEBHOOK)["state"], "online");
    }

    fn start_file(&self, line: &str) {
        let outcome = self.ok(line);
        for (name, limit) in [(API, "1.0gb"), (WEBSOCKET, "512.0mb")] {
            let file = "ecosystem.dashboard-integration.config.js";
            let said = format!(
                "[PM2] {name}: from its entry in ecosystem.toml, with the memory limit of {file}, {limit}\n"
            );
            assert!(outcome.out.contains(&said), "{outcome:#?}");
        }
        self.both_online();
    }

    fn start_both(&self, line: &str) {
        self.ok(line);
        self.both_online();
    }

    fn both_online(&self) {
        assert_eq!([API, WEBSOCKET].map(|name| self.machine.status(name)["state"].clone()), ["online"; 2]);
        until(
            "the API and all it looks at healthy",
            || get(self.ports[2], "/api/webhook/health").unwrap_or_default(),
            |answer| answer.contains(r#""status":"healthy""#),
        );
    }

    #[track_caller]
    fn ok(&self, line: &str) -> Outcome {
        let outcome = self.shell.run(line);
        assert_eq!(outcome.code, 0, "{line}: {outcome:#?}");
        outcome
    }
}
