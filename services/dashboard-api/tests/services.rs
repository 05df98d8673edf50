//! `GET /api/services`, with a supervisor made here on the other end of the inherited socket, and without one.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use serde_json::{Value, json};
use service_testing::{Program, Running, eventually};
use tempfile::TempDir;

/// What a supervisor does with the question of this number, counted from 0: the packets that it answers.
type Answers = dyn Fn(usize, &Value) -> Vec<Value> + Send;

/// The API beside a supervisor.
struct Watched {
    api: Running,
    asked: Arc<AtomicUsize>,
    _folder: TempDir,
}

impl Watched {
    /// `None` closes the supervisor's end instead.
    fn start(answers: Option<Box<Answers>>, more: impl FnOnce(Program) -> Program) -> Self {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("two sockets");
        let asked = Arc::new(AtomicUsize::new(0));
        if let Some(answers) = answers {
            let asked = Arc::clone(&asked);
            std::thread::spawn(move || supervise(&ours, &asked, &answers));
        }
        let folder = TempDir::new().expect("a temporary folder");
        let api = more(program(&folder).inherit_view(theirs)).start();
        Self { api, asked, _folder: folder }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Answers until the other end is closed.
fn supervise(end: &OwnedFd, asked: &AtomicUsize, answers: &Answers) {
    let mut packet = [0; 1024];
    while let Ok(length @ 1..) = recv(end.as_raw_fd(), &mut packet, MsgFlags::empty()) {
        let question = serde_json::from_slice(&packet[..length]).expect("a question is JSON");
        for answer in answers(asked.fetch_add(1, Ordering::SeqCst), &question) {
            let answer = answer.to_string();
            let sent = send(end.as_raw_fd(), answer.as_bytes(), MsgFlags::MSG_NOSIGNAL);
            assert_eq!(sent, Ok(answer.len()));
        }
    }
}

fn program(folder: &TempDir) -> Program {
    Program::new(env!("CARGO_BIN_EXE_dashboard-api"), folder.path())
        .env("API_PORT", "0")
        .env("WEBHOOK_HEALTH_URL", "http://127.0.0.1:1/health")
        .env("WS_HEALTH_URL", "http://127.0.0.1:1/health")
}

fn seen(name: &str) -> Value {
    json!({"name": name, "compartment": "default", "status": "online", "reason": null, "pid": 7, "uptime_ms": 5,
        "restarts": 0, "cpu_percent": 0.1, "memory_bytes": 1, "memory_limit_bytes": null, "health": null,
        "port": 3000, "log_bytes": 2})
}

fn system() -> Value {
    json!({"load": [0.1, 0.2, 0.3], "memory": {"total": 2, "available": 1},
        "disk": {"total": 4, "free": 1, "percent": 75.0}})
}

/// An answer in two pages.
fn two_pages(question: &Value) -> Vec<Value> {
    assert_eq!((&question["v"], &question["get"]), (&json!(1), &json!("services")));
    let id = &question["id"];
    vec![
        json!({"v": 1, "id": id, "page": 1, "pages": 2, "services": [seen("a"), seen("b")], "system": system()}),
        json!({"v": 1, "id": id, "page": 2, "pages": 2, "services": [seen("c")]}),
    ]
}

fn names(body: &Value) -> Vec<&str> {
    let services = body["data"].as_array().expect("a list");
    services.iter().filter_map(|service| service["name"].as_str()).collect()
}

#[test]
fn services_are_as_the_supervisor_says() {
    let watched = Watched::start(Some(Box::new(|_, question| two_pages(question))), |program| program);
    let answer = watched.api.get("/api/services");
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let body = answer.json();
    let keys: BTreeSet<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["data", "success", "system", "timestamp"]));
    assert_eq!(body["data"], json!([seen("a"), seen("b"), seen("c")]));
    assert_eq!((&body["success"], &body["system"]), (&json!(true), &system()));

    assert_eq!(watched.api.request("HEAD", "/api/services", &[], b"").status, 200);
    assert_eq!(watched.api.request("POST", "/api/services", &[], b"").status, 405);
    let listed = watched.api.get("/api/other").json()["available_endpoints"].clone();
    assert_eq!(listed[5], "GET /api/services");
    assert!(sockets_of(&watched.api).iter().all(|flags| flags & 0o2_000_000 != 0), "all are closed on exec");
}

