//! One event, one line: to stdout what happened, to stderr what went wrong.
//!
//! Lines go through a bounded queue to a thread of their own, so that a reader of our output that
//! stands still never makes a request wait. What does not fit is dropped, counted, and told later.
//! Time stamps are the supervisor's work. Tokens, message texts and whole phone numbers never get
//! here: callers pass [masked](crate::mask()) values.

use std::fmt::Arguments;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

const QUEUE_LINES: usize = 1024;
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Entry {
    Out(String),
    Err(String),
    Flush(SyncSender<()>),
}

/// Writes one line to stdout.
pub fn info(message: Arguments<'_>) {
    send(Entry::Out(one_line(message)));
}

/// Writes one line to stderr.
pub fn error(message: Arguments<'_>) {
    send(Entry::Err(one_line(message)));
}

/// Waits, for a second at most, until everything sent so far is written.
pub fn flush() {
    let (done, written) = sync_channel(1);
    send(Entry::Flush(done));
    // A reader that stands still costs its lines, never our exit.
    let _ = written.recv_timeout(FLUSH_LIMIT);
}

fn send(entry: Entry) {
    let queue = QUEUE.get_or_init(start);
    if queue.try_send(entry).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn start() -> SyncSender<Entry> {
    let (queue, entries) = sync_channel(QUEUE_LINES);
    // Without a thread the lines are dropped and counted: logging is never a reason to fail.
    let _ =
        std::thread::Builder::new().name("log".into()).stack_size(128 * 1024).spawn(move || write(&entries));
    queue
}

fn write(entries: &Receiver<Entry>) {
    for entry in entries {
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let _ = writeln!(
                std::io::stderr(),
                "{dropped} log lines dropped: the reader of the log was too slow"
            );
        }
        // Nobody is left to tell when our own output is gone.
        match entry {
            Entry::Out(line) => drop(std::io::stdout().write_all(line.as_bytes())),
            Entry::Err(line) => drop(std::io::stderr().write_all(line.as_bytes())),
            Entry::Flush(done) => {
                let _ = std::io::stdout().flush();
                let _ = done.send(());
            }
        }
    }
}

/// The message as exactly one line: what would break it, or a terminal, is shown escaped.
fn one_line(message: Arguments<'_>) -> String {
    let text = message.to_string();
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(one_line(format_args!("a\nb\x1b[0m")), "a\\nb\\u{1b}[0m\n");
    }
}
