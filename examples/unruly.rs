//! A service that misbehaves on request, for the tests. Its words are done one after the other; `number`, `timed`
//! and `serve` go on beside what follows.
//!
//! ```text
//! ready            say READY=1 on NOTIFY_SOCKET
//! number MS LINES  for ever: LINES numbered lines at once, then a pause of MS milliseconds
//! count MS LINES   as number, but each line begins with the number of the run; after SIGTERM it goes on for a
//!                  third of a second, says "RUN end" and ends with code 0
//! timed FILE MS LINES  as number; FILE says how many lines there were, and how long the longest write took (ms)
//! serve            answer every connection on descriptor 3 with "PID RUN\n"
//! say TEXT         print a line        | shout TEXT     the same on standard error
//! half TEXT        print without an end of line
//! binary           print bytes that are no UTF-8
//! burst N WIDTH    print N numbered lines of WIDTH bytes
//! endless MIB      print MIB mebibytes without an end of line
//! leak MIB         keep MIB mebibytes more, touched
//! grow MIB MS      for ever: leak MIB each MS milliseconds
//! bomb COUNT       try to have COUNT processes more, say how many there came to be
//! spin             use a whole processor for ever
//! escape           leave a grandchild in a session of its own
//! stubborn         ignore SIGTERM
//! whole            after SIGTERM: print the lines of `number` that are begun to their end, then end with code 0
//! farewell MS TEXT after SIGTERM: wait, print a line, end with code 0
//! env NAME         print the variable
//! pause MS         do nothing for a while
//! while FILE       do nothing as long as there is this file
//! hang             do nothing for ever
//! exit CODE        end with that code  | crash          end by SIGABRT
//! ```

