//! For the tests of the services: start the real program in a folder of its own, ask it over its
//! socket, end it with a signal. Waiting is always for a condition, with one generous limit.

mod address;
mod answer;
mod program;

pub use address::{free_address, is_free};
pub use answer::{Answer, request};
pub use program::{Program, Running};

use std::time::{Duration, Instant};

/// How long anything may take on the busiest machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits until the condition holds.
///
/// # Panics
/// When it does not within [`LIMIT`].
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
