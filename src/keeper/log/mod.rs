//! The output of a service, from its FIFOs into its log files.
//!
//! ```text
//! pump         the main thread's end of it         worker      the thread that moves the bytes
//! channels     the FIFOs of a run                  sources     the runs that feed a log, and whose turn it is
//! stream       one log: what is moved when         log_file    its file, and its archives
//! dress        lines with times, or as objects     dressing    how they get into a file in spite of SIGKILL
//! dressed      a stream whose lines are            time_index  when the bytes of a file were written
//! trouble      the disk refuses, or there is more than there may be
//! hold         how it is noticed that a disk hangs
//! relief       what the main thread does then      dropping    lines that go missing are counted and said
//! compress     archives become smaller
//! ```
//! `pump`, `channels`, `relief` and `compress` are the main thread's, `dropping` is both threads', all else is the worker's.
//! Nothing here knows of the service's process, and only `relief` of the keeper.

pub mod channels;
pub mod compress;
pub mod dress;
pub mod dressed;
pub mod dressing;
pub mod dropping;
pub mod hold;
pub mod log_file;
pub mod pump;
pub mod relief;
pub mod sources;
pub mod stream;
#[cfg(test)]
mod stream_tests;
pub mod time_index;
pub mod trouble;
pub mod worker;
