//! Node programs that were written without a thought of dogwatch.

use crate::harness::clients::{Asking, get, is_refused};
use crate::harness::{Machine, free_address, kill_pid, until};

/// As people write it: it opens its port itself, and ends in peace on SIGTERM.
const PROGRAM: &str = "
const server = require('http').createServer((request, response) => response.end(`${process.pid}\\n`));
server.listen(Number(process.env.PORT), process.env.HOST, () => console.log('listening on', server.address().port));
process.on('SIGTERM', () => server.close());
";

#[test]
fn an_unmodified_node_program_refuses_no_connection() {
    let address = free_address();
    let machine = Machine::new(&format!(
        "[services.web]\ncommand = [\"node\", \"server.js\"]\nlisten = [\"{address}\"]\nready = {{ alive = \"100ms\" }}\n\
         env = {{ PORT = \"{}\", HOST = \"{}\", NODE_OPTIONS = \"--max-old-space-size=64\" }}\n\
         restart = {{ delay = \"10ms\" }}\n",
        address.port(),
        address.ip()
    ));
    std::fs::write(machine.dir().join("server.js"), PROGRAM).unwrap();
    machine.up();
    let served_by = || get(address, "/").map(|answer| answer.lines().last().unwrap_or_default().to_owned());
    let pid = |status: &serde_json::Value| status["pid"].to_string();
    let first = machine.status("web");
    assert_eq!(served_by().unwrap(), pid(&first), "{}", machine.log("web", "error"));

    let clients = Asking::begin(address);
    for _ in 0..3 {
        machine.ok(&["restart", "web"]);
        assert_eq!(served_by().unwrap(), pid(&machine.status("web")));
    }
    let (asked, failures) = clients.finish();
    assert!(failures.is_empty(), "{} of {asked}: {failures:?}", failures.len());

    let before = machine.status("web");
    kill_pid(&before);
    assert!(!is_refused(address));
    let after = until(
        "its successor",
        || machine.status("web"),
        |new| pid(new) != pid(&before) && new["pid"].is_number(),
    );
    assert_eq!(served_by().unwrap(), pid(&after));
}

#[test]
fn a_helper_of_a_node_program_listens_as_it_always_did() {
    let (held, own) = (free_address(), free_address());
    let machine = Machine::new(&format!(
        "[services.web]\ncommand = [\"node\", \"server.js\"]\nlisten = [\"{held}\"]\nready = {{ alive = \"100ms\" }}\n"
    ));
    let helper = format!(
        "require('http').createServer((q, a) => a.end('helper\\n')).listen({}, '{}')",
        own.port(),
        own.ip()
    );
    let program = format!(
        "require('child_process').fork('helper.js'); require('net').createServer((c) => c.end('web\\n')).listen({})",
        held.port()
    );
    std::fs::write(machine.dir().join("helper.js"), helper).unwrap();
    std::fs::write(machine.dir().join("server.js"), program).unwrap();
    machine.up();
    let answer = |address| move || get(address, "/").unwrap_or_default();
    until("the helper's answer", answer(own), |answer| answer.ends_with("helper\n"));
    until("the program's answer", answer(held), |answer| answer.ends_with("web\n"));
}
