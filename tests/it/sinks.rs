//! Sinks: every line arrives, once and in order, whoever dies; and nobody waits for a sink that does not take it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use dogwatch::os::lock;
use dogwatch::os::process::Identity;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::Value;

use crate::harness::{Machine, free_address, kill, send, until};
use crate::logs_http::get;

/// Somebody who takes messages, until he is dropped.
struct Receiver {
    messages: Arc<Mutex<Vec<Vec<u8>>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How often a receiver looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

impl Receiver {
    fn new(work: impl FnOnce(&dyn Fn(Vec<u8>), &dyn Fn() -> bool) + Send + 'static) -> Receiver {
        let (messages, end) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (put, over) = (Arc::clone(&messages), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            let put = |message| put.lock().unwrap().push(message);
            work(&put, &|| over.load(Ordering::Relaxed));
        });
        Receiver { messages, end, thread: Some(thread) }
    }

    /// On a unix socket of datagrams; a descriptor is read in the place of a message.
    fn unix(path: &Path) -> Receiver {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        Receiver::new(move |put, over| {
            let mut room = vec![0; 300_000];
            while !over() {
                let mut fds = nix::cmsg_space!([i32; 1]);
                let mut parts = [std::io::IoSliceMut::new(&mut room)];
                let flags = MsgFlags::MSG_CMSG_CLOEXEC;
                let Ok(got) = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut fds), flags) else {
                    continue;
                };
                let fds = got.cmsgs().unwrap().find_map(|message| match message {
                    ControlMessageOwned::ScmRights(fds) => Some(fds),
                    _ => None,
                });
                let (length, fd) = (got.bytes, fds.map(|fds| fds[0]));
                match fd {
                    Some(fd) => put(content(fd)),
                    None => put(room[..length].to_vec()),
                }
            }
        })
    }

    fn udp(address: SocketAddr) -> Receiver {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        Receiver::new(move |put, over| {
            let mut room = vec![0; 70_000];
            while !over() {
                if let Ok(length) = socket.recv(&mut room) {
                    put(room[..length].to_vec());
                }
            }
        })
    }

    /// Takes one connection after the other; each message has its length before it.
    fn tcp(address: SocketAddr) -> Receiver {
        let listener = listen(address);
        Receiver::new(move |put, over| {
            listener.set_nonblocking(true).unwrap();
            while !over() {
                let Ok((mut stream, _)) = listener.accept() else {
                    crate::harness::pause();
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(LOOK)).unwrap();
                let mut bytes = Vec::new();
                let mut room = vec![0; 65_536];
                while !over() {
                    match stream.read(&mut room) {
                        Ok(0) => break,
                        Ok(count) => {
                            bytes.extend_from_slice(&room[..count]);
                            while let Some(message) = frame(&mut bytes) {
                                put(message);
                            }
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => break,
                    }
                }
            }
        })
    }

    fn count(&self) -> usize {
        self.messages.lock().unwrap().len()
    }

    fn all(&self) -> Vec<Vec<u8>> {
        self.messages.lock().unwrap().clone()
    }

    /// Goes away; what it has got.
    fn close(mut self) -> Vec<Vec<u8>> {
        self.end.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.all()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An address that was in use a moment ago can be listened at again.
fn listen(address: SocketAddr) -> TcpListener {
    until("a free address", || TcpListener::bind(address).ok(), Option::is_some).unwrap()
}

#[expect(unsafe_code, reason = "a descriptor that has come in a message")]
fn content(fd: i32) -> Vec<u8> {
    // SAFETY: the kernel has just made this descriptor for us.
    let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    std::io::Seek::rewind(&mut file).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Takes `LENGTH MESSAGE` off the front.
fn frame(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().unwrap();
    let message = bytes.get(space + 1..space + 1 + length)?.to_vec();
    bytes.drain(..space + 1 + length);
    Some(message)
}

/// The fields of a message of the journal's protocol.
fn fields(mut message: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut fields = BTreeMap::new();
    while let Some(end) = message.iter().position(|byte| *byte == b'\n') {
        let name = String::from_utf8(message[..end].to_vec()).unwrap();
        let length = u64::from_le_bytes(message[end + 1..end + 9].try_into().unwrap()) as usize;
        fields.insert(name, message[end + 9..end + 9 + length].to_vec());
        assert_eq!(message[end + 9 + length], b'\n');
        message = &message[end + 10 + length..];
    }
    fields
}

/// The line in a message of either kind.
fn line(message: &[u8]) -> Vec<u8> {
    if message.starts_with(b"MESSAGE\n") {
        return fields(message).remove("MESSAGE").unwrap();
    }
    // `<30>1 TIME HOST APP PROCID MSGID - LINE`
    let parts: Vec<&[u8]> = message.splitn(8, |byte| *byte == b' ').collect();
    assert!(parts[0].ends_with(b">1"), "{}", String::from_utf8_lossy(message));
    parts[7].to_vec()
}

/// The number at the beginning of a numbered line.
fn number(message: &[u8]) -> u64 {
    let line = line(message);
    let text = String::from_utf8_lossy(&line[..10.min(line.len())]).into_owned();
    text.parse().unwrap_or_else(|_| panic!("no numbered line: {:?}", String::from_utf8_lossy(message)))
}

fn numbers(messages: &[Vec<u8>]) -> Vec<u64> {
    messages.iter().map(|message| number(message)).collect()
}

fn sink_status(machine: &Machine, service: &str, sink: &str) -> Value {
    let sinks = machine.status(service)["sinks"].as_array().cloned().unwrap_or_default();
    sinks.into_iter().find(|status| status["name"] == sink).unwrap_or(Value::Null)
}

/// Who forwards to this sink.
fn forwarder(machine: &Machine, sink: &str) -> Option<Identity> {
    lock::named(&machine.paths().sink(sink).lock)
}

/// Lines in all files of a log.
fn written(machine: &Machine, name: &str) -> usize {
    let files = machine.log_files(name, "out");
    let lines = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        let mut text = Vec::new();
        match path.extension().is_some_and(|end| end == "gz") {
            true => drop(flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut text)),
            false => text = bytes,
        }
        text.iter().filter(|byte| **byte == b'\n').count()
    };
    files.iter().map(lines).sum()
}

#[test]
fn every_line_arrives_once_and_in_order_over_rotations_and_deaths() {
    let address = free_address();
    let machine = Machine::new(&format!(
        r#"
        [dogwatch]
        log_sinks = ["file", "journald", "far"]
        [sinks.journald]
        address = "unix:JOURNAL"
        [sinks.far]
        kind = "syslog"
        address = "tcp://{address}"
        [services.web]
        command = ["UNRULY", "number", "5", "20", "hang"]
        log = {{ rotate_size = "64KiB", keep = 10000, compress = true }}
        "#
    ));
    in_folder(&machine);
    let journal = Receiver::unix(&machine.dir().join("journal"));
    let far = Receiver::tcp(address);
    machine.up();
    type Find<'a> = &'a dyn Fn() -> Option<Identity>;
    let everybody: [(&str, Find<'_>); 3] = [
        ("keeper", &|| machine.keeper("web")),
        ("control plane", &|| machine.control()),
        ("warden", &|| machine.warden()),
    ];
    for (who, find) in everybody.into_iter().cycle().take(6) {
        let before = (journal.count(), far.count());
        let victim = until(who, find, Option::is_some).unwrap();
        kill(&victim);
        until(&format!("a new {who}"), find, |now| now.as_ref().is_some_and(|now| *now != victim));
        until(
            "more lines",
            || (journal.count(), far.count()),
            |now| now.0 > before.0 + 200 && now.1 > before.1 + 200,
        );
    }
    let rotations = || machine.log_files("web", "out").len() - 1;
    until("rotations", rotations, |count| *count >= 10);
    machine.ok(&["down"]);
    let all = written(&machine, "web");
    assert!(all > 2000, "{all}");
    let expected: Vec<u64> = (0..all as u64).collect();
    for (who, got) in [("journal", journal.close()), ("far", far.close())] {
        let got = numbers(&got);
        let differs = got.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!((differs, got.len()), (None, expected.len()), "{who}");
    }
}

/// Writes the folder's path into the file, in the place of JOURNAL and SOCKET.
fn in_folder(machine: &Machine) {
    let path = machine.dir().join("ecosystem.toml");
    let text = fs::read_to_string(&path).unwrap();
    let at = |name: &str| machine.dir().join(name).display().to_string();
    fs::write(path, text.replace("JOURNAL", &at("journal")).replace("SOCKET", &at("socket"))).unwrap();
}

#[test]
fn a_forwarder_that_is_killed_loses_nothing_and_repeats_little() {
    let address = free_address();
    let machine = Machine::new(&format!(
        r#"
        [sinks.journald]
        address = "unix:JOURNAL"
        [sinks.far]
        kind = "syslog"
        address = "tcp://{address}"
        [services.web]
        command = ["UNRULY", "number", "4", "10", "hang"]
        log = {{ rotate_size = "128KiB", keep = 10000, compress = false, sinks = ["file", "journald", "far"] }}
        "#
    ));
    in_folder(&machine);
    let journal = Receiver::unix(&machine.dir().join("journal"));
    let far = Receiver::tcp(address);
    machine.up();
    let kills = 8;
    for _ in 0..kills {
        let before = (journal.count(), far.count());
        let find = || forwarder(&machine, "journald");
        let victim = until("a forwarder", find, Option::is_some).unwrap();
        until(
            "lines",
            || (journal.count(), far.count()),
            |now| now.0 > before.0 + 300 && now.1 > before.1 + 300,
        );
        kill(&victim);
        until("another", find, |now| now.as_ref().is_some_and(|now| *now != victim));
    }
    machine.ok(&["stop", "web"]);
    let all = written(&machine, "web") as u64;
    let last = |receiver: &Receiver| receiver.all().last().map(|message| number(message));
    until("all", || (last(&journal), last(&far)), |now| *now == (Some(all - 1), Some(all - 1)));
    for (who, got, most) in [("journal", journal.close(), 64), ("far", far.close(), 8192)] {
        let (mut next, mut repeats) = (0, 0);
        for n in numbers(&got) {
            assert!(n <= next, "{who}: {next} is missing before {n}");
            if n < next {
                repeats += 1;
                assert!(next - n <= most, "{who}: goes back from {next} to {n}");
            }
            next = n + 1;
        }
        assert_eq!(next, all, "{who}");
        assert!(repeats <= kills, "{who}: {repeats}");
    }
}

#[test]
fn who_does_not_read_leaves_service_file_and_other_sinks_alone() {
    let address = free_address();
    let machine = Machine::new(&format!(
        r#"
        [sinks.stuck]
        kind = "syslog"
        address = "tcp://{address}"
        [sinks.deaf]
        kind = "journald"
        address = "unix:SOCKET"
        [sinks.journald]
        address = "unix:JOURNAL"
        [services.web]
        command = ["UNRULY", "timed", "TIMES", "1", "50", "hang"]
        log = {{ sinks = ["file", "stuck", "deaf", "journald"], keep = 1000, rotate_size = "1MiB", compress = false }}
        "#
    ));
    in_folder(&machine);
    let path = machine.dir().join("ecosystem.toml");
    let times = machine.dir().join("times");
    let text = fs::read_to_string(&path).unwrap().replace("TIMES", &times.display().to_string());
    fs::write(&path, text).unwrap();
    let journal = Receiver::unix(&machine.dir().join("journal"));
    let _deaf = UnixDatagram::bind(machine.dir().join("socket")).unwrap();
    let stuck = listen(address);
    machine.up();
    let (_never_read, _) = stuck.accept().unwrap();
    for sink in ["stuck", "deaf"] {
        let status =
            until(sink, || sink_status(&machine, "web", sink), |status| !status["waiting"].is_null());
        assert!(
            status["waiting"]["why"].as_str().unwrap().ends_with("it takes nothing at this moment"),
            "{status}"
        );
    }
    let problems = machine.ok(&["status", "--json"]);
    assert!(problems.contains("sink stuck: syslog at tcp://"), "{problems}");
    until("some more", || written(&machine, "web"), |lines| *lines > 20_000);
    let behind = until(
        "behind",
        || sink_status(&machine, "web", "stuck"),
        |status| status["behind_bytes"].as_u64().unwrap_or(0) > 300_000,
    );
    assert!(behind["forwarded_lines"].as_u64().unwrap() < 20_000, "{behind}");
    machine.ok(&["stop", "web"]);
    let all = written(&machine, "web");
    until(
        "all in the other sink",
        || sink_status(&machine, "web", "journald"),
        |status| status["forwarded_lines"] == all && status["waiting"].is_null(),
    );
    let got = numbers(&journal.all());
    assert!(got.iter().copied().eq(0..all as u64), "{} of {all}", got.len());
    let said = fs::read_to_string(times).unwrap();
    let longest: u64 = said.split(' ').nth(1).unwrap().trim().parse().unwrap();
    assert!(longest < 1000, "the service waited {longest} ms");
    let shown = machine.ok(&["show", "web"]);
    assert!(shown.contains("stuck (syslog): waits: syslog at tcp://"), "{shown}");
    assert!(shown.contains("journald (journald): ok; "), "{shown}");
}

#[test]
fn a_sink_that_was_away_catches_up() {
    let address = free_address();
    let machine = Machine::new(&format!(
        r#"
        [sinks.near]
        kind = "syslog"
        address = "unix:SOCKET"
        [sinks.far]
        kind = "syslog"
        address = "tcp://{address}"
        [sinks.wide]
        kind = "syslog"
        address = "udp://{address}"
        [services.web]
        command = ["UNRULY", "number", "10", "5", "hang"]
        log = {{ sinks = ["file", "near", "far", "wide"], rotate_size = "16KiB", keep = 1000, compress = false }}
        "#
    ));
    in_folder(&machine);
    machine.up();
    let socket = machine.dir().join("socket");
    let mut got: [Vec<u64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..2 {
        for sink in ["near", "far", "wide"] {
            until(
                sink,
                || sink_status(&machine, "web", sink),
                |status| {
                    status["waiting"]["why"].as_str().is_some_and(|why| why.contains("nobody listens there"))
                },
            );
        }
        let (_, metrics) = get(&machine, "/metrics", "");
        let metrics = String::from_utf8(metrics).unwrap();
        let waiting = "dogwatch_sink_waiting{sink=\"far\",service=\"web\"} 1\n";
        assert!(metrics.contains(waiting), "{metrics}");
        let receivers = [Receiver::unix(&socket), Receiver::tcp(address), Receiver::udp(address)];
        let now = written(&machine, "web");
        for (receiver, got) in receivers.iter().zip(&got) {
            until("all that was written meanwhile", || receiver.count() + got.len(), |count| *count > now);
        }
        // Who goes away with messages in his hands has had them: so he goes when he has read all.
        machine.ok(&["stop", "web"]);
        let all = written(&machine, "web");
        for (receiver, got) in receivers.into_iter().zip(&mut got) {
            until("the rest", || receiver.count() + got.len(), |count| *count >= all);
            got.extend(numbers(&receiver.close()));
        }
        fs::remove_file(&socket).unwrap();
        machine.ok(&["start", "web"]);
    }
    machine.ok(&["stop", "web"]);
    let files = machine.log_files("web", "out");
    let bytes: Vec<u8> = files.iter().flat_map(|path| fs::read(path).unwrap()).collect();
    let text = String::from_utf8(bytes).unwrap();
    let expected: Vec<u64> = text.lines().filter_map(|line| line.get(..10)?.parse().ok()).collect();
    for (got, who) in got.iter().zip(["near", "far", "wide"]) {
        let differs = got.iter().zip(&expected).position(|(a, b)| a != b);
        let around =
            |list: &[u64]| differs.map(|at| list[at.saturating_sub(3)..list.len().min(at + 5)].to_vec());
        assert_eq!(around(got), around(&expected), "{who}: {differs:?}");
    }
}

/// Puts a link in the place of the log of web, which is read by nobody. Returns its name, and where the log is now.
fn make_unreadable(machine: &Machine) -> (PathBuf, PathBuf) {
    let log = machine.dir().join("logs/web-out.log");
    let moved = log.with_extension("moved");
    fs::rename(&log, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &log).unwrap();
    (log, moved)
}

#[test]
fn a_log_that_cannot_be_read_is_said_and_goes_on_when_it_can() {
    let machine = Machine::new("");
    let gate = machine.dir().join("gate");
    machine.write(&format!(
        r#"
        [sinks.near]
        kind = "syslog"
        address = "unix:SOCKET"
        [services.web]
        command = ["UNRULY", "say", "one", "while", "{}", "say", "two", "hang"]
        log = {{ sinks = ["file", "near"] }}
        "#,
        gate.display()
    ));
    in_folder(&machine);
    fs::write(&gate, "").unwrap();
    let receiver = Receiver::unix(&machine.dir().join("socket"));
    machine.up();
    until("the first line", || receiver.count(), |count| *count == 1);
    let mut command = machine.command(&["logs", "web"]);
    let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(shown.next().unwrap().unwrap(), "web | one");
    let (log, _) = make_unreadable(&machine);
    let expected = format!("cannot read {}: ", log.display());
    let status =
        until("said", || sink_status(&machine, "web", "near"), |status| !status["waiting"].is_null());
    let why = status["waiting"]["why"].as_str().unwrap();
    assert!(why.starts_with(&expected) && why.ends_with("; move away what stands in its place"), "{why}");
    assert!(machine.ok(&["show", "web"]).contains(why));
    assert!(machine.ok(&["status"]).contains(why), "it is a problem");
    let told = BufReader::new(follower.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(told.contains(why), "{told}");
    fs::remove_file(&log).unwrap();
    fs::remove_file(&gate).unwrap();
    until("the next line", || receiver.count(), |count| *count == 2);
    assert_eq!(shown.next().unwrap().unwrap(), "web | two");
    until("well", || sink_status(&machine, "web", "near"), |status| status["waiting"].is_null());
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(receiver.close().iter().map(|message| line(message)).collect::<Vec<_>>(), [b"one", b"two"]);
}

#[test]
fn a_log_that_cannot_be_read_from_the_beginning_holds_up_no_neighbour() {
    let machine = Machine::new("");
    let gate = machine.dir().join("gate");
    machine.write(&format!(
        r#"
        [sinks.near]
        kind = "syslog"
        address = "unix:SOCKET"
        [services.web]
        command = ["UNRULY", "say", "one", "hang"]
        log = {{ sinks = ["file", "near"] }}
        [services.api]
        command = ["UNRULY", "say", "two", "while", "{}", "say", "three", "hang"]
        log = {{ sinks = ["file", "near"] }}
        "#,
        gate.display()
    ));
    in_folder(&machine);
    fs::write(&gate, "").unwrap();
    let receiver = Receiver::unix(&machine.dir().join("socket"));
    machine.up();
    until("the first lines", || receiver.count(), |count| *count == 2);
    until("written down", || sink_status(&machine, "web", "near"), |status| status["forwarded_lines"] == 1);
    let (log, moved) = make_unreadable(&machine);
    let victim = forwarder(&machine, "near").unwrap();
    kill(&victim);
    fs::remove_file(&gate).unwrap();
    until("the neighbour's next line", || receiver.count(), |count| *count == 3);
    assert_ne!(forwarder(&machine, "near"), Some(victim));
    let why = until(
        "said",
        || sink_status(&machine, "web", "near")["waiting"]["why"].clone(),
        |why| !why.is_null(),
    );
    assert!(why.as_str().unwrap().starts_with(&format!("cannot read {}: ", log.display())), "{why}");
    assert!(sink_status(&machine, "api", "near")["waiting"].is_null());
    fs::rename(&moved, &log).unwrap();
    until("well", || sink_status(&machine, "web", "near"), |status| status["waiting"].is_null());
    let mut got = receiver.close().iter().map(|message| line(message)).collect::<Vec<_>>();
    got.sort();
    assert_eq!(got, [b"one".as_slice(), b"three", b"two"], "each line once");
}

#[test]
fn what_was_deleted_before_a_sink_had_it_is_counted_to_the_line() {
    let machine = Machine::new(
        r#"
        [sinks.near]
        kind = "syslog"
        address = "unix:SOCKET"
        [services.web]
        command = ["UNRULY", "number", "5", "20", "hang"]
        log = { sinks = ["near"], rotate_size = "32KiB", keep = 2 }
        "#,
    );
    in_folder(&machine);
    machine.up();
    let first = || machine.log_files("web", "out").first().cloned();
    until("archives that were deleted", || number_in(&first()), |number| number.is_some_and(|n| n > 3000));
    machine.ok(&["stop", "web"]);
    let there = || written(&machine, "web") as u64 * 50;
    let behind = || sink_status(&machine, "web", "near")["behind_bytes"].as_u64().unwrap();
    until("all that is there waits", || (behind(), there()), |(behind, there)| behind == there);
    let receiver = Receiver::unix(&machine.dir().join("socket"));
    let status = until(
        "caught up",
        || sink_status(&machine, "web", "near"),
        |status| {
            status["waiting"].is_null()
                && status["behind_bytes"] == 0
                && status["forwarded_lines"].as_u64() > Some(0)
        },
    );
    let got = receiver.close();
    let mut notices: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for message in &got {
        let text = String::from_utf8(line(message)).unwrap();
        if text.starts_with("[dogwatch: ") {
            assert!(message.starts_with(b"<28>"), "a warning");
            notices.push(text);
        } else {
            lines.push(number(message));
        }
    }
    let missing: u64 = {
        let mut next = 0;
        lines
            .iter()
            .map(|n| {
                let gap = n - next;
                next = n + 1;
                gap
            })
            .sum()
    };
    assert!(missing > 2000, "{missing}");
    assert_eq!(notices.len(), 1, "{notices:?}");
    let said = notices[0].strip_prefix("[dogwatch: ").unwrap();
    assert!(said.ends_with(" not forwarded, deleted before this sink had them]"), "{said}");
    let count: u64 =
        said.split(' ').next().unwrap().replace(',', "").parse().unwrap_or_else(|_| panic!("{said}"));
    assert_eq!((count, status["lost_lines"].as_u64()), (missing, Some(missing)));
    assert_eq!(status["lost_bytes"].as_u64(), Some(missing * 50));
}

/// The number of the first line in a file.
fn number_in(path: &Option<std::path::PathBuf>) -> Option<u64> {
    let bytes = fs::read(path.as_ref()?).ok()?;
    std::str::from_utf8(bytes.get(..10)?).ok()?.parse().ok()
}

#[test]
fn messages_say_who_when_and_what_whatever_its_bytes() {
    let (tcp, udp) = (free_address(), free_address());
    let machine = Machine::new(&format!(
        r#"
        [sinks.journald]
        address = "unix:JOURNAL"
        [sinks.far]
        kind = "syslog"
        address = "tcp://{tcp}"
        facility = "local0"
        [sinks.wide]
        kind = "syslog"
        address = "udp://{udp}"
        [sinks.stream]
        kind = "syslog"
        address = "unix:SOCKET"
        [services.web]
        command = ["UNRULY", "pause", "300", "binary", "shout", "oops", "burst", "1", "400000", "hang"]
        log.sinks = ["file", "journald", "far", "wide", "stream"]
        "#
    ));
    in_folder(&machine);
    let journal = Receiver::unix(&machine.dir().join("journal"));
    let (far, wide) = (Receiver::tcp(tcp), Receiver::udp(udp));
    let listener = UnixListener::bind(machine.dir().join("socket")).unwrap();
    machine.up();
    let pid = machine.until_state("web", "online")["pid"].to_string();
    until("all", || (journal.count(), far.count(), wide.count()), |now| *now == (4, 4, 4));
    let find = |messages: &[Vec<u8>], what: &[u8]| -> Vec<u8> {
        let found = messages.iter().find(|message| line(message).starts_with(what));
        found.unwrap_or_else(|| panic!("{what:?} in {messages:?}")).clone()
    };
    let binary = fields(&find(&journal.all(), &[b'a', 0xff]));
    assert_eq!(binary["MESSAGE"], [b'a', 0xff, 0xfe, 0, b'b']);
    let text =
        |fields: &BTreeMap<String, Vec<u8>>, name: &str| String::from_utf8(fields[name].clone()).unwrap();
    assert_eq!(text(&binary, "PRIORITY"), "6");
    for name in ["SYSLOG_IDENTIFIER", "DOGWATCH_SERVICE"] {
        assert_eq!(text(&binary, name), "web");
    }
    assert_eq!(text(&binary, "SYSLOG_PID"), pid);
    assert!(text(&binary, "SYSLOG_TIMESTAMP").ends_with('Z'));
    let error = fields(&find(&journal.all(), b"oops"));
    assert_eq!((text(&error, "PRIORITY"), text(&error, "DOGWATCH_STREAM")), ("3".into(), "error".into()));
    // Too large for a datagram, and in two parts.
    let long: Vec<_> = journal
        .all()
        .iter()
        .map(|message| fields(message))
        .filter(|one| one["MESSAGE"].len() > 1000)
        .collect();
    let parts: Vec<_> =
        long.iter().map(|part| (part["MESSAGE"].len(), part.contains_key("DOGWATCH_PARTIAL"))).collect();
    assert_eq!(parts, [(262_144, true), (399_999 - 262_144, false)]);

    let all = far.all();
    let message = find(&all, b"oops");
    let message = String::from_utf8(message).unwrap();
    let parts: Vec<&str> = message.split(' ').collect();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!((parts[0], parts[2], parts[3]), ("<131>1", host.trim(), "web"), "local0 and error");
    assert_eq!(parts[4..], [pid.as_str(), "error", "-", "oops"]);
    let time: jiff::Timestamp = parts[1].parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(time).as_secs() < 60, "{time}");
    assert_eq!(line(&find(&all, &[b'a', 0xff])), [b'a', 0xff, 0xfe, 0, b'b']);
    let cut = |messages: &[Vec<u8>]| -> Vec<usize> {
        messages.iter().filter(|message| message.ends_with(b" more bytes]")).map(Vec::len).collect()
    };
    assert_eq!(cut(&wide.all()), [2048, 2048], "no datagram is longer");
    assert_eq!(cut(&all).len(), 2);
    let status = until("counted", || sink_status(&machine, "web", "wide"), |status| status["cut_lines"] == 2);
    assert!(status["waiting"].is_null(), "{status}");

    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LOOK)).unwrap();
    let mut bytes = Vec::new();
    until(
        "the stream",
        || {
            let mut room = vec![0; 65_536];
            if let Ok(count) = stream.read(&mut room) {
                bytes.extend_from_slice(&room[..count]);
            }
            bytes.iter().filter(|byte| **byte == b'\n').count()
        },
        |lines| *lines == 4,
    );
    assert!(bytes.starts_with(b"<30>1 ") || bytes.starts_with(b"<27>1 "));
}

#[test]
fn sinks_come_and_go_with_the_file_and_nothing_before_them_is_sent() {
    let machine =
        Machine::new("[services.web]\ncommand = [\"UNRULY\", \"number\", \"10\", \"1\", \"hang\"]\n");
    machine.up();
    until("lines", || written(&machine, "web"), |lines| *lines > 50);
    assert!(!machine.paths().forward_plan().exists());
    assert_eq!(machine.status("web")["sinks"], Value::Null);
    let receiver = Receiver::unix(&machine.dir().join("journal"));
    machine.write(&format!(
        "[sinks.journald]\naddress = \"unix:{}\"\n[services.web]\ncommand = [\"UNRULY\", \"number\", \"10\", \"1\", \"hang\"]\nlog.sinks = [\"file\", \"journald\"]\n",
        machine.dir().join("journal").display()
    ));
    until("lines in the sink", || receiver.count(), |count| *count > 20);
    let first = number(&receiver.all()[0]);
    assert!(first > 40, "{first}");
    assert_eq!(machine.status("web")["changed"], false, "no restart is due");
    let helper = forwarder(&machine, "journald").unwrap();
    let nice = fs::read_to_string(format!("/proc/{}/stat", helper.pid)).unwrap();
    let nice = nice.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().to_owned();
    let status = fs::read_to_string(format!("/proc/{}/status", helper.pid)).unwrap();
    assert_eq!(nice, "10");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    machine.write("[services.web]\ncommand = [\"UNRULY\", \"number\", \"10\", \"1\", \"hang\"]\n");
    until("no helper", || forwarder(&machine, "journald"), Option::is_none);
    until("nothing shown", || machine.status("web")["sinks"].clone(), Value::is_null);
    // None at the end of dogwatch either, and numbers without a gap until then.
    let got = numbers(&receiver.close());
    assert!(got.windows(2).all(|two| two[1] == two[0] + 1), "{got:?}");
}

#[test]
fn nobody_is_woken_while_nothing_is_written() {
    let machine = Machine::new(
        "[sinks.journald]\naddress = \"unix:JOURNAL\"\n[services.web]\ncommand = [\"UNRULY\", \"say\", \"hello\", \"hang\"]\nlog.sinks = [\"file\", \"journald\"]\n",
    );
    in_folder(&machine);
    let receiver = Receiver::unix(&machine.dir().join("journal"));
    machine.up();
    until("a line", || receiver.count(), |count| *count == 1);
    let helper = forwarder(&machine, "journald").unwrap();
    let switches = || -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", helper.pid)).unwrap();
        let count = |path: &Path| -> u64 {
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            let line =
                status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap().to_owned();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        tasks.map(|task| count(&task.unwrap().path())).sum()
    };
    // What is still to be told about that line is told once.
    let mut last = switches();
    let quiet = || {
        let before = std::mem::replace(&mut last, switches());
        std::thread::park_timeout(Duration::from_millis(700));
        (before, last)
    };
    until("peace", quiet, |(before, now)| before == now);
}

#[test]
fn standard_output_is_what_a_container_shows() {
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "number", "10", "3", "hang"]
        log.sinks = ["file", "stdout"]
        [services.db]
        command = ["UNRULY", "say", "not wanted there", "hang"]
        "#,
    );
    let out = machine.dir().join("out");
    let file = fs::File::create(&out).unwrap();
    let mut up = machine.command(&["up"]).stdout(file).stderr(Stdio::null()).spawn().unwrap();
    let lines = || -> Vec<String> {
        let text = fs::read_to_string(&out).unwrap_or_default();
        text.lines().map(str::to_owned).filter(|line| line.starts_with("00")).collect()
    };
    until("lines", || lines().len(), |count| *count > 100);
    machine.until_state("db", "online");
    let status = sink_status(&machine, "web", "stdout");
    assert!(status["waiting"].is_null() && status["forwarded_lines"].as_u64() > Some(0), "{status}");
    let own = Identity { pid: up.id() as i32, ..Identity::own().unwrap() };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(own.pid), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(up.wait().unwrap().success());
    let all = written(&machine, "web");
    let lines = lines();
    assert_eq!(lines.len(), all, "the last words, too");
    assert!(lines.iter().enumerate().all(|(n, line)| line.starts_with(&format!("{n:010} "))));
    assert!(!fs::read_to_string(&out).unwrap().contains("not wanted there"));
}

