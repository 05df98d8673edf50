//! One run takes over from another: no request fails, no line is lost, and whatever goes wrong, something serves.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::clients::{Asking, InFlight, get, is_refused};
use crate::harness::shell::Shell;
use crate::harness::{Machine, binary, free_address, kill, kill_pid, until};

/// What the webhook answers as long as it serves, also while it ends.
pub const VERIFY: &str = "/webhook?hub.mode=subscribe&hub.verify_token=a-test&hub.challenge=42";

/// Built by cargo beside dogwatch itself.
pub fn webhook() -> PathBuf {
    let path = binary().with_file_name("webhook");
    assert!(path.exists(), "{} is missing: cargo build --workspace", path.display());
    path
}

fn service(command: &str, address: SocketAddr, more: &str) -> String {
    format!("[services.web]\ncommand = {command}\nlisten = [\"{address}\"]\n{more}\n")
}

/// The pid of who answers for `unruly serve`, which wants no request.
#[track_caller]
pub fn served_by(address: SocketAddr) -> Value {
    let mut answer = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut answer).unwrap();
    answer.split(' ').next().unwrap().parse().unwrap()
}

/// Waits until the run that was replaced is gone; returns the status then.
#[track_caller]
pub fn until_alone(machine: &Machine) -> Value {
    until(
        "one process",
        || machine.status("web"),
        |status| status["state"] == "online" && status["beside"].is_null(),
    )
}

/// Reads the log of `unruly count`: each run's lines, which must be whole and in order, none missing. Returns how many
/// runs there were, and how often a line follows one of another run.
#[track_caller]
pub fn runs_in_log(machine: &Machine) -> (usize, usize) {
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    let (mut last, mut changes) = (String::new(), 0);
    for file in machine.log_files("web", "out") {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let expected = next.entry(words[0].to_owned()).or_default();
            match words.as_slice() {
                [_, "end"] => *expected = u64::MAX,
                [_, number, rest] => {
                    assert_eq!((number.parse(), rest.len()), (Ok(*expected), 80), "{line:?}");
                    *expected += 1;
                }
                _ => panic!("torn: {line:?}"),
            }
            changes += usize::from(words[0] != last);
            words[0].clone_into(&mut last);
        }
    }
    assert!(next.values().all(|next| *next == u64::MAX), "a run has no end: {next:?}");
    (next.len(), changes)
}

#[test]
fn ten_reloads_of_the_webhook_under_load_fail_no_request() {
    let address = free_address();
    let env = "env = { WHATSAPP_VERIFY_TOKEN = \"a-test\", WHATSAPP_APP_SECRET = \"a-test\", \
               WHATSAPP_ACCESS_TOKEN = \"a-test\", WHATSAPP_PHONE_NUMBER_ID = \"1\" }\nready = \"notify\"";
    let machine = Machine::new(&service(&format!("[{:?}]", webhook()), address, env));
    machine.up();
    let mut before = machine.until_state("web", "online");
    let clients = Asking::begin_with(address, VERIFY);
    for _ in 0..10 {
        let under_way = InFlight::begin(address, "/webhook");
        let said = machine.ok(&["reload", "web"]);
        let after = machine.status("web");
        assert_eq!(said, format!("web: online (pid {})\n", after["pid"]));
        assert_eq!((&after["beside"]["pid"], &after["beside"]["role"]), (&before["pid"], &"draining".into()));
        // Unsigned, so not welcome, but answered, by the run that took it.
        assert_eq!(under_way.finish(), Some(401));
        before = until_alone(&machine);
        assert_eq!((&before["pid"], &before["reason"]), (&after["pid"], &"reloaded on request".into()));
    }
    let (asked, failures) = clients.finish();
    assert!(failures.is_empty(), "{} of {asked}: {failures:?}", failures.len());
    assert!(asked > 50, "only {asked} requests");
    assert_eq!((&before["run"], &before["restarts"]), (&11.into(), &0.into()));
}

#[test]
fn lines_of_both_runs_are_whole_and_in_order() {
    let machine = Machine::new(&service(
        r#"["UNRULY", "count", "1", "100", "pause", "50", "ready", "hang"]"#,
        free_address(),
        "ready = \"notify\"\nlog = { rotate_size = \"1MiB\", keep = 1000, compress = false }",
    ));
    machine.up();
    for _ in 0..5 {
        machine.ok(&["reload", "web"]); // which waits for the drain of the one before
    }
    until_alone(&machine);
    machine.ok(&["down"]);
    let (runs, changes) = runs_in_log(&machine);
    assert_eq!(runs, 6);
    assert!(changes > 20, "both write at the same time: {changes} changes");
}

