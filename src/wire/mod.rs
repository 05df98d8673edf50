//! What crosses a process boundary or outlives a process.
//!
//! Version history: 1, the first. A newer dogwatch reads an older one's records (unknown fields are ignored,
//! missing ones have defaults); an older one refuses a newer one's and names the version.
//!
//! While an upgrade rolls out, and for as long as one process was put off, two versions talk to each other. So a
//! request carries the version in which it came into being, not the asker's: an older process understands all that is
//! not new. Samples of every version are in `tests/fixtures` and must be read for ever.

pub mod api;
pub mod archive_name;
pub mod dress_note;
pub mod drill;
pub mod dropped;
pub mod environment;
pub mod goal;
pub mod incidents;
pub mod keeper;
pub mod log_index;
pub mod log_line;
pub mod log_state;
pub mod names;
pub mod record;
#[cfg(test)]
mod samples;
pub mod sinks;
pub mod spec;
pub mod status;
pub mod upgrade;
pub mod view;
pub mod warden;

/// The version that this program writes.
pub const VERSION: u32 = 1;
/// The version of the program itself.
pub const PROGRAM: &str = env!("CARGO_PKG_VERSION");
