//! The program `websocket`: the service websocket-server.
//!
//! It pushes every new row of the events database to those who watch. The database is the only truth:
//! one thread (`hub`) looks at it, fifty times a second while somebody watches, and knows everybody
//! who does; joining, subscribing and delivering happen there one after the other, which is why no
//! row is missed and none comes twice. Each connection (`client`) is a small task that carries frames
//! from its bounded queue (`mailbox`) to its socket.

mod channels;
mod client;
mod config;
mod delivered;
mod feed;
mod frames;
mod handshake;
mod hub;
mod mailbox;
mod rate;
mod request;
mod service;

use std::process::ExitCode;

fn main() -> ExitCode {
    service_common::main(&config::ABOUT, service::serve)
}
