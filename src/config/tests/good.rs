//! What a good file means.

use std::path::Path;
use std::time::Duration;

use super::{Folder, good, moved};
use crate::model::shares::{Shares, Together};
use crate::model::signal::Signal;
use crate::model::spec::{Access, MemoryLimit, Ready, RestartPolicy, RestartWhen, StopPolicy};

#[test]
fn two_lines_are_enough() {
    let ecosystem = good("[services.web]\ncommand = [\"./app\"]\n");
    assert_eq!(ecosystem.path, Path::new("/srv/ecosystem.toml"));
    assert_eq!(ecosystem.listen, None);
    assert_eq!(ecosystem.log_dir, Path::new("/srv/logs"));
    let web = ecosystem.service("web").unwrap();
    assert_eq!(web.command, ["/srv/app"]);
    assert_eq!(web.cwd, Path::new("/srv"));
    assert_eq!(web.compartment, "default");
    assert!(!web.critical);
    assert_eq!(
        web.env.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>(),
        [("HOME", "/home/u"), ("PATH", "/usr/bin:/bin"), ("USER", "u")]
    );
    assert_eq!(web.ready, Ready::Alive { after: Duration::from_secs(1) });
    assert_eq!(web.restart, RestartPolicy::default());
    assert_eq!(web.stop, StopPolicy::default());
    assert_eq!(web.memory, None);
    assert_eq!(web.user, None);
    let log = &web.log;
    assert_eq!((log.rotate_size, log.keep, log.compress), (10 << 20, 14, true));
    assert_eq!(log.dir, Path::new("/srv/logs"));
    assert_eq!(web.access, Access::None);
}

#[test]
fn access_changes_the_fingerprint_of_who_has_it_and_of_nobody_else() {
    let fingerprint = |more: &str| {
        let ecosystem = good(&format!("[services.web]\ncommand = [\"./app\"]\n{more}\n"));
        ecosystem.service("web").unwrap().fingerprint()
    };
    let without = fingerprint("");
    assert_eq!(fingerprint("dogwatch_access = \"none\""), without);
    assert_ne!(fingerprint("dogwatch_access = \"view\""), without);
    let bare = good("[services.web]\ncommand = [\"./app\"]\n").services.remove(0);
    let written = serde_json::to_string(&bare).unwrap();
    assert!(!written.contains("access"), "an older dogwatch has written it without: {written}");
}

#[test]
fn every_key() {
    let ecosystem = good(
        r#"
        [dogwatch]
        listen = "[::1]:9615"
        log_dir = "var/./log"
        [compartments.production]
        critical = true
        [compartments.idle]
        [services.web]
        compartment = "production"
        command = ["bin/web", "-v"]
        cwd = "../app"
        user = "www-data"
        env = { A = "1" }
        listen = ["127.0.0.1:3000", "[::1]:3000"]
        ready = { notify = true, timeout = "5s" }
        memory = { limit = "256MiB", max = "320MiB" }
        restart = { policy = "on-failure", delay = "1s", max_delay = "1m", stable_after = "1h" }
        stop = { signal = "int", timeout = "1500ms" }
        log = { rotate_size = "1G", keep = 0, compress = false }
        dogwatch_access = "view"
        [services.other]
        compartment = "production"
        critical = false
        restart = { give_up = 7 }
        command = ["python3", "./x.py"]
        "#,
    );
    assert_eq!(ecosystem.listen, Some("[::1]:9615".parse().unwrap()));
    assert_eq!(ecosystem.log_dir, Path::new("/srv/var/log"));
    assert!(ecosystem.compartments["production"].critical);
    assert!(!ecosystem.compartments["idle"].critical);
    let web = ecosystem.service("web").unwrap();
    assert!(web.critical);
    assert_eq!(web.command, ["/srv/bin/web", "-v"]);
    assert_eq!(web.cwd, Path::new("/srv/../app"));
    assert_eq!(web.user.as_deref(), Some("www-data"));
    assert_eq!(web.env["A"], "1");
    assert_eq!(web.listen.len(), 2);
    assert_eq!(web.ready, Ready::Notify { timeout: Duration::from_secs(5) });
    assert_eq!(web.memory, Some(MemoryLimit { limit: 256 << 20, max: 320 << 20 }));
    assert_eq!(web.restart.policy, RestartWhen::OnFailure);
    assert_eq!(web.restart.max_delay, Duration::from_secs(60));
    assert_eq!(web.stop.signal, Signal(2));
    assert_eq!(web.stop.timeout, Duration::from_millis(1500));
    assert_eq!((web.log.rotate_size, web.log.keep, web.log.compress), (1 << 30, 0, false));
    assert_eq!(web.access, Access::View);
    let other = ecosystem.service("other").unwrap();
    assert!(!other.critical);
    assert_eq!(other.restart.give_up, Some(7));
    assert_eq!(other.command, ["python3", "./x.py"]);
}

