//! What the supervisor says about all services, for a service that it lets look.
//!
//! dogwatch hands a service with `dogwatch_access = "view"` a socket and names its number in `DOGWATCH_STATUS_FD`
//! (docs/api.md). On it a question is asked at most once a second, however many ask here: they share the answer.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{SockType, getsockopt, sockopt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::UnixDatagram;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};

const VARIABLE: &str = "DOGWATCH_STATUS_FD";
/// Below it are standard input, output and error.
const FIRST_INHERITED: RawFd = 3;
/// Between two questions; answers are shared until then.
const PACE: Duration = Duration::from_secs(1);
/// A supervisor that was replaced may have taken a question with it: then it is asked again, once.
const PATIENCE: Duration = Duration::from_millis(1500);
const ATTEMPTS: u32 = 2;
/// Longest packet, bytes.
const LONGEST: usize = 32 * 1024;

/// All services, as the supervisor sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Services {
    /// One object each, in the supervisor's order.
    pub services: Vec<Value>,
    /// The machine; null if the supervisor does not say.
    pub system: Value,
}

/// Why the supervisor could not be asked, in a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Not under dogwatch, or not allowed to look.
    #[error(
        "this service cannot ask dogwatch how the services are: it was not started by dogwatch, or not with dogwatch_access = \"view\" in its entry"
    )]
    NotGiven,
    /// The variable names something else.
    #[error(
        "this service cannot ask dogwatch how the services are: DOGWATCH_STATUS_FD does not name a socket of dogwatch; it is set by dogwatch alone, remove it from the configuration"
    )]
    NoSocket,
    /// No answer in time.
    #[error("dogwatch does not answer at this moment; try again in some seconds, or see: dogwatch status")]
    Silent,
    /// The other end is closed for good.
    #[error("dogwatch has closed the socket on which it was asked; restart this service to get a new one")]
    Gone,
    /// It does not understand the question.
    #[error("dogwatch refuses the question: {0}; this service and dogwatch may be of different versions")]
    Refused(String),
}

/// The socket that was inherited, or why there is none.
#[derive(Debug)]
pub struct Inherited(Result<StdUnixDatagram, Unreachable>);

impl Inherited {
    /// Takes the socket that the environment names; programs that this one starts see neither the socket nor its
    /// number. Call it once, first thing in `main`.
    #[must_use]
    pub fn take() -> Self {
        let Some(number) = std::env::var_os(VARIABLE) else { return Self(Err(Unreachable::NotGiven)) };
        forget_variable();
        let number = number.to_str().and_then(|number| number.parse().ok());
        let socket = number.filter(|number| *number >= FIRST_INHERITED).and_then(claim);
        Self(socket.map(StdUnixDatagram::from).ok_or(Unreachable::NoSocket))
    }
}

/// The socket with this number, closed on exec; none if there is no such socket.
fn claim(number: RawFd) -> Option<OwnedFd> {
    // What is not open cannot be asked what it is.
    std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).ok()?;
    #[expect(unsafe_code, reason = "the protocol hands over a bare number")]
    // SAFETY: the descriptor is open, as was just seen; this runs first thing in `main`, so nobody else has closed it
    // since or owns it. One that turns out to be another thing is let go without being closed.
    let inherited = unsafe { OwnedFd::from_raw_fd(number) };
    if getsockopt(&inherited, sockopt::SockType) != Ok(SockType::SeqPacket) {
        let _ = inherited.into_raw_fd();
        return None;
    }
    // The duplicate is closed on exec; the inherited one is closed now.
    inherited.as_fd().try_clone_to_owned().ok()
}

/// Removes the variable, unless other threads may be reading the environment.
fn forget_variable() {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads == 1 {
        #[expect(unsafe_code, reason = "changing the environment is unsafe beside other threads")]
        // SAFETY: this is the only thread, and it starts none meanwhile.
        unsafe {
            std::env::remove_var(VARIABLE);
        }
    }
}

/// The supervisor, to be asked.
#[derive(Debug)]
pub struct Supervisor {
    socket: Result<UnixDatagram, Unreachable>,
    /// Who asks holds it until the answer is there; the others wait and take it.
    last: Mutex<Last>,
}

/// The last question.
#[derive(Debug, Default)]
struct Last {
    id: u64,
    asked: Option<Instant>,
    /// None: who asked went away before it was there.
    answer: Option<Result<Arc<Services>, Unreachable>>,
}

impl Supervisor {
    /// To be asked on this socket.
    ///
    /// # Errors
    /// When the event loop cannot watch it.
    pub fn new(inherited: Inherited) -> io::Result<Self> {
        let socket = match inherited.0 {
            Ok(socket) => {
                socket.set_nonblocking(true)?;
                Ok(UnixDatagram::from_std(socket)?)
            }
            Err(why) => Err(why),
        };
        Ok(Self { socket, last: Mutex::default() })
    }

    /// How all services are: as of now, or as of less than a second ago.
    ///
    /// # Errors
    /// Why the supervisor could not be asked.
    pub async fn services(&self) -> Result<Arc<Services>, Unreachable> {
        let socket = self.socket.as_ref().map_err(Clone::clone)?;
        let mut last = self.last.lock().await;
        if let Some(asked) = last.asked
            && asked.elapsed() < PACE
        {
            if let Some(answer) = &last.answer {
                return answer.clone();
            }
            sleep_until(asked + PACE).await;
        }
        last.answer = None;
        let answer = ask(socket, &mut last).await.map(Arc::new);
        last.answer = Some(answer.clone());
        answer
    }
}

async fn ask(socket: &UnixDatagram, last: &mut Last) -> Result<Services, Unreachable> {
    for _ in 0..ATTEMPTS {
        last.id += 1;
        let now = Instant::now();
        last.asked = Some(now);
        match timeout_at(now + PATIENCE, exchange(socket, last.id)).await {
            Ok(answer) => {
                if answer == Err(Unreachable::Gone) {
                    // Nothing of it is left to be read or said.
                    let _ = socket.shutdown(Shutdown::Both);
                }
                return answer;
            }
            Err(_) => continue,
        }
    }
    Err(Unreachable::Silent)
}

/// One packet of an answer.
#[derive(Debug, Deserialize)]
struct Page {
    id: Option<u64>,
    #[serde(default)]
    page: usize,
    #[serde(default)]
    pages: usize,
    #[serde(default)]
    services: Vec<Value>,
    #[serde(default)]
    system: Value,
    error: Option<String>,
}

/// Asks, and puts the pages of the answer together. Late answers to other questions are passed over.
async fn exchange(socket: &UnixDatagram, id: u64) -> Result<Services, Unreachable> {
    let question = json!({"v": 1, "id": id, "get": "services"}).to_string();
    socket.send(question.as_bytes()).await.map_err(|_| Unreachable::Gone)?;
    let mut packet = vec![0; LONGEST];
    let mut all = Services { services: Vec::new(), system: Value::Null };
    let mut next = 1;
    loop {
        let length = match socket.recv(&mut packet).await {
            Ok(0) | Err(_) => return Err(Unreachable::Gone),
            Ok(length) => length,
        };
        let Ok(page) = serde_json::from_slice::<Page>(&packet[..length]) else { continue };
        if page.id != Some(id) {
            continue;
        }
        if let Some(error) = page.error {
            return Err(Unreachable::Refused(error));
        }
        if page.page != next {
            continue; // a page is missing: the time-out ends it
        }
        next += 1;
        all.services.extend(page.services);
        if !page.system.is_null() {
            all.system = page.system;
        }
        if page.page == page.pages {
            return Ok(all);
        }
    }
}
