//! Logs over the control plane's API: lines, bytes, and what comes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::harness::{Machine, PATIENCE, free_address, kill, until};

const QUIET: &str = "[services.web]\ncommand = [\"UNRULY\", \"say\", \"one\", \"say\", \"two\", \"pause\", \"60\", \"shout\", \"three\", \"hang\"]\n";

/// A request that is answered as long as the connection stays.
fn open(machine: &Machine, path: &str, head: &str) -> std::io::Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(machine.paths().control_sock())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}\r\n")?;
    Ok(BufReader::new(stream))
}

/// The head and the body of an answer, its chunks put together.
pub fn get(machine: &Machine, path: &str, head: &str) -> (String, Vec<u8>) {
    let mut answer = Vec::new();
    open(machine, path, head).unwrap().read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut rest = &answer[end + 4..];
    if !head.contains("transfer-encoding: chunked") {
        return (head, rest.to_vec());
    }
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        rest.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        if size == 0 {
            return (head, body);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

fn lines(machine: &Machine, query: &str) -> Vec<String> {
    let (head, body) = get(machine, &format!("/v1/services/web/logs{query}"), "");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/x-ndjson"), "{head}");
    let text = String::from_utf8(body).unwrap();
    let object = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    text.lines().map(|line| object(line)["line"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lines_and_bytes() {
    let port = free_address();
    let machine = Machine::new(&format!("[dogwatch]\nlisten = \"{port}\"\n{QUIET}"));
    machine.up();
    until("the lines", || lines(&machine, ""), |lines| *lines == ["one", "two", "three"]);
    assert_eq!(lines(&machine, "?lines=1"), ["two", "three"]);
    assert_eq!(lines(&machine, "?stream=error"), ["three"]);
    assert_eq!(lines(&machine, "?grep=T.%2B&ignore_case=true&since=1h"), ["two", "three"]);
    assert_eq!(lines(&machine, "?until=1h"), [""; 0]);
    let code = |path: &str| get(&machine, path, "").0["HTTP/1.1 ".len()..][..3].to_owned();
    for (path, expected) in [
        ("/v1/services/wbe/logs", "404"),
        ("/v1/services/web/logs?since=soon", "400"),
        ("/v1/services/web/logs?grep=(", "400"),
        ("/v1/services/web/logs?line=1", "400"),
        ("/v1/services/web/logs?lines=100001", "400"),
        ("/v1/services/web/logs?lines=abc", "400"),
        ("/v1/services/web/logs?grep=x&before=101", "400"),
        ("/v1/services/web/logs/follow?until=1h", "400"),
        ("/v1/services/web/logs/other", "404"),
    ] {
        assert_eq!(code(path), expected, "{path}");
    }
    let (_, refusal) = get(&machine, "/v1/services/web/logs/follow?lines=abc", "");
    let refusal: Value = serde_json::from_slice(&refusal).unwrap();
    assert_eq!(refusal["error"], "lines: it must be a number from 0 to 100000, not \"abc\"");
    let bytes = |range: &str| {
        let (head, body) = get(&machine, "/v1/services/web/logs/out", range);
        let told = head.lines().find_map(|line| line.strip_prefix("content-range: ")).unwrap_or("");
        (head["HTTP/1.1 ".len()..][..3].to_owned(), told.to_owned(), String::from_utf8(body).unwrap())
    };
    let answer = |code: &str, told: &str, body: &str| (code.to_owned(), told.to_owned(), body.to_owned());
    assert_eq!(bytes(""), answer("200", "", "one\ntwo\n"));
    assert_eq!(bytes("Range: bytes=4-6\r\n"), answer("206", "bytes 4-6/8", "two"));
    assert_eq!(bytes("Range: bytes=-4\r\n"), answer("206", "bytes 4-7/8", "two\n"));
    assert_eq!(bytes("Range: bytes=8-\r\n"), answer("416", "bytes */8", ""));
    assert_eq!(bytes("Range: bytes=4-\r\nIf-Range: \"1\"\r\n"), answer("200", "", "one\ntwo\n"));
    let over_tcp = crate::harness::clients::get(port, "/v1/services/web/logs").unwrap();
    assert!(over_tcp.starts_with("HTTP/1.1 403"), "{over_tcp}");
}

/// Reads events until there are so many; returns their lines, and the id of the last one.
fn events(machine: &Machine, last: &str, count: usize, seen: &mut Vec<String>) -> Option<String> {
    let head = if last.is_empty() { String::new() } else { format!("Last-Event-ID: {last}\r\n") };
    let stream = open(machine, "/v1/services/web/logs/follow?stream=out", &head).ok()?;
    let (mut id, mut new) = (None, None);
    for line in stream.lines() {
        let Ok(line) = line else { break };
        if let Some(text) = line.strip_prefix("id: ") {
            new = Some(text.to_owned());
        }
        if let Some(text) = line.strip_prefix("data: ") {
            let object: Value = serde_json::from_str(text).ok()?;
            seen.push(object["line"].as_str().unwrap()[..10].to_owned());
            id = new.take();
            if seen.len() >= count {
                break;
            }
        }
    }
    id
}

#[test]
fn following_goes_on_after_a_death_of_the_control_plane_and_rotations() {
    let machine = Machine::new(
        r#"
        [services.web]
        command = ["UNRULY", "pause", "300", "number", "10", "20", "hang"]
        log = { rotate_size = "16KiB", keep = 10000, compress = true }
        "#,
    );
    machine.up();
    let mut seen = Vec::new();
    let mut last = String::new();
    for round in 1..=4 {
        if let Some(id) =
            until("events", || events(&machine, &last, round * 500, &mut seen), |id| id.is_some())
        {
            last = id;
        }
        let old = machine.control().unwrap();
        kill(&old);
        until("a new control plane", || machine.control(), |new| new.as_ref().is_some_and(|new| *new != old));
    }
    let first: usize = seen[0].parse().unwrap();
    let expected: Vec<String> = (first..first + seen.len()).map(|n| format!("{n:010}")).collect();
    assert!(seen == expected, "{:?}", seen.iter().zip(&expected).find(|(a, b)| a != b));
    assert!(machine.log_files("web", "out").len() > 3);
    until("an answer", || open(&machine, "/v1/health", "").is_ok(), |answers| *answers);
    let (head, _) = get(&machine, "/v1/services/web/logs/follow", "Last-Event-ID: x\r\n");
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
}

#[test]
fn a_slow_client_blocks_nobody_and_there_are_only_so_many() {
    let machine = Machine::new(QUIET);
    machine.up();
    until("the lines", || lines(&machine, "").len(), |count| *count == 3);
    fs::write(
        machine.dir().join("logs/web-out.log"),
        [b'x'; 99].iter().chain(b"\n").copied().collect::<Vec<u8>>().repeat(100_000),
    )
    .unwrap();
    let slow: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = open(&machine, "/v1/services/web/logs?lines=100000", "").unwrap();
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            assert_eq!(line.trim(), "HTTP/1.1 200 OK");
            stream
        })
        .collect();
    let (head, body) = get(&machine, "/v1/services/web/logs", "");
    assert!(head.starts_with("HTTP/1.1 503"), "{head} {}", String::from_utf8_lossy(&body));
    assert!(get(&machine, "/v1/health", "").0.starts_with("HTTP/1.1 200"));
    assert_eq!(machine.status("web")["state"], "online");
    let peak = fs::read_to_string(format!("/proc/{}/status", machine.control().unwrap().pid)).unwrap();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
    let kib: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 64 << 10, "{kib} KiB");
    drop(slow);
    until("a place", || get(&machine, "/v1/services/web/logs?lines=1", "").0, |head| head.contains(" 200 "));
}