use std::io::{Write, stderr, stdout};
use std::net::TcpListener;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let mut words = std::env::args().skip(1);
    let mut leaked: Vec<Vec<u8>> = Vec::new();
    while let Some(word) = words.next() {
        let mut text = || words.next().expect("the word needs another one after it");
        match word.as_str() {
            "ready" => say_ready(),
            "number" => {
                let (pause, lines) = (number(&text()), number(&text()));
                thread::spawn(move || count_for_ever(pause, lines));
            }
            "count" => {
                let (pause, lines) = (number(&text()), number(&text()));
                end_between_batches();
                thread::spawn(move || count_run(pause, lines));
            }
            "timed" => {
                let (file, pause, lines) = (text(), number(&text()), number(&text()));
                thread::spawn(move || count_and_time(&file, pause, lines));
            }
            "serve" => {
                thread::spawn(serve);
            }
            "say" => println!("{}", text()),
            "shout" => eprintln!("{}", text()),
            "half" => print_all(text().as_bytes()),
            "binary" => print_all(&[b'a', 0xff, 0xfe, 0, b'b', b'\n']),
            "burst" => burst(number(&text()), number(&text()) as usize),
            "endless" => (0..number(&text())).for_each(|_| print_all(&[b'e'; 1 << 20])),
            "leak" => leaked.push(vec![1; (number(&text()) as usize) << 20]),
            "grow" => {
                let (mib, pause) = (number(&text()), number(&text()));
                loop {
                    leaked.push(vec![1; (mib as usize) << 20]);
                    wait(pause);
                }
            }
            "bomb" => {
                let count = number(&text());
                let born = (0..count).filter(|_| sleeper().is_ok()).count();
                println!("{born} of {count} processes");
            }
            "spin" => loop {
                std::hint::spin_loop();
            },
            "escape" => {
                // -f: setsid itself ends, so that the grandchild is nobody's.
                let done = Command::new("setsid").args(["-f", "sleep", "1000"]).stdin(Stdio::null()).status();
                done.expect("setsid is part of util-linux");
            }
            "stubborn" => ignore_term(),
            "whole" => end_between_batches(),
            "farewell" => {
                let pause = number(&text());
                take_leave(pause, text());
            }
            "env" => println!("{}", std::env::var(text()).unwrap_or_default()),
            "while" => {
                let file = text();
                while std::path::Path::new(&file).exists() {
                    wait(5);
                }
            }
            "pause" => wait(number(&text())),
            "hang" => loop {
                wait(1000);
            },
            "exit" => quit(number(&text()) as i32),
            "crash" => std::process::abort(),
            other => panic!("unknown word {other}"),
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("the word after this one is a number")
}

#[expect(clippy::disallowed_methods, reason = "this program has nothing to wait for")]
fn wait(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

#[expect(clippy::disallowed_methods, reason = "ending with a code is what this program is for")]
fn quit(code: i32) {
    std::process::exit(code);
}

fn print_all(bytes: &[u8]) {
    let mut out = stdout();
    out.write_all(bytes).and_then(|()| out.flush()).expect("standard output takes what is written");
}

/// A process that does nothing for some minutes.
fn sleeper() -> std::io::Result<std::process::Child> {
    Command::new("sleep").arg("600").stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

fn say_ready() {
    let path = std::env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET is set");
    let socket = UnixDatagram::unbound().expect("a socket can be made");
    socket.send_to(b"READY=1", path).expect("the notify socket takes the message");
}

fn numbered(n: u64, width: usize) -> Vec<u8> {
    let mut line = format!("{n:010} ").into_bytes();
    line.resize(width.max(12) - 1, b'x');
    line.push(b'\n');
    line
}

fn count_for_ever(pause: u64, lines: u64) {
    let mut n = 0;
    loop {
        let batch: Vec<u8> = (n..n + lines).flat_map(|n| numbered(n, 50)).collect();
        print_all(&batch);
        end_if_told();
        n += lines;
        wait(pause);
    }
}

fn count_run(pause: u64, lines: u64) {
    let run = std::env::var("DOGWATCH_RUN").expect("DOGWATCH_RUN is set");
    let (mut n, mut end) = (0, None);
    loop {
        let batch: String = (n..n + lines).map(|n| format!("{run} {n:010} {}\n", "x".repeat(80))).collect();
        print_all(batch.as_bytes());
        n += lines;
        if TOLD.load(Ordering::Relaxed)
            && Instant::now() >= *end.get_or_insert_with(|| Instant::now() + Duration::from_millis(333))
        {
            print_all(format!("{run} end\n").as_bytes());
            quit(0);
        }
        wait(pause);
    }
}

fn count_and_time(file: &str, pause: u64, lines: u64) {
    let mut longest = 0;
    for n in 0.. {
        let first = n * lines;
        let batch: Vec<u8> = (first..first + lines).flat_map(|n| numbered(n, 50)).collect();
        let begin = Instant::now();
        print_all(&batch);
        longest = begin.elapsed().as_millis().max(longest);
        let said = std::fs::write(format!("{file}.new"), format!("{} {longest}", first + lines));
        said.and_then(|()| std::fs::rename(format!("{file}.new"), file)).expect("the file can be written");
        end_if_told();
        wait(pause);
    }
}

fn burst(lines: u64, width: usize) {
    let mut n = 0;
    while n < lines {
        let end = lines.min(n + 1000);
        print_all(&(n..end).flat_map(|n| numbered(n, width)).collect::<Vec<u8>>());
        n = end;
    }
}

#[expect(unsafe_code, reason = "the socket is inherited by number")]
fn serve() {
    // SAFETY: LISTEN_FDS says that descriptor 3 is a socket for us, and nothing else here uses it.
    let listener = unsafe { TcpListener::from_raw_fd(3) };
    let answer = format!("{} {}\n", std::process::id(), std::env::var("DOGWATCH_RUN").unwrap_or_default());
    for connection in listener.incoming() {
        match connection {
            Ok(mut connection) => {
                let _ = connection.write_all(answer.as_bytes());
            }
            Err(error) => {
                let _ = writeln!(stderr(), "accept: {error}");
            }
        }
    }
}

#[expect(unsafe_code, reason = "std cannot ignore a signal")]
fn ignore_term() {
    // SAFETY: SIG_IGN is no handler: nothing runs when the signal comes.
    unsafe {
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
    }
}

/// SIGTERM has come, and is to be obeyed between two batches.
static TOLD: AtomicBool = AtomicBool::new(false);

fn end_between_batches() {
    extern "C" fn told(_signal: libc::c_int) {
        TOLD.store(true, Ordering::Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = told;
    #[expect(unsafe_code, reason = "std cannot handle a signal")]
    // SAFETY: the handler only stores into an atomic, which is async-signal-safe.
    unsafe {
        libc::signal(libc::SIGTERM, handler as libc::sighandler_t);
    }
}

fn end_if_told() {
    if TOLD.load(Ordering::Relaxed) {
        quit(0);
    }
}

/// Milliseconds, and the line.
static FAREWELL: OnceLock<(u64, String)> = OnceLock::new();

fn take_leave(pause: u64, text: String) {
    FAREWELL.set((pause, text + "\n")).expect("there is one farewell");
    let handler: extern "C" fn(libc::c_int) = on_term;
    #[expect(unsafe_code, reason = "std cannot handle a signal")]
    // SAFETY: the handler calls only nanosleep, write and _exit, which are async-signal-safe, and reads what was
    // set before it was installed.
    unsafe {
        libc::signal(libc::SIGTERM, handler as libc::sighandler_t);
    }
}

extern "C" fn on_term(_signal: libc::c_int) {
    let Some((pause, text)) = FAREWELL.get() else { return };
    let time = libc::timespec {
        tv_sec: (pause / 1000) as libc::time_t,
        tv_nsec: (pause % 1000 * 1_000_000) as libc::c_long,
    };
    #[expect(unsafe_code, reason = "a signal handler may call only what is async-signal-safe")]
    // SAFETY: the pointers are those of values that live through the calls.
    unsafe {
        libc::nanosleep(&raw const time, std::ptr::null_mut());
        libc::write(1, text.as_ptr().cast(), text.len());
        libc::_exit(0);
    }
}
