//! `dogwatch doctor`: with everything well, with nothing running, and with one thing after the other wrong.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Machine, free_address, kill, until};

/// What it found.
struct Findings(Vec<Value>);

fn doctor(machine: &Machine) -> Findings {
    let outcome = machine.run(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&outcome.out).unwrap_or_else(|_| panic!("{outcome:?}"));
    let levels = ["ok", "warning", "error"];
    assert_eq!(report["level"], levels[usize::try_from(outcome.code).unwrap()], "{report}");
    findings(outcome.out.as_bytes())
}

fn findings(report: &[u8]) -> Findings {
    let report: Value = serde_json::from_slice(report).unwrap();
    Findings(report["findings"].as_array().unwrap().clone())
}

impl Findings {
    /// Those of one check.
    fn of(&self, check: &str) -> Vec<&Value> {
        self.0.iter().filter(|finding| finding["check"] == check).collect()
    }

    fn levels(&self, check: &str) -> Vec<&str> {
        self.of(check).iter().map(|finding| finding["level"].as_str().unwrap()).collect()
    }

    fn found(&self, check: &str) -> String {
        self.of(check).iter().map(|finding| finding["found"].as_str().unwrap().to_owned() + "\n").collect()
    }
}

/// Everything below a folder: path, size, time of change.
fn state_of(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let about = entry.path().symlink_metadata().unwrap();
        all.push(format!("{:?} {:?} {}", entry.path(), about.modified(), about.len()));
        if about.is_dir() {
            all.extend(state_of(&entry.path()));
        }
    }
    all.sort_unstable();
    all
}

#[test]
fn with_nothing_running_it_says_so_and_leaves_no_trace() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\ncpu_weight = 7\n");
    let before = state_of(machine.dir());
    let outcome = machine.run(&["doctor"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.out.contains("ERROR processes: dogwatch does not run here"), "{}", outcome.out);
    assert!(outcome.out.contains("\n      fix: dogwatch up -d\n"), "{}", outcome.out);
    for check in
        ["config", "rung", "kernel", "run-folder", "disk-space", "log-size", "pipe-budget", "fd-limit"]
    {
        assert!(outcome.out.contains(&format!(" {check}: ")), "no {check} in {}", outcome.out);
    }
    assert!(outcome.err.is_empty(), "{}", outcome.err);
    assert_eq!(state_of(machine.dir()), before);
    machine.write("[services.web]\ncommand = 3\n");
    let found = doctor(&machine);
    assert_eq!(found.levels("config"), ["error"]);
    assert!(found.of("config")[0]["fix"].as_str().unwrap().starts_with("dogwatch check "));
}

#[test]
fn it_tells_what_runs_where_and_what_does_not() {
    let address = free_address();
    let machine = Machine::new(&format!(
        "[services.web]\ncommand = [\"UNRULY\", \"hang\"]\nlisten = [\"{address}\"]\npids_max = 400\n\
         [services.off]\ncommand = [\"UNRULY\", \"hang\"]\n"
    ));
    machine.up();
    machine.ok(&["stop", "off"]);
    let found = doctor(&machine);
    assert_eq!(found.levels("processes"), ["ok", "ok"]);
    assert_eq!(found.levels("versions"), ["ok"]);
    // Installed once more, it is another file, not another program.
    let command = machine.command(&["doctor", "--json"]);
    let copy = machine.dir().join("dogwatch");
    fs::copy(command.get_program(), &copy).unwrap();
    let mut again = Command::new(copy);
    again.args(command.get_args()).current_dir(machine.dir());
    again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(findings(&again.output().unwrap().stdout).levels("versions"), ["ok"]);
    assert_eq!(found.found("services"), "1 service shall run, all are well\n");
    assert_eq!(found.levels("ports"), ["ok"]);
    let rung = found.found("rung");
    let records = [0, 1].map(|slot| machine.paths().services().join(format!("web/state.{slot}")));
    let in_cgroup = records.iter().any(|path| fs::read_to_string(path).unwrap().contains("\"cgroup\":\"/"));
    assert_eq!(rung.starts_with("3 of 3"), !in_cgroup, "{rung}");
    let named =
        found.of("rung")[0]["why"].as_str().unwrap().contains("not enforced: `pids_max` of services.web");
    assert_eq!(named, !rung.starts_with("1 of 3") || rung.contains("pids"), "{rung}");

    // Without a control plane: those who are left are asked.
    let old = machine.control().unwrap();
    kill(&old);
    assert_eq!(doctor(&machine).levels("services"), ["ok"]);
    until("a new control plane", || machine.control(), |new| new.as_ref().is_some_and(|new| *new != old));

    machine.ok(&["stop", "web"]);
    let stranger = std::net::TcpListener::bind(address).unwrap();
    let _ = machine.run(&["start", "web"]);
    let found = doctor(&machine);
    assert_eq!((found.levels("ports"), found.levels("services")), (vec!["error"], vec!["error"]));
    let fix = found.of("ports")[0]["fix"].to_string();
    assert!(fix.contains(&format!("kill {}", std::process::id())), "{fix}");
    drop(stranger);
}

#[test]
fn it_names_files_that_others_may_change_or_read() {
    let machine = Machine::new("[services.web]\ncommand = [\"./app\"]\nenv_file = \".env\"\n");
    let path = |name: &str| machine.dir().join(name);
    let mode = |name: &str, mode| fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
    fs::create_dir(path("logs")).unwrap();
    for (name, bits) in [("app", 0o755), (".env", 0o600), ("ecosystem.toml", 0o644)] {
        fs::OpenOptions::new().append(true).create(true).open(path(name)).unwrap();
        mode(name, bits);
    }
    mode("logs", 0o755);
    let kept = ["ecosystem.toml", "an env_file", "the program of web"];
    let changeable = |found: &Findings| {
        let text = found.found("changeable");
        kept.map(|what| text.contains(&format!("({what}) can be changed by every user")))
    };
    // What is above this test's folder, and dogwatch's own program, are not this test's.
    let found = doctor(&machine);
    assert_eq!(changeable(&found), [false; 3]);
    assert_eq!(["secrets", "log-folder", "log-size"].map(|check| found.levels(check)), [["ok"]; 3]);
    for (name, bits) in [("app", 0o757), (".env", 0o646), ("ecosystem.toml", 0o646), ("logs", 0o777)] {
        mode(name, bits);
    }
    fs::File::create(path("logs/web-out.log")).unwrap().set_len((100 << 20) + 1).unwrap();
    let found = doctor(&machine);
    assert_eq!(changeable(&found), [true; 3]);
    assert_eq!(["secrets", "log-folder", "log-size"].map(|check| found.levels(check)), [["warning"]; 3]);
    assert!(found.found("secrets").contains("can be read by every user"));
}
