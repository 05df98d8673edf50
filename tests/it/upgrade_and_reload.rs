//! An upgrade while one run takes over from another, and the other way round: the keeper becomes the new program when
//! there is one run again, and nothing of either is lost.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use dogwatch::model::name::ServiceName;
use dogwatch::os::packet::Connection;
use dogwatch::os::process::Identity;
use dogwatch::wire::keeper::{Op, Reply, Request};
use serde_json::Value;

use crate::harness::clients::Asking;
use crate::harness::programs::copy;
use crate::harness::{Machine, Outcome, binary, example, free_address, go_on, kill, stop, until};
use crate::reload::{VERIFY, runs_in_log, until_alone, webhook};
use crate::renewed::ask;
use crate::upgrade::{all_run_the_installed, builds, upgrade};

/// `unruly` with these words, as a service that can be reloaded.
fn service(name: &str, words: &str, address: SocketAddr) -> String {
    format!(
        "[services.{name}]\ncommand = [\"UNRULY\", {words}]\nlisten = [\"{address}\"]\nready = \"notify\"\n\
         stop = {{ timeout = \"30s\" }}\nlog = {{ rotate_size = \"1MiB\", keep = 1000, compress = false }}\n"
    )
}

/// A machine with one service `web`, whose new runs count; they are ready after so many milliseconds, and not before they
/// are let go, if [`hold_new_runs`] was called.
fn slow_to_begin(millis: u32) -> (Machine, Value) {
    let words =
        format!(r#""count", "5", "50", "pause", "{millis}", "while", "held", "serve", "ready", "hang""#);
    let machine = Machine::with_own_program(&service("web", &words, free_address()));
    machine.up();
    let first = machine.until_state("web", "online");
    (machine, first)
}

fn hold_new_runs(machine: &Machine) {
    fs::write(machine.dir().join("held"), "").unwrap();
}

fn let_new_runs_go(machine: &Machine) {
    fs::remove_file(machine.dir().join("held")).unwrap();
}

/// Another build of the good program.
fn good(machine: &Machine, line: &str) -> PathBuf {
    let path = machine.dir().join("new");
    copy(&binary(), &path, line);
    path
}

fn start(machine: &Machine, words: &[&str]) -> Child {
    machine.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> Outcome {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Orders a reload, and returns when both runs live. The keeper itself is asked: a control plane would carry the order
/// out before it becomes another program.
#[track_caller]
fn begin_reload(machine: &Machine) -> Value {
    let keeper = connect(machine);
    send(&keeper, Op::Reload);
    assert_eq!(reply(&keeper), Reply::done(1));
    until("both", || machine.status("web"), |status| status["beside"]["role"] == "starting")
}

fn connect(machine: &Machine) -> Connection {
    let service = machine.paths().service(&ServiceName::new("web").unwrap());
    Connection::connect(&service.keeper_sock()).unwrap()
}

fn send(keeper: &Connection, op: Op) {
    keeper.send(&serde_json::to_vec(&Request::new(op)).unwrap(), &[]).unwrap();
}

#[track_caller]
fn reply(keeper: &Connection) -> Reply {
    assert!(keeper.wait(10_000).unwrap());
    serde_json::from_slice(&keeper.receive().unwrap().unwrap().bytes).unwrap()
}

/// Begins an upgrade to another build, and returns when only the keeper has not become it yet.
#[track_caller]
fn begin_upgrade(machine: &Machine, more: &[&str]) -> Child {
    let new = good(machine, "another build");
    let words = ["upgrade", "--watch", "700ms", new.to_str().unwrap()];
    let upgrade = start(machine, &[&words, more].concat());
    until(
        "the keeper is waited for",
        || machine.own_log(),
        |log| log.contains("keeper web waits: a reload is under way"),
    );
    upgrade
}

/// Another process has become the keeper.
#[track_caller]
fn kill_keeper(machine: &Machine) -> Identity {
    let old = machine.keeper("web").unwrap();
    kill(&old);
    let new = |new: &Option<Identity>| new.as_ref().is_some_and(|new| *new != old);
    until("a new keeper", || machine.keeper("web"), new).unwrap()
}

#[test]
fn reloads_and_upgrades_at_the_same_time_fail_no_request_and_lose_no_line() {
    let address = free_address();
    let env = "env = { WHATSAPP_VERIFY_TOKEN = \"a-test\", WHATSAPP_APP_SECRET = \"a-test\", \
               WHATSAPP_ACCESS_TOKEN = \"a-test\", WHATSAPP_PHONE_NUMBER_ID = \"1000\" }";
    let count = service("web", r#""count", "2", "100", "pause", "100", "ready", "hang""#, free_address());
    let machine = Machine::with_own_program(&format!(
        "{count}\n[services.hook]\ncritical = true\ncommand = [{:?}]\nlisten = [\"{address}\"]\n{env}\nready = \"notify\"",
        webhook()
    ));
    machine.up();
    let names = ["hook", "web"];
    let own = all_run_the_installed(&machine, &names);
    names.iter().for_each(|name| drop(machine.until_state(name, "online")));
    let clients = Asking::begin_with(address, VERIFY);
    for turn in 1..=3 {
        // Both at once, then one after the other.
        let reload = start(&machine, &["reload", "web", "hook"]);
        let summary = upgrade(&machine, Some(&good(&machine, &format!("build {turn}"))), 0);
        assert_eq!(summary["ending"], "done", "{summary:#}");
        assert!(summary["steps"].as_array().unwrap().iter().all(|step| step["change"] == "became"));
        let reload = end(reload);
        assert_eq!(reload.code, 0, "{reload:#?}");
        assert_eq!(all_run_the_installed(&machine, &names), own);
        machine.ok(&["reload", "web", "hook"]);
        until_alone(&machine);
    }
    let (asked, failures) = clients.finish();
    assert!(failures.is_empty(), "{} of {asked}: {failures:?}", failures.len());
    assert!(asked > 50, "only {asked} requests");
    for name in names {
        let status = machine.status(name);
        assert_eq!(
            (&status["run"], &status["reason"]),
            (&7.into(), &"reloaded on request".into()),
            "{status}"
        );
        assert!(status["incidents"].is_null(), "nobody was replaced: {status}");
    }
    machine.ok(&["down"]);
    let (runs, changes) = runs_in_log(&machine);
    assert_eq!(runs, 7);
    assert!(changes > 20, "both write at the same time: {changes} changes");
}

#[test]
fn an_upgrade_waits_until_one_run_has_taken_over_from_the_other() {
    let (machine, first) = slow_to_begin(1);
    let own = all_run_the_installed(&machine, &["web"]);
    hold_new_runs(&machine);
    let both = begin_reload(&machine);
    let upgrade = begin_upgrade(&machine, &[]);
    let_new_runs_go(&machine);
    let upgrade = end(upgrade);
    assert_eq!(upgrade.code, 0, "{upgrade:#?}");
    assert!(upgrade.out.contains("keeper web waits: a reload is under way"), "{upgrade:#?}");
    let change = format!("keeper web: pid {} ", own[2]);
    assert!(upgrade.out.contains(&change) && !upgrade.out.contains("put off"), "{upgrade:#?}");
    assert!(upgrade.out.contains("run 1 of web has ended: reloaded on request"), "{upgrade:#?}");
    assert_eq!(all_run_the_installed(&machine, &["web"]), own);
    let status = until_alone(&machine);
    assert_eq!((&status["pid"], &status["run"]), (&both["beside"]["pid"], &2.into()));
    assert_ne!(status["pid"], first["pid"]);
    machine.ok(&["down"]);
    assert_eq!(runs_in_log(&machine).0, 2);
}

#[test]
fn a_keeper_that_dies_while_it_is_waited_for_is_followed_by_the_new_program_with_both_runs() {
    let (machine, first) = slow_to_begin(1);
    hold_new_runs(&machine);
    let both = begin_reload(&machine);
    let upgrade = begin_upgrade(&machine, &[]);
    kill_keeper(&machine);
    let after = machine.until_state("web", "online");
    assert_eq!((&after["pid"], &after["beside"]["pid"]), (&first["pid"], &both["beside"]["pid"]));
    let_new_runs_go(&machine);
    let upgrade = end(upgrade);
    assert_eq!(upgrade.code, 0, "{upgrade:#?}");
    all_run_the_installed(&machine, &["web"]);
    assert_eq!(until_alone(&machine)["pid"], both["beside"]["pid"]);
    machine.ok(&["down"]);
    assert_eq!(runs_in_log(&machine).0, 2);
}

#[test]
fn a_keeper_that_is_asked_for_something_else_in_the_same_breath_does_that() {
    let (machine, _) = slow_to_begin(1000);
    let identity = machine.keeper("web").unwrap();
    let keeper = connect(&machine);
    // Stopped, it reads both at once: it has begun to stand still when the second one comes.
    let ask_both = |op: Op| {
        stop(&identity);
        send(&keeper, Op::Exec { program: machine.program().to_owned() });
        send(&keeper, op);
        go_on(&identity);
        [reply(&keeper), reply(&keeper)]
    };
    let [reloaded, put_off] = ask_both(Op::Reload);
    assert_eq!(reloaded, Reply::done(1));
    assert!(
        matches!(&put_off, Reply::Later { message } if message == "a reload is under way"),
        "{put_off:?}"
    );
    assert_eq!(until_alone(&machine)["run"], 2);
    let [retired, refused] = ask_both(Op::Retire);
    assert_eq!(retired, Reply::done(2));
    assert!(matches!(&refused, Reply::Error { message } if message == "it is ending with its service"));
    machine.ok(&["down"]);
    assert_eq!(runs_in_log(&machine).0, 2);
}

#[test]
fn a_keeper_whose_service_takes_too_long_is_put_off_and_comes_later() {
    let words = r#""serve", "ready", "farewell", "3000", "gone", "hang""#;
    let machine = Machine::with_own_program(&service("web", words, free_address()));
    machine.up();
    let before = machine.until_state("web", "online");
    machine.ok(&["reload", "web"]);
    let status = machine.status("web");
    assert_eq!((&status["beside"]["pid"], &status["beside"]["role"]), (&before["pid"], &"draining".into()));
    let upgrade = end(begin_upgrade(&machine, &["--wait", "100ms"]));
    assert_eq!(upgrade.code, 1, "{upgrade:#?}");
    let why = "put off, still ";
    assert!(upgrade.out.contains(why) && upgrade.out.contains("has not ended yet"), "{upgrade:#?}");
    assert!(upgrade.err.contains("1 process was put off and run"), "{upgrade:#?}");
    assert!(upgrade.err.contains("later: dogwatch upgrade"), "{upgrade:#?}");
    assert!(upgrade.err.contains("1 service has kept its process"), "{upgrade:#?}");
    let says = "the keeper of web runs another build than the control plane";
    until("the problem is told", || machine.ok(&["status"]), |problems| problems.contains(says));
    machine.ok(&["upgrade"]);
    all_run_the_installed(&machine, &["web"]);
    assert_eq!(until_alone(&machine)["pid"], status["pid"]);
    machine.ok(&["down"]);
    assert_eq!(machine.log("web", "out"), "gone\ngone\n");
}

/// Something happens to the new program when only the keeper does not run it yet: all go back.
#[track_caller]
fn goes_back_when(happens: impl FnOnce(&Machine), says: &str) {
    let (machine, _) = slow_to_begin(1);
    let before = builds(&machine, &["web"]);
    hold_new_runs(&machine);
    let both = begin_reload(&machine);
    let upgrade = begin_upgrade(&machine, &[]);
    happens(&machine);
    let_new_runs_go(&machine);
    let upgrade = end(upgrade);
    assert_eq!(upgrade.code, 1, "{upgrade:#?}");
    assert!(upgrade.err.contains(says), "{upgrade:#?}");
    assert_eq!(builds(&machine, &["web"]), before);
    all_run_the_installed(&machine, &["web"]);
    assert_eq!(until_alone(&machine)["pid"], both["beside"]["pid"]);
    kill_keeper(&machine);
    assert_eq!(machine.until_state("web", "online")["pid"], both["beside"]["pid"]);
    machine.ok(&["down"]);
    assert_eq!(runs_in_log(&machine).0, 2);
}

#[test]
fn a_program_that_somebody_takes_away_meanwhile_is_followed_by_the_one_from_before() {
    goes_back_when(
        |machine| fs::remove_file(machine.program()).unwrap(),
        "somebody has removed or replaced ",
    );
    let forbid = |machine: &Machine| {
        fs::set_permissions(machine.program(), fs::Permissions::from_mode(0o000)).unwrap();
    };
    goes_back_when(forbid, "cannot be run any more: it is not executable");
}

#[test]
fn who_is_needed_when_the_program_is_gone_is_started_from_what_still_runs() {
    let (machine, first) = slow_to_begin(1);
    let before = builds(&machine, &["web"]);
    fs::remove_file(machine.program()).unwrap();
    kill_keeper(&machine);
    let control = machine.control().unwrap();
    kill(&control);
    let new = |new: &Option<Identity>| new.as_ref().is_some_and(|new| *new != control);
    until("a new control plane", || machine.control(), new);
    kill_keeper(&machine);
    let after = builds(&machine, &["web"]);
    assert!(after.iter().zip(&before).all(|((_, now), (_, then))| now == then), "{after:?}");
    copy(&binary(), machine.program(), "");
    assert_eq!(machine.until_state("web", "online")["pid"], first["pid"]);
}

#[test]
fn views_of_both_runs_are_answered_on_the_way_and_only_that_of_the_new_one_afterwards() {
    let (viewer, program) = (free_address(), example("viewer"));
    let machine = Machine::with_own_program(&format!(
        "[services.web]\ncommand = [\"/bin/sh\", \"-c\", \"sleep 3; exec {}\"]\nlisten = [\"{viewer}\"]\n\
         ready = \"notify\"\ndogwatch_access = \"view\"\n",
        program.display()
    ));
    machine.up();
    let first = machine.until_state("web", "online");
    let both = begin_reload(&machine);
    let upgrade = begin_upgrade(&machine, &[]);
    // Control plane and warden are new; the run that serves asks on its view.
    assert_eq!(ask(viewer)["services"][0]["pid"], first["pid"]);
    let upgrade = end(upgrade);
    assert_eq!(upgrade.code, 0, "{upgrade:#?}");
    all_run_the_installed(&machine, &["web"]);
    until_alone(&machine);
    assert_eq!(ask(viewer)["services"][0]["pid"], both["beside"]["pid"]);
    // And with each other of both, once more.
    machine.ok(&["reload", "web"]);
    assert_eq!(ask(viewer)["services"][0]["pid"], machine.status("web")["pid"]);
    upgrade_again(&machine);
    assert_eq!(ask(viewer)["services"][0]["pid"], until_alone(&machine)["pid"]);
}

#[track_caller]
fn upgrade_again(machine: &Machine) {
    let summary = upgrade(machine, Some(&good(machine, "once more")), 0);
    assert_eq!(summary["ending"], "done", "{summary:#}");
    all_run_the_installed(machine, &["web"]);
}

/// What a process has open, by kind: one line for each kind and name, with how many there are.
fn open_files(identity: &Identity) -> Vec<String> {
    let files = fs::read_dir(format!("/proc/{}/fd", identity.pid)).into_iter().flatten().flatten();
    let links = files.filter_map(|file| fs::read_link(file.path()).ok());
    let mut names: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    for name in &mut names {
        if let Some((kind, _)) = name.split_once(":[")
            && kind != "anon_inode"
        {
            *name = kind.to_owned(); // a socket or a pipe: the number says nothing
        }
    }
    names.sort();
    names
}

#[test]
fn no_descriptor_comes_to_stay_with_an_upgrade() {
    let (machine, _) = slow_to_begin(1);
    let all = || {
        let all = [machine.control(), machine.warden(), machine.keeper("web")];
        all.map(|identity| open_files(&identity.unwrap()))
    };
    machine.ok(&["reload", "web"]);
    until_alone(&machine);
    upgrade_again(&machine);
    // The last thing that comes after an upgrade: the control plane's switch, handed to the keeper.
    let is_complete = |files: &[Vec<String>; 3]| files[2].iter().any(|name| name == "anon_inode:[timerfd]");
    let before = until("at rest", all, |files| is_complete(files) && *files == all());
    for line in ["one", "two", "three"] {
        let summary = upgrade(&machine, Some(&good(&machine, line)), 0);
        assert_eq!(summary["ending"], "done", "{summary:#}");
    }
    until("the same as before", all, |files| *files == before);
}
