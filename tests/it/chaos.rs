//! The promise itself: any one of dogwatch's own processes is SIGKILLed at any moment, again and again, or any two
//! within one recovery, while a service answers clients and writes numbered lines. The service's process stays
//! the same, no request fails, no line is lost, doubled or torn, and supervision is back in a moment.
//!
//! `DOGWATCH_CHAOS_KILLS` sets the number of kills per variant (`make soak`), `DOGWATCH_CHAOS_SEED` repeats a
//! run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dogwatch::os::process::Identity;

use crate::harness::lines::{Tally, tally};
use crate::harness::{Machine, free_address, go_on, kill, kill_pid, pause, setting, stop, until};

/// Kills per variant when nobody asks for more: enough to see each kind of victim several times.
const KILLS: u64 = 24;
/// A recovery that takes longer is told of with what it waited for.
const REMARKABLE: Duration = Duration::from_millis(500);
/// The watched and their names.
const VICTIMS: [&str; 3] = ["control plane", "warden", "keeper"];

/// How many die at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strike {
    One,
    /// The second one within milliseconds; it may be the successor of the first. Some are stopped before.
    Two,
}

impl Strike {
    /// Supervision must be back within this. When warden and control plane die together the keeper lets half a second
    /// pass before it believes that.
    fn recovery(self) -> Duration {
        match self {
            Strike::One => Duration::from_secs(1),
            Strike::Two => Duration::from_secs(5),
        }
    }
}

#[test]
fn any_process_dies_under_a_mild_load() {
    chaos("10", "20", Strike::One);
}

#[test]
fn any_process_dies_under_a_full_flood() {
    // A mebibyte at once, sixteen times what a FIFO takes: at most moments the service waits in write(2).
    chaos("20", "20000", Strike::One);
}

#[test]
fn any_two_processes_die_under_a_mild_load() {
    chaos("10", "20", Strike::Two);
}

#[test]
fn any_two_processes_die_under_a_full_flood() {
    chaos("20", "20000", Strike::Two);
}

/// Every pair, and each one twice, at the same moment; also with the service, and the successors at once.
#[test]
fn every_pair_dies_together() {
    let machine =
        Machine::new("[services.web]\ncommand = [\"UNRULY\", \"number\", \"5\", \"100\", \"hang\"]\n");
    machine.up();
    let mut before = machine.until_state("web", "online");
    let held = held_by_all(&machine);
    let all_work = || (0..3).all(|victim| holder(&machine, victim).is_some() && works(&machine, victim));
    let pairs = [(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1), (0, 0), (1, 1), (2, 2)];
    for (first, second) in pairs {
        let living = [first, second].map(|victim| holder(&machine, victim).unwrap());
        living.iter().for_each(kill);
        if first == second {
            let heir = until(
                "an heir",
                || holder(&machine, first),
                |now| now.as_ref().is_some_and(|now| *now != living[0]),
            );
            kill(&heir.unwrap());
        }
        until(&format!("{} and {}", VICTIMS[first], VICTIMS[second]), all_work, |all| *all);
        until("all three hold again", || held_by_all(&machine), |now| now.is_superset(&held));
        let after = machine.until_state("web", "online");
        assert_eq!((&after["pid"], &after["run"]), (&before["pid"], &before["run"]));
    }
    for (victim, its_name) in VICTIMS.iter().enumerate() {
        kill(&holder(&machine, victim).unwrap());
        kill_pid(&before);
        let run = before["run"].as_u64();
        let again = |now: &serde_json::Value| now["run"].as_u64() > run && now["state"] == "online";
        until(&format!("the service, which died with the {its_name}"), all_work, |all| *all);
        before = until("another run", || machine.status("web"), again);
    }
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

fn chaos(pause_ms: &str, lines: &str, strike: Strike) {
    let address = free_address();
    let machine = Machine::new(&format!(
        r#"
        [services.web]
        command = ["UNRULY", "whole", "number", "{pause_ms}", "{lines}", "serve", "ready", "hang"]
        listen = ["{address}"]
        ready = "notify"
        log = {{ rotate_size = "64MiB", keep = 1000, compress = false, budget = "1TiB" }}
        "#
    ));
    machine.up();
    let before = machine.until_state("web", "online");
    let kills = setting("DOGWATCH_CHAOS_KILLS", KILLS);
    let seed = setting("DOGWATCH_CHAOS_SEED", u64::from(std::process::id()) + 1);
    eprintln!("seed {seed}, {kills} kills");
    let mut dice = Dice(seed);
    let requests = Requests::default();
    let mut recoveries: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    let held = held_by_all(&machine);
    assert!(held.len() >= 6, "four FIFOs and two sockets: {held:?}");
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| ask_for_ever(address, before["pid"].as_i64().unwrap(), &requests));
        }
        for _ in 0..if strike == Strike::One { kills } else { kills / 2 } {
            let moment = Instant::now() + Duration::from_micros(5000 + dice.below(55_000));
            while Instant::now() < moment {
                pause();
            }
            let (how, took) = match strike {
                Strike::One => {
                    let victim = dice.below(3) as usize;
                    (VICTIMS[victim].to_owned(), kill_and_wait(&machine, victim))
                }
                Strike::Two => kill_two_and_wait(&machine, &mut dice, &held),
            };
            recoveries.entry(how).or_default().push(took);
        }
        requests.stop.store(true, Ordering::Relaxed);
    });
    let after = machine.until_state("web", "online");
    assert_eq!((&after["pid"], &after["run"]), (&before["pid"], &before["run"]), "the service was touched");
    machine.ok(&["stop", "web"]);
    machine.ok(&["down"]); // the keeper ends when the last byte is in its file
    let found = tally(&machine.log_files("web", "out"));
    let (done, failed) = (requests.done.into_inner(), requests.failed.into_inner());
    report(&mut recoveries, done, &found);
    assert_eq!(failed, 0, "of {done} requests");
    assert!(done > kills, "only {done} requests");
    assert!(found.lines > kills, "{found:?}");
    assert_eq!(found, Tally { lines: found.lines, ..Tally::default() });
    for (who, times) in &recoveries {
        assert!(times.iter().all(|time| *time < strike.recovery()), "{who}: {times:?}");
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
    let mut there = None;
    loop {
        if there.is_none() && holder(machine, victim).is_some_and(|new| new != old) {
            there = Some(begin.elapsed());
        }
        if there.is_some() && works(machine, victim) {
            break;
        }
        assert!(Instant::now() < give_up, "victim {victim} is not back");
        pause();
    }
    let took = begin.elapsed();
    if took > REMARKABLE {
        let log = machine.own_log();
        let last: Vec<&str> = log.lines().rev().take(8).collect();
        eprintln!("{}: there after {there:?}, answered after {took:?}; {last:#?}", VICTIMS[victim]);
    }
    took
}

