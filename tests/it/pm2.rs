//! What else pm2's users may type, and where a command finds its dogwatch.

use std::fs;

use serde_json::Value;

use crate::harness::Machine;
use crate::harness::shell::Shell;

const TWO: &str = "
[services.web]
command = [\"UNRULY\", \"say\", \"hello\", \"hang\"]
[services.worker]
command = [\"UNRULY\", \"hang\"]
";

#[test]
fn start_wakes_a_dogwatch_that_does_not_run_and_nothing_else_does() {
    let machine = Machine::new(TWO);
    let shell = Shell::new(&machine);
    for line in ["pm2 list", "pm2 jlist", "pm2 ping", "pm2 stop web", "pm2 restart web", "pm2 flush"] {
        let outcome = shell.run(line);
        assert_eq!((outcome.code, outcome.out.as_str()), (1, ""), "{line}");
        assert!(outcome.err.starts_with("[PM2][ERROR] dogwatch does not run here"), "{outcome:#?}");
    }
    assert!(machine.control().is_none());
    let outcome = shell.run("pm2 start worker");
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.out.contains("dogwatch did not run"), "{outcome:#?}");
    machine.until_state("worker", "online");
    assert_eq!(shell.run("pm2 ping").out, "{ msg: 'pong' }\n");
    // Goals outlive everything: what was stopped stays down, what was not comes up.
    assert_eq!(shell.run("pm2 stop web").code, 0);
    machine.ok(&["down"]);
    assert_eq!(shell.run("pm2 start worker").code, 0);
    assert_eq!(machine.status("web")["state"], "stopped");
    machine.until_state("worker", "online");
}

#[test]
fn answers_for_scripts() {
    let machine = Machine::new(TWO);
    let shell = Shell::new(&machine);
    machine.up();
    let pid = machine.until_state("worker", "online")["pid"].to_string();
    assert_eq!(shell.run("pm2 pid worker").out, format!("{pid}\n"));
    assert_eq!(shell.run("pm2 id worker").out, "[ 1 ]\n");
    assert_eq!(shell.run("pm2 id nosuch").out, "[]\n");
    let list: Value = serde_json::from_str(&shell.run("pm2 jlist").out).unwrap();
    assert_eq!((&list[1]["name"], &list[1]["pm2_env"]["status"]), (&"worker".into(), &"online".into()));
    let outcome = shell.run("pm2 logs web --nostream --raw --lines 1");
    assert_eq!((outcome.code, outcome.out.as_str()), (0, "hello\n"));
    let outcome = shell.run("pm2 logs /^we/ --json --nostream");
    let object: Value = serde_json::from_str(&outcome.out).unwrap();
    assert!(object["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{object}");
    let seen = ["message", "type", "process_id", "app_name"].map(|key| object[key].clone());
    assert_eq!(seen, [Value::from("hello"), "out".into(), 0.into(), "web".into()]);
    let outcome = shell.run("pm2 logs web -n 1 --format --nostream");
    assert!(outcome.out.ends_with(" app=web id=0 type=out message=hello\n"), "{outcome:#?}");
    let outcome = shell.run("pm2 logs web --nostream --timestamp '[at] YYYY' --highlight hell");
    assert!(outcome.out.contains("0|web | at 2") && outcome.out.contains(" hello\n"), "{outcome:#?}");
    let outcome = shell.run("pm2 logs --help");
    assert_eq!((outcome.code, outcome.out), (0, shell.run("pm2 help").out));
    assert_eq!(shell.run("pm2 logs /nosuch/ --nostream").code, 1);
    assert_eq!(shell.run("pm2 stop 0 -s").out, "");
    assert_eq!(machine.status("web")["state"], "stopped");
    let outcome = shell.run("pm2 list | head -1");
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""), "a reader that goes away is no error");
}

#[test]
fn what_does_not_work_says_why_and_does_nothing_else() {
    let machine = Machine::new(TWO);
    let shell = Shell::new(&machine);
    machine.up();
    let before = machine.until_state("web", "online");
    let apps = r#"{ "apps": [{ "name": "web" }, { "name": "mailer", "script": "mailer.js" }] }"#;
    fs::write(machine.dir().join("apps.json"), apps).unwrap();
    for (line, said) in [
        ("pm2 restart web nosuch", "Process or Namespace nosuch not found\n  services: web, worker"),
        ("pm2 start apps.json", "\n    [services.mailer]\n    command = [\"node\", \"mailer.js\"]"),
        ("pm2 start ./server.py", "\n    [services.server]\n    command = [\"python3\", \"./server.py\"]"),
        ("pm2 start none.json", "cannot read none.json: there is no such file"),
        ("pm2 kill", "not there yet in dogwatch\n  use `dogwatch down`"),
        ("pm2 start web -i 4", "pm2 start -i: not there yet in dogwatch"),
    ] {
        let outcome = shell.run(line);
        assert_eq!((outcome.code, outcome.out.as_str()), (1, ""), "{line}");
        assert!(
            outcome.err.starts_with("[PM2][ERROR] ") && outcome.err.contains(said),
            "{line}: {outcome:#?}"
        );
    }
    let outcome = shell.run("pm2 start apps.json --only web");
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert_eq!(machine.status("web")["pid"], before["pid"]);
}

#[test]
fn a_start_that_fails_is_a_failure() {
    let machine =
        Machine::new("[services.web]\ncommand = [\"UNRULY\", \"shout\", \"no disk\", \"exit\", \"3\"]\n");
    machine.run(&["up", "-d"]);
    let outcome = Shell::new(&machine).run("pm2 restart web");
    assert_eq!(outcome.code, 1);
    assert!(outcome.err.starts_with("[PM2][ERROR] cannot restart web: exited with code 3"), "{outcome:#?}");
    assert!(outcome.err.contains("no disk"), "{outcome:#?}");
}

#[test]
fn a_folder_has_its_own_dogwatch() {
    let machine = Machine::new(TWO);
    let shell = Shell::new(&machine).without_home();
    // As `make run` does it.
    fs::create_dir_all(machine.dir().join(".dogwatch")).unwrap();
    std::os::unix::fs::symlink(".dogwatch", machine.dir().join("home")).unwrap();
    machine.up();
    let pid = machine.until_state("worker", "online")["pid"].to_string();
    assert_eq!(shell.run("pm2 pid worker").out, format!("{pid}\n"));
    assert!(shell.run("dogwatch status").out.contains(&pid));
    assert_eq!(shell.run("dogwatch restart worker").code, 0);
    let elsewhere = shell.run("dogwatch --home elsewhere status");
    assert_eq!(elsewhere.code, 4, "{elsewhere:#?}");
}
