//! Asking again and again, each time on a new connection, from a thread of its own, and before everybody else: nothing
//! that the drill or a fault does meanwhile makes an answer look slow.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::sample::{Miss, Sample};
use super::target::Target;
use crate::cli::client::{Broken, block_on, exchange};
use crate::cli::fail::{Failure, Outcome};
use crate::os::priority;

/// After so long without an answer a request has failed.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer, bytes: this is about answers, not about downloads.
const LONGEST: usize = 1 << 20;

/// Requests that are being made.
#[derive(Debug)]
pub struct Probe {
    samples: Arc<Mutex<Vec<Sample>>>,
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    first: bool,
}

impl Probe {
    /// Begins to ask, so many times a second. Times of samples count from `epoch`.
    ///
    /// # Errors
    /// No more threads.
    pub fn begin(target: &Target, per_second: u32, epoch: Instant) -> Outcome<Probe> {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let end = Arc::new(AtomicBool::new(false));
        let (shared, told, target) = (Arc::clone(&samples), Arc::clone(&end), target.clone());
        let (tell, told_first) = mpsc::channel();
        let thread = std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
            let _ = tell.send(priority::go_first()); // whoever waits for it waits until it is there
            // Without a runtime there are no samples, which is told as what it is: no request was made.
            let _ = block_on(ask(&target, per_second, epoch, &shared, &told));
        });
        let thread =
            thread.map_err(|error| Failure::failed(format!("cannot start asking the service: {error}")))?;
        let first = told_first.recv().unwrap_or(false);
        Ok(Probe { samples, end, thread, first })
    }

    /// Whether it goes before all others: then no answer was late because it was the asker who had to wait.
    pub fn goes_first(&self) -> bool {
        self.first
    }

    /// How many requests are over, and how many of them failed.
    pub fn so_far(&self) -> (usize, usize) {
        let samples = lock(&self.samples);
        (samples.len(), samples.iter().filter(|sample| sample.miss.is_some()).count())
    }

    /// Begins no more requests, waits for those that are under way, and returns all in the order of their begin.
    pub fn finish(self) -> Vec<Sample> {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.thread.join(); // one that panicked leaves what it had
        let mut samples = std::mem::take(&mut *lock(&self.samples));
        samples.sort_by_key(|sample| sample.at);
        samples
    }
}

/// No code that holds the samples can panic in the middle of a change.
fn lock(samples: &Mutex<Vec<Sample>>) -> MutexGuard<'_, Vec<Sample>> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask(
    target: &Target,
    per_second: u32,
    epoch: Instant,
    samples: &Mutex<Vec<Sample>>,
    end: &AtomicBool,
) {
    let mut clock = interval(Duration::from_secs(1) / per_second.max(1));
    // A machine that was too busy to ask must not ask many at once afterwards.
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    while !end.load(Ordering::Relaxed) {
        tokio::select! {
            _ = clock.tick() => {
                let target = target.clone();
                under_way.spawn(async move { one(&target, epoch).await });
            }
            Some(sample) = under_way.join_next() => lock(samples).extend(sample),
        }
    }
    while let Some(sample) = under_way.join_next().await {
        lock(samples).extend(sample);
    }
}

async fn one(target: &Target, epoch: Instant) -> Sample {
    let begin = Instant::now();
    let miss = match timeout(TIMEOUT, get(target)).await {
        Ok(Ok((status, _))) if status.is_success() || status.is_redirection() => None,
        Ok(Ok((status, _))) => Some(Miss::Status(status.as_u16())),
        Ok(Err(miss)) => Some(miss),
        Err(_) => Some(Miss::TimedOut),
    };
    Sample { at: begin.duration_since(epoch), took: begin.elapsed(), miss }
}

async fn get(target: &Target) -> Result<(StatusCode, Bytes), Miss> {
    let stream = TcpStream::connect(target.address).await.map_err(|error| of_io(&error))?;
    let request = Request::builder()
        .uri(&target.path)
        .header("host", target.address.to_string())
        .header("connection", "close")
        .header("user-agent", concat!("dogwatch-drill/", env!("CARGO_PKG_VERSION")))
        .body(Full::default())
        .map_err(|_| Miss::NoHttp)?; // the path was part of a URL that was read before
    exchange(stream, request, LONGEST).await.map_err(|error| of_http(&error))
}

/// One request, outside of the count. The text of a good answer.
///
/// # Errors
/// Why there is none.
pub fn once(target: &Target) -> Result<String, Miss> {
    let asked = block_on(async { timeout(TIMEOUT, get(target)).await.unwrap_or(Err(Miss::TimedOut)) });
    match asked.map_err(|_| Miss::Failed(libc::EMFILE))?? {
        (status, body) if status.is_success() || status.is_redirection() => {
            Ok(String::from_utf8_lossy(&body).into_owned())
        }
        (status, _) => Err(Miss::Status(status.as_u16())),
    }
}

fn of_io(error: &io::Error) -> Miss {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Miss::Refused,
        io::ErrorKind::TimedOut => Miss::TimedOut,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Miss::Cut,
        _ => error.raw_os_error().map_or(Miss::Cut, Miss::Failed),
    }
}

fn of_http(error: &Broken) -> Miss {
    if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
        return Miss::NoHttp;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return of_io(error);
        }
        cause = error.source();
    }
    Miss::Cut // the connection ended before the answer did
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers each connection with the next of these, then hangs up.
    fn server(answers: &'static [&'static str]) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut connection, _) = listener.accept().unwrap();
                let _ = connection.read(&mut [0; 1024]).unwrap();
                connection.write_all(answer.as_bytes()).unwrap();
            }
        });
        Target { address, path: "/".to_owned() }
    }

    #[test]
    fn every_kind_of_answer_is_told_from_the_others() {
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi";
        let bad = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
        let target = server(Box::leak(Box::new([good, bad, "220 mail\r\n", "", half])));
        assert_eq!(once(&target), Ok("hi".to_owned()));
        assert_eq!(once(&target), Err(Miss::Status(503)));
        assert_eq!(once(&target), Err(Miss::NoHttp));
        assert_eq!(once(&target), Err(Miss::Cut));
        assert_eq!(once(&target), Err(Miss::Cut), "half an answer is none");
        let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(once(&Target { address: refused, path: "/".to_owned() }), Err(Miss::Refused));
    }

    #[test]
    fn asks_until_told_to_end() {
        let target = server(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"; 1000]);
        let probe = Probe::begin(&target, 500, Instant::now()).unwrap();
        while probe.so_far().0 < 5 {
            std::thread::yield_now();
        }
        let samples = probe.finish();
        assert!(samples.len() >= 5 && samples.iter().all(|sample| sample.miss.is_none()), "{samples:?}");
    }
}
