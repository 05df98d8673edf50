//! dogwatch from outside: the real binary, real processes, real files, real signals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod harness;

mod alerts;
mod attributes;
mod burst;
mod chaos;
mod cli;
mod doctor;
mod dressed_logs;
mod drill;
mod endurance;
mod failures;
mod faults;
mod guide;
mod hostile;
mod hurt;
mod isolation;
mod keeper;
mod log_keeping;
mod logs;
mod logs_http;
mod matrix;
mod node;
mod pm2;
mod readme;
mod reload;
mod renewed;
mod shortage;
mod sinks;
mod stalls;
mod systemd;
mod text;
mod upgrade;
mod upgrade_and_reload;
mod view;
