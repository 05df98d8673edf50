//! The promise itself: any one of dogwatch's own processes is SIGKILLed at any moment, again and again, while
//! a service answers clients and writes numbered lines. The service's process stays the same, no request
//! fails, no line is lost, doubled or torn, and supervision is back in less than a second.
//!
//! `DOGWATCH_CHAOS_KILLS` sets the number of kills per variant (`make soak`), `DOGWATCH_CHAOS_SEED` repeats a
//! run.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dogwatch::os::process::Identity;

use crate::harness::lines::{Tally, tally};
use crate::harness::{Machine, free_address, kill, pause};

/// Kills per variant when nobody asks for more: enough to see each kind of victim several times.
const KILLS: u64 = 24;
/// Supervision must be back within this.
const RECOVERY: Duration = Duration::from_secs(1);

#[test]
fn any_process_dies_under_a_mild_load() {
    chaos("10", "20");
}

#[test]
fn any_process_dies_under_a_full_flood() {
    // A mebibyte at once, sixteen times what a FIFO takes: at most moments the service waits in write(2).
    chaos("20", "20000");
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// xorshift64*: the kills of a seed can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

/// What the clients saw.
#[derive(Default)]
struct Requests {
    done: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

fn chaos(pause_ms: &str, lines: &str) {
    let address = free_address();
    let machine = Machine::new(&format!(
        r#"
        [services.web]
        command = ["UNRULY", "number", "{pause_ms}", "{lines}", "serve", "ready", "hang"]
        listen = ["{address}"]
        ready = "notify"
        log = {{ rotate_size = "64MiB", keep = 1000, compress = false }}
        "#
    ));
    machine.up();
    let before = machine.until_state("web", "online");
    let kills = setting("DOGWATCH_CHAOS_KILLS", KILLS);
    let seed = setting("DOGWATCH_CHAOS_SEED", u64::from(std::process::id()) + 1);
    eprintln!("seed {seed}, {kills} kills");
    let mut dice = Dice(seed);
    let requests = Requests::default();
    let mut recoveries = [Vec::new(), Vec::new(), Vec::new()];
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| ask_for_ever(address, before["pid"].as_i64().unwrap(), &requests));
        }
        for _ in 0..kills {
            let moment = Instant::now() + Duration::from_micros(5000 + dice.below(55_000));
            while Instant::now() < moment {
                pause();
            }
            let victim = dice.below(3) as usize;
            recoveries[victim].push(kill_and_wait(&machine, victim));
        }
        requests.stop.store(true, Ordering::Relaxed);
    });
    let after = machine.until_state("web", "online");
    assert_eq!((&after["pid"], &after["run"]), (&before["pid"], &before["run"]), "the service was touched");
    machine.ok(&["stop", "web"]);
    let found = tally(&machine.log_files("web", "out"));
    let (done, failed) = (requests.done.into_inner(), requests.failed.into_inner());
    report(&mut recoveries, done, &found);
    assert_eq!(failed, 0, "of {done} requests");
    assert!(done > kills, "only {done} requests");
    assert!(found.lines > kills, "{found:?}");
    assert_eq!(found, Tally { lines: found.lines, cut: found.cut, ..Tally::default() });
    for (who, times) in ["control plane", "warden", "keeper"].iter().zip(&recoveries) {
        assert!(times.iter().all(|time| *time < RECOVERY), "{who}: {times:?}");
    }
}

/// Connects again and again; the answer must come from that very process.
fn ask_for_ever(address: SocketAddr, pid: i64, requests: &Requests) {
    while !requests.stop.load(Ordering::Relaxed) {
        let mut answer = String::new();
        let asked = TcpStream::connect_timeout(&address, Duration::from_secs(5)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.read_to_string(&mut answer)
        });
        let good = asked.is_ok() && answer.starts_with(&format!("{pid} "));
        if !good {
            eprintln!("request failed: {asked:?}, answer {answer:?}");
        }
        let counter = if good { &requests.done } else { &requests.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        pause();
    }
}

fn holder(machine: &Machine, victim: usize) -> Option<Identity> {
    match victim {
        0 => machine.control(),
        1 => machine.warden(),
        _ => machine.keeper("web"),
    }
}

/// Kills one and waits until another one does its work.
fn kill_and_wait(machine: &Machine, victim: usize) -> Duration {
    let begin = Instant::now();
    let give_up = begin + Duration::from_secs(10);
    // It may just have been killed by the round before: then its successor is the victim.
    let old = loop {
        if let Some(old) = holder(machine, victim) {
            break old;
        }
        assert!(Instant::now() < give_up, "victim {victim} has no successor");
        pause();
    };
    let begin = Instant::now();
    kill(&old);
    while !holder(machine, victim).is_some_and(|new| new != old) || !works(machine, victim) {
        assert!(Instant::now() < give_up, "victim {victim} is not back");
        pause();
    }
    begin.elapsed()
}

/// Whether a process of that kind answers.
fn works(machine: &Machine, victim: usize) -> bool {
    use dogwatch::os::packet::Connection;
    let paths = machine.paths();
    let ask = |path: &std::path::Path, question: &[u8]| {
        let connection = Connection::connect(path).ok()?;
        connection.send(question, &[]).ok()?;
        connection.wait(1000).ok()?.then(|| connection.receive().ok().flatten()).flatten()
    };
    match victim {
        0 => machine.run(&["status", "--json"]).code == 0 && machine.control().is_some(),
        1 => ask(&paths.warden_sock(), b"\"ping\"").is_some(),
        _ => {
            let name = dogwatch::model::name::ServiceName::new("web").unwrap();
            ask(&paths.service(&name).keeper_sock(), br#"{"v":1,"op":"status"}"#).is_some()
        }
    }
}

fn report(recoveries: &mut [Vec<Duration>; 3], requests: u64, found: &Tally) {
    eprintln!("{requests} requests, {found:?}");
    for (who, times) in ["control plane", "warden", "keeper"].iter().zip(recoveries) {
        times.sort_unstable();
        if let (Some(median), Some(max)) = (times.get(times.len() / 2), times.last()) {
            eprintln!("{who}: {} kills, back after p50 {median:.1?}, max {max:.1?}", times.len());
        }
    }
}
