//! What a service is and what happens to it, as pure data and pure functions.
//!
//! Nothing here reads a clock, a file or the kernel: time, randomness and what the world answered are
//! arguments. That is why every rule of supervision can be tested without starting a process.
//!
//! Read in this order: [`spec`] (what runs, and how), [`phase`] (what an instance is doing), [`machine`]
//! (what happens next).

pub mod alerts;
pub mod attributes;
pub mod backoff;
pub mod calendar;
pub mod cron;
pub mod date_format;
pub mod dress;
pub mod end;
pub mod failure;
pub mod flood;
pub mod fnv;
pub mod ladder;
pub mod lapse;
pub mod machine;
#[cfg(test)]
mod machine_tests;
pub mod memory;
pub mod moment;
pub mod name;
pub mod pace;
pub mod phase;
pub mod retention;
pub mod rotation;
pub mod shares;
pub mod signal;
pub mod sink;
pub mod spec;
pub mod suspicion;
pub mod takeover;
pub mod trend;
pub mod units;
