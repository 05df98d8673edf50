//! The dashboard API over a database of 200 000 events.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::data;
use crate::http::Http;
use crate::report::{Times, rate};
use crate::service::Service;

const QUESTIONS: [&str; 6] = [
    "/api/webhook/metrics",
    "/api/webhook/metrics?days=90",
    "/api/webhook/conversations",
    "/api/webhook/stats/realtime",
    "/api/webhook/events/recent",
    "/api/webhook/health",
];

pub(crate) fn measure(bin: &Path, time: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("webhook_events.db");
    data::make(&database);
    let database = database.to_str().unwrap();
    for (name, ttl) in [("uncached", "0"), ("cached", "30000")] {
        let environment = [("API_PORT", "0"), ("EVENTS_DB", database), ("CACHE_TTL_MS", ttl)];
        let api = Service::start(&bin.join("dashboard-api"), folder.path(), &environment, "");
        println!("\nAPI, {name}, {} events; idle {}", data::EVENTS, api.memory());
        for question in QUESTIONS {
            for connections in [1, 8] {
                let cpu = api.cpu();
                let (times, took) = ask(api.address, question, connections, time);
                let spent = (api.cpu() - cpu).as_secs_f64() * 1e3;
                let each = spent / times.count() as f64;
                println!(
                    "{question:30} {connections} conn. {:7.0}/s  {each:7.3} ms CPU  {times}",
                    rate(times.count(), took)
                );
            }
        }
        println!("after the load {}", api.memory());
    }
}

/// Asks over `connections` at once for `time`.
fn ask(address: SocketAddr, question: &str, connections: usize, time: Duration) -> (Times, Duration) {
    let begin = Instant::now();
    let mut all = Times::default();
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(move || {
                    let mut http = Http::connect(address);
                    let mut times = Times::default();
                    while begin.elapsed() < time {
                        let asked = Instant::now();
                        let (status, body) = http.get(question).unwrap();
                        times.push(asked.elapsed());
                        let word = question.ends_with("/health") || status == 200;
                        assert!(word, "{status}: {}", String::from_utf8_lossy(&body));
                    }
                    times
                })
            })
            .collect();
        for asker in askers {
            all.extend(asker.join().unwrap());
        }
    });
    (all, begin.elapsed())
}
