//! The doors of the API: a unix socket for those who may do all, loopback TCP for those who may look.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::api;
use super::plane::{Ending, Plane};
use super::say::say;
use crate::os::{own, port, socket, unix};
use crate::wire::environment::{REQUESTS_FD, TCP_FD};

/// A client has this long to send the head of its request (axum::serve would wait for ever).
const HEAD: Duration = Duration::from_secs(10);
/// Connections at once, on each door. The next one waits.
pub const CONNECTIONS: u32 = 64;
/// When the control plane ends, requests under way have this long.
pub const LAST_CALL: Duration = Duration::from_secs(1);
/// When it becomes another program they have longer: whoever comes meanwhile only waits.
pub const LONG_CALL: Duration = Duration::from_secs(5);
/// Buffer of one connection, bytes; bodies are small.
const BUFFER: usize = 16 * 1024;

/// The unix socket: the one that this process had as another program, else a new one.
///
/// # Errors
/// Those of bind(2).
pub fn open_unix(plane: &Plane) -> io::Result<UnixListener> {
    let path = plane.paths.control_sock();
    let listener = match plane.door(REQUESTS_FD).filter(|_| path.exists()) {
        Some(fd) => UnixListener::from_std(waiting_for_nobody(fd)?.into())?,
        None => bind_unix(&path)?,
    };
    plane.keep_door(REQUESTS_FD, listener.as_fd().try_clone_to_owned()?);
    Ok(listener)
}

/// tokio's sockets never wait in the kernel.
fn waiting_for_nobody(fd: OwnedFd) -> io::Result<OwnedFd> {
    let listener = std::net::TcpListener::from(fd); // of any family: only the flag of the descriptor is touched
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}

/// Makes the unix socket, mode 0600 by the umask, in place of a dead one's. Only the holder of the control
/// lock may call this.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (_folder, short) = unix::short_path(path)?;
    UnixListener::bind(short)
}

/// Serves the unix socket, for ever.
pub async fn unix(plane: Arc<Plane>, listener: UnixListener, places: Arc<Semaphore>) {
    let router = api::full(&plane);
    let stranger = api::for_strangers();
    let own_uid = own::effective_uid();
    let mut told = false;
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                told = false;
                let uid = stream.peer_cred().map(|peer| peer.uid());
                let trusted = uid.is_ok_and(|uid| uid == 0 || uid == own_uid);
                let router = if trusted { router.clone() } else { stranger.clone() };
                tokio::spawn(connection(Arc::clone(&plane), stream, router, place));
            }
            Err(error) => pause_after(&error, &mut told).await,
        }
    }
}

/// Serves the TCP socket, for ever.
pub async fn tcp(plane: Arc<Plane>, listener: TcpListener, places: Arc<Semaphore>) {
    let router = api::read_only(&plane);
    let mut told = false;
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                told = false;
                tokio::spawn(connection(Arc::clone(&plane), stream, router.clone(), place));
            }
            Err(error) => pause_after(&error, &mut told).await,
        }
    }
}

/// The TCP socket: the one that this process had as another program, if it is for that address, else a new one.
///
/// # Errors
/// As [`bind_tcp`].
pub async fn open_tcp(plane: &Plane, address: SocketAddr) -> Result<TcpListener, String> {
    let kept = plane.door(TCP_FD).filter(|fd| socket::address_of(fd.as_fd()) == Some(address));
    let kept = kept.and_then(|fd| TcpListener::from_std(waiting_for_nobody(fd).ok()?.into()).ok());
    let listener = match kept {
        Some(listener) => listener,
        None => {
            plane.doors().remove(TCP_FD); // of another address: it would be in nobody's hands
            bind_tcp(address).await?
        }
    };
    if let Ok(fd) = listener.as_fd().try_clone_to_owned() {
        plane.keep_door(TCP_FD, fd);
    }
    Ok(listener)
}

/// Listens on a loopback address.
///
/// # Errors
/// A sentence: not a loopback address, or those of bind(2).
async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, String> {
    if !address.ip().is_loopback() {
        return Err(format!("{address} is not a loopback address: the API is not served on TCP"));
    }
    TcpListener::bind(address).await.map_err(|error| {
        let why = match port::holder(address).filter(|_| error.kind() == io::ErrorKind::AddrInUse) {
            Some(who) => format!("port {} is held by {who}", address.port()),
            None => error.to_string(),
        };
        format!(
            "the API is not served on {address}: {why}\n  choose another address for `listen` in [dogwatch]"
        )
    })
}

/// Too many open files, for instance: the waiting client stays in the queue meanwhile. Told once, until one was accepted.
async fn pause_after(error: &io::Error, told: &mut bool) {
    if !std::mem::replace(told, true) {
        say(format_args!("cannot accept a connection to the API: {error}; it waits"));
    }
    sleep(Duration::from_millis(100)).await;
}

async fn connection(
    plane: Arc<Plane>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    place: OwnedSemaphorePermit,
) {
    let mut ending = plane.ending();
    let (begun, router) = (Notify::new(), TowerToHyperService::new(router));
    let service = service_fn(|request| {
        begun.notify_one();
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let over = async {
        let last = |now: &Option<Ending>| matches!(now, Some(Ending::Alone | Ending::Exec | Ending::Down));
        // The answer borrows the channel and must not live across an await.
        drop(ending.wait_for(last).await);
    };
    tokio::select! {
        // A client that went away or spoke nonsense is no event worth telling.
        _ = &mut serving => {}
        () = over => {
            // Who has connected gets an answer; how long that may take, decides who ends the runtime. hyper would
            // close a connection on which nothing has come yet, although the request may be on its way.
            tokio::select! {
                _ = &mut serving => {}
                () = begun.notified() => {
                    serving.as_mut().graceful_shutdown();
                    let _ = serving.await;
                }
            }
        }
    }
    drop(place);
}