/// The flags of its sockets (proc_pid_fdinfo(5)).
fn sockets_of(api: &Running) -> Vec<u32> {
    let process = std::path::PathBuf::from(format!("/proc/{}", api.id()));
    let descriptors = std::fs::read_dir(process.join("fd")).expect("it runs").flatten();
    let is_socket = |path: &std::path::Path| {
        std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    let sockets = descriptors.filter(|descriptor| is_socket(&descriptor.path()));
    let flags = sockets.filter_map(|descriptor| {
        let info = std::fs::read_to_string(process.join("fdinfo").join(descriptor.file_name())).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned();
        u32::from_str_radix(&flags, 8).ok()
    });
    flags.collect()
}

#[test]
fn who_may_not_ask_does_not_reach_the_supervisor() {
    let answers: Box<Answers> = Box::new(|_, question| two_pages(question));
    let watched = Watched::start(Some(answers), |program| program.env("API_TOKEN", "example-token"));
    let ask = |headers: &[(&str, &str)]| watched.api.request("GET", "/api/services", headers, b"").status;
    let token = ("Authorization", "Bearer example-token");
    assert_eq!(ask(&[]), 401);
    assert_eq!(ask(&[token, ("Host", "evil.example.invalid")]), 421);
    assert_eq!(watched.asked(), 0);
    assert_eq!(ask(&[token]), 200);
}

#[test]
fn many_who_ask_cost_one_question_a_second() {
    let watched = Watched::start(Some(Box::new(|_, question| two_pages(question))), |program| program);
    let begin = Instant::now();
    let together = Barrier::new(20);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                together.wait();
                assert_eq!(watched.api.get("/api/services").status, 200);
            });
        }
    });
    let bound = |begin: Instant| 1 + begin.elapsed().as_secs() as usize;
    assert!(watched.asked() <= bound(begin), "{} questions", watched.asked());
    eventually("another question", || {
        assert_eq!(names(&watched.api.get("/api/services").json()), ["a", "b", "c"]);
        watched.asked() > 1
    });
    assert!(watched.asked() <= bound(begin), "{} in {:?}", watched.asked(), begin.elapsed());
}

#[test]
fn a_question_that_is_lost_is_asked_again_and_a_late_answer_is_passed_over() {
    let first = std::sync::Mutex::new(Value::Null);
    let answers = move |number: usize, question: &Value| {
        let mut first = first.lock().expect("no panic");
        if number == 0 {
            *first = question.clone();
            let mut torn = two_pages(question);
            torn.truncate(1);
            return torn;
        }
        let mut late = two_pages(&first);
        late.extend([json!("nonsense"), json!({"v": 1, "id": null, "error": "nobody's"})]);
        late.extend(two_pages(question));
        late
    };
    let watched = Watched::start(Some(Box::new(answers)), |program| program);
    let answer = watched.api.get("/api/services");
    assert_eq!((answer.status, watched.asked()), (200, 2));
    assert_eq!(names(&answer.json()), ["a", "b", "c"]);
}

/// Why there is no answer.
#[track_caller]
fn refused(api: &Running) -> String {
    let answer = api.get("/api/services");
    let body = answer.json();
    assert_eq!(
        (answer.status, &body["success"], &body["error"]),
        (503, &json!(false), &json!("Failed to fetch services"))
    );
    body["message"].as_str().expect("a sentence").to_owned()
}

#[test]
fn a_supervisor_that_is_silent_refuses_or_is_gone_is_told_in_words() {
    let answers = |number: usize, question: &Value| match number {
        0 | 1 => Vec::new(),
        2 => vec![json!({"v": 1, "id": question["id"], "error": "this dogwatch speaks version 0, not 1"})],
        _ => two_pages(question),
    };
    let watched = Watched::start(Some(Box::new(answers)), |program| program);
    assert!(refused(&watched.api).contains("does not answer"));
    assert!(refused(&watched.api).contains("version 0, not 1"));
    eventually("it is there again", || watched.api.get("/api/services").status == 200);

    let watched = Watched::start(None, |program| program);
    assert!(refused(&watched.api).contains("restart this service"));
    let begin = Instant::now();
    assert!(refused(&watched.api).contains("restart this service"));
    assert!(begin.elapsed() < Duration::from_secs(1), "nothing is waited for");
}

#[test]
fn without_a_supervisor_the_service_runs_and_says_so() {
    let folder = TempDir::new().expect("a temporary folder");
    let api = program(&folder).start();
    assert!(refused(&api).contains("dogwatch_access = \"view\""));
    for wrong in ["1", "999999", "-1", "three", "3"] {
        let api = program(&folder).env("DOGWATCH_STATUS_FD", wrong).start();
        assert!(refused(&api).contains("DOGWATCH_STATUS_FD"), "{wrong}");
        assert_eq!(api.get("/healthz").status, 200);
    }
}
