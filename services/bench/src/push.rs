//! From a commit by another process to the clients of the WebSocket server.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, client};

use crate::data;
use crate::report::Times;
use crate::service::Service;

const COMMITS: usize = 200;
/// Not in step with the server's own rhythm of 20 ms.
const PAUSE: Duration = Duration::from_millis(23);

pub(crate) fn measure(bin: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("webhook_events.db");
    data::make(&database);
    let environment = [("WS_PORT", "0"), ("EVENTS_DB", database.to_str().unwrap())];
    let websocket = Service::start(&bin.join("websocket"), folder.path(), &environment, "");
    println!("\nWebSocket: idle {}", websocket.memory());
    for clients in [1, 100] {
        let cpu = websocket.cpu();
        let begin = Instant::now();
        let times = commit_to_client(websocket.address, &database, clients);
        let share = (websocket.cpu() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0;
        println!(
            "commit to client, {clients:3} client(s): {times}; {share:.1} % of a core; {}",
            websocket.memory()
        );
    }
    let (cpu, pause) = (websocket.cpu(), Duration::from_secs(10));
    std::thread::sleep(pause);
    let share = (websocket.cpu() - cpu).as_secs_f64() / pause.as_secs_f64() * 100.0;
    println!("without clients: {share:.2} % of a core; {}", websocket.memory());
}

fn commit_to_client(address: SocketAddr, database: &Path, clients: usize) -> Times {
    let ready = Barrier::new(clients + 1);
    let mut times = Times::default();
    std::thread::scope(|scope| {
        let receivers: Vec<_> = (0..clients).map(|_| scope.spawn(|| receive(address, &ready))).collect();
        ready.wait();
        let sql = Connection::open(database).unwrap();
        sql.execute_batch("PRAGMA synchronous=NORMAL").unwrap();
        let mut committed = HashMap::new();
        for _ in 0..COMMITS {
            std::thread::sleep(PAUSE);
            sql.execute(
                "INSERT INTO webhook_events (event_type, advisor_phone, event_data, button_id, message_type)
                 VALUES ('button_click', '15550100001', '{}', 'button_1', 'interactive')",
                [],
            )
            .unwrap();
            committed.insert(sql.last_insert_rowid(), Instant::now());
        }
        for receiver in receivers {
            let received = receiver.join().unwrap();
            assert_eq!(received.len(), COMMITS, "each event once");
            for (id, at) in received {
                times.push(at.saturating_duration_since(committed[&id]));
            }
        }
    });
    times
}

/// When which row came.
fn receive(address: SocketAddr, ready: &Barrier) -> Vec<(i64, Instant)> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (mut socket, _) = client(format!("ws://{address}/ws"), stream).unwrap();
    let mut received = Vec::new();
    let mut greeted = false;
    while received.len() < COMMITS {
        let Message::Text(text) = socket.read().unwrap() else { continue };
        let at = Instant::now();
        let frame: Value = serde_json::from_str(&text).unwrap();
        match frame["type"].as_str() {
            Some("initial_data") if !greeted => {
                greeted = true;
                ready.wait();
            }
            Some("new_events") => {
                for row in frame["events"].as_array().unwrap() {
                    received.push((row["id"].as_i64().unwrap(), at));
                }
            }
            _ => {}
        }
    }
    received
}
