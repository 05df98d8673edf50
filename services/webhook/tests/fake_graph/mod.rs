//! A Graph API on a free port of this machine: keeps what it is sent, answers as the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use service_testing::eventually;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Value,
    pub at: Instant,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub fn to(&self) -> &str {
        self.body["to"].as_str().expect("a recipient")
    }
}

/// What it does with a request.
pub enum Reply {
    /// Answers with 200 and an id that names the request: `wamid.out-1` for the first.
    Accept,
    /// Answers so; headers end with `\r\n` each.
    Answer { status: u16, headers: String, body: String },
    /// Closes the connection.
    Close,
    /// Sends these bytes and no more, and keeps the connection open.
    Stall(&'static str),
    /// Waits until the test opens the gate, then accepts.
    AtTheGate,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: String::new(), body: "{}".to_owned() }
    }

    pub fn body(status: u16, body: &str) -> Self {
        Self::Answer { status, headers: String::new(), body: body.to_owned() }
    }

    pub fn header(status: u16, header: &str) -> Self {
        Self::Answer { status, headers: format!("{header}\r\n"), body: String::new() }
    }
}

pub struct FakeGraph {
    address: SocketAddr,
    shared: Arc<Shared>,
}

type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    gate: Mutex<bool>,
    gate_opened: Condvar,
}

impl FakeGraph {
    /// The script gets the number of the request, counted from 1, and the request.
    pub fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            gate: Mutex::new(false),
            gate_opened: Condvar::new(),
        });
        let each = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&each);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, shared }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    #[track_caller]
    pub fn wait_for(&self, requests: usize) -> Vec<Seen> {
        eventually("the requests are there", || lock(&self.shared.seen).len() >= requests);
        self.seen()
    }

    /// Lets all go that wait, and all that come.
    pub fn open_gate(&self) {
        *lock(&self.shared.gate) = true;
        self.shared.gate_opened.notify_all();
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let Some(seen) = read(&stream) else { return };
    let number = {
        let mut all = lock(&shared.seen);
        all.push(seen.clone());
        all.len()
    };
    let accepted = || json!({"messages": [{"id": format!("wamid.out-{number}")}]}).to_string();
    let (status, headers, body) = match (shared.script)(number, &seen) {
        Reply::Accept => (200, String::new(), accepted()),
        Reply::Answer { status, headers, body } => (status, headers, body),
        Reply::Close => return,
        Reply::Stall(bytes) => {
            // Who waits for more hangs up in the end.
            let _ = stream.write_all(bytes.as_bytes());
            let _ = stream.read(&mut [0]);
            return;
        }
        Reply::AtTheGate => {
            let mut open = lock(&shared.gate);
            while !*open {
                open = shared.gate_opened.wait(open).unwrap_or_else(PoisonError::into_inner);
            }
            (200, String::new(), accepted())
        }
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} Some Reason\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    // Nobody listens any more where the service ended meanwhile.
    let _ = stream.write_all(answer.as_bytes());
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    let line = next().filter(|line| !line.is_empty())?;
    let mut headers = Vec::new();
    while let Some((name, value)) = next()?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { line, headers, body: serde_json::from_slice(&body).ok()?, at: Instant::now() })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