/// Kills two, some milliseconds apart, and waits until all work and hold again what they held.
fn kill_two_and_wait(machine: &Machine, dice: &mut Dice, held: &BTreeSet<PathBuf>) -> (String, Duration) {
    let (first, second) = (dice.below(3) as usize, dice.below(3) as usize);
    let kind = dice.below(3);
    let (one, other) = (VICTIMS[first], VICTIMS[second]);
    let mut wait = |most: u64| {
        let moment = Instant::now() + Duration::from_micros(dice.below(most));
        while Instant::now() < moment {
            std::thread::yield_now();
        }
    };
    let living = |victim: usize| {
        let found = until("it has a successor", || holder(machine, victim), Option::is_some);
        found.expect("it was looked for until it was there")
    };
    let target = living(first);
    let begin = Instant::now();
    let how = match kind {
        0 => {
            kill(&target);
            wait(10_000);
            holder(machine, second).iter().for_each(kill);
            format!("{one} and {other} killed")
        }
        1 => {
            stop(&target);
            wait(10_000);
            holder(machine, second).iter().for_each(kill);
            wait(10_000);
            kill(&target);
            format!("{one} stopped, {other} killed, then the first")
        }
        _ => {
            stop(&target);
            wait(10_000);
            holder(machine, second).iter().for_each(kill);
            wait(50_000);
            go_on(&target);
            format!("{one} stopped for a while, {other} killed")
        }
    };
    let whole = || (0..3).all(|victim| holder(machine, victim).is_some() && works(machine, victim));
    until("all three work again", whole, |whole| *whole);
    until("all three hold again", || held_by_all(machine), |now| now.is_superset(held));
    (how, begin.elapsed())
}

/// What keeper, warden and control plane have open, all three: FIFOs below the run folder, and sockets.
fn held_by_all(machine: &Machine) -> BTreeSet<PathBuf> {
    let open = |victim: usize| {
        let pid = holder(machine, victim).map_or(0, |process| process.pid);
        let links = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let links = links.filter_map(|link| std::fs::read_link(link.path()).ok());
        let services = std::fs::canonicalize(machine.paths().services()).unwrap_or_default();
        links
            .filter(|link| link.starts_with(&services) || link.to_string_lossy().starts_with("socket:"))
            .collect::<BTreeSet<PathBuf>>()
    };
    &(&open(0) & &open(1)) & &open(2)
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

fn report(recoveries: &mut BTreeMap<String, Vec<Duration>>, requests: u64, found: &Tally) {
    eprintln!("{requests} requests, {found:?}");
    let all = recoveries.values().flatten().copied().collect();
    for (who, times) in recoveries.iter_mut().chain([(&"all".to_owned(), &mut { all })]) {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        let (median, high, most) = (at(50), at(99), at(100));
        eprintln!(
            "{who}: {} times, back after p50 {median:.1?}, p99 {high:.1?}, max {most:.1?}",
            times.len()
        );
    }
}
