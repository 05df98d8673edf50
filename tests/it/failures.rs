//! Each step of a start that can fail says which step, on what, why, and what to do.

use crate::harness::Machine;

/// Brings one service up, which must fail; returns what was said.
fn refused(entry: &str) -> String {
    let machine = Machine::new(&format!("[services.web]\n{entry}\n"));
    std::fs::write(machine.dir().join("plain"), "no program\n").unwrap();
    std::fs::write(machine.dir().join("garbage"), "\x7fELF, or so it says").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(machine.dir().join("garbage"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = machine.run(&["up", "-d"]);
    assert_eq!(outcome.code, 1, "{outcome:#?}");
    let dir = std::fs::canonicalize(machine.dir()).unwrap();
    outcome.err.replace(dir.to_str().unwrap(), "DIR")
}

#[track_caller]
fn check(entry: &str, sentence: &str, advice: &str) {
    let said = refused(entry);
    assert!(said.contains(&format!("cannot start web: {sentence}\n")), "{said}");
    assert!(said.contains(&format!("\n  {advice}\n")), "{said}");
}

#[test]
fn a_missing_program() {
    check(
        r#"command = ["./nothing-here"]"#,
        "exec DIR/nothing-here: no such file",
        "check `command` in ecosystem.toml",
    );
}

#[test]
fn a_program_that_is_in_no_folder_of_the_path() {
    check(
        "command = [\"nothing-of-that-name\"]\nenv = { PATH = \"/usr/bin:/bin\" }",
        "exec nothing-of-that-name: not in the service's PATH (/usr/bin:/bin)",
        "write the full path in `command`, or set PATH in `env`",
    );
}

#[test]
fn a_file_that_is_not_executable() {
    check(
        r#"command = ["./plain"]"#,
        "exec DIR/plain: permission denied (not executable)",
        "run: chmod +x DIR/plain",
    );
}

#[test]
fn a_file_that_is_no_program() {
    check(
        r#"command = ["./garbage"]"#,
        "exec DIR/garbage: not a program that Linux can run",
        "does DIR/garbage begin with #! and an interpreter, or is it built for another machine?",
    );
}

#[test]
fn a_folder_that_is_not_there() {
    check(
        "command = [\"UNRULY\", \"hang\"]\ncwd = \"nowhere\"",
        "enter the folder DIR/nowhere: no such folder",
        "run: mkdir -p DIR/nowhere",
    );
}

#[test]
fn a_user_who_is_not_there() {
    check(
        "command = [\"UNRULY\", \"hang\"]\nuser = \"nobody-of-that-name\"",
        "run as user nobody-of-that-name: no such user in /etc/passwd",
        "check `user` in ecosystem.toml; see: getent passwd",
    );
}

#[test]
fn a_port_that_is_taken() {
    let mine = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mine.local_addr().unwrap().port();
    let said = refused(&format!("command = [\"UNRULY\", \"hang\"]\nlisten = [\"127.0.0.1:{port}\"]"));
    let holder = format!(
        "cannot start web: listen on 127.0.0.1:{port}: port {port} is held by pid {} (",
        std::process::id()
    );
    assert!(said.contains(&holder), "{said}");
    assert!(said.contains("which dogwatch does not manage\n"), "{said}");
}

#[test]
fn a_service_that_never_says_that_it_is_ready() {
    let said = refused(
        "command = [\"UNRULY\", \"shout\", \"still thinking\", \"hang\"]\nready = { notify = true, timeout = \"300ms\" }",
    );
    assert!(said.contains("cannot start web: not ready within 300 ms"), "{said}");
    assert!(said.contains("still thinking"), "{said}");
}
