//! The keeper.

pub mod archive;
pub mod pump;
pub mod store;
pub mod stream;
