//! Bytes that are no UTF-8, wherever they can stand: in what a service writes or calls itself, in paths, in arguments,
//! in variables and in files that are read.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::harness::{Machine, binary, kill, kill_pid, until};

#[test]
fn a_service_that_calls_itself_something_else_is_adopted_counted_and_ended() {
    // Its own name, and that of what it leaves behind, end up in /proc/PID/stat.
    let id = std::process::id().to_string();
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["/bin/sh", "web.sh"]
        stop = { timeout = "200ms" }
        "#,
    );
    let script = "setsid -f sh -c 'printf \"b\\377)ID\" >/proc/$$/comm; echo named; while :; do sleep 0.1; done'\n\
                  printf 'a\\377\\376 (' >/proc/$$/comm; echo named; while :; do sleep 0.1; done\n";
    fs::write(machine.dir().join("web.sh"), script.replace("ID", &id)).unwrap();
    machine.up();
    let before = machine.until_state("web", "online");
    until("its name", || machine.log("web", "out"), |log| log == "named\nnamed\n");
    let comm = |pid: &serde_json::Value| fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    assert_eq!(comm(&before["pid"]), b"a\xff\xfe (\n");
    let left_behind = || {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let names = entries.filter_map(|entry| fs::read(entry.path().join("comm")).ok());
        names.filter(|name| *name == [b"b\xff)", id.as_bytes(), b"\n"].concat()).count()
    };
    assert_eq!(left_behind(), 1);
    let old = machine.keeper("web").unwrap();
    kill(&old);
    until("a new keeper", || machine.keeper("web"), |new| new.as_ref().is_some_and(|new| *new != old));
    let adopted = machine.until_state("web", "online");
    assert_eq!((&adopted["pid"], &adopted["run"]), (&before["pid"], &1.into()));
    assert!(adopted["memory_bytes"].as_u64() > Some(0), "{adopted}");
    kill_pid(&adopted);
    until("another run", || machine.status("web"), |now| now["run"] == 2 && now["state"] == "online");
    machine.ok(&["stop", "web"]);
    until("nothing is left behind", left_behind, |left| *left == 0);
}

#[test]
fn paths_in_other_bytes_are_refused_in_words() {
    let machine = Machine::new("");
    let folder = machine.dir().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("ecosystem.toml"), "[services.web]\ncommand = [\"./app\"]\n").unwrap();
    for words in [["check"].as_slice(), &["up", "-d"]] {
        let refused = machine.command(words).current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            refused.status.code() == Some(3) && said.contains("its path is not UTF-8 text"),
            "{words:?}: {said}"
        );
    }
    let refused = Command::new(binary()).arg("--home").arg(&folder).arg("status").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("the path is not UTF-8 text"), "{said}");
}

#[test]
fn arguments_and_variables_in_other_bytes_do_no_harm() {
    let machine = Machine::new("[services.web]\ncommand = [\"UNRULY\", \"env\", \"LANG\", \"hang\"]\n");
    let odd = OsStr::from_bytes(b"w\xe9b");
    // They are left out: what a service gets is text.
    let mut up = machine.command(&["up", "-d"]);
    let started = up.env("LANG", odd).env(odd, odd).output().unwrap();
    assert!(started.status.success(), "{started:?}");
    until("the variable", || machine.log("web", "out"), |log| log == "\n");
    for command in ["stop", "start", "restart", "reload", "show", "logs", "flush"] {
        let refused = machine.command(&[command]).arg(odd).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{command}: {refused:?}");
    }
    assert_eq!(machine.until_state("web", "online")["run"], 1);
}
