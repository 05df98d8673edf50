//! The tools of the conformance kit: what stands around the services while their contract is checked.
//!
//! The services are processes in folders of their own; the kit knows them by their sockets, files, signals and
//! variables only, so that other programs can be put in their place (`SERVICES_BIN`, see [`binaries`]).
//!
//! | module | stands for |
//! |---|---|
//! | [`place`], [`process`] | the machine: a folder, and a service that runs in it |
//! | [`platform`], [`graph`] | WhatsApp: who posts to the webhook, and who takes its deliveries |
//! | [`socket`] | a dashboard on the WebSocket, able to break every rule of the protocol |
//! | [`old`] | the system that was replaced: its database, its statements |
//! | [`recorded`] | its answers, and whether ours look the same |

pub mod binaries;
pub mod graph;
pub mod old;
pub mod place;
pub mod platform;
pub mod process;
pub mod recorded;
pub mod socket;

pub use place::Place;
pub use process::{Service, Start};
pub use service_testing::{Answer, LIMIT, eventually};
pub use socket::Client;

use std::time::{Duration, Instant};

/// Lets a time pass that the contract names. Everything else waits for a condition.
pub fn pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}
