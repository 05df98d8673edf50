//! The only place that talks to the kernel beyond std, and the only `unsafe`.
//!
//! Each file promises one thing; every `unsafe` block says why it is sound. Nothing here decides: callers get
//! facts and errors, and `model` says what they mean.

pub mod clock;
pub mod inherit;
pub mod launch;
pub mod lock;
pub mod packet;
pub mod process;
