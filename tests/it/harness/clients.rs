//! Clients of a service: one that asks again and again, and one whose request takes its time.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::{PATIENCE, pause};

/// How many ask at the same time.
const CLIENTS: usize = 3;

/// Clients that ask `GET /health`, each time on a new connection, again and again.
pub struct Asking {
    end: Arc<AtomicBool>,
    /// A service that ends may say so instead of being healthy; it must answer all the same.
    lenient: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(u64, Vec<String>)>>,
}

impl Asking {
    /// Begins to ask.
    pub fn begin(address: SocketAddr) -> Asking {
        Asking::begin_with(address, "/health")
    }

    /// Begins to ask for something else.
    pub fn begin_with(address: SocketAddr, path: &'static str) -> Asking {
        let (end, lenient) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let client = || {
            let (end, lenient) = (Arc::clone(&end), Arc::clone(&lenient));
            std::thread::spawn(move || ask(address, path, &end, &lenient))
        };
        let threads = std::iter::repeat_with(client).take(CLIENTS).collect();
        Asking { end, lenient, threads }
    }

    /// While the service is being restarted on request, `503` is an answer, too.
    pub fn set_lenient(&self, lenient: bool) {
        self.lenient.store(lenient, Ordering::Relaxed);
    }

    /// Ends; returns how many requests were made, and what became of those that failed.
    pub fn finish(self) -> (u64, Vec<String>) {
        self.end.store(true, Ordering::Relaxed);
        let clients: Vec<_> = self.threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let asked = clients.iter().map(|(asked, _)| asked).sum();
        (asked, clients.into_iter().flat_map(|(_, failures)| failures).collect())
    }
}

fn ask(address: SocketAddr, path: &str, end: &AtomicBool, lenient: &AtomicBool) -> (u64, Vec<String>) {
    let (mut asked, mut failures) = (0, Vec::new());
    while !end.load(Ordering::Relaxed) {
        asked += 1;
        let lenient_before = lenient.load(Ordering::Relaxed);
        let status = get(address, path).map(|answer| status(&answer));
        match status {
            Ok(Some(200)) => {}
            Ok(Some(503)) if lenient_before || lenient.load(Ordering::Relaxed) => {}
            other => failures.push(format!("request {asked}: {other:?}")),
        }
        pause();
    }
    (asked, failures)
}

/// Makes one request on a connection of its own; returns the whole answer.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A request whose head the service has taken, and for whose body it waits.
pub struct InFlight {
    stream: TcpStream,
}

impl InFlight {
    /// Sends the head of a POST, and returns when the service asks for the body.
    pub fn begin(address: SocketAddr, path: &str) -> InFlight {
        let mut stream = connect(address).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        .unwrap();
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        InFlight { stream }
    }

    /// Sends the body; returns the status of the answer.
    pub fn finish(mut self) -> Option<u16> {
        self.stream.write_all(b"{}").unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).unwrap();
        status(&answer)
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Whether nobody listens there.
pub fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}
