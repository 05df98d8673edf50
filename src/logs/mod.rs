//! Reading logs: by path, whoever runs or does not.
//!
//! ```text
//! files     which files a stream has, and what stands in them      former   logs of before streams were merged, or apart
//! times     when their bytes were written          lines    bytes into lines, of any length
//! cursor    a place in a stream, which goes on over rotations
//! last      where the last lines of a stream begin
//! sieve     which lines are wanted, and their neighbours
//! source    a cursor and its sieve                 order    which of several sources is next
//! reading   several sources in the order of time: what was written, and what is being written
//! moments   what people write for a moment         render   lines as text or JSON
//! ```
//! Everything goes through in blocks: neither the length of a line nor that of a log is a matter of memory.

pub mod cursor;
pub mod files;
pub mod former;
pub mod last;
pub mod lines;
pub mod moments;
pub mod order;
pub mod reading;
pub mod render;
pub mod sieve;
pub mod source;
pub mod times;
#[cfg(test)]
mod writer;
