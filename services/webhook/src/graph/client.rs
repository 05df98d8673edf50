//! One POST at a time: a connection of its own, no redirects, everything bounded.
//!
//! Messages are seconds apart, so a connection that was kept would mostly be dead when it is needed,
//! and nobody could tell whether the message had gone out on it.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, InvalidHeaderValue, RETRY_AFTER, USER_AGENT,
};
use axum::http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use service_common::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Address;
use super::answer::{Outcome, Reply};
use crate::content;

/// Head and body, each.
const MAX_ANSWER: usize = 64 * 1024;
/// A name may have several addresses; one that does not answer must not use up the time of the others.
const ONE_ADDRESS: Duration = Duration::from_secs(5);

/// Whose messages are sent, and how.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) address: Address,
    pub(crate) version: String,
    pub(crate) phone_number_id: String,
    pub(crate) token: Secret,
    /// For one attempt, from its beginning to the end of the answer.
    pub(crate) timeout: Duration,
}

/// Sends messages in the name of one business number.
pub(crate) struct Client {
    access: Access,
    path: Uri,
    host: HeaderValue,
    authorization: HeaderValue,
    /// Made when it is needed: who never delivers has no use for a list of roots.
    tls: OnceLock<TlsConnector>,
}

/// Why there is no answer.
enum Trouble {
    Connect(io::Error),
    Secure(io::Error),
    Broken(hyper::Error),
    TooSlow,
}

impl Client {
    /// For `POST {address}/{version}/{phone_number_id}/messages`.
    ///
    /// # Errors
    /// When a part of the access cannot stand in a request.
    pub(crate) fn new(access: Access) -> Result<Self, axum::http::Error> {
        let Access { address, version, phone_number_id, .. } = &access;
        let path = Uri::try_from(format!("{}/{version}/{phone_number_id}/messages", address.path))?;
        let host = HeaderValue::from_str(&address.authority)?;
        let authorization = bearer(&access.token)?;
        Ok(Self { access, path, host, authorization, tls: OnceLock::new() })
    }

    /// Tries once to send `body` to the person with this number.
    pub(crate) async fn send(&self, to: &str, body: &content::Body) -> Outcome {
        let message = message(to, body).to_string();
        match self.post(message).await {
            Ok(reply) => reply.outcome(self.access.token.expose(), Timestamp::now()),
            Err(trouble) => Outcome::NoAnswer(self.explain(&trouble)),
        }
    }

    async fn post(&self, message: String) -> Result<Reply, Trouble> {
        let deadline = Instant::now() + self.access.timeout;
        let request = self.request(message);
        let connecting = connect(&self.access.address.host, self.access.address.port);
        let stream = within(deadline, connecting).await?.map_err(Trouble::Connect)?;
        // A message is one write: waiting for more only adds delay. Without it all works, only later.
        let _ = stream.set_nodelay(true);
        if !self.access.address.is_secure {
            return exchange(stream, request, deadline).await;
        }
        let name = ServerName::try_from(self.access.address.host.clone())
            .map_err(|error| Trouble::Secure(io::Error::other(error)))?;
        let tls = self.tls.get_or_init(|| connector(platform_roots()));
        let stream = within(deadline, tls.connect(name, stream)).await?.map_err(Trouble::Secure)?;
        exchange(stream, request, deadline).await
    }

