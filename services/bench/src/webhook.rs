//! The webhook under 64 posters at once, while its database is well, locked, destroyed, and its disk full.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};
use webhook::signature;

use crate::http::Http;
use crate::report::{Times, rate};
use crate::service::{Service, until};

const POSTERS: usize = 64;
const SECRET: &str = "example";
/// A fault begins after this share of the time, and a full disk has room again after twice that.
const FAULT_AFTER: u32 = 6;

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Locked,
    Destroyed,
    DiskFull,
}

pub(crate) fn measure(bin: &Path, time: Duration) {
    // 490 a second is the contract's rate for latency, 0 is as fast as it goes.
    for (paced, name) in [(490, "490 posts/s"), (0, "saturated")] {
        for fault in [Fault::None, Fault::Locked, Fault::Destroyed, Fault::DiskFull] {
            run(bin, time, fault, paced, name);
        }
    }
}

fn run(bin: &Path, time: Duration, fault: Fault, per_second: u32, pace: &str) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let database = data.join("webhook_events.db");
    events::migrate(&database, Duration::from_secs(5)).unwrap();
    let before = match fault {
        Fault::DiskFull => format!("mount -t tmpfs -o size=256m,mode=750 tmpfs '{}'", data.display()),
        _ => String::new(),
    };
    let environment = [
        ("WEBHOOK_PORT", "0"),
        ("WHATSAPP_APP_SECRET", SECRET),
        ("WHATSAPP_VERIFY_TOKEN", "example"),
        ("WHATSAPP_ACCESS_TOKEN", "example"),
        ("WHATSAPP_PHONE_NUMBER_ID", "15550100000"),
        ("WHATSAPP_RECIPIENTS", ""),
        ("GRAPH_API_BASE", "http://127.0.0.1:9"),
    ];
    let webhook = Service::start(&bin.join("webhook"), folder.path(), &environment, &before);
    let seen = if fault == Fault::DiskFull { webhook.inside(&database) } else { database };
    println!("\nwebhook, {pace}, {POSTERS} posters, {}: idle {}", fault_name(fault), webhook.memory());

    let (over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (begin, cpu) = (Instant::now(), webhook.cpu());
    let mut times = Times::default();
    std::thread::scope(|scope| {
        let posters: Vec<_> = (0..POSTERS)
            .map(|poster| {
                let (over, refused, address) = (&over, &refused, webhook.address);
                scope.spawn(move || post(address, poster, per_second, over, refused))
            })
            .collect();
        std::thread::sleep(time / FAULT_AFTER);
        let held = strike(fault, &seen);
        std::thread::sleep(time * 2 / 3 - time / FAULT_AFTER);
        drop(held);
        std::thread::sleep(time.saturating_sub(begin.elapsed()));
        over.store(true, Ordering::Relaxed);
        for poster in posters {
            times.extend(poster.join().unwrap());
        }
    });
    let took = begin.elapsed();
    let spent = (webhook.cpu() - cpu).as_secs_f64() / took.as_secs_f64() * 100.0;
    println!(
        "{:.0} posts/s, {spent:.0} % of its core, not 200: {}; {times}",
        rate(times.count(), took),
        refused.load(Ordering::Relaxed)
    );
    println!("after the load {}", webhook.memory());
    account(&webhook, &seen, fault, times.count());
}

fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::None => "all well",
        Fault::Locked => "database locked",
        Fault::Destroyed => "database destroyed",
        Fault::DiskFull => "disk full",
    }
}

/// What ends a fault when it goes away.
enum Held {
    Nothing,
    Lock { _connection: Connection },
    Ballast(PathBuf),
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Self::Ballast(path) = self {
            fs::remove_file(path).unwrap();
        }
    }
}

fn strike(fault: Fault, database: &Path) -> Held {
    match fault {
        Fault::None => Held::Nothing,
        Fault::Locked => {
            let connection = Connection::open(database).unwrap();
            connection.busy_timeout(Duration::from_secs(5)).unwrap();
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            Held::Lock { _connection: connection }
        }
        Fault::Destroyed => {
            let file = File::options().write(true).open(database).unwrap();
            let length = file.metadata().unwrap().len().max(40_960);
            let garbage = vec![0xa5; usize::try_from(length).unwrap() - 4096];
            file.write_all_at(&garbage, 4096).unwrap();
            Held::Nothing
        }
        Fault::DiskFull => {
            let path = database.with_file_name("ballast");
            let mut ballast = OpenOptions::new().create_new(true).write(true).open(&path).unwrap();
            for size in [1 << 16, 1 << 9, 1] {
                while ballast.write_all(&vec![0; size]).is_ok() {}
            }
            Held::Ballast(path)
        }
    }
}

