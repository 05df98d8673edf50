//! Sends one signed button click to the webhook of this machine and says where it can be seen.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use service_common::Env;
use webhook::signature;

const PHONE: &str = "15550100001";
const PATIENCE: Duration = Duration::from_secs(5);

enum Failure {
    Config(service_common::ConfigError),
    NotReachable(SocketAddr, io::Error),
    NoAnswer(SocketAddr, io::Error),
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::NotReachable(address, error) => write!(
                f,
                "the webhook is not reachable at {address}: {error}; start it first, or set WEBHOOK_PORT to its port"
            ),
            Self::NoAnswer(address, error) => write!(f, "the webhook at {address} did not answer: {error}"),
            Self::Refused(status) => write!(
                f,
                "the webhook answered {status}; is WHATSAPP_APP_SECRET the same here as where the webhook was started?"
            ),
        }
    }
}

fn main() -> ExitCode {
    match send() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("send-test-event: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn send() -> Result<String, Failure> {
    let mut env = Env::from_process();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port(&mut env, "WEBHOOK_PORT", 3000)));
    let api = port(&mut env, "API_PORT", 3002);
    let websocket = port(&mut env, "WS_PORT", 3001);
    let secret = env.required_secret("WHATSAPP_APP_SECRET");
    env.finish().map_err(Failure::Config)?;

    let body = click().to_string();
    let signature = signature::sign(secret.expose(), body.as_bytes());
    let request = format!(
        "POST /webhook HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nX-Hub-Signature-256: {signature}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .map_err(|error| Failure::NotReachable(address, error))?;
    let status = exchange(stream, &request).map_err(|error| Failure::NoAnswer(address, error))?;
    if !status.starts_with("200") {
        return Err(Failure::Refused(status));
    }
    Ok(format!(
        "sent one click on `test_event` from {PHONE}: {status}\n\
         page:    http://127.0.0.1:{api}/dashboard\n\
         numbers: http://127.0.0.1:{api}/api/webhook/metrics (kept for up to 30 s)\n\
         newest:  http://127.0.0.1:{api}/api/webhook/events/recent\n\
         live:    ws://127.0.0.1:{websocket}/ws"
    ))
}

fn port(env: &mut Env, name: &str, default: u16) -> u16 {
    let port = env.number(name, u64::from(default), 1..=u64::from(u16::MAX));
    u16::try_from(port).unwrap_or(default)
}

fn click() -> serde_json::Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "messages": [{
            "from": PHONE, "id": format!("wamid.test-{}", now.as_nanos()), "timestamp": now.as_secs().to_string(),
            "type": "interactive",
            "interactive": {"type": "button_reply", "button_reply": {"id": "test_event", "title": "Test event"}},
        }],
    }}]}]})
}

/// Sends the request; the status without the protocol's version.
fn exchange(mut stream: TcpStream, request: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().and_then(|line| line.split_once(' '));
    status.map(|(_, status)| status.to_owned()).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}
