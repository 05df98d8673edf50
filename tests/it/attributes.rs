//! What a service's process is born with, as it sees itself.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;

use crate::harness::{Machine, until};

const TELL: &str = r#"
import os, resource, signal
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines())
print(os.nice(0), sorted(os.sched_getaffinity(0)), status["Umask"], status["NoNewPrivs"], os.getgid(), flush=True)
print(*(resource.getrlimit(which) for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE)), flush=True)
print(os.popen("ionice").read().strip(), flush=True)
signal.pause()
"#;

fn machine(keys: &str) -> Machine {
    let machine = Machine::new(&format!("[services.web]\ncommand = [\"python3\", \"tell.py\"]\n{keys}\n"));
    std::fs::write(machine.dir().join("tell.py"), TELL).unwrap();
    machine
}

#[test]
fn a_service_has_the_priority_limits_and_rights_of_its_entry() {
    // Any user may make all of these smaller.
    let machine = machine(
        "umask = \"027\"\nnice = 5\nionice = \"idle\"\ncpus = \"0\"\nno_new_privileges = true\n\
         limits = { nofile = 512, nproc = 3000, core = \"0B\" }",
    );
    machine.up();
    let gid = nix::unistd::getegid();
    until(
        "its words",
        || machine.log("web", "out"),
        |log| *log == format!("5 [0] 0027 1 {gid}\n(512, 512) (3000, 3000) (0, 0)\nidle\n"),
    );
    let shown = machine.ok(&["show", "web"]);
    assert!(shown.contains("nice 5"), "{shown}");
}

#[test]
fn a_group_of_its_own() {
    if nix::unistd::geteuid().as_raw() != 0 {
        eprintln!("only root may start services in another group: nothing to see");
        return;
    }
    let machine = machine("group = \"nogroup\"");
    machine.up();
    until("its words", || machine.log("web", "out"), |log| log.contains(" 0022 0 65534\n"));
}

/// Below which folder of dogwatch's a service's cgroup is; none without cgroups.
fn cell(machine: &Machine) -> Option<String> {
    let pid = &machine.until_state("web", "online")["pid"];
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(own.split_once("/svc/")?.1.to_owned())
}

#[test]
fn a_service_that_moves_to_another_compartment_is_there_from_its_next_run_on() {
    let text = |compartment: &str| {
        format!(
            r#"
            [compartments.one]
            [compartments.two]
            [services.web]
            compartment = "{compartment}"
            command = ["UNRULY", "hang"]
            "#
        )
    };
    let machine = Machine::new(&text("one"));
    machine.up();
    let Some(first) = cell(&machine) else {
        eprintln!("left out: no cgroup can be made here");
        return;
    };
    assert_eq!(first, "one/web/0.1");
    machine.write(&text("two"));
    machine.ok(&["restart", "web"]);
    assert_eq!(cell(&machine).unwrap(), "two/web/0.2");
    machine.write(&text("one"));
    machine.ok(&["stop", "web"]);
    machine.ok(&["start", "web"]);
    assert_eq!(cell(&machine).unwrap(), "one/web/0.3");
}

#[test]
fn where_no_cgroup_could_be_made_the_next_run_has_one_again() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"hang\"]\n");
    machine.up();
    if cell(&machine).is_none() {
        eprintln!("left out: no cgroup can be made here");
        return;
    }
    let doctor = machine.run(&["doctor"]).out;
    let own = doctor.split(['(', ')']).find(|part| part.contains("/svc/default/web/")).unwrap();
    let limit = std::path::Path::new(own).with_file_name("cgroup.max.descendants");
    // That of the next run is made ahead of time, each time.
    let restart = || {
        machine.ok(&["restart", "web"]);
        cell(&machine)
    };
    std::fs::write(&limit, "0").unwrap();
    assert_eq!((restart().as_deref(), restart()), (Some("default/web/0.2"), None));
    std::fs::write(&limit, "max").unwrap();
    assert_eq!((restart(), restart().as_deref()), (None, Some("default/web/0.5")));
}

