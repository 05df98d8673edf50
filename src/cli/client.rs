//! Talking to the control plane: HTTP over its unix socket. Every call has an end.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::fail::Failure;
use crate::exit_code;
use crate::model::units::show_duration;
use crate::os::unix::short_path;
use crate::wire::api::Refusal;

/// A look takes this long at most: then the keepers are asked. They have half a second to answer the control plane.
const LOOK: Duration = Duration::from_millis(1500);
/// A control plane that carries out an order is given more time before the order is given up.
const WORKING: Duration = Duration::from_secs(3);
/// While an order is being carried out, the control plane is asked this often whether it is well.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// Longest answer, bytes.
const LONGEST: usize = 16 << 20;

/// A way to one control plane.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Why an exchange did not come to its end.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Why a call brought no answer.
#[derive(Debug)]
pub enum CallError {
    /// There is no control plane.
    Absent,
    /// There is one, but it does not answer, or the connection broke; why.
    Silent(String),
    /// It said no.
    Refused(StatusCode, Refusal),
}

impl Client {
    /// The control plane that listens on this socket.
    pub fn new(socket: PathBuf) -> Client {
        Client { socket }
    }

    /// Looks at something.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::GET, path, Vec::new(), LOOK).await
    }

    /// Gives an order whose answer may take `wait`, and a little longer, unless the control plane hangs.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        wait: Duration,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| CallError::Silent(error.to_string()))?;
        let answer = self.call(Method::POST, path, body, wait + Duration::from_secs(15));
        tokio::select! {
            answer = answer => answer,
            error = self.hang() => Err(error),
        }
    }

    /// Ends when the control plane does not answer any more.
    async fn hang(&self) -> CallError {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            let health =
                self.call::<serde::de::IgnoredAny>(Method::GET, "/v1/health", Vec::new(), WORKING).await;
            // One that is gone is noticed better by the order's own connection.
            if let Err(error @ CallError::Silent(_)) = health {
                return error;
            }
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<T, CallError> {
        let stream = connect(&self.socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CallError::Absent,
            _ => CallError::Silent(format!("cannot connect to {}: {error}", self.socket.display())),
        })?;
        let broken = |error: &dyn std::fmt::Display| CallError::Silent(error.to_string());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| broken(&error))?;
        let (code, body) = timeout(patience, exchange(stream, request, LONGEST))
            .await
            .map_err(|_| CallError::Silent(format!("no answer within {}", show_duration(patience))))?
            .map_err(|error| broken(&error))?;
        let text =
            |error: serde_json::Error| CallError::Silent(format!("its answer makes no sense: {error}"));
        if code.is_success() {
            serde_json::from_slice(&body).map_err(text)
        } else {
            Err(CallError::Refused(code, serde_json::from_slice(&body).map_err(text)?))
        }
    }
}

impl CallError {
    /// As the end of a command.
    pub fn into_failure(self) -> Failure {
        match self {
            CallError::Absent => Failure::new(exit_code::NOT_RUNNING, "the control plane is not running"),
            CallError::Silent(why) => {
                Failure::new(exit_code::NOT_RUNNING, format!("the control plane does not answer: {why}"))
            }
            CallError::Refused(code, refusal) => {
                let code = match code {
                    StatusCode::NOT_FOUND => exit_code::UNKNOWN_SERVICE,
                    _ => exit_code::FAILED,
                };
                Failure::refused(code, refusal)
            }
        }
    }
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (_folder, short) = short_path(socket)?;
    UnixStream::connect(short).await
}

/// One request on a connection of its own, and its answer, of at most `longest` bytes.
///
/// # Errors
/// Those of the connection and of HTTP.
pub async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
    longest: usize,
) -> Result<(StatusCode, Bytes), Broken> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let code = response.status();
        let body = Limited::new(response.into_body(), longest).collect().await?;
        Ok((code, body.to_bytes()))
    };
    // The connection moves bytes only while it is polled.
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        result = &mut connection => match result {
            Ok(()) => answer.await,
            Err(error) => Err(error.into()),
        },
    }
}

/// Runs the asynchronous part of a command.
///
/// # Errors
/// No more descriptors, for instance.
pub fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    Ok(runtime.block_on(work))
}