    fn request(&self, message: String) -> Request<Body> {
        let mut request = Request::new(Body::from(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("dogwatch-webhook/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        request
    }

    fn explain(&self, trouble: &Trouble) -> String {
        let place = &self.access.address.authority;
        match trouble {
            Trouble::Connect(error) => format!("cannot connect to {place}: {error}"),
            Trouble::Secure(error) => format!("no secure connection to {place}: {error}"),
            Trouble::Broken(error) => format!("the connection to {place} broke: {error}"),
            Trouble::TooSlow => format!("no answer from {place} within {:?}", self.access.timeout),
        }
    }
}

/// The header that carries the token, marked so that nothing prints it.
pub(crate) fn bearer(token: &Secret) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn message(to: &str, body: &content::Body) -> Value {
    let kind = body.kind();
    let content = match body {
        content::Body::Text(text) => json!({"body": text}),
        content::Body::Image { url, caption: Some(caption) } => json!({"link": url, "caption": caption}),
        content::Body::Image { url, caption: None } => json!({"link": url}),
    };
    json!({"messaging_product": "whatsapp", "to": to, "type": kind, kind: content})
}

/// Certificates are checked against the roots that browsers trust, which are part of this program.
fn platform_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn connector(roots: RootCertStore) -> TlsConnector {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("ring has cipher suites for both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match timeout(ONE_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(late) => last = late.into(),
        }
    }
    Err(last)
}

async fn exchange<S>(stream: S, request: Request<Body>, deadline: Instant) -> Result<Reply, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new().max_buf_size(MAX_ANSWER).handshake(TokioIo::new(stream));
    let (mut sender, connection) = within(deadline, handshake).await?.map_err(Trouble::Broken)?;
    // The set ends the connection with this function, however it is left.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = within(deadline, sender.send_request(request)).await?.map_err(Trouble::Broken)?;
    let (head, body) = response.into_parts();
    let wait = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    Ok(Reply {
        status: head.status.as_u16(),
        retry_after: wait.map(str::to_owned),
        body: read(body, deadline).await,
    })
}

/// The body. Its trouble is kept apart from the head's: after a 200 the message may be on its way.
async fn read(body: Incoming, deadline: Instant) -> Result<Vec<u8>, &'static str> {
    match timeout_at(deadline, Limited::new(body, MAX_ANSWER).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err("the answer is longer than 64 KiB"),
        Ok(Err(_)) => Err("the answer broke off"),
        Err(_) => Err("the rest of the answer did not come in time"),
    }
}

async fn within<T>(deadline: Instant, work: impl Future<Output = T>) -> Result<T, Trouble> {
    timeout_at(deadline, work).await.map_err(|_| Trouble::TooSlow)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    /// A platform on this machine with a certificate for `name`; its port and the certificate.
    async fn platform(name: &str) -> (u16, CertificateDer<'static>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let certificate = cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key))
            .expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who does not trust us hangs up here.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
            }
        });
        (port, certificate)
    }

    fn client(port: u16) -> Client {
        let address = Address::parse(&format!("https://127.0.0.1:{port}")).expect("an address");
        let access = Access {
            address,
            version: "v17.0".to_owned(),
            phone_number_id: "1".to_owned(),
            token: Secret::new("example-access-token".to_owned()),
            timeout: Duration::from_secs(30),
        };
        Client::new(access).expect("a client")
    }

    async fn send(client: &Client) -> Outcome {
        client.send("15550100001", &content::Body::Text("x".to_owned())).await
    }

    fn trust(client: &Client, certificate: CertificateDer<'static>) {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        assert!(client.tls.set(connector(roots)).is_ok());
    }

    #[tokio::test]
    async fn a_platform_with_a_certificate_is_spoken_to() {
        let (port, certificate) = platform("127.0.0.1").await;
        let client = client(port);
        trust(&client, certificate);
        assert_eq!(send(&client).await, Outcome::Accepted { message_id: None });
    }

    #[tokio::test]
    async fn one_that_nobody_vouches_for_is_not() {
        let (port, _) = platform("127.0.0.1").await;
        let Outcome::NoAnswer(told) = send(&client(port)).await else { panic!("it was trusted") };
        assert!(told.contains("no secure connection to 127.0.0.1") && told.contains("certificate"), "{told}");
    }

    #[tokio::test]
    async fn one_with_the_certificate_of_another_is_not() {
        let (port, certificate) = platform("other.example.invalid").await;
        let client = client(port);
        trust(&client, certificate);
        let Outcome::NoAnswer(told) = send(&client).await else { panic!("it was trusted") };
        assert!(told.contains("certificate"), "{told}");
    }
}
