//! Another user of the machine can neither read nor control anything, and a hostile service can hurt only itself.
//!
//! The user has a number that nobody else has, so that what it kills is its own. Only root can be somebody else.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::harness::lines::{Tally, tally};
use crate::harness::{Machine, free_address, kill, until};

const PYTHON: &str = "/usr/bin/python3";

/// A user of one test alone.
fn user(number: u32) -> u32 {
    100_000 + std::process::id() * 8 + number
}

fn may_become_others() -> bool {
    let root = nix::unistd::geteuid().as_raw() == 0;
    if !root {
        eprintln!("only root may start processes of other users: nothing to see");
    }
    root
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// Every path below this one.
fn all_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            all_below(&entry.path(), found);
        }
    }
}

/// What a stranger gets hold of among these paths.
fn tried_by_a_stranger(paths: &[PathBuf]) -> Vec<String> {
    let script = include_str!("stranger.py").replace("STRANGER", &user(0).to_string());
    let mut python = Command::new(PYTHON)
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let list: Vec<String> = paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    python.stdin.take().unwrap().write_all(list.join("\n").as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.pop().as_deref(), Some("done"), "{text}");
    lines
}

#[test]
fn a_stranger_reads_nothing_speaks_to_nobody_and_is_not_believed() {
    if !may_become_others() {
        return;
    }
    let address = free_address();
    let machine = Machine::new(&format!(
        "[services.web]\ncommand = [\"UNRULY\", \"hang\"]\nready = \"notify\"\nenv_file = \".env\"\n\
         listen = [\"{address}\"]\ndogwatch_access = \"view\"\n\
         [services.other]\ncommand = [\"UNRULY\", \"say\", \"a secret\", \"ready\", \"hang\"]\nready = \"notify\"\n\
         user = \"{}\"\n",
        user(1)
    ));
    open_to_all(machine.dir());
    fs::write(machine.dir().join(".env"), "TOKEN=a-secret\n").unwrap();
    fs::set_permissions(machine.dir().join(".env"), Permissions::from_mode(0o600)).unwrap();
    let mut up = machine.command(&["up", "-d"]).stdout(Stdio::null()).spawn().unwrap();
    machine.until_state("web", "starting");
    machine.until_state("other", "online");
    until("its words", || machine.log("other", "out"), |log| log == "a secret\n");

    let mut paths = vec![machine.dir().join("home"), machine.dir().join(".env"), machine.dir().join("logs")];
    for top in ["home", "logs"] {
        all_below(&machine.dir().join(top), &mut paths);
    }
    for kind in
        ["control.sock", "warden.sock", "keeper.sock", "notify.sock", "spec.json", "own.fifo", "out.fifo"]
    {
        assert!(paths.iter().any(|path| path.ends_with(kind)), "no {kind} in {paths:#?}");
    }
    assert_eq!(tried_by_a_stranger(&paths), [""; 0]);

    // The command line says so, too, and does not call it a success.
    for command in ["status", "down", "restart", "logs", "up"] {
        use std::os::unix::process::CommandExt;
        let args = if command == "restart" { vec![command, "web"] } else { vec![command] };
        let output = machine.command(&args).uid(user(0)).gid(user(0)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let theirs = said.contains("is root's: this user may neither see nor control it");
        assert!(theirs && output.status.code() == Some(1), "{command}: {output:?}");
    }

    // Who may write to the socket but is not of the service is not believed either.
    let notify = machine.paths().services().join("web/notify.sock");
    UnixDatagram::unbound().unwrap().send_to(b"READY=1", notify).unwrap();
    machine.ok(&["show", "other"]);
    assert_eq!(machine.status("web")["state"], "starting");
    machine.ok(&["stop", "web"]);
    up.wait().unwrap();
}

/// Asks the neighbour, and waits for its whole answer.
fn ask(address: SocketAddr) -> String {
    let mut answer = String::new();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_hostile_service_hurts_only_itself() {
    if !may_become_others() {
        return;
    }
    let (neighbour, own) = (free_address(), free_address());
    let machine = Machine::new(&format!(
        "[services.neighbour]\ncommand = [\"UNRULY\", \"serve\", \"ready\", \"number\", \"1\", \"20\", \"hang\"]\n\
         ready = \"notify\"\nlisten = [\"{neighbour}\"]\nlog = {{ rotate_size = \"1MiB\", compress = false }}\n\
         [services.hostile]\ncommand = [\"{PYTHON}\", \"../service.py\"]\ncwd = \"own\"\nuser = \"{}\"\n\
         ready = \"notify\"\nlisten = [\"{own}\"]\nlimits = {{ nproc = 40 }}\n",
        user(2)
    ));
    open_to_all(machine.dir());
    fs::write(machine.dir().join("service.py"), include_str!("service.py")).unwrap();
    fs::create_dir(machine.dir().join("own")).unwrap();
    chown(machine.dir().join("own"), Some(user(2)), None).unwrap();
    let mut up = machine.command(&["up", "-d"]).stdout(Stdio::null()).spawn().unwrap();
    let before = machine.until_state("neighbour", "online");
    let keeper = machine.until_state("hostile", "starting")["keeper_pid"].clone();

    let mut answers = 0;
    let slowest = until(
        "the end of its misdeeds",
        || {
            let begin = Instant::now();
            assert!(ask(neighbour).starts_with(&before["pid"].to_string()));
            answers += 1;
            let asked = begin.elapsed();
            // Its own keeper, too, answers at any time.
            assert_eq!(machine.status("hostile")["keeper_pid"], keeper);
            (asked, machine.log("hostile", "error").ends_with("kills\n"))
        },
        |(_, ended)| *ended,
    );
    eprintln!(
        "{answers} answers, the last within {:.1?}; it did: {}",
        slowest.0,
        machine.log("hostile", "error")
    );
    let done = machine.until_state("hostile", "online");
    assert_eq!((&done["keeper_pid"], &done["restarts"]), (&keeper, &0.into()), "{done}");
    assert!(machine.log("hostile", "error").contains("flood 100000\n"));
    let after = machine.status("neighbour");
    assert_eq!((&before["pid"], &before["keeper_pid"]), (&after["pid"], &after["keeper_pid"]));

    // The next run has a socket that listens.
    machine.ok(&["restart", "hostile"]);
    TcpStream::connect(own).unwrap();
    machine.ok(&["stop", "neighbour"]);
    let Tally { lines, lost, doubled, torn, ragged } = tally(&machine.log_files("neighbour", "out"));
    assert!(
        lines > 100 && (lost, doubled, torn, ragged) == (0, 0, 0, 0),
        "{lines} {lost} {doubled} {torn} {ragged}"
    );
    let _ = up.wait();
}

/// Puts something in the place of a log, at once, as a service may that owns the folder.
fn plant(what: &str, at: &Path, victim: &Path) {
    let beside = at.with_extension("planted");
    match what {
        "a symbolic link" => {
            symlink(victim, &beside).unwrap();
            lchown(&beside, Some(user(3)), Some(user(3))).unwrap();
        }
        "a hard link" => fs::hard_link(victim, &beside).unwrap(),
        "a FIFO" => nix::unistd::mkfifo(&beside, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap(),
        "a folder" => fs::create_dir(&beside).unwrap(),
        other => panic!("{other}"),
    }
    renameat2(AT_FDCWD, &beside, AT_FDCWD, at, RenameFlags::RENAME_EXCHANGE).unwrap();
}

/// Puts back what was there.
fn take_away(at: &Path) {
    let beside = at.with_extension("planted");
    renameat2(AT_FDCWD, &beside, AT_FDCWD, at, RenameFlags::RENAME_EXCHANGE).unwrap();
    fs::remove_file(&beside).or_else(|_| fs::remove_dir(&beside)).unwrap();
}

#[test]
fn no_write_of_root_follows_what_a_service_plants_in_its_log_folder() {
    if !may_become_others() {
        return;
    }
    let machine = Machine::new(&format!(
        "[dogwatch]\nlog_dir = \"own/logs\"\n[services.web]\n\
         command = [\"UNRULY\", \"number\", \"20\", \"5\", \"hang\"]\n\
         user = \"{0}\"\nlog = {{ rotate_size = \"8KiB\" }}\n",
        user(3)
    ));
    open_to_all(machine.dir());
    let (own, victims) = (machine.dir().join("own"), machine.dir().join("victims"));
    let logs = own.join("logs");
    for folder in [&own, &logs, &victims] {
        fs::create_dir(folder).unwrap();
    }
    for folder in [&own, &logs] {
        chown(folder, Some(user(3)), Some(user(3))).unwrap();
    }
    let victim = victims.join("web-out.20200101T000000.000Z.log");
    fs::write(&victim, "untouched").unwrap();
    let untouched = |what: &str| {
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched", "{what}");
        let names: Vec<_> =
            fs::read_dir(&victims).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, [victim.file_name().unwrap()], "{what}");
    };
    let said = || fs::read_to_string(machine.paths().own_log()).unwrap_or_default();
    let log = logs.join("web-out.log");
    let grows = |what: &str| {
        let old = fs::metadata(&log).map(|about| about.len()).unwrap_or(0);
        let moved = |now: &u64| *now != old;
        until(what, || fs::symlink_metadata(&log).map_or(old, |about| about.len()), moved);
    };
    machine.up();
    grows("the first lines");

    for what in ["a symbolic link", "a hard link", "a FIFO", "a folder"] {
        let before = said().len();
        plant(what, &log, &victim);
        until("words", said, |text| text[before..].contains("cannot write "));
        let flushed = machine.run(&["flush", "web"]);
        assert!(flushed.code != 0 && flushed.err.contains("cannot archive "), "{what}: {flushed:?}");
        // Nobody who reads is shown anything else, or kept waiting.
        let shown = machine.run(&["logs", "web", "--nostream", "--out"]);
        assert!(!shown.out.contains("untouched"), "{what}: {shown:?}");
        untouched(what);
        take_away(&log);
        grows(what);
    }

    until("an archive", || logs.join("archive").exists(), |there| *there);
    // The archive, and the folder of a month in it.
    let (month, _) = dogwatch::model::calendar::utc_stamps(dogwatch::os::clock::now().unix_ms);
    for place in ["archive".into(), format!("archive/{month}")] {
        let before = said().len();
        let archive = logs.join(&place);
        plant("a symbolic link", &archive, &victims);
        kill(&machine.keeper("web").unwrap()); // its successor does not wait before it tries again
        until("words", said, |text| text[before..].contains("cannot rotate "));
        untouched(&place);
        take_away(&archive);
        grows("the log");
    }

    // The log folder itself.
    let before = said().len();
    plant("a symbolic link", &logs, &victims);
    until("words", said, |text| text[before..].contains("is a symbolic link of user"));
    untouched("the folder");
    machine.ok(&["stop", "web"]);
    machine.run(&["flush", "web"]);
    untouched("the folder, without a run");
    take_away(&logs); // else the keeper waits for the disk before it ends
}