#[test]
fn short_forms_and_defaults_that_depend() {
    let ecosystem = good(
        r#"
        [services.a]
        command = "exec ./a ${NOT_OURS} | tee \"$LOG\""
        shell = true
        memory = "400M"
        ready = "notify"
        restart = { delay = "30s" }
        [services.b]
        command = ["./b"]
        memory = { limit = "1G" }
        ready = { alive = "0s" }
        restart = { max_delay = "50ms" }
        "#,
    );
    let a = ecosystem.service("a").unwrap();
    assert_eq!(a.command, ["/bin/sh", "-c", "exec ./a ${NOT_OURS} | tee \"$LOG\""]);
    assert_eq!(a.memory, Some(MemoryLimit { limit: 400 << 20, max: 500 << 20 }));
    assert_eq!(a.ready, Ready::Notify { timeout: Duration::from_secs(30) });
    assert_eq!(a.restart.max_delay, Duration::from_secs(30));
    let b = ecosystem.service("b").unwrap();
    assert_eq!(b.restart.delay, Duration::from_millis(50));
    assert_eq!(b.memory.unwrap().max, (1 << 30) + (1 << 28));
    assert_eq!(b.ready, Ready::Alive { after: Duration::ZERO });
}

#[test]
fn what_a_process_is_born_with() {
    let ecosystem = good(
        r#"
        [services.a]
        command = ["./a"]
        group = "web"
        umask = "027"
        nice = -5
        ionice = "best-effort:7"
        cpus = "2,0-1"
        no_new_privileges = true
        limits = { nofile = 4096, nproc = 512, core = "unlimited" }
        cpu_weight = 20
        compartment = "p"
        [services.b]
        command = ["./b"]
        [services.c]
        command = ["./c"]
        compartment = "p"
        [compartments.p]
        critical = true
        memory = "1GiB"
        pids_max = 300
        "#,
    );
    let words = "group web, umask 027, nice -5, ionice best-effort:7, cpus 0 1 2, nofile 4096, nproc 512, \
                 core unlimited, no new privileges";
    assert_eq!(ecosystem.service("a").unwrap().attributes.in_words(), words);
    let plain = ecosystem.service("b").unwrap();
    assert!(plain.attributes.is_default());
    let shares = |name: &str| ecosystem.service(name).unwrap().shares;
    let critical = Shares { cpu_weight: Some(1000), io_weight: Some(1000), pids_max: None };
    assert_eq!(shares("a"), Shares { cpu_weight: Some(20), ..critical });
    assert_eq!(shares("c"), critical);
    let together = Together { memory: Some(1 << 30), shares: Shares { pids_max: Some(300), ..critical } };
    assert_eq!(ecosystem.service("c").unwrap().together, together);
    // A spec without them is written as it always was: no running service counts as changed.
    assert!(!serde_json::to_string(plain).unwrap().contains("attributes"));
    assert!(!serde_json::to_string(plain).unwrap().contains("weight"));
}

#[test]
fn services_start_after_those_they_wait_for_and_otherwise_as_written() {
    let ecosystem = good(
        "[services.z]\ncommand = [\"x\"]\nafter = [\"m\", \"m\"]\n[services.m]\ncommand = [\"x\"]\n\
         [services.a]\ncommand = [\"x\"]\n",
    );
    let order: Vec<_> = ecosystem.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(order, ["m", "z", "a"]);
    let names: Vec<_> = ecosystem.names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["z", "m", "a"]);
    assert_eq!(ecosystem.service("z").unwrap().after.len(), 1);
}

