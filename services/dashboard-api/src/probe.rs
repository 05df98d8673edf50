//! How are the others? Asked in the background, so that no request waits for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::HOST;
use axum::http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use service_common::clock;
use tokio::net::TcpStream;
use tokio::sync::Notify;

const EVERY: Duration = Duration::from_secs(10);
/// Who is not well is asked more often, for it may just be starting.
const AGAIN: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);
const MAX_BODY: usize = 64 * 1024;
const MAX_WORD: usize = 32;

/// Where to ask: an address of this machine and a path.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    url: String,
    address: SocketAddr,
    path: String,
}

impl Default for Target {
    fn default() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { url: String::new(), address, path: "/".to_owned() }
    }
}

impl Target {
    /// Takes `http://` and a loopback address; names are not looked up, credentials have no place here.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let ip = if host == "localhost" { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { host.parse().ok()? };
        let address = SocketAddr::new(ip, authority.port_u16().unwrap_or(80));
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        ip.is_loopback().then(|| Self { url: url.to_owned(), address, path })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL as it was given.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// What was found out about another service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finding {
    /// Its own word for how it is, or `disconnected`; none before the first answer.
    pub(crate) word: Option<String>,
    /// When it was last asked.
    pub(crate) checked: Option<String>,
    at: Option<Instant>,
}

impl Finding {
    pub(crate) fn word(&self) -> &str {
        self.word.as_deref().unwrap_or("unknown")
    }
}

/// Asks one service again and again.
pub(crate) struct Probe {
    target: Target,
    finding: Mutex<Finding>,
    wanted: Notify,
}

impl Probe {
    /// Starts asking, for as long as the runtime lives.
    pub(crate) fn start(target: Target) -> Arc<Self> {
        let probe = Arc::new(Self { target, finding: Mutex::default(), wanted: Notify::new() });
        tokio::spawn(Arc::clone(&probe).run());
        probe
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// What is known now; if it is old, it is asked for at once, for the next who wants to know.
    pub(crate) fn finding(&self) -> Finding {
        let finding = self.finding.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if finding.at.is_none_or(|at| at.elapsed() >= EVERY) {
            self.wanted.notify_one();
        }
        finding
    }

    async fn run(self: Arc<Self>) {
        loop {
            let word = match tokio::time::timeout(PATIENCE, ask(&self.target)).await {
                Ok(Some(word)) => word,
                Ok(None) | Err(_) => "disconnected".to_owned(),
            };
            let pause = if word == "healthy" { EVERY } else { AGAIN };
            let finding =
                Finding { word: Some(word), checked: Some(clock::now_iso()), at: Some(Instant::now()) };
            *self.finding.lock().unwrap_or_else(PoisonError::into_inner) = finding;
            // Being asked for earlier, or the time being over: both mean the same.
            let _ = tokio::time::timeout(pause, self.wanted.notified()).await;
        }
    }
}

/// The word of the service; none means that it does not answer as it should.
async fn ask(target: &Target) -> Option<String> {
    let stream = TcpStream::connect(target.address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get(&target.path)
        .header(HOST, target.address.to_string())
        .body(Empty::<Bytes>::new())
        .ok()?;
    let exchange = async {
        let answer = sender.send_request(request).await.ok()?;
        let ok = answer.status() == StatusCode::OK;
        let body = Limited::new(answer.into_body(), MAX_BODY).collect().await.ok()?.to_bytes();
        let word = serde_json::from_slice::<Value>(&body).ok()?["status"].as_str()?.to_owned();
        let presentable = word.len() <= MAX_WORD
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        // Who says "healthy" with another status than 200 is not believed.
        (presentable && (ok || word != "healthy")).then_some(word)
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        word = &mut exchange => word,
        // The other side closes when it has answered: what it said is still there.
        _ = &mut connection => exchange.await,
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn only_this_machine_is_asked() {
        let target = Target::parse("http://localhost:3000/health?x=1").expect("loopback");
        assert_eq!(
            (target.address.to_string().as_str(), target.path.as_str()),
            ("127.0.0.1:3000", "/health?x=1")
        );
        assert!(Target::parse("http://[::1]:3000/health").is_some());
        for wrong in [
            "https://127.0.0.1/health",
            "http://user:word@127.0.0.1/health",
            "http://192.0.2.1/health",
            "http://example.invalid/health",
            "/health",
        ] {
            assert!(Target::parse(wrong).is_none(), "{wrong}");
        }
    }
}
