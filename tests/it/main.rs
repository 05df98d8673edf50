//! dogwatch from outside: the real binary, real processes, real files, real signals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod harness;

mod chaos;
mod faults;
mod guide;
mod keeper;
mod pm2;
