//! The output of a service, from its FIFOs into its log files.
//!
//! ```text
//! channels     the FIFOs of a run                  pump        the thread that moves what is in them
//! stream       one log: what is moved when         sources     the runs that feed it, and whose turn it is
//! log_file     its file, and its archives          time_index  when its bytes were written
//! dress        lines with times, or as objects     dressing    how they get into a file in spite of SIGKILL
//! dressed      a stream whose lines are
//! trouble      the disk refuses, or there is more than there may be
//! hold         how it is noticed that a disk hangs
//! relief       what the main thread does then      dropping    lines that go missing are counted and said
//! compress     archives become smaller
//! ```
//! `channels`, `relief` and `compress` are the main thread's, `dropping` is both threads', all else is the pump's. Nothing
//! here knows of the service's process, and only `relief` of the keeper.

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
