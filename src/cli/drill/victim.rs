//! `dogwatch drill-victim WORD…`, hidden: the programs of the drill's own services. Each misdeed has an end in time
//! or in number that it keeps by itself, whatever limits are in force.

use std::io::{Read, Write, stdout};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lines::line;
use crate::exit_code;
use crate::os::{clock, inherit, own};

/// The hidden command.
pub const COMMAND: &str = "drill-victim";
/// Whatever happens, none of these programs lives longer.
const LONGEST: Duration = Duration::from_secs(3600);
/// Threads that answer.
const ANSWERERS: usize = 4;
/// The server writes a line of its own this often, beside one for each request.
const TICK: Duration = Duration::from_millis(5);
/// Longest request, bytes.
const LONGEST_REQUEST: usize = 8192;
/// Written at once by those who write much, bytes.
const BATCH: usize = 1 << 16;
/// Width of their lines, bytes.
const WIDTH: usize = 100;
/// A flood comes in slices of this time.
const SLICE: Duration = Duration::from_millis(100);
/// Taken in one step by the one that leaks.
const LEAK_STEP_MIB: usize = 4;
/// Between two steps.
const LEAK_EVERY: Duration = Duration::from_millis(20);
/// The user that a bomb of root's forks as: the kernel limits the processes of everybody but root.
pub const NOBODY: u32 = 65534;
/// This program, also for a user who may not look into the folder where it is.
const ITSELF: &str = "/proc/self/exe";

/// Runs the program that the words name. Returns the exit code.
pub fn run(words: &[&str]) -> u8 {
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    match (words.first().copied(), number(1), number(2)) {
        (Some("serve"), ..) => serve(),
        (Some("hold"), ..) => hold(),
        (Some("crash"), ..) => return exit_code::FAILED,
        (Some("leak"), Some(most_mib), _) => leak(most_mib as usize),
        (Some("flood"), Some(seconds), Some(mib)) => flood(seconds, mib << 20),
        (Some("fill"), Some(kib), _) => fill(&mut 0, kib << 10),
        (Some("fork"), Some(count), Some(seconds)) => fork(count, seconds),
        (Some("fork-again"), Some(seconds), _) => fork_again(Duration::from_secs(seconds)),
        (Some("spin"), Some(seconds), _) => spin(Duration::from_secs(seconds)),
        _ => return exit_code::USAGE,
    }
    exit_code::OK
}

/// Does nothing until it is told to end.
fn hold() {
    let begin = Instant::now();
    while begin.elapsed() < LONGEST {
        std::thread::park_timeout(Duration::from_secs(60));
    }
}

/// Numbers lines. A line is written while its number is held: if standard output makes one wait, all wait, as in
/// many a real service.
#[derive(Debug, Default)]
struct Journal {
    next: Mutex<u64>,
}

impl Journal {
    /// Writes a line; returns how many there are now.
    fn write(&self, text: &str) -> u64 {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = line(*next, clock::now().unix_ms, text);
        // Shorter than PIPE_BUF, so never torn by the service itself.
        if stdout().lock().write_all(bytes.as_bytes()).and_then(|()| stdout().flush()).is_ok() {
            *next += 1;
        }
        *next
    }
}

/// Answers every request with the number of lines written so far, one for that request among them.
fn serve() {
    let Some(listener) = inherit::listeners().into_iter().next() else {
        return;
    };
    let journal = Journal::default();
    // Nobody to tell: then dogwatch says that it never became ready.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    std::thread::scope(|scope| {
        for _ in 0..ANSWERERS {
            scope.spawn(|| answer_all(&listener, &journal));
        }
        let begin = Instant::now();
        while begin.elapsed() < LONGEST {
            journal.write("tick");
            std::thread::park_timeout(TICK);
        }
    });
}

fn answer_all(listener: &TcpListener, journal: &Journal) {
    for connection in listener.incoming().flatten() {
        let _ = answer(connection, journal); // a client that went away wants no answer
    }
}

fn answer(mut connection: TcpStream, journal: &Journal) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < LONGEST_REQUEST {
        match connection.read(&mut piece)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
    let body = format!("{}\n", journal.write("request"));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: ";
    connection.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes())
}

/// Takes memory up to its end, touched, and keeps it.
fn leak(most_mib: usize) {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    while taken.len() * LEAK_STEP_MIB < most_mib {
        taken.push(vec![1; LEAK_STEP_MIB << 20]);
        std::thread::park_timeout(LEAK_EVERY);
    }
    hold();
    drop(taken);
}

/// Writes so many bytes of numbered lines over so many seconds: each tenth of a second its share at full speed.
fn flood(seconds: u64, bytes: u64) {
    let begin = Instant::now();
    let slices = u32::try_from(10 * seconds.max(1)).unwrap_or(u32::MAX);
    let mut number = 0;
    for slice in 1..=slices {
        fill(&mut number, bytes / u64::from(slices));
        let end = begin + SLICE * slice;
        while Instant::now() < end {
            std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
        }
    }
}

/// Writes so many bytes of numbered lines as fast as they are taken.
fn fill(number: &mut u64, bytes: u64) {
    let text = "x".repeat(WIDTH - "0000000000 0000000000000 \n".len());
    let mut written = 0;
    while written < bytes {
        let now = clock::now().unix_ms;
        let mut batch = String::with_capacity(BATCH);
        while batch.len() + WIDTH <= BATCH {
            batch += &line(*number, now, &text);
            *number += 1;
        }
        if stdout().lock().write_all(batch.as_bytes()).is_err() {
            return;
        }
        written += batch.len() as u64;
    }
}

/// Starts up to so many processes, says how many there came to be, and lets all of them fork at once. Where no limit
/// is in force there are twice as many, never more.
fn fork(count: u64, seconds: u64) {
    let Ok((wait, go)) = std::io::pipe() else { return };
    let child = || {
        let mut command = itself(&["fork-again", &seconds.to_string()]);
        if own::effective_uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.stdin(wait.try_clone()?).spawn()
    };
    let born = (0..count).filter_map(|_| child().ok()).count();
    println!("{born}");
    drop(go);
    hold();
}

/// From the end of standard input on starts one process after the other, each of which ends at once.
fn fork_again(most: Duration) {
    let _ = std::io::stdin().read(&mut [0]); // nobody writes: this is the end
    let begin = Instant::now();
    while begin.elapsed() < most {
        let child = itself(&["crash"]).stdin(Stdio::null()).spawn();
        let _ = child.and_then(|mut child| child.wait()); // none: the next attempt
    }
}

/// This program with other words; nobody hears it.
fn itself(words: &[&str]) -> Command {
    let mut command = Command::new(ITSELF);
    command.arg(COMMAND).args(words).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Keeps all processors busy.
fn spin(most: Duration) {
    let begin = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while begin.elapsed() < most {
                    std::hint::spin_loop();
                }
            });
        }
    });
    hold();
}