#[test]
fn a_new_version_that_fails_leaves_the_old_one_with_its_entry() {
    let address = free_address();
    let more = "ready = { notify = true, timeout = \"300ms\" }\nrestart = { delay = \"10ms\" }";
    let good = service(r#"["UNRULY", "serve", "ready", "hang"]"#, address, more);
    let machine = Machine::new(&good);
    machine.up();
    let first = machine.until_state("web", "online");
    for (command, why) in [
        (r#"["UNRULY", "shout", "the new one is broken", "exit", "3"]"#, "exited with code 3"),
        (r#"["UNRULY", "stubborn", "hang"]"#, "not ready within 300 ms"),
        (r#"["./nowhere"]"#, "exec "),
    ] {
        machine.write(&service(command, address, more));
        let outcome = machine.run(&["reload", "web"]);
        assert_eq!(outcome.code, 1, "{outcome:#?}");
        let said = format!("reload of web failed: {why}");
        assert!(outcome.err.contains(&said) && outcome.err.contains("; the old run goes on"), "{outcome:#?}");
        let wrote = outcome.err.contains("the new one is broken");
        assert!(wrote || !why.starts_with("exited"), "its last words: {outcome:#?}");
        let status = until_alone(&machine);
        assert_eq!((&status["pid"], &status["changed"]), (&first["pid"], &true.into()));
        assert!(status["reload_failure"].as_str().unwrap().starts_with(why), "{status}");
        assert!(machine.ok(&["show", "web"]).contains("failed: "), "it can be seen later, too");
        assert_eq!(served_by(address), first["pid"]);
    }
    // When it has to be started again, then as it was.
    kill_pid(&first);
    let second = until(
        "its successor",
        || machine.status("web"),
        |new| new["state"] == "online" && new["pid"] != first["pid"],
    );
    assert_eq!(served_by(address), second["pid"]);
    assert_eq!((&second["restarts"], &second["reload_failure"]), (&1.into(), &Value::Null));
    machine.write(&good);
    machine.ok(&["reload", "web"]);
}

#[test]
fn a_new_address_is_had_when_the_new_run_serves_and_the_old_one_kept_until_then() {
    let (old, new) = (free_address(), free_address());
    let more = "ready = \"notify\"\nrestart = { delay = \"10ms\" }";
    let machine = Machine::new(&service(r#"["UNRULY", "serve", "ready", "hang"]"#, old, more));
    machine.up();
    let first = machine.until_state("web", "online");
    machine.write(&service(r#"["UNRULY", "exit", "3"]"#, new, more));
    assert_eq!(machine.run(&["reload", "web"]).code, 1);
    until("nobody at the broken one's address", || is_refused(new), |refused| *refused);
    kill_pid(&first);
    assert!(!is_refused(old), "dogwatch holds it all the same");
    machine.write(&service(r#"["UNRULY", "serve", "ready", "hang"]"#, new, more));
    machine.until_state("web", "online");
    machine.ok(&["reload", "web"]);
    let status = until_alone(&machine);
    assert_eq!(served_by(new), status["pid"]);
    until("nobody at the old address", || is_refused(old), |refused| *refused);
}

#[test]
fn an_old_run_that_dies_meanwhile_leaves_the_service_to_the_new_one() {
    let address = free_address();
    let machine = Machine::new(&service(
        r#"["UNRULY", "serve", "pause", "300", "ready", "hang"]"#,
        address,
        "ready = \"notify\"",
    ));
    machine.up();
    let first = machine.until_state("web", "online");
    let mut reload = machine.command(&["reload", "web"]).spawn().unwrap();
    until("the new run", || machine.status("web"), |status| status["beside"]["role"] == "starting");
    kill_pid(&first);
    assert_eq!(reload.wait().unwrap().code(), Some(0));
    let second = until_alone(&machine);
    assert_eq!((&second["run"], &second["restarts"]), (&2.into(), &0.into()));
    assert_eq!(second["reason"], "killed by SIGKILL");
}

#[test]
fn where_two_runs_cannot_share_a_socket_it_restarts_and_says_so() {
    let machine =
        Machine::new("[services.web]\ncommand = [\"UNRULY\", \"ready\", \"hang\"]\nready = \"notify\"");
    machine.up();
    let outcome = machine.run(&["reload", "web"]);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.err.contains("web: restarted, with a gap: without `listen`"), "{outcome:#?}");
    let status = machine.status("web");
    assert_eq!((&status["run"], &status["reason"]), (&2.into(), &"restarted on request".into()));
    // One that does not run is started, and there is nothing to say about it.
    machine.ok(&["stop", "web"]);
    let outcome = machine.run(&["reload", "all"]);
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""), "{outcome:#?}");
}

#[test]
fn pm2_users_reload_with_their_own_word() {
    let machine = Machine::new(&service(
        r#"["UNRULY", "serve", "ready", "hang"]"#,
        free_address(),
        "ready = \"notify\"\n[services.tool]\ncommand = [\"UNRULY\", \"hang\"]",
    ));
    machine.up();
    let outcome = Shell::new(&machine).run("pm2 reload all");
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    for line in [
        "[PM2] Applying action reloadProcessId on app [all](ids: [ 0, 1 ])",
        "[PM2] [web](0) ✓",
        "[PM2] [tool](1) ✓",
    ] {
        assert!(outcome.out.contains(line), "{line}: {outcome:#?}");
    }
    assert!(outcome.err.contains("[PM2][WARN] tool: restarted, with a gap"), "{outcome:#?}");
    assert_eq!(machine.status("web")["reason"], "reloaded on request");
}

#[test]
fn a_second_reload_is_refused_while_the_first_is_not_ready() {
    let machine = Machine::new(&service(
        r#"["UNRULY", "pause", "500", "ready", "hang"]"#,
        free_address(),
        "ready = \"notify\"",
    ));
    machine.up();
    let mut reload = machine.command(&["reload", "web"]).spawn().unwrap();
    until("the new run", || machine.status("web"), |status| status["beside"]["role"] == "starting");
    let outcome = machine.run(&["reload", "web"]);
    assert!(outcome.code == 1 && outcome.err.contains("is being reloaded already"), "{outcome:#?}");
    assert_eq!(reload.wait().unwrap().code(), Some(0));
    // A stop ends both.
    let mut reload = machine.command(&["reload", "web"]).spawn().unwrap();
    until("the new run", || machine.status("web"), |status| status["beside"]["role"] == "starting");
    machine.ok(&["stop", "web"]);
    assert_eq!(machine.status("web")["beside"], Value::Null);
    assert_eq!(reload.wait().unwrap().code(), Some(1));
}

/// Reloads a service whose keeper dies at `moment` of it: the new run serves all the same, and the log is whole.
#[track_caller]
fn keeper_dies_at(moment: &str) {
    let mut machine = Machine::new(&service(
        r#"["UNRULY", "count", "5", "50", "pause", "50", "ready", "hang"]"#,
        free_address(),
        "ready = \"notify\"\nlog = { rotate_size = \"1MiB\", keep = 1000, compress = false }",
    ));
    let marker = machine.dir().join("died");
    machine.set("DOGWATCH_FAULT", &format!("{moment}={}", marker.display()));
    std::fs::write(&marker, "not yet").unwrap();
    machine.up();
    let first = machine.until_state("web", "online");
    std::fs::remove_file(&marker).unwrap();
    machine.ok(&["reload", "web"]);
    until("the keeper's death", || marker.exists(), |died| *died);
    let second = until_alone(&machine);
    assert!(second["pid"] != first["pid"] && second["restarts"] == 0, "{moment}: {second}");
    assert_eq!(second["reason"], "reloaded on request", "{moment}: {second}");
    assert_eq!(second["processes"], 1, "{moment}: {second}");
    assert!(!std::path::Path::new(&format!("/proc/{}", first["pid"])).exists(), "{moment}");
    machine.ok(&["down"]);
    assert_eq!(runs_in_log(&machine).0, 2, "{moment}");
}

#[test]
fn a_keeper_that_dies_while_it_begins_a_reload_is_followed_by_one_that_goes_on_with_it() {
    keeper_dies_at("between spec and reload");
    keeper_dies_at("between reload and fork");
    keeper_dies_at("between fork and record");
}

#[test]
fn a_keeper_that_dies_while_it_starts_the_new_run_is_followed_by_one_that_goes_on_with_it() {
    keeper_dies_at("between record and go");
    keeper_dies_at("between go and record");
}

#[test]
fn a_keeper_that_dies_while_the_new_run_takes_over_is_followed_by_one_that_goes_on_with_it() {
    keeper_dies_at("between record and signal");
    keeper_dies_at("between takeover and spec");
    keeper_dies_at("after a change of turns");
}

#[test]
fn a_keeper_that_dies_before_it_kills_a_new_run_is_followed_by_one_that_does() {
    let address = free_address();
    let more = "ready = { notify = true, timeout = \"300ms\" }";
    let mut machine = Machine::new(&service(r#"["UNRULY", "serve", "ready", "hang"]"#, address, more));
    let marker = machine.dir().join("died");
    machine.set("DOGWATCH_FAULT", &format!("between record and kill={}", marker.display()));
    machine.up();
    let first = machine.until_state("web", "online");
    machine.write(&service(r#"["UNRULY", "stubborn", "hang"]"#, address, more));
    let outcome = machine.run(&["reload", "web"]);
    assert!(outcome.code == 1 && outcome.err.contains("not ready within 300 ms"), "{outcome:#?}");
    assert!(marker.exists());
    let status = until_alone(&machine);
    assert_eq!((&status["pid"], &status["changed"]), (&first["pid"], &true.into()), "{status}");
}

#[test]
fn both_runs_are_adopted_by_the_next_keeper() {
    let machine = Machine::new(&service(
        r#"["UNRULY", "count", "5", "50", "pause", "300", "ready", "hang"]"#,
        free_address(),
        "ready = \"notify\"",
    ));
    machine.up();
    let kill_keeper = || {
        let old = machine.keeper("web").unwrap();
        kill(&old);
        until("a new keeper", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != old));
    };
    let first = machine.until_state("web", "online");
    let mut reload = machine.command(&["reload", "web"]).spawn().unwrap();
    let both = until("both", || machine.status("web"), |status| status["beside"]["role"] == "starting");
    kill_keeper();
    let after = machine.until_state("web", "online");
    assert_eq!((&after["pid"], &after["beside"]["pid"]), (&first["pid"], &both["beside"]["pid"]));
    assert_eq!(reload.wait().unwrap().code(), Some(0));
    kill_keeper(); // while the old one drains
    let alone = until_alone(&machine);
    assert_eq!((&alone["pid"], &alone["reason"]), (&both["beside"]["pid"], &"reloaded on request".into()));
    machine.ok(&["down"]);
    assert_eq!(runs_in_log(&machine).0, 2);
}

/// Sees to it that no cgroup can be made for a service of this machine.
fn forbid_cgroups(machine: &Machine) {
    let Some(own) = dogwatch::os::cgroup::own() else { return };
    let run = machine.paths().run;
    let name = dogwatch::model::fnv::fnv1a(run.as_os_str().as_encoded_bytes());
    let all = own.join(format!("dogwatch-{name:016x}")).join("svc");
    if std::fs::create_dir_all(&all).is_ok() {
        std::fs::write(all.join("cgroup.max.descendants"), "0").unwrap();
    }
}

#[test]
fn without_cgroups_the_end_of_one_run_spares_the_other() {
    let address = free_address();
    let machine = Machine::new(&service(
        r#"["UNRULY", "escape", "serve", "ready", "hang"]"#,
        address,
        &format!("ready = \"notify\"\nenv = {{ MARK = \"{address}\" }}"),
    ));
    forbid_cgroups(&machine);
    machine.up();
    machine.until_state("web", "online");
    for run in 2..5 {
        machine.ok(&["reload", "web"]);
        let status = until_alone(&machine);
        assert_eq!((served_by(address), &status["run"]), (status["pid"].clone(), &run.into()));
        assert_eq!(escaped(address), [run.to_string()], "the helper of that run, and no other one's");
    }
    machine.ok(&["stop", "web"]);
    assert!(escaped(address).is_empty());
}

/// The runs whose helpers, in sessions of their own, live; a variable marks them as this test's.
fn escaped(mark: SocketAddr) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let of_mark = processes.filter_map(|process| {
        let command = std::fs::read(process.path().join("comm")).ok()?;
        let environment = std::fs::read(process.path().join("environ")).ok()?;
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let is_mine = command == b"sleep\n" && environment.contains(&format!("MARK={mark}\0"));
        let run = environment.split('\0').find_map(|line| line.strip_prefix("DOGWATCH_RUN="))?.to_owned();
        is_mine.then_some(run)
    });
    of_mark.collect()
}

/// As people write it, with a leak.
const LEAK: &str = "
const server = require('http').createServer((request, response) => response.end(`${process.pid}\\n`));
server.listen(Number(process.env.PORT), process.env.HOST);
const kept = [];
const leak = setInterval(() => kept.push(Buffer.alloc(4 << 20, 1)), 20);
process.on('SIGTERM', () => { clearInterval(leak); server.close(); });
";

/// The same without.
const PROGRAM: &str = "
const server = require('http').createServer((request, response) => response.end(`${process.pid}\\n`));
server.listen(Number(process.env.PORT), process.env.HOST);
process.on('SIGTERM', () => server.close());
";

fn node(address: SocketAddr, program: &str, more: &str) -> Machine {
    let machine = Machine::new(&service(
        r#"["node", "server.js"]"#,
        address,
        &format!("env = {{ PORT = \"{}\", HOST = \"{}\" }}\n{more}", address.port(), address.ip()),
    ));
    std::fs::write(machine.dir().join("server.js"), program).unwrap();
    machine
}

#[test]
fn an_unmodified_node_program_is_reloaded_without_a_failed_request() {
    let address = free_address();
    let machine = node(address, PROGRAM, "ready = { alive = \"200ms\" }");
    machine.up();
    let clients = Asking::begin(address);
    for _ in 0..4 {
        machine.ok(&["reload", "web"]);
        let status = until_alone(&machine);
        assert_eq!(get(address, "/").unwrap().lines().last(), Some(status["pid"].to_string().as_str()));
    }
    let (asked, failures) = clients.finish();
    assert!(failures.is_empty(), "{} of {asked}: {failures:?}", failures.len());
}

#[test]
fn a_leak_is_replaced_before_it_hurts_and_no_request_fails() {
    let address = free_address();
    let more = "ready = { alive = \"200ms\" }\nrestart = { stable_after = \"100ms\" }\n\
                memory = { limit = \"160MiB\", max = \"2GiB\" }";
    let machine = node(address, LEAK, more);
    machine.up();
    let clients = Asking::begin(address);
    let status = until(
        "two replacements",
        || machine.status("web"),
        |status| status["restarts"].as_u64() >= Some(2) && status["beside"].is_null(),
    );
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.starts_with("memory ") && reason.contains(" over the limit of 160 MiB"), "{reason}");
    assert!(reason.contains(", after ") && reason.ends_with("; replaced without a gap"), "{reason}");
    let (asked, failures) = clients.finish();
    assert!(failures.is_empty(), "{} of {asked}: {failures:?}", failures.len());
}

/// A service that says it is ready, and then grows.
fn growing(address: SocketAddr, words: &str, limits: &str) -> Machine {
    Machine::new(&service(
        &format!("[\"UNRULY\", {words}, \"ready\", \"pause\", \"300\", \"grow\", \"4\", \"10\"]"),
        address,
        &format!("ready = \"notify\"\nrestart = {{ stable_after = \"100ms\" }}\nmemory = {limits}"),
    ))
}

#[test]
fn where_two_runs_have_no_room_the_limit_restarts() {
    let mut machine = growing(free_address(), "\"serve\"", "\"60MiB\"");
    let meminfo = machine.dir().join("meminfo");
    std::fs::write(&meminfo, "MemTotal: 100000 kB\nMemAvailable: 61000 kB\n").unwrap();
    machine.set("DOGWATCH_MEMINFO", meminfo.to_str().unwrap());
    machine.up();
    let status = until("a restart", || machine.status("web"), |status| status["restarts"] == 1);
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains(" over the limit of 60 MiB") && !reason.contains("gap"), "{reason}");
    std::fs::write(&meminfo, "MemTotal: 100000 kB\nMemAvailable: 90000 kB\n").unwrap();
    let without_a_gap = |status: &Value| {
        status["reason"].as_str().is_some_and(|reason| reason.ends_with("; replaced without a gap"))
    };
    until("a replacement", || machine.status("web"), without_a_gap);
}

#[test]
fn a_run_that_grows_on_while_it_drains_is_killed() {
    let machine = growing(
        free_address(),
        "\"stubborn\"",
        "{ limit = \"60MiB\", max = \"100MiB\" }\nstop = { timeout = \"1h\" }",
    );
    machine.up();
    let status = until(
        "its end",
        || machine.status("web"),
        |status| status["reason"].as_str().is_some_and(|reason| reason.contains("grew on")),
    );
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains(" over the limit of 60 MiB"), "{reason}");
    assert_eq!(status["last_end"]["forced"], true);
}
