//! What crosses a process boundary or outlives a process.
//!
//! Version history: 1, the first. A newer dogwatch reads an older one's records (unknown fields are ignored,
//! missing ones have defaults); an older one refuses a newer one's and names the version.

pub mod api;
pub mod archive_name;
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
pub mod sinks;
pub mod spec;
pub mod status;
pub mod view;
pub mod warden;

/// The version that this program writes.
pub const VERSION: u32 = 1;
