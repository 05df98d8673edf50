//! The promise as the company sees it: whatever happens to the dashboard's services, the webhook answers.
//!
//! `DOGWATCH_ISOLATION_SECONDS` makes each half longer, for figures.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Machine, free_address, kill_pid, pause, until};

/// Built by cargo beside dogwatch itself.
fn service(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_dogwatch")).with_file_name(name);
    assert!(path.exists(), "{} is missing: cargo build --workspace", path.display());
    path
}

/// What the webhook's clients saw.
#[derive(Debug, Default)]
struct Answers {
    times: Vec<Duration>,
    failed: u64,
}

impl Answers {
    fn p99(&mut self) -> Duration {
        self.times.sort_unstable();
        self.times[self.times.len() * 99 / 100]
    }
}

/// Asks for /health, a new connection each time, until told to stop.
fn ask_until(stop: &AtomicBool, address: SocketAddr) -> Answers {
    let mut answers = Answers::default();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let mut answer = String::new();
        let asked = TcpStream::connect(address).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut answer)
        });
        match asked {
            Ok(_) if answer.starts_with("HTTP/1.1 200 ") => answers.times.push(begin.elapsed()),
            _ => {
                eprintln!("{asked:?} {answer:?}");
                answers.failed += 1;
            }
        }
        pause();
    }
    answers
}

/// Clients ask while `meanwhile` goes on.
fn answers_while(address: SocketAddr, mut meanwhile: impl FnMut()) -> Answers {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2).map(|_| scope.spawn(|| ask_until(&stop, address))).collect();
        meanwhile();
        stop.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        for client in clients {
            let one = client.join().unwrap();
            all.times.extend(one.times);
            all.failed += one.failed;
        }
        all
    })
}

#[test]
fn the_webhook_answers_while_the_dashboard_dies_again_and_again() {
    let (webhook, api, websocket) = (free_address(), free_address(), free_address());
    let entry = |name: &str, binary: &str, address: SocketAddr, more: &str| {
        format!(
            "[services.{name}]\ncommand = [{:?}]\nlisten = [\"{address}\"]\nready = \"notify\"\n\
             restart = {{ delay = \"10ms\" }}\n\
             env = {{ WHATSAPP_VERIFY_TOKEN = \"a-test\", WHATSAPP_APP_SECRET = \"a-test\", \
             WHATSAPP_ACCESS_TOKEN = \"a-test\", WHATSAPP_PHONE_NUMBER_ID = \"1\", \
             WEBHOOK_HEALTH_URL = \"http://{webhook}/health\", WS_HEALTH_URL = \"http://{websocket}/health\" }}\n{more}\n",
            service(binary)
        )
    };
    let machine = Machine::new(&format!(
        "[compartments.production]\ncritical = true\n[compartments.dashboard]\n{}{}{}",
        entry("webhook", "webhook", webhook, "compartment = \"production\""),
        entry("api", "dashboard-api", api, "compartment = \"dashboard\""),
        entry("websocket", "websocket", websocket, "compartment = \"dashboard\"")
    ));
    machine.up();
    let before = machine.status("webhook");
    let seconds =
        std::env::var("DOGWATCH_ISOLATION_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let length = Duration::from_secs(seconds);
    let wait = |begin: Instant| {
        while begin.elapsed() < length {
            pause();
        }
    };
    let mut quiet = answers_while(webhook, || wait(Instant::now()));
    let mut kills = 0;
    let mut hurt = answers_while(webhook, || {
        let begin = Instant::now();
        while begin.elapsed() < length {
            for name in ["api", "websocket"] {
                let status = until("a victim", || machine.status(name), |status| status["pid"].is_number());
                kill_pid(&status);
                kills += 1;
                until(
                    "its successor",
                    || machine.status(name),
                    |new| new["pid"].is_number() && new["pid"] != status["pid"],
                );
            }
        }
    });
    let after = machine.status("webhook");
    eprintln!(
        "quiet: {} answers, p99 {:.1?}; beside {kills} kills: {} answers, p99 {:.1?}",
        quiet.times.len(),
        quiet.p99(),
        hurt.times.len(),
        hurt.p99()
    );
    assert_eq!((quiet.failed, hurt.failed), (0, 0));
    assert_eq!(before["pid"], after["pid"]);
}

#[test]
fn a_killed_service_refuses_no_connection() {
    let webhook = free_address();
    let machine = Machine::new(&format!(
        "[services.webhook]\ncommand = [{:?}]\nlisten = [\"{webhook}\"]\nready = \"notify\"\n\
         env = {{ WHATSAPP_VERIFY_TOKEN = \"a-test\", WHATSAPP_APP_SECRET = \"a-test\", \
         WHATSAPP_ACCESS_TOKEN = \"a-test\", WHATSAPP_PHONE_NUMBER_ID = \"1\" }}\n",
        service("webhook")
    ));
    machine.up();
    for round in 1..=5 {
        let status = machine.until_state("webhook", "online");
        kill_pid(&status);
        // Whether the old one is dead, the new one not there yet, or there: the connection is taken.
        for _ in 0..20 {
            TcpStream::connect(webhook).unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        until(
            "the successor",
            || machine.status("webhook"),
            |new| new["state"] == "online" && new["pid"] != status["pid"],
        );
    }
    assert_eq!(machine.status("webhook")["reason"], "killed by SIGKILL");
}
