//! How far a job is, in one line of a terminal that is gone when the job ends.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use events::upkeep::Progress;

/// Nobody needs to be told what takes less.
const PATIENCE: Duration = Duration::from_secs(1);
const REDRAW: Duration = Duration::from_millis(200);
const WIDTH: u64 = 24;

/// The line on standard error; none where nobody would see it.
pub struct Bar(Option<Drawn>);

struct Drawn {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    stage: String,
    done: u64,
    all: u64,
    ended: bool,
}

impl Bar {
    /// Starts to draw after a second, if standard error is a terminal.
    pub fn start() -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let shared = Arc::new(Shared::default());
        let drawn = Arc::clone(&shared);
        // Without a thread the job is done all the same.
        let thread = std::thread::Builder::new().name("progress".into()).spawn(move || drawn.draw()).ok();
        Self(Some(Drawn { shared, thread }))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        if let Some(drawn) = &self.0 {
            change(&mut drawn.shared.state.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Progress for Bar {
    fn stage(&self, what: &str) {
        self.change(|state| *state = State { stage: what.to_owned(), ..State::default() });
    }

    fn at(&self, done: u64, all: u64) {
        self.change(|state| (state.done, state.all) = (done, all));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.change(|state| state.ended = true);
        if let Some(drawn) = &mut self.0 {
            drawn.shared.ended.notify_all();
            // A thread that panicked has stopped drawing, too.
            let _ = drawn.thread.take().map(JoinHandle::join);
        }
    }
}

impl Shared {
    fn draw(&self) {
        let start = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.ended {
            let pause = if start.elapsed() < PATIENCE { PATIENCE } else { REDRAW };
            (state, _) = self.ended.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner);
            if !state.ended && start.elapsed() >= PATIENCE {
                let _ = write!(io::stderr(), "\r\x1b[K{}", line(&state, start.elapsed()));
            }
        }
        if start.elapsed() >= PATIENCE {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(state: &State, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if state.all == 0 {
        return format!("{} … {seconds} s", state.stage);
    }
    let done = state.done.min(state.all);
    let part =
        |of: u64| usize::try_from(u128::from(done) * u128::from(of) / u128::from(state.all)).unwrap_or(0);
    let full = part(WIDTH);
    let empty = usize::try_from(WIDTH).unwrap_or(0) - full;
    format!("{} [{}{}] {} % {seconds} s", state.stage, "#".repeat(full), "-".repeat(empty), part(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_without_a_count_has_no_bar() {
        let mut state = State { stage: "copying".into(), ..State::default() };
        assert_eq!(line(&state, Duration::from_secs(2)), "copying … 2 s");
        (state.done, state.all) = (1, 2);
        assert_eq!(line(&state, Duration::from_secs(2)), "copying [############------------] 50 % 2 s");
    }
}
