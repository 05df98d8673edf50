//! The accept loop: bounded in connections, in header time, and in the time it takes to end.
//!
//! `axum::serve` has no timer, so a client that never finishes its headers would hold a connection for ever.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sd_notify::NotifyState;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time;

use crate::{Listener, Shutdown, http, log};

/// When the end has been asked for, a connection that has not been used yet has this long to bring its request.
const FIRST_REQUEST: Duration = Duration::from_millis(250);

/// How much one service takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait in the socket's queue.
    pub connections: usize,
    /// Time to send the head of a request, counted from the end of the one before.
    pub header: Duration,
    /// Time for open requests to end after the service was asked to.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1024, header: Duration::from_secs(10), grace: Duration::from_secs(5) }
    }
}

/// Serves `app` until the end is asked for and open requests are answered. Tells the supervisor
/// that the service is ready as soon as connections are taken.
pub async fn serve(listener: Listener, app: Router, limits: Limits, shutdown: Shutdown) {
    let how = if listener.inherited() { "inherited socket" } else { "own socket" };
    log::info(format_args!("serving http://{} ({how})", listener.address()));
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
        log::error(format_args!("cannot tell the supervisor that the service is ready: {error}"));
    }
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut complaint = Complaint::default();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await.expect("nobody closes the semaphore");
            (permit, listener.socket.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, app.clone(), limits, shutdown.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, mostly: those who wait are served when some are free again.
                complaint.tell(&error);
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if time::timeout(limits.grace, permits.acquire_many(all)).await.is_err() {
        log::error(format_args!("ended with requests still open after {:?}", limits.grace));
    }
}

async fn connection(stream: TcpStream, app: Router, limits: Limits, shutdown: Shutdown) {
    // Answers are small and complete: waiting for more to send only adds delay.
    let _ = stream.set_nodelay(true);
    let app = TowerToHyperService::new(app);
    let (first, mut asked) = watch::channel(false);
    let service = service_fn(move |request: Request<Incoming>| {
        first.send_replace(true);
        let answer = AssertUnwindSafe(app.call(request)).catch_unwind();
        async move {
            Ok::<Response<Body>, Infallible>(match answer.await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => {
                    log::error(format_args!("a request met a defect of this service and was answered 500"));
                    http::text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
                }
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    // A connection that breaks is the client's affair: nothing is left to answer.
    tokio::select! {
        _ = &mut connection => {}
        () = shutdown.requested() => {
            // Whose connection was taken a moment ago shall not be turned away for a request that is on its way.
            tokio::select! {
                _ = &mut connection => return,
                _ = asked.wait_for(|asked| *asked) => {}
                () = time::sleep(FIRST_REQUEST) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Tells the same trouble once in ten seconds.
#[derive(Default)]
struct Complaint(Option<Instant>);

impl Complaint {
    fn tell(&mut self, error: &std::io::Error) {
        if self.0.is_some_and(|last| last.elapsed() < Duration::from_secs(10)) {
            return;
        }
        self.0 = Some(Instant::now());
        log::error(format_args!("cannot take a connection: {error}; trying again"));
    }
}
