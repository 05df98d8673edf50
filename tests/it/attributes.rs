//! What a service's process is born with, as it sees itself.

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
