//! dogwatch from outside: the real binary, real processes, real files, real signals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod harness;

mod attributes;
mod burst;
mod chaos;
mod cli;
mod doctor;
mod failures;
mod faults;
mod guide;
mod hostile;
mod isolation;
mod keeper;
mod log_keeping;
mod logs;
mod logs_http;
mod node;
mod pm2;
mod readme;
mod reload;
mod sinks;
mod stalls;
mod systemd;
mod view;
