//! The platform's API that takes deliveries, played by the test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::eventually;

/// One request that came.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it was whole.
    pub at: Instant,
    /// `POST /v17.0/…`
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Value,
}

/// What to do with one.
pub enum Reply {
    /// Accept it under this id.
    Accept(&'static str),
    /// Answer so.
    Answer(u16, &'static str, String),
    /// Close without an answer.
    Drop,
    /// Answer nothing and keep the connection.
    Hang,
}

/// The API; its thread ends with the test.
pub struct Graph {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Graph {
    /// Listens; `reply` gets each request and how many came before it.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (list, reply) = (Arc::clone(&seen), Arc::new(reply));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (list, reply) = (Arc::clone(&list), Arc::clone(&reply));
                std::thread::spawn(move || serve(stream, &list, &*reply));
            }
        });
        Self { address, seen }
    }

    /// Accepts everything.
    #[must_use]
    pub fn accepting() -> Self {
        Self::start(|_, _| Reply::Accept("wamid.accepted"))
    }

    /// For `GRAPH_API_BASE`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until this many came.
    ///
    /// # Panics
    /// When they do not.
    #[track_caller]
    pub fn until(&self, count: usize) -> Vec<Request> {
        eventually(&format!("{count} requests to the platform"), || self.seen().len() >= count);
        self.seen()
    }
}

impl Request {
    /// The first header of this name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    reply: &(dyn Fn(&Request, usize) -> Reply + Send + Sync),
) {
    let Some(request) = read(&mut stream) else { return };
    let before = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(request.clone());
        seen.len() - 1
    };
    let (status, header, body) = match reply(&request, before) {
        Reply::Accept(id) => (200, "", json!({"messages": [{"id": id}]}).to_string()),
        Reply::Answer(status, header, body) => (status, header, body),
        Reply::Drop => return,
        Reply::Hang => {
            // Until the other side gives up.
            let _ = stream.read(&mut [0]);
            return;
        }
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{header}\r\n{body}"
    );
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Request { at: Instant::now(), line, headers, body })
}