#[test]
fn what_only_root_may_is_said_to_others() {
    if nix::unistd::geteuid().as_raw() != 0 {
        eprintln!("left out: only root can start a dogwatch of another user");
        return;
    }
    let user = 500_000 + std::process::id();
    let machine = Machine::new(
        r#"
        [services.root]
        command = ["UNRULY", "hang"]
        user = "root"
        [services.web]
        command = ["UNRULY", "hang"]
        group = "nogroup"
        "#,
    );
    for path in [machine.dir().to_owned(), machine.dir().join("ecosystem.toml")] {
        chown(path, Some(user), Some(user)).unwrap();
    }
    let as_user = |args: &[&str]| {
        machine.command(args).uid(user).gid(user).env("HOME", machine.dir()).output().unwrap()
    };
    let checked = as_user(&["check"]);
    let expected = format!(
        "warning: root: user {user} cannot start anything as root
  run dogwatch as root, or remove `user`
warning: web: user {user} cannot start anything in group nogroup
  run dogwatch as root, or remove `group`
"
    );
    assert_eq!(String::from_utf8_lossy(&checked.stderr), expected);
    let started = as_user(&["up", "-d"]);
    let said = String::from_utf8_lossy(&started.stderr);
    for what in ["root: become user root", "web: become group nogroup"] {
        let sentence = format!(
            "cannot start {what}: only root may start services as another user or in another group
  run dogwatch as root, or remove `user` and `group` from ecosystem.toml
"
        );
        assert!(said.contains(&sentence), "{said}");
    }
}

const WRITE: &str = r#"
import os, signal, sys
def attempt(name, what):
    try: what()
    except OSError as error: print(name, error.strerror, flush=True)
    else: print(name, "done", flush=True)
attempt("data", lambda: open("data/new", "w").write("x"))
attempt("move", lambda: os.rename("data/new", "data/below/new"))
attempt("cwd", lambda: open("new", "w"))
attempt("change", lambda: open("tell.py", "a"))
attempt("remove", lambda: os.remove("tell.py"))
attempt("truncate", lambda: os.truncate("tell.py", 0))
attempt("read", lambda: open("tell.py").read())
attempt("null", lambda: open("/dev/null", "w").write("x"))
attempt("output", lambda: open("/dev/stdout", "w").write("by name\n"))
attempt("child", lambda: sys.exit("escaped") if os.system("touch escaped 2> /dev/null") == 0 else None)
signal.pause()
"#;

#[test]
fn a_service_writes_only_where_it_may() {
    let machine = machine("writable = [\"data\"]");
    std::fs::write(machine.dir().join("tell.py"), WRITE).unwrap();
    if dogwatch::os::landlock::version().is_none() {
        let outcome = machine.run(&["up", "-d"]);
        assert!(outcome.err.contains("`writable` needs Landlock, which this kernel has not"), "{outcome:?}");
        return;
    }
    let outcome = machine.run(&["up", "-d"]);
    assert!(outcome.err.contains("No such file or directory"), "{outcome:?}");
    std::fs::create_dir_all(machine.dir().join("data/below")).unwrap();
    machine.ok(&["restart", "web"]);
    let log = until("its words", || machine.log("web", "out"), |log| log.contains("child "));
    let no = "Permission denied";
    let expected = format!(
        "data done\nmove done\ncwd {no}\nchange {no}\nremove {no}\ntruncate {no}\nread done\nnull done\n\
         by name\noutput done\nchild done\n"
    );
    assert_eq!(log, expected);
    assert!(machine.ok(&["show", "web"]).contains("writes only "));
    assert!(!machine.dir().join("escaped").exists() && machine.dir().join("data/below/new").exists());
}

