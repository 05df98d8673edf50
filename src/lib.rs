//! dogwatch: a process supervisor whose own death never reaches a service.
//!
//! # The map
//! ```text
//! main ► dispatch ──► cli ─────► config, logs, archive, wire, model, paths, os
//!                 ──► control ─► config, logs, archive, wire, os, model, paths
//!                 ──► keeper ──► archive, wire, os, model, paths
//!                 ──► warden ──► wire, os, model, paths
//!                 ──► forward ─► logs, wire, os, model, paths
//! logs, archive ► wire, os, model     config ► model     wire ► model     os ► model     model ► nothing
//! ```
//! Keeper, warden and control plane are three processes of one binary. They never call each other: they meet
//! in [`wire`] and in the run folder ([`paths`]). `tests/layers.rs` holds these arrows.
//!
//! Read [`model`] first, then `keeper`, then `warden`.

pub mod archive;
pub mod cli;
pub mod compress;
pub mod config;
pub mod control;
pub mod dispatch;
pub mod exit_code;
pub mod forward;
pub mod goals;
pub mod holder;
pub mod incidents;
pub mod keeper;
pub mod logs;
pub mod model;
pub mod os;
pub mod own_log;
pub mod paths;
pub mod records;
pub mod sinks;
pub mod start;
pub mod warden;
pub mod wire;
