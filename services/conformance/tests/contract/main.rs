//! The contract of the services, checked from outside: each test says in its first lines which sentence of
//! which section it shows. docs/conformance.md is the list of them ([`table`] writes it).
//!
//! `cargo test -p conformance` builds the services and runs them; `SERVICES_BIN=FOLDER` checks other programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod api;
mod database;
mod delivery;
mod events;
mod page;
mod privacy;
mod quarantine;
mod spool;
mod table;
mod view;
mod webhook;
mod websocket;