/// A run that may change a folder could leave a link in it for the next run.
#[test]
fn no_link_leads_to_more_than_may_be_written() {
    if dogwatch::os::landlock::version().is_none() {
        eprintln!("left out: this kernel has no Landlock");
        return;
    }
    for link in ["data", "data/below", "data/below/deep"] {
        let machine = machine("writable = [\"data\", \"data/below/deep\"]");
        let at = |name: &str| machine.dir().join(name);
        for folder in ["data/below/deep", "other/below/deep"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        machine.up();
        machine.until_state("web", "online");
        std::fs::remove_dir_all(at(link)).unwrap();
        std::os::unix::fs::symlink(at("other"), at(link)).unwrap();
        let outcome = machine.run(&["restart", "web"]);
        let name = link.rsplit('/').next().unwrap();
        let said = format!("{name} is a symbolic link, and none is followed here");
        assert!(outcome.code == 1 && outcome.err.contains(&said), "{link}: {outcome:?}");
    }
}

/// A line of /proc/PID/limits, or all of another file there.
fn of_process(pid: &serde_json::Value, file: &str, line: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    text.lines().find(|found| found.starts_with(line)).unwrap_or_default().to_owned()
}

#[test]
fn critical_services_come_first_are_taken_last_and_others_leave_room_for_them() {
    let root = nix::unistd::geteuid().as_raw() == 0;
    let user = if root { format!("user = \"{}\"", 200_000 + std::process::id()) } else { String::new() };
    let entry = |name: &str, more: &str| {
        format!("[services.{name}]\ncommand = [\"UNRULY\", \"hang\"]\n{user}\n{more}\n")
    };
    let machine = Machine::new(&format!(
        "{}{}{}{}",
        entry("webhook", "critical = true"),
        entry("modest", "critical = true\nnice = 3"),
        entry("report", ""),
        entry("greedy", "limits = { nproc = 3000 }")
    ));
    let passable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(machine.dir(), passable).unwrap();
    machine.up();
    let status = |name| machine.status(name);
    let score = |pid| of_process(pid, "oom_score_adj", "").parse::<i32>().unwrap();
    let [webhook, modest, report, greedy] = ["webhook", "modest", "report", "greedy"].map(status);
    let keeper = score(&webhook["keeper_pid"]);
    let base = keeper.max(0);
    assert_eq!([score(&webhook["pid"]), score(&report["pid"])], [base, (base + 200).min(1000)]);
    // CAP_SYS_RESOURCE, which root need not have in a container (capabilities(7)).
    let rights = of_process(&webhook["keeper_pid"], "status", "CapEff:");
    let rights = u64::from_str_radix(rights.trim_start_matches("CapEff:").trim(), 16).unwrap();
    assert_eq!(keeper == -900, rights & 1 << 24 != 0, "{keeper} {rights:x}");
    let most = |pid| {
        let line = of_process(pid, "limits", "Max processes");
        line.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap_or(u64::MAX)
    };
    let nice = |pid| {
        let stat = of_process(pid, "stat", "");
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse::<i32>().unwrap()
    };
    let usual = nice(&webhook["keeper_pid"]);
    let first = if rights & 1 << 23 != 0 { -10 } else { usual }; // CAP_SYS_NICE
    assert_eq!([&webhook, &report, &modest].map(|status| nice(&status["pid"])), [first, usual, 3]);
    let own = most(&webhook["keeper_pid"]);
    assert_eq!(most(&webhook["pid"]), own);
    assert_eq!(most(&greedy["pid"]), 3000);
    if root {
        let most = most(&report["pid"]);
        assert!((512..=520).contains(&most) && most < own, "{most}, of {own}: its user has next to nothing");
    } else {
        assert!(most(&report["pid"]) <= own);
    }
}

#[test]
fn what_the_kernel_refuses_is_said() {
    let machine = machine("cpus = \"1023\"");
    machine.run(&["up", "-d"]);
    let shown = until("the failure", || machine.run(&["show", "web"]).out, |text| text.contains("refuses"));
    assert!(shown.contains("set priority, limits and rights: the kernel refuses a value"), "{shown}");
    let machine = self::machine("group = \"no-such-group\"");
    machine.run(&["up", "-d"]);
    until(
        "the failure",
        || machine.run(&["show", "web"]).out,
        |text| text.contains("no such group in /etc/group"),
    );
}
