//! The only place that talks to the kernel beyond std, and the only `unsafe`.
//!
//! Each file promises one thing; every `unsafe` block says why it is sound. Nothing here decides: callers get
//! facts and errors, and `model` says what they mean.

pub mod attributes;
pub mod bell;
pub mod builds;
pub mod capture;
pub mod cgroup;
pub mod clock;
pub mod door;
pub mod exec;
pub mod fault;
pub mod fifo;
pub mod file;
pub mod folder;
pub mod heap;
pub mod inherit;
pub mod inotify;
pub mod landlock;
pub mod launch;
pub mod limits;
pub mod lock;
pub mod memory;
pub mod mount;
pub mod notify;
pub mod outgoing;
pub mod overflow;
pub mod own;
pub mod packet;
pub mod peek;
pub mod port;
pub mod priority;
pub mod process;
pub mod program;
pub mod socket;
pub mod spawn;
pub mod switch;
pub mod tree;
pub mod unix;
pub mod users;
pub mod wait;
pub mod wall_timer;
pub mod watched;
pub mod zone;