#[test]
fn an_output_that_nobody_reads_holds_up_nobody() {
    for sinks in ["[\"file\", \"stdout\"]", "[\"file\"]"] {
        let machine = Machine::new(&format!(
            "[services.web]\ncommand = [\"UNRULY\", \"number\", \"1\", \"50\", \"hang\"]\nlog.sinks = {sinks}\n"
        ));
        let mut up = machine.command(&["up"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // More than the pipe takes.
        until("lines", || written(&machine, "web"), |lines| *lines > 10_000);
        if sinks.contains("stdout") {
            until(
                "waits",
                || sink_status(&machine, "web", "stdout"),
                |status| status["waiting"]["why"].as_str().is_some_and(|why| why.contains("takes nothing")),
            );
        }
        let identity = Identity {
            pid: up.id() as i32,
            ticks: dogwatch::os::process::start_ticks(up.id() as i32).unwrap(),
            ..Identity::own().unwrap()
        };
        send(&identity, libc::SIGTERM);
        until("the end", || up.try_wait().unwrap(), Option::is_some);
        assert!(machine.control().is_none() && machine.warden().is_none(), "all is down");
    }
}

#[test]
fn check_warns_of_what_a_sink_may_come_to() {
    let machine = Machine::new(
        r#"
        [sinks.far]
        kind = "syslog"
        address = "udp://192.0.2.1:514"
        [sinks.near]
        kind = "syslog"
        address = "unix:SOCKET"
        [sinks.unused]
        kind = "stdout"
        [services.web]
        command = ["UNRULY"]
        log.sinks = ["far", "near"]
        "#,
    );
    in_folder(&machine);
    let outcome = machine.run(&["check"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for expected in [
        "sink far: lines leave this machine, unencrypted, to udp://192.0.2.1:514",
        "sink near: nobody listens at",
        "sink unused: no service names it",
    ] {
        assert!(outcome.err.contains(expected), "{expected} in {}", outcome.err);
    }
}
