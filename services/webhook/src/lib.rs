//! The webhook: takes what the messaging platform reports and answers at once.
//!
//! Nothing else of the system needs to work for that. A request passes these steps, in this order:
//!
//! 1. `routes`: path and method
//! 2. `receive`: size, time, signature over the raw bytes, JSON; from here on the answer is 200
//! 3. `payload`: every message and status in it, whatever else is broken
//! 4. `entries`: what is to be written, handed to the [`events::Logger`], which never waits and knows what was here
//!    before: the platform repeats itself
//! 5. `delivery`: whoever asked for content, and may, is sent it, by tasks of their own
//!
//! What is sent stands in `content`, who may ask in `recipients`, how the platform is spoken to in `graph`.

mod config;
mod content;
mod delivery;
mod entries;
mod graph;
mod health;
mod payload;
mod receive;
mod recipients;
mod routes;
mod service;
pub mod signature;

pub use config::ABOUT;
pub use service::serve;
