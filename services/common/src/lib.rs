//! What the supervised services share, so that each of them is only its own work.
//!
//! A service is one process, one thread of tokio, one listening socket. It starts in this order:
//! read the whole configuration ([`Env`]: every mistake is reported at once), take the socket
//! ([`Listener`]: inherited from the supervisor, else bound), then serve it ([`serve`]) until
//! SIGTERM or SIGINT ([`Shutdown`]). Readiness and the beginning of the end are told to the supervisor.
//!
//! Nothing here knows what a service does.

mod accept;
pub mod args;
pub mod clock;
mod env;
pub mod guard;
pub mod http;
mod listener;
pub mod log;
mod mask;
pub mod query;
mod runtime;
mod secret;
mod shutdown;
pub mod supervisor;

pub use accept::{Limits, serve};
pub use env::{ConfigError, Env};
pub use listener::{ListenError, Listener};
pub use mask::mask;
pub use runtime::{About, main};
pub use secret::Secret;
pub use shutdown::Shutdown;