/// Posts until it is over; only times of answers 200 count.
fn post(
    address: std::net::SocketAddr,
    poster: usize,
    per_second: u32,
    over: &AtomicBool,
    refused: &AtomicUsize,
) -> Times {
    let mut http = Http::connect(address);
    let mut times = Times::default();
    let pace = (per_second > 0).then(|| Duration::from_secs(1) * POSTERS as u32 / per_second);
    let mut next = Instant::now() + pace.unwrap_or_default() * u32::try_from(poster).unwrap() / 64;
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        if let Some(pace) = pace {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += pace;
        }
        let request = request(&format!("wamid.{poster}.{n}"));
        let sent = Instant::now();
        match http.exchange(&request) {
            Ok((200, _)) => times.push(sent.elapsed()),
            _ => {
                refused.fetch_add(1, Ordering::Relaxed);
                http = Http::connect(address);
            }
        }
    }
    times
}

fn request(id: &str) -> Vec<u8> {
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100000", "phone_number_id": "15550100000"},
        "contacts": [{"profile": {"name": "Example"}, "wa_id": "15550100001"}],
        "messages": [{
            "from": "15550100001", "id": id, "timestamp": "1767323045", "type": "interactive",
            "interactive": {"type": "button_reply", "button_reply": {"id": "market_overview", "title": "Market overview"}},
        }],
    }}]}]})
    .to_string();
    let signature = signature::sign(SECRET, body.as_bytes());
    format!(
        "POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         X-Hub-Signature-256: {signature}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Reads all of it, as a dashboard would: a reader that meets damage leaves a note, and the webhook puts a new file in its
/// place and copies back what can be read.
fn meet_the_damage(database: &Path) {
    let mut reader = events::Reader::new(database.to_owned());
    until("the database can be read, and all that can be saved is saved", || {
        let count = |connection: &Connection| {
            let sum = "SELECT sum(length(event_data)) FROM webhook_events NOT INDEXED";
            connection.query_row(sum, [], |_| Ok(())).map_err(|error| events::Error::Sql("counting", error))
        };
        let aside = fs::read_dir(database.with_file_name("quarantine")).into_iter().flatten().flatten();
        let is_saved = !aside.into_iter().any(|entry| entry.path().to_string_lossy().ends_with(".salvage"));
        reader.ask(count).is_ok() && is_saved
    });
}

/// Where every acknowledged event is now.
fn account(webhook: &Service, database: &Path, fault: Fault, acknowledged: usize) {
    let health = || -> Value {
        let (_, body) = Http::connect(webhook.address).get("/health").unwrap();
        serde_json::from_slice(&body).unwrap()
    };
    let begin = Instant::now();
    until("the queue is empty and the database is back", || {
        let health = health();
        health["events"]["queued"] == 0
            && health["database"] == "connected"
            && !database.with_file_name("events.spool").exists()
    });
    if fault == Fault::Destroyed {
        meet_the_damage(database);
    }
    let settled = begin.elapsed();
    // A copy, for SQLite would follow the way into another mount namespace back to this one.
    let folder = tempfile::tempdir().unwrap();
    for part in ["", "-wal"] {
        let name = format!("{}{part}", database.file_name().unwrap().to_string_lossy());
        if let Err(error) = fs::copy(database.with_file_name(&name), folder.path().join(&name)) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
    let copy = Connection::open(folder.path().join(database.file_name().unwrap())).unwrap();
    let count = |sql| copy.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let sql = "SELECT count(DISTINCT json_extract(event_data, '$.messageId')) FROM webhook_events";
    let rows = count("SELECT count(*) FROM webhook_events");
    let distinct = count(sql);
    let aside = fs::read_dir(database.with_file_name("quarantine")).into_iter().flatten().count();
    println!(
        "settled after {:.1} s; acknowledged {acknowledged}, rows {rows} ({} twice), files set aside {aside}; {}",
        settled.as_secs_f64(),
        rows - distinct,
        health()["events"]
    );
}
