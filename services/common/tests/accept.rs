//! The accept loop over a real socket: what clients can do wrong, and what must not follow from it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use service_common::{Limits, Listener, Shutdown, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Serves with these limits, for as long as the test runs.
fn start(limits: Limits) -> SocketAddr {
    let app = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/defect", get(|| async { if true { panic!("on purpose") } else { "never" } }));
    let listener = Listener::inherit_or_bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.address();
    let shutdown = Shutdown::on_signals().expect("signal handlers");
    tokio::spawn(serve(listener, app, limits, shutdown));
    address
}

/// Sends this, and reads until the other side closes.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("closed in time").expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn who_never_ends_the_head_is_let_go() {
    let address = start(Limits { header: Duration::from_millis(100), ..Limits::default() });
    let answer = exchange(address, b"GET / HTTP/1.1\r\nHost: local").await;
    assert!(!answer.contains("here"), "{answer}");
    assert!(exchange(address, REQUEST).await.ends_with("here"));
}

#[tokio::test]
async fn a_defect_is_answered_and_the_others_are_served() {
    let address = start(Limits::default());
    let defect = b"GET /defect HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(exchange(address, defect).await.starts_with("HTTP/1.1 500 "));
    assert!(exchange(address, REQUEST).await.ends_with("here"));
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_waits() {
    let address = start(Limits { connections: 1, ..Limits::default() });
    let mut first = TcpStream::connect(address).await.expect("connected");
    first.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut byte = [0];
    timeout(LIMIT, first.read_exact(&mut byte)).await.expect("in time").expect("an answer");
    // The first keeps its place; the second is answered only when it is free again.
    let mut second = TcpStream::connect(address).await.expect("connected");
    second.write_all(REQUEST).await.expect("sent");
    assert!(timeout(Duration::from_millis(100), second.read_exact(&mut byte)).await.is_err());
    drop(first);
    timeout(LIMIT, second.read_exact(&mut byte)).await.expect("in time").expect("an answer");
}