#[test]
fn env_outranks_later_env_files_outrank_earlier_ones_outrank_dogwatchs_own() {
    let folder = Folder::with(
        r#"
        [services.web]
        command = ["${DIR}/web", "${SHELL}", "${FROM:-nowhere}", "$${A}", "${LITERAL}"]
        env_file = ["one.env", "two.env"]
        env = { FROM = "env over ${FROM}", HOME = "/srv", PATH = "/opt:${PATH}", NEXT = "${HOME}" }
        "#,
    );
    folder.write("one.env", "A=1\nFROM=one\nLANG=C\nDIR=sub/bin\n");
    folder.write("two.env", "FROM=two\nLITERAL='${A}'\n");
    let ecosystem = moved(folder.load().unwrap(), folder.0.path());
    let web = ecosystem.service("web").unwrap();
    let expected = ["/srv/sub/bin/web", "/bin/zsh", "env over two", "${A}", "${A}"];
    assert_eq!(web.command, expected);
    let env: Vec<_> = web.env.iter().map(|(a, b)| format!("{a}={b}")).collect();
    let expected = [
        "A=1",
        "DIR=sub/bin",
        "FROM=env over two",
        "HOME=/srv",
        "LANG=C",
        "LITERAL=${A}",
        "NEXT=/srv",
        "PATH=/opt:/usr/bin:/bin",
        "USER=u",
    ];
    assert_eq!(env, expected);
    assert_eq!(ecosystem.env_files, [Path::new("/srv/one.env"), Path::new("/srv/two.env")]);
}

#[test]
fn a_default_compartment_may_be_described() {
    let ecosystem = good("[compartments.default]\ncritical = true\n[services.a]\ncommand = [\"x\"]\n");
    assert!(ecosystem.service("a").unwrap().critical);
}

#[test]
fn sinks_are_for_services_that_name_them_and_change_no_fingerprint() {
    let ecosystem = good(
        r#"
        [dogwatch]
        log_sinks = ["file", "journald"]
        [sinks.far]
        kind = "syslog"
        address = "udp://127.0.0.1:514"
        facility = "local3"
        [sinks.syslog]
        address = "tcp://127.0.0.1:601"
        max_message = "8KiB"
        [services.web]
        command = ["./app"]
        [services.api]
        command = ["./app"]
        log.sinks = ["far", "stdout", "far"]
        [services.page]
        command = ["./app"]
        log = { sinks = ["far"], keep = 7 }
        "#,
    );
    let routes: Vec<(&str, String, Vec<&str>)> = ecosystem
        .sinks
        .iter()
        .map(|route| {
            let services = route.services.iter().map(|name| name.as_str()).collect();
            (route.sink.name.as_str(), route.sink.to.to_string(), services)
        })
        .collect();
    let expected = [
        ("far", "syslog at udp://127.0.0.1:514".to_owned(), vec!["api", "page"]),
        ("syslog", "syslog at tcp://127.0.0.1:601".to_owned(), vec![]),
        ("journald", "journald at /run/systemd/journal/socket".to_owned(), vec!["web"]),
        ("stdout", "standard output".to_owned(), vec!["api"]),
    ];
    assert_eq!(routes, expected);
    let bounds = |name: &str| {
        let log = &ecosystem.service(name).unwrap().log;
        (log.rotate_size, log.keep, log.compress)
    };
    assert_eq!(bounds("web"), (10 << 20, 14, true));
    assert_eq!(bounds("api"), (4 << 20, 3, false), "without \"file\" the file is a buffer");
    assert_eq!(bounds("page"), (4 << 20, 7, false), "what is written holds");
    let bare = good("[services.web]\ncommand = [\"./app\"]\n");
    let fingerprint = |ecosystem: &crate::config::Ecosystem| ecosystem.service("web").unwrap().fingerprint();
    assert_eq!(fingerprint(&ecosystem), fingerprint(&bare), "a sink is no reason to restart a service");
}

/// The largest size of a log file, and the budget, bytes, of a service with this `log`.
fn sizes(log: &str) -> (u64, u64) {
    let ecosystem = good(&format!("[services.web]\ncommand = [\"./app\"]\nlog = {{ {log} }}\n"));
    let log = &ecosystem.service("web").unwrap().log;
    (log.rotate_size, log.budget)
}

#[test]
fn a_log_file_never_outgrows_the_budget() {
    const MIB: u64 = 1 << 20;
    assert_eq!(sizes(""), (10 * MIB, 500 * MIB));
    assert_eq!(sizes("rotate_size = \"1GiB\""), (1024 * MIB, 4096 * MIB), "what is written holds");
    assert_eq!(sizes("rotate_size = \"10MiB\", budget = \"1MiB\""), (MIB / 4, MIB));
    assert_eq!(sizes("budget = \"64KiB\""), (16 << 10, 64 << 10));
    assert_eq!(sizes("rotate_size = \"1MiB\", budget = \"1GiB\""), (MIB, 1024 * MIB));
}
